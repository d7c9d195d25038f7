"""Faults of the sound below the camera's program: told with their names, the picture goes on, the sound comes back."""

from __future__ import annotations

import os
import signal

import pytest

from hw_sim import room
from hw_sim.demo.programs import Program
from hw_sim.demo.stage import Stage
from tests.test_camera_program import PATIENCE, camera, kinds, only, press, stage, verified

__all__ = ["stage"]

pytestmark = [pytest.mark.sound, pytest.mark.net, pytest.mark.long]

NOTICED = 5.0  # seconds within which every fault is told


def degraded_and_back(program: Program, stage: Stage, order: str) -> None:
    """Give the room an order and take it back."""
    room.ask(stage.world, order, on=True)
    program.message("phase", NOTICED, phase="degraded")
    room.ask(stage.world, order, on=False)
    program.message("phase", PATIENCE, phase="recording")


@pytest.mark.slow
def test_a_dead_and_an_unplugged_microphone_and_a_hanging_server_are_each_told(stage: Stage) -> None:
    with camera(stage) as program:
        press(stage)
        program.message("phase", PATIENCE, phase="recording")
        program.message("notice", PATIENCE, heard=True)
        degraded_and_back(program, stage, "silence_microphone")
        degraded_and_back(program, stage, "move_microphone")
        server = room.ask(stage.world, "state")["server_pid"]
        os.kill(server, signal.SIGSTOP)
        try:
            program.message("phase", NOTICED, phase="degraded")
        finally:
            os.kill(server, signal.SIGCONT)
        program.message("phase", PATIENCE, phase="recording")
        assert program.stop() == 0
    report = verified(stage)
    assert report.ok, report.findings
    recording = only(report)
    assert recording.ended is not None
    assert len(recording.parts) == 1  # losing the sound never stops the picture
    told = [fault["where"] for fault in kinds(stage, "fault")]
    assert [told.count(where) for where in ("microphone_silent", "microphone_moved")] == [1, 1]
    assert "microphone_lost" in told
    assert not {"camera_stall", "camera_lost", "encoder_stall"} & set(told)
    silent = [f for f in kinds(stage, "fragment") if f["samples"] == 0]
    assert silent
    assert all(f["frames"] > 0 for f in silent)
