"""Logs and service notification, seen from outside: a real process, a real notification socket, real signals."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = 10
PROGRAM = """
import logging
from runtime import log, service
log.setup("example")
running = service.Service()
running.ready(port=8443, unit="执法大队")
print(running.watchdog_seconds, flush=True)
running.alive()
running.stopping.wait()
try:
    raise OSError("disk")
except OSError:
    logging.getLogger("example.part").exception("failed", extra={"path": __import__("pathlib").Path("/x")})
"""


@contextlib.contextmanager
def started(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={"PATH": "", **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_service_manager_is_told(tmp_path: Path, number: signal.Signals) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(SECONDS)
        manager.bind(str(tmp_path / "notify"))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "5000000", "BODYCAM_LOG": "json"}
        with started(environment) as process:
            assert [manager.recv(100) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
            process.send_signal(number)
            assert manager.recv(100) == b"STOPPING=1"
            output, errors = process.communicate(timeout=SECONDS)
            assert process.returncode == 0
    assert output == "2.5\n"
    ready, stopping, failed = [json.loads(line) for line in errors.splitlines()]
    assert ready["message"] == "ready"
    assert (ready["program"], ready["level"], ready["port"], ready["unit"]) == ("example", "info", 8443, "执法大队")
    assert stopping["signal"] == number.name
    assert (failed["source"], failed["path"]) == ("example.part", "/x")
    assert "OSError: disk" in failed["exception"]


def test_without_a_service_manager_it_only_logs() -> None:
    with started({"WATCHDOG_USEC": "5000000"}) as process:
        assert process.stdout
        assert process.stdout.readline() == "None\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    assert "example info: ready port=8443 unit=执法大队" in errors.splitlines()[0]
    assert errors.rstrip().endswith("OSError: disk")


def test_a_signal_that_meets_another_thread_stops_the_program_too() -> None:
    # Struck from a thread of its own, when the main thread has long been waiting.
    strike = "import signal, threading\nthreading.Timer(0.5, lambda: "
    strike += "signal.pthread_kill(threading.get_ident(), signal.SIGTERM)).start()\n"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("running.stopping.wait()", strike + "running.stopping.wait()")],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
