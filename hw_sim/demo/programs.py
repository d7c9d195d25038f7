"""The demonstration's programs: each a process of its own, started as a user would, watched by its log."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hw_sim import room

_POLL_SECONDS = 0.05
_END_SECONDS = 15.0
_WARNINGS = frozenset({"storage_low", "storage_warning", "battery_warning"})  # alerts after which it goes on

Fact = Mapping[str, Any]


class DemoError(Exception):
    """The demonstration cannot go on; the text says what to do. `exit_status` is that of docs/exit-status.md."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class Program:
    """One running program. Its log (JSON lines) goes to a file, which `wait` reads on from where it last stood."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        logs: Path,
        environment: Mapping[str, str],
        program: Sequence[str] = (sys.executable, "-m", "bodycam"),
    ) -> None:
        self.name = name
        self.alerts_end_it = True  # whoever provokes faults waits through the alerts that they cause
        self.log = logs / f"{name}.log"
        self._file = self.log.open("ab")
        self._read = self.log.open("rb")
        self._began = self._read.seek(0, os.SEEK_END)
        self._rest = b""
        # The kernel ends it if this process dies, however that happens: nothing is left behind.
        command = ["setpriv", "--pdeathsig", "TERM", *program, *arguments]
        env = {**os.environ, "BODYCAM_LOG": "json", **environment}
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._file, stderr=self._file, env=env, start_new_session=True
        )

    def wait(self, what: str, found: Callable[[Fact], bool], seconds: float) -> Fact:
        """Wait for a line of its log; what was read before counts no more. Raises `DemoError` when it never comes."""
        deadline = time.monotonic() + seconds
        while True:
            for fact in self.facts():
                if found(fact):
                    return fact
                if self.alerts_end_it and fact.get("message") == "alert" and fact["what"] not in _WARNINGS:
                    raise DemoError(f"{self.name}：报警 alert {fact['what']}: {fact['detail']}")
            if self._process.poll() is not None:
                raise DemoError(f"{self.name} ended before {what}: {self.last_words()}", self._process.returncode or 1)
            if time.monotonic() > deadline:
                raise DemoError(f"{self.name}: no {what} within {seconds:.0f} s; see {self.log}")
            time.sleep(_POLL_SECONDS)

    def message(self, text: str, seconds: float, **facts: Any) -> Fact:
        """Wait for a message with these facts."""
        told = " ".join([text, *(f"{key}={value}" for key, value in facts.items())])
        return self.wait(
            repr(told), lambda f: f.get("message") == text and all(f.get(k) == v for k, v in facts.items()), seconds
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()

    def ask_to_stop(self) -> None:
        """Ask it to stop."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ask it to stop and wait; returns its exit status."""
        if self._process.poll() is None:
            self.ask_to_stop()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        status = self._process.wait()
        self._file.close()
        return status

    def facts(self) -> Iterator[Fact]:
        """What it logged since the last look."""
        self._rest += self._read.read()
        while (end := self._rest.find(b"\n")) >= 0:
            line, self._rest = self._rest[:end], self._rest[end + 1 :]
            with contextlib.suppress(ValueError):
                fact = json.loads(line)
                if isinstance(fact, dict):
                    yield fact

    def last_words(self) -> str:
        """The last line for people in its log."""
        lines = self.log.read_bytes()[self._began :].decode("utf-8", "replace").strip().splitlines()
        plain = [line for line in lines if not line.startswith("{")]
        return (plain or lines or ["it said nothing"])[-1]


def await_room(world: Path, sound: Program, seconds: float) -> None:
    """Wait until the room of a world, which `sound` runs, takes orders. Raises `DemoError`."""
    deadline = time.monotonic() + seconds
    while not room.answers(world):
        if time.monotonic() > deadline or not sound.running:
            raise DemoError(f"the sound of the room did not start; see {sound.log}")
        time.sleep(_POLL_SECONDS)


def command(arguments: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one of the product's commands to its end. Raises `DemoError` with its own words if it fails."""
    done = subprocess.run([sys.executable, "-m", "bodycam", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise DemoError(
            f"bodycam {' '.join(arguments[:3])}: {done.stderr.strip() or done.stdout.strip()}", done.returncode
        )
    return done


def foreign(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program that this project did not write."""
    try:
        return subprocess.run(arguments, capture_output=True, check=False, **options)
    except FileNotFoundError as error:
        raise DemoError(f"{arguments[0]} is not installed; run scripts/setup demo", os.EX_UNAVAILABLE) from error


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now. All are held until the last is found, so that none comes twice."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for held in sockets:
        held.close()
    return ports
