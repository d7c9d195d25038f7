"""A whole shift in a minute: the unchanged runner over synthetic packets, on a clock that the test moves.

The design's one exception to simulating below the library: picture and sound are made up at their ports. Everything
behind the ports is the product's own, threads included. Time stands still while any of them has something to do, so a
run gives the same records each time; the clock then goes on to whatever comes next.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from evidence import pki, records, shape
from evidence.documents import Receipt
from evidence.records import Record
from firmware.capture.part import Format
from firmware.capture.writer import Run
from firmware.hal.ports import Control, Frame, SoundBlock
from firmware.voice.prompts import Prompt, load
from firmware.worker import Worker
from tests.camera_rig import DEVICE, STARTED_MS, Owner, World, picture
from tests.memory_disk import MemoryDisk
from tests.runner_rig import Loudspeaker, Rig

MS = 1_000_000
SECOND = 1_000 * MS
MINUTE = 60 * SECOND
FRAME = 500 * MS  # a reduced rate
BLOCK = 50 * MS
SAMPLES = 2_400
SPARSE = 20  # while nobody speaks, one block of sound in so many is given
ATTENTIVE = 12 * SECOND  # after the last word, so that an answer is heard
PATIENCE = 20.0  # seconds of real time that any thread gets
FORM = Format(1280, 720, FRAME, 3 * FRAME, 60 * SECOND, bytes(34))
STEP = SECOND


class Voice(Loudspeaker):
    """Plays for as long as the clip lasts, and the room hears it."""

    def __init__(self, world: World, changed: threading.Condition) -> None:
        super().__init__()
        self._world = world
        self._changed = changed
        self._clips: deque[tuple[int, NDArray[np.int16]]] = deque([(0, np.zeros(0, np.int16))], maxlen=2)
        self.until_ns: int | None = None  # playing until then
        self.last_ns = 0  # when the last one ended
        self.hasty = False

    def play(self, pcm: bytes, rate: int) -> None:
        samples = np.frombuffer(pcm, np.int16)
        with self._changed:
            self._clips.append((self._world.now_ns, np.repeat(samples, 48_000 // rate)))
            self.until_ns = self.last_ns = self._world.now_ns + len(samples) * SECOND // rate
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.hasty or self._world.now_ns >= (self.until_ns or 0), PATIENCE)
            self.until_ns = None

    def heard(self, from_ns: int) -> bytes | None:
        """What of the last clips sounds in the block that begins then."""
        block = np.zeros(SAMPLES, np.int16)
        for clip_ns, clip in self._clips:
            start = (from_ns - clip_ns) * 48_000 // SECOND
            part = clip[max(0, start) : max(0, start + SAMPLES)]
            block[max(0, -start) :][: part.size] += part
        return block.tobytes() if block.any() else None


class Shift(Rig):
    """`ambient(now_ns)` is the room's own sound, a block of it."""

    def __init__(self, owner: Owner, capacity: int) -> None:
        self.world = World()
        self._idle = threading.Condition()
        self.voice = Voice(self.world, self._idle)
        super().__init__(
            owner, world=self.world, disk=MemoryDisk(capacity=capacity), form=FORM, loudspeaker=self.voice
        )
        self.said: list[tuple[int, str]] = []
        self.ambient: Callable[[int], bytes] = lambda _now: bytes(2 * SAMPLES)
        self._told_keys = {prompt.pcm: key for key, prompt in self.prompts.items()}
        self._next_frame_ns = self._next_block_ns = 0
        self._count = 0
        self._script: list[tuple[int, Callable[[], None]]] = []

    def make_prompts(self) -> Mapping[str, Prompt]:
        """Those that the camera ships: the notice is looked for in the sound, and found."""
        return load()

    # What a test says.

    def at(self, hours: float, action: Callable[[], None]) -> None:
        """Do something at a time of the shift."""
        self._script.append((int(hours * 3600 * SECOND), action))
        self._script.sort(key=lambda entry: entry[0])

    def press(self, control: Control) -> None:
        self.panel.press(control, self.clock.boot_ns())

    def receive(self, keep: int) -> int:
        """As in a dock: the office's receipts for all closed segments but the newest `keep`."""
        key, kid = self.signer.key, pki.key_id(pki.public_key(self.signer.certificate))
        waiting = self.handin.state().segments
        for recording, segment, size in waiting[: max(0, len(waiting) - keep)]:
            record = self.handin._segments[recording, segment]
            utc = shape.utc_text(STARTED_MS + self.world.now_ns // MS)
            receipt = Receipt("OFFICE-1", DEVICE, recording, segment, record.body["file_sha256"], size, utc, utc, 0)
            self.handin.take_receipt(receipt.sign(key, kid).encode().decode())
        return len(waiting)

    def run_until(self, hours: float) -> None:
        """Let time pass, in the calling thread, which is the loop's."""
        end = int(hours * 3600 * SECOND)
        while self.world.now_ns < end:
            self._pass_time(end)
            self.quiesce()

    def start(self) -> None:
        self.runner.start()
        self.quiesce()

    def stop(self) -> list[Record]:
        """Switch it off; all records."""
        with self._idle:
            self.voice.hasty = True
            self._idle.notify_all()
        self.runner.stop()
        return []

    # Time.

    def _pass_time(self, end: int) -> None:
        timers = self.runner._loop._timers
        due = [end, self.world.now_ns + STEP, *(at for at, _, _ in timers[:1]), *(at for at, _ in self._script[:1])]
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
        while min(self._next_frame_ns, self._next_block_ns + BLOCK) <= now:
            if self._next_frame_ns <= self._next_block_ns + BLOCK:
                key = self._count % 2 == 0
                self.video.put(Frame(picture(self._count % 200, key=key), self._next_frame_ns, key))
                self._count += 1
                self._next_frame_ns += FRAME
            else:
                at = self._next_block_ns
                attentive = at < self.voice.last_ns + ATTENTIVE
                self.microphone.put(SoundBlock((attentive and self.voice.heard(at)) or self.ambient(at), at))
                self._next_block_ns += BLOCK if attentive else SPARSE * BLOCK

    def quiesce(self) -> None:
        """Until the loop and every thread have done what they had."""
        loop = self.runner._loop
        loop.settle()
        while True:
            self._threads_done()
            if loop._queue.empty():
                return
            loop.settle()

    def _threads_done(self) -> None:
        """Each thread gets one thing more to do, and when it has done that, it has done all before it."""
        waiting = {id(worker): worker for worker in self._workers()}
        speaking = id(self.speaker._worker)

        def done(name: int) -> Callable[[], None]:
            def mark() -> None:
                with self._idle:
                    waiting.pop(name, None)
                    self._idle.notify_all()

            return mark

        for name, worker in list(waiting.items()):
            worker.do(done(name))
        waiting[0] = self.runner._slow
        self.writer.submit(Run(done(0)), later=True)
        with self._idle:
            settled = self._idle.wait_for(
                lambda: not waiting or (self.voice.until_ns is not None and set(waiting) <= {speaking}), PATIENCE
            )
        assert settled, f"a thread hangs: {waiting}"

    def _workers(self) -> Iterator[Worker]:
        for owner in (self.runner, self.runner._docking, self.speaker):
            yield from (value for value in vars(owner).values() if isinstance(value, Worker))


def journal_files(disk: MemoryDisk) -> Mapping[str, int]:
    """Sizes of the journal's files."""
    return {name: disk.size(records.journal_path(int(name[:8]))) for name in disk.list("journal")}
