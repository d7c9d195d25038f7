"""A whole shift in a minute: the unchanged runner over synthetic packets, on a clock that the test moves.

The design's one exception to simulating below the library: picture and sound are made up at their ports, at reduced
rates. Everything behind the ports is the product's own, threads included. Time stands still while any of them has
something to do, so a run gives the same records each time; the clock then goes on to whatever comes next.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from evidence import pki, shape
from evidence.documents import Receipt
from firmware.capture import vocabulary as v
from firmware.capture.part import Format
from firmware.capture.writer import Run
from firmware.hal.ports import Charge, Control, Frame, Look, SoundBlock
from firmware.voice.prompts import Prompt, load
from firmware.worker import Worker
from tests.camera_rig import BLOCK, DEVICE, MS, SECOND, STARTED_MS, Owner, World, picture
from tests.memory_disk import MemoryDisk
from tests.runner_rig import Loudspeaker, Rig

HOUR = 3600 * SECOND
FRAME = 500 * MS  # 2 pictures a second
LOOK = 20 * SECOND
SAMPLES = 2_400
DELAY = 80 * MS  # from the loudspeaker's driver through air and sound card
SPARSE = 20  # while nobody speaks, one block of sound in so many is given
ATTENTIVE = 12 * SECOND  # after the last word, so that an answer is heard
STEP = 3 * SECOND  # two fragments
PATIENCE = 20.0  # seconds of real time that a thread gets for what it has to do
FORM = Format(1280, 720, FRAME, 3 * FRAME, 60 * SECOND, bytes(34))

_QUIET = (np.random.default_rng(1).normal(0, 30, SAMPLES)).astype("<i2").tobytes()  # -61 dB below full scale
_BUSY = (np.random.default_rng(2).normal(0, 2_000, SAMPLES)).astype("<i2").tobytes()
_STREET = np.kron(np.random.default_rng(3).uniform(40, 200, (9, 20)), np.ones((20, 16))).astype(np.uint8)
_NOISE = np.random.default_rng(4).integers(0, 6, 1 << 20, np.uint8)  # of the sensor: no look is the same twice


class Voice(Loudspeaker):
    """Plays for as long as the clip lasts, and the room hears it."""

    def __init__(self, world: World, changed: threading.Condition) -> None:
        super().__init__()
        self._world = world
        self._changed = changed
        self._clips: deque[tuple[int, NDArray[np.int16]]] = deque(maxlen=2)
        self.from_ns = self.last_ns = -ATTENTIVE
        self.until_ns: int | None = None  # playing until then
        self.hasty = False

    def play(self, pcm: bytes, rate: int) -> None:
        samples = np.frombuffer(pcm, np.int16)
        with self._changed:
            self.from_ns = self._world.now_ns
            self._clips.append((self.from_ns, np.repeat(samples, 48_000 // rate)))
            until_ns = self.from_ns + len(samples) * SECOND // rate
            self.until_ns = self.last_ns = until_ns
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._world.now_ns >= until_ns or self.until_ns is None or self.hasty)
            self.until_ns = None

    def stop(self) -> None:
        with self._changed:
            self.until_ns = None
            self._changed.notify_all()

    def heard(self, from_ns: int) -> bytes | None:
        """What of the last clips sounds in the block that begins then."""
        block = np.zeros(SAMPLES, np.int16)
        for clip_ns, clip in tuple(self._clips):
            start = (from_ns - clip_ns - DELAY) * 48_000 // SECOND
            part = clip[max(0, start) : max(0, start + SAMPLES)]
            block[max(0, -start) :][: part.size] += part
        return block.tobytes() if block.any() else None


class Cell:
    """`Battery` that was full at switch-on and falls evenly."""

    def __init__(self, world: World, percent_per_hour: float) -> None:
        self._world = world
        self._rate = percent_per_hour

    def read(self) -> Charge:
        percent = max(0.0, 100 - self._world.now_ns / HOUR * self._rate)
        return Charge(percent, 3.6 + percent / 200, charging=False)

    def describe(self) -> Mapping[str, str]:
        return {"driver": "test", "model": "test"}


class Shift(Rig):
    """`lively`: the wearer walks, and there are voices; else the camera lies in a quiet room."""

    def __init__(self, owner: Owner, capacity: int, percent_per_hour: float) -> None:
        self.world = World()
        self._idle = threading.Condition()
        self.voice = Voice(self.world, self._idle)
        super().__init__(
            owner, world=self.world, disk=MemoryDisk(capacity=capacity), form=FORM, loudspeaker=self.voice,
            battery=Cell(self.world, percent_per_hour),
        )  # fmt: skip
        self.lively = True
        self.said: list[tuple[float, str]] = []  # hours, key
        self.when_said: dict[str, Callable[[], None]] = {}
        self._script: list[tuple[int, Callable[[], None]]] = []
        self._next_frame_ns = self._next_block_ns = self._next_look_ns = self._block_end_ns = 0
        self.pictures = 0

    def make_prompts(self) -> Mapping[str, Prompt]:
        """Those that the camera ships: the notice is looked for in the sound, and found."""
        return load()

    def _said(self, key: str, from_ns: int, to_ns: int) -> None:
        self.said.append((from_ns / HOUR, key))
        super()._said(key, from_ns, to_ns)
        if key in self.when_said:
            self.runner._loop.put(self.when_said[key])

    # What a test says.

    @property
    def now(self) -> float:
        """Hours since switch-on."""
        return self.world.now_ns / HOUR

    def at(self, hours: float, action: Callable[[], None]) -> None:
        """Do something at a time of the shift."""
        self._script.append((int(hours * HOUR), action))
        self._script.sort(key=lambda entry: entry[0])

    def every(self, hours: float, action: Callable[[], None], until: float) -> None:
        """Do something again and again."""
        for number in range(1, int(until / hours) + 1):
            self.at(number * hours, action)

    def press(self, control: Control) -> None:
        self.panel.press(control, self.clock.boot_ns())

    def receive(self, keep: int = 0) -> None:
        """As in a dock: the office's receipts for all closed segments but the newest `keep`."""
        key, kid = self.signer.key, pki.key_id(pki.public_key(self.signer.certificate))
        waiting = self.handin.state().segments
        for recording, segment, size in waiting[: max(0, len(waiting) - keep)]:
            record = self.handin._segments[recording, segment]
            if (recording, segment) not in self.handin._receipts:
                utc = shape.utc_text(STARTED_MS + self.world.now_ns // MS)
                told = (DEVICE, recording, segment, record.body["file_sha256"], size, utc, utc, 0)
                self.handin.take_receipt(Receipt("OFFICE-1", *told).sign(key, kid))

    def run_until(self, hours: float) -> None:
        """Let time pass, in the calling thread, which is the loop's."""
        end = int(hours * HOUR)
        while self.world.now_ns < end:
            self._pass_time(end)
            self.quiesce()

    def begin(self) -> None:
        """Switch it on."""
        self.runner.start()
        self.quiesce()

    def end(self) -> None:
        """Switch it off."""
        self.runner.post(v.Quit())
        self.quiesce()
        with self._idle:
            self.voice.hasty = True
            self._idle.notify_all()
        self.runner.stop()

    # Time.

    def _pass_time(self, end: int) -> None:
        due = [end, self.world.now_ns + STEP, *(at for at, *_ in self.runner._loop._timers[:1])]
        due += [at for at, _ in self._script[:1]]
        if self.voice.until_ns is not None:
            due.append(self.voice.until_ns)
        with self._idle:
            self.world.now_ns = max(self.world.now_ns, min(due))
            self._idle.notify_all()
        self._deliver()
        while self._script and self._script[0][0] <= self.world.now_ns:
            self._script.pop(0)[1]()

    def _deliver(self) -> None:
        """Pictures and sound up to now, in order."""
        now = self.world.now_ns
        if now < self.voice.last_ns + ATTENTIVE:  # what was left out so far stays left out
            self._next_block_ns = min(self._next_block_ns, max(self._block_end_ns, self.voice.from_ns))
        while min(self._next_frame_ns, self._next_block_ns + BLOCK) <= now:
            if self._next_frame_ns <= self._next_block_ns + BLOCK:
                self._give_picture(self._next_frame_ns)
            else:
                self._give_sound(self._next_block_ns)

    def _give_picture(self, at: int) -> None:
        key = self.pictures % 2 == 0
        self.video.put(Frame(picture(self.pictures % 200, key=key), at, key))
        if at >= self._next_look_ns:
            moved = self.pictures * 7 % _STREET.shape[1] if self.lively else 0
            noise = _NOISE[self.pictures * 31 % (_NOISE.size - _STREET.size) :][: _STREET.size]
            self.video.look(Look(np.roll(_STREET, moved, axis=1) + noise.reshape(_STREET.shape), at))
            self._next_look_ns += LOOK
        self.pictures += 1
        self._next_frame_ns += FRAME

    def _give_sound(self, at: int) -> None:
        attentive = at < self.voice.last_ns + ATTENTIVE
        spoken = self.voice.heard(at) if attentive else None
        self.microphone.put(SoundBlock(spoken or (_BUSY if self.lively else _QUIET), at))
        self._block_end_ns = at + BLOCK
        self._next_block_ns += BLOCK if attentive else SPARSE * BLOCK

    def quiesce(self) -> None:
        """Let the loop and every thread do what they have."""
        loop = self.runner._loop
        while True:
            loop.settle()
            self._let_threads_finish()
            if loop._queue.empty():
                return

    def _let_threads_finish(self) -> None:
        """Each thread gets one thing more to do: when it has done that, it has done all before it."""
        waiting = {"writer", *(worker._name for worker in self._workers())}

        def done(name: str) -> Callable[[], None]:
            def mark() -> None:
                with self._idle:
                    waiting.discard(name)
                    self._idle.notify_all()

            return mark

        for worker in self._workers():
            worker.do(done(worker._name))
        self.writer.submit(Run(done("writer")), later=True)
        with self._idle:
            # Whoever speaks waits for the time to pass.
            settled = self._idle.wait_for(
                lambda: not waiting or (self.voice.until_ns is not None and waiting == {"speaker"}), PATIENCE
            )
        assert settled, f"these threads hang: {waiting}"

    def _workers(self) -> Iterator[Worker]:
        """Those of the runner and of what it is made of."""
        for part in (self.runner, self.speaker, *vars(self.runner).values()):
            for value in vars(part).values() if hasattr(part, "__dict__") else ():
                if isinstance(value, Worker):
                    yield value
