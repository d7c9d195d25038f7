"""Our end of a sound stream's own process (`firmware.hal.pyaudio_child`)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from firmware.hal import pyaudio_child
from firmware.hal.ports import DriverError

OPEN_SECONDS = 4.0  # for Python, PortAudio and the sound server together, on a slow board too
_PIPE_BYTES = 1 << 20  # ten seconds of sound: as long may this process be held up before samples are lost
_END_SECONDS = 3.0
_READ_BYTES = 1 << 16


class Message(NamedTuple):
    """What a stream's process says: a kind of `pyaudio_child`, when (CLOCK_BOOTTIME), and what goes with it."""

    kind: bytes
    at_ns: int
    body: bytes


class SoundProcess:
    """One stream in a process of its own, for one task. It cannot outlive this process, not even when it hangs."""

    def __init__(self, task: str, device: str) -> None:
        """Raises DriverError if no process can be started."""
        # PortAudio asks every sound system that might be there, and each complains: nobody wants to read that.
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(pyaudio_child.__file__)), task, device],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError as error:
            raise DriverError("pyaudio", f"its process cannot be started: {error}") from error
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018 - they were asked for
        self._in, self._out = self._process.stdin, self._process.stdout
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):  # less room if the system grants no more
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send_clip(self, pcm: bytes) -> None:
        """Give it what it shall play. Raises DriverError if it has ended."""
        try:
            for part in (pyaudio_child.LENGTH.pack(len(pcm)), pcm):
                view = memoryview(part)
                while view:
                    view = view[self._in.write(view) or 0 :]
        except OSError as error:
            raise DriverError("pyaudio", self._how_it_ended()) from error

    def receive(self, seconds: float) -> Message | None:
        """Wait for the next message; None if none comes in that time. Raises DriverError if it failed or ended."""
        deadline = time.monotonic() + seconds
        while (message := self._cut_message()) is None:
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return None
            data = os.read(self._out.fileno(), _READ_BYTES)
            if not data:
                raise DriverError("pyaudio", self._how_it_ended())
            self._received += data
        if message.kind == pyaudio_child.FAILED:
            raise DriverError("pyaudio", message.body.decode("utf-8", "replace"))
        return message

    def kill(self) -> None:
        """End it at once, whatever it is doing; who waits in `receive` gets a DriverError. Any thread may."""
        self._process.kill()

    def close(self) -> None:
        """End it and release what belongs to it."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # in the kernel's hands, which does not let go of it
            self._process.wait(_END_SECONDS)
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()

    def _cut_message(self) -> Message | None:
        start = pyaudio_child.HEADER.size
        if len(self._received) < start:
            return None
        kind, at_ns, length = pyaudio_child.HEADER.unpack_from(self._received)
        if len(self._received) < start + length:
            return None
        body = bytes(self._received[start : start + length])
        del self._received[: start + length]
        return Message(kind, at_ns, body)

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"the stream's process ended with status {self._process.wait(_END_SECONDS)}"
        return "the stream's process hangs"


def find_device(device: str, *, capture: bool) -> dict[str, str]:
    """What PortAudio says of the device it calls exactly `device`.

    Raises DriverError, naming the devices that exist, if it is missing.
    """
    with SoundProcess("find-input" if capture else "find-output", device) as process:
        answer = process.receive(OPEN_SECONDS)
    if answer is None:
        raise DriverError("pyaudio", f"the sound system has not answered for {OPEN_SECONDS:g} s; restart it")
    facts: dict[str, Any] = json.loads(answer.body)
    return {"driver": "pyaudio", **facts}
