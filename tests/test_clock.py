"""The device's clocks: real and simulated keep one contract."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.hal.ports import Clock, Utc
from hw_sim import world as worlds
from hw_sim.powered_clock import PoweredClock
from hw_sim.world import ClockWorld, World
from runtime.config import ConfigError

Build = Callable[[], Clock]
Builder = Callable[[Path, str], Build]


def _linux(folder: Path, rtc: str) -> Build:
    return lambda: LinuxClock(LinuxClockConfig(folder / "utc.json", rtc == "rtc", rtc_error_ms=1500))


def _powered(folder: Path, rtc: str) -> Build:
    worlds.create(folder, World(clock=ClockWorld(rtc=rtc == "rtc", rtc_error_ms=1500)))
    worlds.power_on(folder)
    return lambda: PoweredClock(folder, Utc)


@pytest.fixture(params=[_linux, _powered])
def builder(request: pytest.FixtureRequest) -> Builder:
    chosen: Builder = request.param
    return chosen


def test_boot_time_runs_and_the_boot_has_an_id(builder: Builder, tmp_path: Path) -> None:
    build = builder(tmp_path, "no rtc")
    clock, again = build(), build()
    first = clock.boot_ns()
    assert 0 < first < again.boot_ns()
    assert clock.kernel_boot == again.kernel_boot
    assert len(clock.kernel_boot) == 32
    int(clock.kernel_boot, 16)


def test_an_unset_clock_says_so(builder: Builder, tmp_path: Path) -> None:
    claim = builder(tmp_path, "no rtc")().utc()
    assert (claim.source, claim.error_ms) == ("none", None)


def test_a_real_time_clock_is_believed_within_its_error(builder: Builder, tmp_path: Path) -> None:
    claim = builder(tmp_path, "rtc")().utc()
    assert claim.source == "rtc"
    assert claim.error_ms in {1500, 1501}
    assert abs(claim.ms - time.time_ns() // 10**6) < 1000


@pytest.mark.parametrize("bounds", [(2**42, 2**43), (0, 1_000_000_000_000)], ids=["before", "after"])
def test_a_real_time_clock_that_tells_an_absurd_time_is_not_believed(tmp_path: Path, bounds: tuple[int, int]) -> None:
    linux = LinuxClock(LinuxClockConfig(tmp_path / "utc.json", rtc=True, earliest_ms=bounds[0], latest_ms=bounds[1]))
    _powered(tmp_path, "rtc")
    for clock in (linux, PoweredClock(tmp_path, Utc, *bounds)):
        assert (clock.utc().source, clock.utc().error_ms) == ("none", None)


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_real_time_clock_of_another_century(tmp_path: Path, year: int) -> None:
    offset_ms = round((year - 2026) * 365.2425 * 86_400_000)
    worlds.create(tmp_path, World(clock=ClockWorld(rtc=True, rtc_offset_ms=offset_ms)))
    worlds.power_on(tmp_path)
    assert abs(datetime.fromtimestamp(PoweredClock(tmp_path, Utc).utc().ms / 1000, UTC).year - year) <= 1
    now_ms = time.time_ns() // 10**6
    assert PoweredClock(tmp_path, Utc, now_ms - 1000, now_ms + 10**9).utc().source == "none"


def test_a_trusted_time_outlives_the_process(builder: Builder, tmp_path: Path) -> None:
    build = builder(tmp_path, "no rtc")
    clock = build()
    before = clock.boot_ns()
    clock.set_utc(1_700_000_000_000, "dock", 40)
    for one in (clock, build()):
        claim = one.utc()
        assert claim.source == "dock"
        assert claim.error_ms in {40, 41}
        assert 0 <= claim.ms - 1_700_000_000_000 <= (one.boot_ns() - before) // 10**6 + 1


def test_the_error_grows_with_the_drift(builder: Builder, tmp_path: Path) -> None:
    build = builder(tmp_path, "no rtc")
    clock = build()
    clock.set_utc(1_700_000_000_000, "gnss", 40)
    anchor = json.loads((tmp_path / "utc.json").read_text())
    day_ns = 86_400 * 10**9
    if isinstance(anchor, dict):
        anchor["boot_ns"] -= day_ns
    else:
        anchor[1] -= day_ns
    (tmp_path / "utc.json").write_text(json.dumps(anchor))
    claim = build().utc()
    assert claim.error_ms in {40 + 4320, 40 + 4321}  # 50 ppm of a day
    assert 0 <= claim.ms - 1_700_000_000_000 - 86_400_000 < 1000 * 60


def test_a_step_of_the_system_clock_moves_nothing(tmp_path: Path, mocker: MockerFixture) -> None:
    clock = _linux(tmp_path, "rtc")()
    before = clock.utc().ms
    mocker.patch("time.time_ns", autospec=True, return_value=0)  # nobody may step this machine's clock
    assert 0 <= clock.utc().ms - before < 1000 * 60


def test_after_a_power_cut_the_time_is_unset(tmp_path: Path) -> None:
    build = _powered(tmp_path, "no rtc")
    clock = build()
    clock.set_utc(1_700_000_000_000, "dock", 40)
    worlds.power_on(tmp_path)
    again = build()
    assert again.kernel_boot != clock.kernel_boot
    assert again.boot_ns() < clock.boot_ns()
    assert again.utc().source == "none"
    linux = _linux(tmp_path / "linux", "no rtc")
    (tmp_path / "linux").mkdir()
    linux().set_utc(1_700_000_000_000, "dock", 40)
    state = tmp_path / "linux" / "utc.json"
    state.write_text(state.read_text().replace(linux().kernel_boot, 32 * "0"))  # as an earlier boot left it
    assert linux().utc().source == "none"


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"\xff", b'{"ms": 1}'])
def test_a_damaged_memory_counts_as_unset(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "utc.json").write_bytes(damage)
    assert _linux(tmp_path, "no rtc")().utc().source == "none"


def test_a_time_that_cannot_be_remembered_still_counts(tmp_path: Path) -> None:
    clock = LinuxClock(LinuxClockConfig(tmp_path / "missing" / "utc.json"))
    clock.set_utc(1_700_000_000_000, "dock", 40)
    assert clock.utc().source == "dock"


def test_without_power_there_is_no_clock(tmp_path: Path) -> None:
    worlds.create(tmp_path)
    with pytest.raises(ConfigError, match="never switched on"):
        PoweredClock(tmp_path, Utc)
