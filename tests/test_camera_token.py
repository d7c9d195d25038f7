"""The camera's own program with its evidence key in a token: what cuts and faults of the token cost a recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_sim import soft_token
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import command
from hw_sim.demo.stage import Stage
from tests.test_camera_program import PATIENCE, camera, kinds, only, press, stage, until, verified

__all__ = ["stage"]

pytestmark = [pytest.mark.sound, pytest.mark.net, pytest.mark.slow]


def test_a_cut_recording_goes_on_before_a_hanging_token_answers(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence first. A TPM's half second passes while drivers are built; what hangs certifies when it answers."""
    token = soft_token.make(tmp_path / "token")
    for name, value in token.environment.items():
        monkeypatch.setenv(name, value)
    config = stage.camera / "camera.toml"
    config.write_text(f"{config.read_text()}\n{token.toml}")
    folders = ["--dir", str(stage.camera), "--agency", str(stage.agency), "--office", str(stage.office)]
    command(["provision", "camera", stages.CAMERA, *folders, "--config", str(config), "--new-evidence-key"])
    token.fault("slow 500")
    with camera(stage) as program:
        press(stage)
        program.message("notice", PATIENCE, heard=True)
        program.kill()
    before = len(kinds(stage, "certified"))  # none, if the drivers took longer than the token
    token.fault("hang")
    with camera(stage, "camera-again") as program:
        until(lambda: len({body["part"] for body in kinds(stage, "fragment")}) == 2)
        assert len(kinds(stage, "certified")) == before, "the second part is durable, and the token has not answered"
        until(lambda: "key" in {fault["where"] for fault in kinds(stage, "fault")})
        token.fault(None)
        until(lambda: len(kinds(stage, "certified")) > before)
        assert program.stop() == 0
    _, second = kinds(stage, "boot")
    assert (second["chain"], second["key_store"]) == ([], "none")
    report = verified(stage)
    assert report.ok, report.findings
    assert {session.key_store for session in report.sessions_of(only(report))} == {"token"}
