"""What the camera says is what was shipped, or it is said clearly that it is not."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from firmware.voice import prompts
from firmware.voice.prompts import PromptError

NOTICE = "为保护您的合法权益，监督我们的执法行为，本次执法全程录音录像。"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with resources.as_file(resources.files("firmware.voice") / "prompts" / "zh") as shipped:
        shutil.copytree(shipped, tmp_path / "zh")
    return tmp_path / "zh"


def test_the_notice_has_the_words_of_rule_11_and_every_prompt_is_audible() -> None:
    loaded = prompts.load()
    assert loaded["notice"].text == NOTICE
    assert {"ask_reason", "recording_started", "cannot_continue", "docked"} <= loaded.keys()
    for prompt in loaded.values():
        assert prompt.rate == 24_000
        assert 1 < prompt.seconds < 7
        assert 20_000 < np.abs(np.frombuffer(prompt.pcm, "<i2").astype(int)).max() < 24_000  # -3 dBFS


def test_each_shipped_file_is_named(folder: Path) -> None:
    named = {entry["file"] for entry in json.loads((folder / "prompts.json").read_text())["prompts"]}
    assert named == {file.name for file in folder.glob("*.flac")}


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "notice.flac").unlink()
    with pytest.raises(PromptError, match=r"notice\.flac cannot be read"):
        prompts.load(folder)


def test_an_altered_file_is_named(folder: Path) -> None:
    data = bytearray((folder / "marked.flac").read_bytes())
    data[-100] ^= 1
    (folder / "marked.flac").write_bytes(data)
    with pytest.raises(PromptError, match=r"marked\.flac is not the file"):
        prompts.load(folder)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [("sample_rate_hz", 16_000, "not \\(16000, mono, s16\\)"), ("prompts", 3, "prompts.json cannot be read")],
)
def test_a_catalogue_that_does_not_fit_is_refused(folder: Path, key: str, value: int, says: str) -> None:
    catalogue = json.loads((folder / "prompts.json").read_text())
    catalogue[key] = value
    (folder / "prompts.json").write_text(json.dumps(catalogue))
    with pytest.raises(PromptError, match=says):
        prompts.load(folder)
