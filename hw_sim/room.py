"""The room in which the simulated camera stands: `bodycam sim room --world DIR`.

One process, one thread: it keeps a private PulseAudio (`hw_sim.sound_server`), moves its sound in blocks of 10 ms by
the sound card's own clock, and takes orders, one JSON object a line, over the UNIX socket `sound/control` of the world
folder (`ask` does it). What happens is told in `room.jsonl` there, each line with `boot_ns` (CLOCK_BOOTTIME) and `event`:

    ready, loudspeaker_started, loudspeaker_ended, clip_started, clip_ended, server_lost, server_started, stopped

Orders (`do`) and what they take:

    play {file, gain_db}     mute_loudspeaker {on}     noise {dbfs | snr_db, kind}, silent without a level
    suspend_microphone {on}  kill_server               start_server               state

An answer is {"ok": true, ...} or {"ok": false, "error": "..."}.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw_sim import acoustics
from hw_sim.acoustics import RATE, Air, SpeechWatch, Track
from hw_sim.sound_server import SoundServer, SoundServerError, sound_folder

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = RATE // 100
_MAX_LATE_BLOCKS = 100  # a process that was stopped for longer does not make up for it
_LISTENERS = 8


class CardClock:
    """Turns real time into the number of blocks that a sound card off by `ppm` has made."""

    def __init__(self, ppm: float, boot_ns: int) -> None:
        self._block_ns = 1e9 * _BLOCK / (RATE * (1 + ppm * 1e-6))
        self._start_ns = boot_ns
        self._made = 0

    def due(self, boot_ns: int) -> int:
        """Return how many blocks are to be made now, and count them as made."""
        total = int((boot_ns - self._start_ns) / self._block_ns)
        blocks, self._made = total - self._made, total
        return min(blocks, _MAX_LATE_BLOCKS)

    def seconds_to_next(self, boot_ns: int) -> float:
        """Return how long to wait until the next block is due."""
        return max(0.0, (self._start_ns + (self._made + 1) * self._block_ns - boot_ns) * 1e-9)


class Room:
    """The air, the card and the diary of one room."""

    def __init__(self, world: Path, server: SoundServer, air: Air) -> None:
        self._server = server
        self._air = air
        self._watch = SpeechWatch()
        self._half_sample = b""
        self._up = True
        self._log = (world / "room.jsonl").open("a", buffering=1)
        self._orders: dict[str, Callable[..., dict[str, Any]]] = {
            "play": self._play,
            "mute_loudspeaker": self._mute,
            "noise": self._noise,
            "suspend_microphone": self._suspend,
            "kill_server": self._kill_server,
            "start_server": self._start_server,
            "state": self._state,
        }

    def tell(self, event: str, ago_seconds: float = 0.0, **facts: Any) -> None:
        """Write a line into the diary."""
        boot_ns = _boot_ns() - round(ago_seconds * 1e9)
        self._log.write(json.dumps({"boot_ns": boot_ns, "event": event, **facts}, ensure_ascii=False) + "\n")

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
            self._server.write(heard.astype("<i2").tobytes())
        self._tell_changes(self._watch.hear(cone))

    def obey(self, line: bytes) -> bytes:
        """Carry out one order; the answer is a line too."""
        try:
            order = json.loads(line)
            answer = {"ok": True, **self._orders[order.pop("do")](**order)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            answer = {"ok": False, "error": f"not an order of the room ({error!r}): one of {', '.join(self._orders)}"}
        except (SoundServerError, acoustics.SoundFileError) as error:
            answer = {"ok": False, "error": str(error)}
        return json.dumps(answer, ensure_ascii=False).encode() + b"\n"

    def close(self) -> None:
        """End the diary."""
        self.tell("stopped")
        self._log.close()

    def _tell_changes(self, speech: str | None) -> None:
        if speech:
            self.tell(f"loudspeaker_{speech}", self._watch.quiet_seconds, muted=self._air.muted)
        for clip in [clip for clip in self._air.clips if clip.over]:
            self._air.clips.remove(clip)
            self.tell("clip_ended", file=clip.name)

    def _server_alive(self) -> bool:
        alive = self._server.alive()
        if self._up and not alive:
            self.tell("server_lost")
        self._up = alive
        return alive

    def _play(self, file: str, gain_db: float = 0.0) -> dict[str, Any]:
        samples = acoustics.load(Path(file), gain_db)
        self._air.clips.append(Track(file, samples, loop=False))
        self.tell("clip_started", file=file)
        return {"seconds": samples.size / RATE}

    def _mute(self, on: bool) -> dict[str, Any]:
        self._air.muted = on
        return {}

    def _noise(self, dbfs: float | None = None, snr_db: float | None = None, kind: str = "white") -> dict[str, Any]:
        level = dbfs if snr_db is None else self._air.noise_at_snr(snr_db)
        self._air.noise = None if level is None else Track(kind, acoustics.noise(kind, level), loop=True)
        return {"dbfs": level}

    def _suspend(self, on: bool) -> dict[str, Any]:
        self._server.suspend_microphone(on)
        return {}

    def _kill_server(self) -> dict[str, Any]:
        self._server.kill()
        self._server_alive()
        return {}

    def _start_server(self) -> dict[str, Any]:
        if not self._server.alive():
            self._server.start()
            self._up = True
            self.tell("server_started")
        return {"server_pid": self._server.pid}

    def _state(self) -> dict[str, Any]:
        return {
            "server_pid": self._server.pid,
            "muted": self._air.muted,
            "speaking": self._watch.speaking,
            "noise": self._air.noise.name if self._air.noise else None,
            "clips": [clip.name for clip in self._air.clips],
        }


class _Orders:
    """The control socket: listeners and their unfinished lines."""

    def __init__(self, path: Path, obey: Callable[[bytes], bytes]) -> None:
        self._obey = obey
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(_LISTENERS)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def wait(self, seconds: float) -> None:
        """Carry out what was ordered within that time."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                peer, _ = self._listener.accept()
                self._selector.register(peer, selectors.EVENT_READ, bytearray())
            elif isinstance(key.fileobj, socket.socket):
                self._serve(key.fileobj, key.data)

    def _serve(self, peer: socket.socket, pending: bytearray) -> None:
        with contextlib.suppress(ConnectionError):
            data = peer.recv(65536)
            *lines, rest = (bytes(pending) + data).split(b"\n")
            pending[:] = rest
            for line in lines:
                peer.sendall(self._obey(line))
            if data:
                return
        self._selector.unregister(peer)
        peer.close()

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()


