"""Attacks on the camera's program in real time that take too long for every run."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from hw_sim import room
from hw_sim.demo.stage import Stage
from tests.test_camera_program import PATIENCE, camera, kinds, only, press, stage, verified

__all__ = ["stage"]

pytestmark = [pytest.mark.sound, pytest.mark.net, pytest.mark.slow]


@contextlib.contextmanager
def frozen_sound_server(stage: Stage) -> Iterator[None]:
    pid = room.ask(stage.world, "state")["server_pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_sound_server_that_hangs_does_not_keep_the_camera_from_stopping(stage: Stage) -> None:
    with camera(stage) as program:
        press(stage)
        program.message("phase", PATIENCE, phase="recording")
        with frozen_sound_server(stage):
            program.message("phase", PATIENCE, phase="degraded")
            assert program.stop() == 0  # it would be killed after 15 s, and end with another status
    report = verified(stage)
    assert report.ok, report.findings
    assert only(report).ended is not None
    assert kinds(stage, "shutdown") == [{"clean": True}]
