"""Every scenario that is shipped is played in real time; what was done is recorded and played again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hw_sim.scenario import plan

SHIPPED = plan.shipped()
IN_TIME = {  # of the default tier, a minute and a half together; the others are `slow`
    "fault-press-while-booting",
    "fault-thread-dies",
    "rule-10-self-check",
    "rule-11-quiet",
    "rule-13-still-and-position",
}
RULES_OF_THE_FIRMWARE = {2, 5, 10, 11, 12, 13, 15, 17}


def bodycam(*arguments: object, code: int = 0, seconds: float = 180) -> str:
    command = [sys.executable, "-m", "bodycam", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == code, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


# --- Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_is_sound(name: str) -> None:
    scenario = plan.load(SHIPPED[name])
    assert scenario.setting.name == name
    assert scenario.setting.title[0] > "\u4e00"  # Chinese first
    assert scenario.setting.expect


def test_at_least_twenty_are_shipped_and_the_firmwares_rules_have_one_each() -> None:
    shown = {rule for path in SHIPPED.values() for rule in plan.load(path).setting.rules}
    assert len(SHIPPED) >= 20
    assert shown >= RULES_OF_THE_FIRMWARE
    assert {name.split("-")[0] for name in SHIPPED} == {"rule", "fault"}
    assert set(SHIPPED) >= IN_TIME


def test_the_command_tells_it_with_the_status_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "round.toml").write_text(ROUND.replace("press", "dance"), encoding="utf-8")
    said = bodycam("sim", "run", tmp_path / "round.toml", code=78)
    assert said.count("\n") == 1
    assert "round.toml: at[0]: 'officer' cannot 'dance'" in said
    assert "missing.toml" in bodycam("sim", "run", tmp_path / "missing.toml", code=78)
    assert bodycam("sim", "run", "--list").count("\n") == len(SHIPPED)


# --- In real time ----------------------------------------------------------------------------------------------------


@pytest.mark.sound
@pytest.mark.net
@pytest.mark.fuse
def test_what_was_done_is_recorded_and_played_again(tmp_path: Path) -> None:
    """The round trip: a shift, the scenario of what was done in it, and the shift of that scenario."""
    (tmp_path / "round.toml").write_text(ROUND, encoding="utf-8")
    bodycam("sim", "run", tmp_path / "round.toml", "--out", tmp_path / "first")
    world = tmp_path / "first" / "round" / "work" / "world"
    again = tmp_path / "again.toml"
    bodycam("sim", "record", world, again)
    assert "there already" in bodycam("sim", "record", world, again, code=73)
    first, second = plan.load(tmp_path / "round.toml"), plan.load(again)
    done = json.loads((tmp_path / "first" / "round" / "report.json").read_text("utf-8"))["steps"]
    settings = {name: value for name, value in asdict(first.setting.camera).items() if value is not None}
    assert asdict(second.setting.camera).items() >= settings.items()
    for step, was in zip(second.at, done, strict=True):
        assert (step.actor, step.action) == (was["actor"], was["action"])
        assert step.when.time == pytest.approx(was["from"], abs=0.5) or step.action == "wait"
    bodycam("sim", "run", again, "--out", tmp_path / "second")
    reports = [json.loads(path.read_text("utf-8")) for path in sorted(tmp_path.glob("*/*/report.json"))]
    assert [[r["parts"] for r in report["recordings"]] for report in reports] == [[2], [2]]
    assert [report["journal"]["marker"] for report in reports] == [1, 1]
    assert [[g["cause"] for g in report["gaps"]] for report in reports] == [["power_cut"], ["power_cut"]]


ROUND = """\
name = "round"
title = "往返 there and back"

[[at]]
after = "phase armed"
later = 4
actor = "officer"
action = "press"

[[at]]
after = "phase recording"
later = 1
actor = "officer"
action = "press"
button = "mark"
seconds = 0.2

[[at]]
later = 1
actor = "power"
action = "cut"

[[at]]
later = 0.5
actor = "power"
action = "on"

[[at]]
after = "phase recording"
later = 2
actor = "officer"
action = "wait"
"""


def real_time(name: str) -> Any:
    marks = [pytest.mark.sound, pytest.mark.net, pytest.mark.fuse, *([] if name in IN_TIME else [pytest.mark.slow])]
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [real_time(name) for name in SHIPPED])
def test_a_shipped_scenario_comes_as_expected(name: str, tmp_path: Path) -> None:
    out = tmp_path / "a folder"
    print(bodycam("sim", "run", name, "--out", out))  # noqa: T201 - what a failure is read by
    report = json.loads((out / name / "report.json").read_text("utf-8"))
    assert report["ok"]
    assert report["kind"] == "real time, simulated hardware"
    assert (out / name / "timeline.svg").stat().st_size
