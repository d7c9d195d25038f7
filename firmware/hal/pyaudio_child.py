"""One sound stream as a program of its own, which `firmware.hal.pyaudio_sound` starts: `pyaudio_child.py TASK DEVICE`.

PortAudio holds Python's lock while a sound server hangs. Here it holds nobody up: this process is killed and another
one begins. It imports no more than it needs, not even the rest of `firmware`, which keeps it small.

Tasks: `find-input` and `find-output` look for the device; `capture` sends its sound until it is killed; `play` takes
one clip from standard input, its length in bytes first, and plays it. Messages go to standard output, in `HEADER`'s
form. Whatever else happens at standard input, above all its end, ends this process.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import json
import os
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RATE = 48_000
BLOCK_SAMPLES = 2_400

HEADER = struct.Struct("<cqI")  # kind, CLOCK_BOOTTIME in ns, length in bytes of what follows
LENGTH = struct.Struct("<I")
OPENED = b"o"  # the stream runs, or the device was found; JSON: what is known of it
BLOCK = b"b"  # 50 ms of sound, whose last sample was taken about the header's time
BLOCK_AFTER_LOSS = b"l"  # the same, but samples before it were lost
MOVED = b"m"  # the sound server has joined the stream to another source; text
TAKEN = b"t"  # the device took sound
PLAYED = b"p"  # all was heard
FAILED = b"f"  # text

_PLAYED_SAMPLES = 7_200  # 150 ms at a time: a sound server that is held up a moment has enough to play
_SERVER_LIBRARIES = ("libpulse", "libpipewire")
_LOOK_SECONDS = 0.5
_WANDER_SECONDS = 0.02
_sending = threading.Lock()


def main(arguments: list[str]) -> int:
    """Carry out one task; what goes wrong is the last message."""
    # Who started us decides when we end: a signal to the whole group must not cut a recording's sound short.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    task, device = arguments
    try:
        _TASKS[task](device)
    except ImportError as error:
        _send(FAILED, f"cannot be imported ({error}); install bodycam[camera]".encode())
    except Exception as error:  # noqa: BLE001 - there is no other way to tell
        _send(FAILED, str(error).encode())
    else:
        return 0
    return 1


def _find_input(device: str) -> None:
    _end_with_parent()
    if importlib.util.find_spec("pulsectl") is None:
        raise ImportError("No module named 'pulsectl'")
    _tell_device(device, capture=True)


def _find_output(device: str) -> None:
    _end_with_parent()
    _tell_device(device, capture=False)


def _tell_device(device: str, *, capture: bool) -> None:
    pyaudio: Any = importlib.import_module("pyaudio")
    found = _find(pyaudio.PyAudio(), device, capture=capture)
    facts = {"model": found["name"], "library": pyaudio.get_portaudio_version_text()}
    _send(OPENED, json.dumps(facts).encode())


def _capture(device: str) -> None:
    _end_with_parent()
    pyaudio: Any = importlib.import_module("pyaudio")

    def take(data: bytes, count: int, times: Mapping[str, float], status: int) -> tuple[None, int]:
        if count == BLOCK_SAMPLES:  # PortAudio adapts to our block; a part is no block
            kind = BLOCK_AFTER_LOSS if status & pyaudio.paInputOverflow else BLOCK
            _send(kind, data, _waited_ns(times["current_time"] - times["input_buffer_adc_time"]))
        return None, pyaudio.paContinue

    library = pyaudio.PyAudio()
    stream = _open(pyaudio, library, device, take, capture=True)
    stream.start_stream()
    _send(OPENED, b"{}")
    where = _await_move()
    if where:
        _send(MOVED, where.encode())
        return
    while True:
        signal.pause()


def _waited_ns(age_seconds: float) -> int:
    """How long a block waited to be called for, by the library's own account of how old its first sample is.

    Callbacks come on time within a millisecond until something holds a sound server up: from then on they may be late
    by tens of milliseconds for minutes, as more sound is kept in between. What the library knows of that is right on
    average and wanders, most of all after the start, so it is asked only beyond that. Both its times are of the wall
    clock, which may be stepped: nonsense is left out.
    """
    waited = age_seconds - BLOCK_SAMPLES / RATE
    return round(waited * 1e9) if _WANDER_SECONDS < waited < 1 else 0


def _play(device: str) -> None:
    pyaudio: Any = importlib.import_module("pyaudio")  # before the clip comes, which shall be heard at once
    (length,) = LENGTH.unpack(_read(LENGTH.size))
    pcm = _read(length)
    _end_with_parent()
    at, over = 0, threading.Event()

    def give(_data: None, count: int, _times: Mapping[str, float], _status: int) -> tuple[bytes, int]:
        nonlocal at
        part, at = pcm[at : at + 2 * count], at + 2 * count
        _send(TAKEN)
        if at < len(pcm):
            return part, pyaudio.paContinue
        over.set()
        return part.ljust(2 * count, b"\0"), pyaudio.paComplete

    library = pyaudio.PyAudio()
    stream = _open(pyaudio, library, device, give, capture=False)
    # Draining is left to nobody: silence as long as the buffers pushes the last word out.
    pcm += bytes(2 * (2 * round(stream.get_output_latency() * RATE) + 2 * _PLAYED_SAMPLES))
    stream.start_stream()
    _send(OPENED, b"{}")
    over.wait()
    _send(PLAYED)


def _open(pyaudio: Any, library: Any, device: str, callback: Any, *, capture: bool) -> Any:
    end = "input" if capture else "output"
    index = _find(library, device, capture=capture)["index"]
    samples = BLOCK_SAMPLES if capture else _PLAYED_SAMPLES
    where = {end: True, f"{end}_device_index": index}
    try:
        return library.open(
            RATE, 1, pyaudio.paInt16, frames_per_buffer=samples, stream_callback=callback, start=False, **where
        )
    except OSError as error:
        raise OSError(f"{device!r} cannot be opened at {RATE} Hz: {error}") from error


def _find(library: Any, device: str, *, capture: bool) -> Mapping[str, Any]:
    channels = "maxInputChannels" if capture else "maxOutputChannels"
    infos = [library.get_device_info_by_index(index) for index in range(library.get_device_count())]
    fitting = {str(info["name"]): info for info in infos if info[channels]}
    if device not in fitting:
        kind = "input" if capture else "output"
        names = ", ".join(repr(name) for name in fitting) or "none"
        raise LookupError(f"no {kind} device is called {device!r}; the configuration can name: {names}")
    found: Mapping[str, Any] = fitting[device]
    return found


def _await_move() -> str | None:
    """Return where from and where to a sound server has moved our stream, when it does; None if none can tell.

    Without a sound server the stream holds the card itself, and nothing can move it: then no such library is loaded.
    """
    loaded = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    if not any(name in loaded for name in _SERVER_LIBRARIES):
        return None
    pulsectl: Any = importlib.import_module("pulsectl")
    try:
        with pulsectl.Pulse("bodycam-watch") as server:
            return _watch_source(pulsectl, server)
    except pulsectl.PulseDisconnected:
        raise ConnectionError("the sound server has gone away") from None
    except pulsectl.PulseError:
        return None  # it does not let itself be asked; whether sound comes is watched all the same


def _watch_source(pulsectl: Any, server: Any) -> str | None:
    def wake(_event: Any) -> None:
        raise pulsectl.PulseLoopStop

    server.event_mask_set("source_output")
    server.event_callback_set(wake)
    outputs = server.source_output_list()
    ours = [output for output in outputs if output.proplist.get("application.process.id") == str(os.getpid())]
    if not ours:
        return None
    index, source = ours[0].index, ours[0].source
    name = server.source_info(source).name
    while (now := server.source_output_info(index).source) == source:
        server.event_listen(_LOOK_SECONDS)  # an event that came too early to be waited for costs no more than this
    return f"from {name!r} to {server.source_info(now).name!r}"


def _send(kind: bytes, body: bytes = b"", ago_ns: int = 0) -> None:
    at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - ago_ns
    message = memoryview(HEADER.pack(kind, at_ns, len(body)) + body)
    with _sending:
        while message:
            message = message[os.write(1, message) :]


def _read(size: int) -> bytes:
    data = sys.stdin.buffer.read(size)
    if len(data) < size:
        raise SystemExit  # nobody wants anything to be played any more
    return data


def _end_with_parent() -> None:
    """Let the kernel end this process (SIGIO) when standard input ends, even while a library holds Python's lock."""
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:
        raise SystemExit


_TASKS = {"find-input": _find_input, "find-output": _find_output, "capture": _capture, "play": _play}

if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # a library that hangs is not asked to clean up; the kernel does it
