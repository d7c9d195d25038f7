"""What the camera says is what was shipped, or it is said clearly that it is not."""

from __future__ import annotations

import json
import re
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from evidence.records import ACTIVITIES, GROUNDS
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
        samples = np.frombuffer(prompt.pcm, "<i2")
        assert prompt.rate == 24_000
        assert 0.9 < prompt.seconds < 7
        assert 20_000 < np.abs(samples.astype(int)).max() < 24_000  # -3 dBFS
        assert -19 < prompts.loudness_dbfs(samples, prompt.rate) < -13
        assert not prompt.replaced


def test_what_is_urgent_is_told_apart() -> None:
    priorities = {key: prompt.priority for key, prompt in prompts.load().items()}
    assert [key for key, priority in priorities.items() if priority == "notice"] == ["notice"]
    assert {priorities[key] for key in ("cannot_continue", "battery_warning", "camera_black")} == {"warning"}
    assert {priorities[key] for key in ("ask_reason", "forgotten_stop")} == {"question"}
    assert {priorities[key] for key in ("hold_again_to_end", "ground_privacy", "activity_case")} == {"choice"}
    assert {priorities[key] for key in ("marked", "hours_5", "recording_stopped")} == {"hint"}


def test_every_number_of_hours_can_be_said() -> None:
    loaded = prompts.load()
    assert [loaded[f"hours_{hours}"].text for hours in (0, 1, 2, 11, 20, 24)] == [
        "不足一小时。", "一小时。", "两小时。", "十一小时。", "二十小时。", "二十四小时以上。",
    ]  # fmt: skip
    assert {f"hours_{hours}" for hours in range(25)} == {key for key in loaded if re.fullmatch(r"hours_\d+", key)}


def test_every_kind_of_activity_and_every_ground_can_be_said() -> None:
    said = {f"activity_{kind}" for kind in ACTIVITIES} | {f"ground_{ground}" for ground in GROUNDS}
    assert said <= prompts.load().keys()


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
    [
        ("sample_rate_hz", 16_000, "not flac, 1 channel\\(s\\), s16, 16000 Hz"),
        ("prompts", 3, "prompts.json cannot be read"),
    ],
)
def test_a_catalogue_that_does_not_fit_is_refused(folder: Path, key: str, value: int, says: str) -> None:
    catalogue = json.loads((folder / "prompts.json").read_text())
    catalogue[key] = value
    (folder / "prompts.json").write_text(json.dumps(catalogue))
    with pytest.raises(PromptError, match=says):
        prompts.load(folder)


def test_a_priority_that_is_none_is_refused(folder: Path) -> None:
    catalogue = json.loads((folder / "prompts.json").read_text())
    catalogue["prompts"][0]["priority"] = "urgent"
    (folder / "prompts.json").write_text(json.dumps(catalogue))
    with pytest.raises(PromptError, match=r"notice\.flac has the priority 'urgent'"):
        prompts.load(folder)
