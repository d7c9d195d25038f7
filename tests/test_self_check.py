"""The check before use: what is wrong is said, and every figure stands in the record (rule 10)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from firmware.hal.ports import Charge, Utc
from firmware.health import StorageJudge
from firmware.power import PowerJudge
from firmware.self_check import Found, Tone

HOUR = 3_600
GOOD = Found(
    picture=True,
    sound=True,
    view={"view_motion_permille": 12, "view_sharpness_permille": 800, "view_brightness": 90, "view_findings": []},
    view_prompts=(),
    tone=Tone(heard=True, score_permille=800, room_dbfs=-48),
    power=PowerJudge().take(Charge(100.0, 4.1, charging=False), 0),
    gauge_missing=False,
    storage=StorageJudge(500_000).take(20 * HOUR * 500_000, 12.0, 0, recording=False),
    has_room=True,
    utc=Utc(1_700_000_000_000, "dock", 40),
    certified=True,
    journal_head=120,
    journal_torn=0,
    assigned=True,
    planned_minutes=540,
)


def test_a_good_camera_says_nothing_is_wrong() -> None:
    assert GOOD.wrong() == ()
    figures = GOOD.figures()
    assert figures["battery_minutes"] > 540
    assert figures["storage_minutes"] == 20 * 60
    assert figures["tone_score_permille"] == 800
    assert all(not isinstance(value, float) for value in figures.values()), "numbers in records are whole"


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"picture": False}, ("camera_fault",)),
        ({"view_prompts": ("lens_blocked",)}, ("lens_blocked",)),
        ({"view_prompts": ("lens_blocked",), "picture": False}, ("camera_fault",)),
        ({"sound": False, "tone": Tone(heard=False, score_permille=0, room_dbfs=None)}, ("microphone_fault",)),
        ({"tone": Tone(heard=False, score_permille=90, room_dbfs=-20)}, ("microphone_silent",)),
        ({"tone": None}, ()),  # a recording runs, or the camera is quiet: not asked
        ({"power": None}, ()),  # no gauge
        ({"power": None, "gauge_missing": True}, ("battery_low",)),
        ({"power": PowerJudge().take(Charge(60.0, 3.8, charging=False), 0)}, ("battery_low",)),  # 5.5 hours of 9
        ({"power": PowerJudge().take(Charge(60.0, 3.8, charging=True), 0)}, ()),
        ({"planned_minutes": 300, "power": PowerJudge().take(Charge(60.0, 3.8, charging=False), 0)}, ()),
        ({"storage": StorageJudge(500_000).take(8 * HOUR * 500_000, None, 0, recording=False)}, ("storage_low",)),
        ({"has_room": False}, ("storage_low",)),
        ({"storage": StorageJudge(500_000).take(20 * HOUR * 500_000, 85.0, 0, recording=False)}, ("card_worn",)),
        ({"utc": Utc(0, "none", None)}, ("clock_untrusted",)),
        ({"utc": Utc(0, "rtc", 90_000)}, ("clock_untrusted",)),
        ({"certified": False}, ("key_fault",)),
        ({"assigned": False}, ("not_assigned",)),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], wrong: tuple[str, ...]) -> None:
    assert replace(GOOD, **changed).wrong() == wrong