def ask(world: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Give the room of `world` one order and return its answer. Raises SoundServerError if it refuses or is away."""
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(str(sound_folder(world) / "control"))
        except OSError as error:
            raise SoundServerError(f"no room answers in {world}: {error}") from error
        link.sendall(json.dumps(order).encode() + b"\n")
        answer: dict[str, Any] = json.loads(link.makefile().readline())
    if not answer.pop("ok"):
        raise SoundServerError(answer["error"])
    return answer


def main(argv: list[str]) -> int:
    """Run the room until SIGTERM, SIGINT or the end of the parent; `ready` on standard output when it can be used."""
    options = _options(argv)
    stop = _stop_on_signals()
    parent = os.getppid()
    try:
        air = Air(_base(options), options.loudspeaker_db, options.delay_ms / 1000)
        options.world.mkdir(parents=True, exist_ok=True)
        server = SoundServer(options.world)
    except (SoundServerError, acoustics.SoundFileError, OSError) as error:
        print(f"room: {error}", file=sys.stderr)  # noqa: T201 (a command's own error line)
        return 1
    with contextlib.closing(server):
        try:
            server.start()
        except SoundServerError as error:
            print(f"room: {error}", file=sys.stderr)  # noqa: T201
            return 1
        with contextlib.closing(Room(options.world, server, air)) as room:
            _prepare(room, options)
            with contextlib.closing(_Orders(server.folder / "control", room.obey)) as orders:
                room.tell("ready")
                print("ready", flush=True)  # noqa: T201 (whoever started the room waits for this line)
                clock = CardClock(options.ppm, _boot_ns())
                while not stop and os.getppid() == parent:
                    for _ in range(clock.due(_boot_ns())):
                        room.move()
                    orders.wait(clock.seconds_to_next(_boot_ns()))
    return 0


def _prepare(room: Room, options: argparse.Namespace) -> None:
    room.obey(json.dumps({"do": "mute_loudspeaker", "on": options.muted}).encode())
    noise = {"dbfs": options.noise_dbfs, "snr_db": options.noise_snr_db, "kind": options.noise_kind}
    room.obey(json.dumps({"do": "noise", **noise}).encode())


def _base(options: argparse.Namespace) -> Track:
    name: str = options.base
    if name == "silence":
        return Track(name, np.zeros(RATE, np.float32), loop=True)
    if name.startswith("tone:") and name[5:].isdigit():
        return Track(name, acoustics.tone(int(name[5:])), loop=True)
    return Track(name, acoustics.load(Path(name), options.base_db), loop=not options.once)


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bodycam sim room", description="the room the simulated camera hears")
    parser.add_argument("--world", type=Path, required=True, help="folder of this simulated world")
    parser.add_argument("--base", default="silence", help="a sound file, tone:HERTZ, or silence")
    parser.add_argument("--base-db", type=float, default=0.0, help="gain of a base file")
    parser.add_argument("--once", action="store_true", help="play the base file once, not for ever")
    parser.add_argument("--ppm", type=float, default=0.0, help="how far off the sound card's clock is")
    parser.add_argument("--loudspeaker-db", type=float, default=-6.0, help="gain from loudspeaker to microphone")
    parser.add_argument("--delay-ms", type=float, default=20.0, help="delay from loudspeaker to microphone")
    parser.add_argument("--muted", action="store_true", help="the loudspeaker is broken: nothing of it is heard")
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--noise-dbfs", type=float, help="level of the noise")
    level.add_argument("--noise-snr-db", type=float, help="how far the noise lies under the camera's prompts")
    parser.add_argument("--noise-kind", choices=acoustics.NOISE_KINDS, default="white")
    return parser.parse_args(argv)


def _stop_on_signals() -> list[int]:
    """Return a list that is no longer empty when the process has been told to end."""
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stop.append(received))
    return stop


def _boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
