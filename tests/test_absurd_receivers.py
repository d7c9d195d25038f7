"""A receiver that tells nonsense, or far too much: nothing of it may get into every record, or hold up the loop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence import age
from evidence.records import BODIES
from evidence.sealed import seal
from evidence.shape import require
from firmware.books import Books
from firmware.clock_discipline import Believable, GnssTime
from firmware.equipment import Place
from firmware.hal.gpsd_positioning import _fix
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.hal.ports import Fix, Utc
from firmware.loop import Loop
from firmware.position import sealed_body
from firmware.whereabouts import Whereabouts
from tests.camera_rig import BootClock, Owner, World

GOOD = {"class": "TPV", "mode": 3, "time": "2026-11-24T06:00:00Z", "lat": 40.0, "lon": 118.0, "ept": 0.005}
ABSURD = [math.nan, math.inf, -math.inf, 1e300, -1e300, 10**400, -(10**400), -1, "1", None, True, [], {}]


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


@pytest.mark.parametrize("name", ["lat", "lon", "altMSL", "eph", "epx", "epy", "speed", "ept", "mode"])
@pytest.mark.parametrize("value", ABSURD, ids=[str(value)[:8] for value in ABSURD])
def test_what_a_fix_holds_fits_into_a_record(owner: Owner, name: str, value: Any) -> None:
    fix = _fix({**GOOD, "epx": 1.0, "epy": 1.0, name: value}, 10**9)
    if fix is None:
        assert name in ("lat", "lon", "mode")
        return
    recipient = age.recipient_of(owner.identity)
    require("position", seal("position", sealed_body(fix), (recipient,)), BODIES["position"])
    assert fix.speed_mps is None or 0 <= fix.speed_mps < 2_000
    assert fix.utc_error_ms is None or 0 <= fix.utc_error_ms <= 86_401_000


@pytest.mark.parametrize("error_ms", [-9_500, 10**33, 2**63])
def test_a_time_with_an_absurd_bound_is_not_believed(error_ms: int) -> None:
    believed = GnssTime(Believable(0, 2**62))
    decisions: list[object] = []
    for second in range(20):
        fix = Fix(second * 10**9, 40.0, 118.0, None, None, None, 1_800_000_000_000 + second * 1000, error_ms)
        decisions.append(believed.take(fix, Utc(0, "none", None), second * 10**9))
    assert decisions == [None] * 20


def test_ten_thousand_fixes_wait_as_one() -> None:
    clock = BootClock(World())
    taken: list[object] = []

    def take(item: Callable[[], None]) -> None:
        taken.append(item)
        item()

    loop = Loop(clock, take, lambda *_: None)
    place = Place()
    told = Whereabouts(clock, None, place, Believable(0, 2**62), (), Books.__new__(Books), loop, lambda *_: None)
    for number in range(10_000):
        told._tell(Fix(number, 40.0, 118.0, None, None, None, None, None))
    loop.settle()
    assert len(taken) == 1
    assert place.fix is not None
    assert place.fix.boot_ns == 9_999
    told._tell(None)
    loop.settle()
    assert place.fix is None


@pytest.mark.parametrize(
    "told", [{"ms": "1"}, {"ms": -1}, {"ms": 10**18}, {"error_ms": -1}, {"error_ms": 0.5}, {"source": "x"}, {"ms": 1.5}]
)
def test_a_remembered_time_that_no_record_can_carry_is_forgotten(tmp_path: Path, told: dict[str, Any]) -> None:
    config = LinuxClockConfig(tmp_path / "utc.json")
    LinuxClock(config).set_utc(1_800_000_000_000, "gnss", 100)
    config.state.write_text(json.dumps({**json.loads(config.state.read_text()), **told}))
    assert LinuxClock(config).utc().source == "none"
