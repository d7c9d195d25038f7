"""Which cameras may be handed out: pictures of what a bay shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evidence.standing import Standing
from syncd.camera import CameraPapers, Fitness
from syncd.gate import Light, Seen, judge

FIT = Fitness([], 100, 600, charging=True, storage_minutes=900, clock_trusted=True, assigned=True, planned_minutes=540)
PAPERS = CameraPapers("a" * 64, "a" * 64, "c" * 64, FIT)
SEEN = Seen(Standing.GOOD, handed_in=True, papers=PAPERS, lists="c" * 64, link_seconds=20 * 86_400)


def shown(**changes: Any) -> tuple[str, list[str]]:
    """`changes` of what is seen, of the papers, of the fitness, by name."""
    fit = replace(FIT, **{name: value for name, value in changes.items() if hasattr(FIT, name)})
    papers = replace(PAPERS, fitness=fit, **{n: v for n, v in changes.items() if n in {"held", "revocations"}})
    seen = {name: value for name, value in changes.items() if hasattr(SEEN, name)}
    offer = judge(replace(SEEN, **{"papers": papers, **seen}))
    assert all(reason.zh and reason.en for reason in offer.reasons)
    return str(offer.light), [reason.code for reason in offer.reasons]


@pytest.mark.parametrize(
    ("changes", "light", "codes"),
    [
        ({}, "green", []),
        ({"handed_in": False}, "amber", ["handing-in"]),
        ({"papers": None}, "amber", ["unknown"]),
        ({"held": "b" * 64}, "amber", ["configuration"]),
        ({"revocations": None}, "amber", ["revocations"]),
        ({"lists": None, "revocations": None}, "green", []),
        ({"wrong": None}, "amber", ["unchecked"]),
        ({"wrong": ["key_fault"]}, "red", ["self-check"]),
        ({"clock_trusted": False}, "amber", ["clock"]),
        ({"assigned": False}, "red", ["unassigned"]),
        ({"battery_minutes": 539}, "amber", ["charging"]),
        ({"battery_minutes": 540}, "green", []),
        ({"battery_minutes": 539, "charging": False}, "red", ["not-charging"]),
        ({"battery_percent": None}, "amber", ["battery-unknown"]),
        ({"storage_minutes": 10}, "amber", ["storage"]),
        ({"storage_minutes": None}, "green", []),
        ({"link_seconds": 2 * 86_400}, "red", ["link-ending"]),
        ({"handed_in": False, "wrong": ["camera_fault"]}, "red", ["self-check", "handing-in"]),
        *(({"standing": one, "handed_in": False}, "red", [f"standing-{one}"]) for one in Standing if one != "good"),
    ],
)
def test_offer(changes: dict[str, Any], light: str, codes: list[str]) -> None:
    assert shown(**changes) == (light, codes)


def test_reasons_are_chinese_first_and_let_no_terminal_code_through() -> None:
    fit = replace(FIT, wrong=["\x1b[2Jx", "camera_fault"])
    reasons = [str(one) for one in judge(replace(SEEN, papers=replace(PAPERS, fitness=fit))).reasons]
    assert reasons[1] == "自检未通过：摄像头故障 self-check failed: 'camera_fault'"
    assert all(text.isprintable() for text in reasons)
    assert judge(SEEN).light is Light.GREEN
