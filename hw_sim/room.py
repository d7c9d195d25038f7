"""The room in which the simulated camera stands: `bodycam sim room WORLD`.

The room keeps a private PulseAudio (`hw_sim.sound_server`), moves its sound in blocks of 10 ms by the sound card's own
clock, and takes orders over `room.sock` of the world folder (`hw_sim.control`, or `ask` here):

    {"do": "play", "file": PATH, "gain_db": 0}    a clip, heard once: what an officer says
    {"do": "mute_loudspeaker", "on": true}        nothing the camera says is heard any more
    {"do": "noise", "dbfs": -40}                  or "snr_db": N, that far under the camera's prompts; neither: none
    {"do": "suspend_microphone", "on": true}      the microphone delivers nothing, and says nothing of it
    {"do": "silence_microphone", "on": true}      it delivers zeros: the capsule is dead, not its electronics
    {"do": "move_microphone", "on": true}         it is unplugged, and the sound server silently joins who listens to
                                                  another source (a tone of 1 kHz); "on": false plugs it in again
    {"do": "kill_server"}, {"do": "start_server"} the sound card is pulled out, and put in again
    {"do": "state"}

What happens stands in `room.jsonl`, a line each, with `boottime_ns` (the host's CLOCK_BOOTTIME; of a clip, when its
first sample reaches the microphone) and `event`: ready,
loudspeaker_started, loudspeaker_ended, clip_started, clip_ended, microphone_silenced, microphone_moved (each with
`on`), server_lost, server_started, stopped. Pauses of up to 0.6 s do not end what the loudspeaker says.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw_sim import acoustics, control
from hw_sim import world as worlds
from hw_sim.acoustics import RATE, Air, SpeechWatch, Track
from hw_sim.control import ControlError
from hw_sim.sound_server import SoundServer, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ControlError", "ask", "environment", "main"]

_BLOCK = RATE // 100
_MAX_LATE_BLOCKS = 100  # a process that was stopped for longer does not make up for it
_TONE_HERTZ = 440

_Answer = dict[str, Any]


class CardClock:
    """Turns real time into the number of blocks that a sound card off by `ppm` has made."""

    def __init__(self, ppm: float, boottime_ns: int) -> None:
        self._block_ns = 1e9 * _BLOCK / (RATE * (1 + ppm * 1e-6))
        self._start_ns = boottime_ns
        self._made = 0

    def due(self, boottime_ns: int) -> int:
        """Return how many blocks are to be made now, and count them as made."""
        total = int((boottime_ns - self._start_ns) / self._block_ns)
        blocks, self._made = total - self._made, total
        return min(blocks, _MAX_LATE_BLOCKS)

    @property
    def next_ns(self) -> int:
        """When the first sample of the next block is taken; it may be past, for a block that is due."""
        return round(self._start_ns + self._made * self._block_ns)

    def seconds_to_next(self, boottime_ns: int) -> float:
        """Return how long to wait until the next block is due."""
        return max(0.0, (self.next_ns + self._block_ns - boottime_ns) * 1e-9)


class Room:
    """The air, the card and the diary of one room. Used by one thread only, which the sound server must not survive."""

    def __init__(self, folder: Path, server: SoundServer, air: Air, clock: CardClock) -> None:
        self._server = server
        self._clock = clock
        self._air = air
        self._watch = SpeechWatch()
        self._silenced = False
        self._moved = False
        self._half_sample = b""
        self._up = True
        self._diary = (folder / "room.jsonl").open("a", buffering=1, encoding="utf-8")

    def tell(self, event: str, ago_seconds: float = 0.0, **facts: Any) -> None:
        """Write a line into the diary."""
        line = {"boottime_ns": _boottime_ns() - round(ago_seconds * 1e9), "event": event, **facts}
        self._diary.write(json.dumps(line, ensure_ascii=False) + "\n")

    def move(self) -> None:
        """Move one block of sound from the loudspeaker through the air to the microphone."""
        alive = self._server_alive()
        played = self._half_sample + self._server.read(2 * _BLOCK - len(self._half_sample)) if alive else b""
        whole = len(played) & ~1
        self._half_sample = played[whole:]
        cone = np.zeros(_BLOCK, np.float32)
        cone[: whole // 2] = np.frombuffer(played[:whole], "<i2")
        heard = self._air.take(cone)
        if alive:
            self._server.write(bytes(2 * _BLOCK) if self._silenced else heard.astype("<i2").tobytes())
        speech = self._watch.hear(cone)
        if speech:
            self.tell(f"loudspeaker_{speech}", self._watch.quiet_seconds, muted=self._air.muted)
        for clip in self._air.remove_ended():
            self.tell("clip_ended", file=clip.name)

    def orders(self) -> Mapping[str, Callable[..., _Answer]]:
        """What the room can be told to do."""
        return {
            "play": self._play,
            "mute_loudspeaker": self._mute,
            "noise": self._noise,
            "suspend_microphone": self._suspend,
            "silence_microphone": self._silence,
            "move_microphone": self._move_microphone,
            "kill_server": self._kill_server,
            "start_server": self._start_server,
            "state": self._state,
        }

    def close(self) -> None:
        """End the diary."""
        self.tell("stopped")
        self._diary.close()

    def _server_alive(self) -> bool:
        alive = self._server.alive()
        if self._up and not alive:
            self.tell("server_lost")
        self._up = alive
        return alive

    def _play(self, file: str, gain_db: float = 0.0) -> _Answer:
        samples = acoustics.load(Path(file), gain_db)
        self._air.clips.append(Track(file, samples, loop=False))
        self.tell("clip_started", (_boottime_ns() - self._clock.next_ns) * 1e-9, file=file)
        return {"seconds": samples.size / RATE}

    def _mute(self, on: bool) -> _Answer:
        self._air.muted = on
        return {}

    def _noise(self, dbfs: float | None = None, snr_db: float | None = None, kind: str = "white") -> _Answer:
        level = dbfs if snr_db is None else acoustics.noise_level(snr_db)
        self._air.noise = None if level is None else Track(kind, acoustics.noise(kind, level), loop=True)
        return {"dbfs": level}

    def _suspend(self, on: bool) -> _Answer:
        self._server.suspend_microphone(on)
        return {}

    def _silence(self, on: bool) -> _Answer:
        self._silenced = on
        self.tell("microphone_silenced", on=on)
        return {}

    def _move_microphone(self, on: bool) -> _Answer:
        if on != self._moved:
            if on:
                self._server.unplug_microphone()
            else:
                self._server.plug_microphone()
            self._moved = on
            self.tell("microphone_moved", on=on)
        return {}

    def _kill_server(self) -> _Answer:
        self._server.kill()
        self._server_alive()
        return {}

    def _start_server(self) -> _Answer:
        if not self._server.alive():
            self._server.start()
            self._up, self._moved = True, False
            self.tell("server_started")
        return {"server_pid": self._server.pid}

    def _state(self) -> _Answer:
        return {
            "server_pid": self._server.pid,
            "muted": self._air.muted,
            "speaking": self._watch.speaking,
            "noise": self._air.noise.name if self._air.noise else None,
            "clips": [clip.name for clip in self._air.clips],
        }


class _Desk:
    """Hands orders from the control socket's threads to the room's own, and the answers back."""

    def __init__(self, folder: Path, orders: Mapping[str, Callable[..., _Answer]]) -> None:
        # No SimpleQueue: if a signal comes just when its time-out is over, its `get` waits for ever (Python 3.11).
        self._waiting: queue.Queue[tuple[Callable[[], _Answer], Future[_Answer]]] = queue.Queue()
        handlers = {name: self._handler(order) for name, order in orders.items()}
        self.close = control.serve(folder / "room.sock", handlers, worlds.noting(folder, "room"))

    def _handler(self, order: Callable[..., _Answer]) -> control.Handler:
        def handle(request: dict[str, Any]) -> _Answer:
            answer: Future[_Answer] = Future()
            self._waiting.put((lambda: order(**request), answer))
            return answer.result(control.ANSWER_SECONDS)

        return handle

    def serve(self, seconds: float) -> None:
        """Carry out one order, if one comes within that time."""
        with contextlib.suppress(queue.Empty):
            order, answer = self._waiting.get(timeout=seconds)
            try:
                answer.set_result(order())
            except Exception as error:  # noqa: BLE001 - whatever an order does wrong, the room lives on
                answer.set_exception(error)


def ask(folder: Path, do: str, **what: Any) -> _Answer:
    """Give the room of the world in `folder` an order and return its answer. Raises ControlError."""
    return control.ask(folder / "room.sock", {"do": do, **what})


def answers(folder: Path) -> bool:
    """Tell whether the room of the world in `folder` takes orders."""
    with contextlib.suppress(control.ControlError, OSError):
        ask(folder, "state")
        return True
    return False


def main(argv: list[str]) -> int:
    """Run the room until SIGTERM, SIGINT or the end of the parent; `ready` on standard output when it can be used.

    Raises ConfigError for a world that is wrong, ControlError if the sound server cannot be started.
    """
    parser = argparse.ArgumentParser(prog="bodycam sim room", description="The sound of a simulated world.")
    parser.add_argument("world", type=Path, help="world folder (bodycam sim world makes one)")
    folder: Path = parser.parse_args(argv).world
    config = worlds.load(folder).room
    stop = _Stop()
    air = Air(_base(folder, config.sound), muted=config.loudspeaker_muted)
    air.hiss = Track("hiss", acoustics.noise("white", acoustics.HISS_DBFS), loop=True)
    if config.noise_dbfs is not None:
        air.noise = Track("white", acoustics.noise("white", config.noise_dbfs), loop=True)
    with contextlib.closing(SoundServer(folder)) as server:
        server.start()
        clock = CardClock(config.sound_card_ppm, _boottime_ns())
        with contextlib.closing(Room(folder, server, air, clock)) as room:
            _run(room, folder, clock, stop)
    return 0


def _run(room: Room, folder: Path, clock: CardClock, stop: _Stop) -> None:
    parent = os.getppid()
    with contextlib.closing(_Desk(folder, room.orders())) as desk:
        room.tell("ready")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not stop and os.getppid() == parent:
            for _ in range(clock.due(_boottime_ns())):
                room.move()
            desk.serve(clock.seconds_to_next(_boottime_ns()))


def _base(folder: Path, sound: str) -> Track:
    if sound == "silence":
        return Track(sound, np.zeros(RATE, np.float32), loop=True)
    if sound == "tone":
        return Track(sound, acoustics.tone(_TONE_HERTZ), loop=True)
    return Track(sound, acoustics.load(folder / sound), loop=False)


class _Stop:
    """True once the process has been told to end.

    The interpreter may lose a signal that the kernel hands to another of its threads; the byte that its own handler
    writes to a pipe is never lost.
    """

    def __init__(self) -> None:
        self._told, end = os.pipe()
        for fd in (self._told, end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(end)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def __bool__(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self._told, 1))
        return False


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
