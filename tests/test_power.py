"""Judging battery, heat and storage on time that the test moves; the battery is the simulator's cell."""

from __future__ import annotations

import pytest

from evidence import jose
from firmware.hal.ports import Charge
from firmware.health import Heat, HeatJudge, HeatLimits, Storage, StorageJudge, StorageLimits
from firmware.power import Power, PowerJudge, PowerLimits
from firmware.trend import Trend
from hw_sim import battery
from hw_sim.battery import Cell, CellState

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
LIMITS = PowerLimits()


class Shift:
    """A cell, a judge, and time."""

    def __init__(self, state: CellState, *, tells_charging: bool = True) -> None:
        self.now_ns = 0
        self.cell = Cell(state, 0)
        self.judge = PowerJudge()
        self._tells_charging = tells_charging

    def read(self) -> Power:
        state = self.cell.at(self.now_ns)
        charging = state.charging if self._tells_charging else None
        return self.judge.take(Charge(state.percent, battery.volts(state), charging), self.now_ns)

    def run(self, minutes: float) -> Power:
        end_ns = self.now_ns + round(minutes * MINUTE)
        while self.now_ns < end_ns:
            self.now_ns += 10 * SECOND
            told = self.read()
        return told


def test_hours_are_counted_with_the_planned_draw_until_the_real_one_is_seen() -> None:
    shift = Shift(CellState(85, 16, 40))
    first = shift.read()
    assert not first.draw_seen
    assert first.hours == pytest.approx(8.0)
    later = shift.run(6)
    assert later.draw_seen
    assert later.draw_percent_per_hour == pytest.approx(16, rel=0.01)
    assert later.hours == pytest.approx((later.percent - LIMITS.critical_percent) / 16, rel=0.01)


def test_the_prediction_holds_over_a_whole_shift() -> None:
    shift = Shift(CellState(95, 10, 40))
    predicted = shift.run(10).hours + 10 / 60
    while (told := shift.run(5)).level != "critical":
        assert told.hours == pytest.approx(predicted - shift.now_ns / HOUR, abs=0.1)
    assert shift.now_ns / HOUR == pytest.approx(predicted, abs=0.1)


def test_single_odd_readings_move_the_draw_by_nothing() -> None:
    shift = Shift(CellState(80, 10, 40))
    steady = shift.run(15)
    for minute in (3, 6, 9):
        shift.run(3)
        told = shift.judge.take(Charge(80 - minute, 3.9, charging=False), shift.now_ns)
    assert told.draw_percent_per_hour == pytest.approx(steady.draw_percent_per_hour, rel=0.15)


def test_on_the_charger_the_last_draw_stays_and_the_level_rises_again() -> None:
    shift = Shift(CellState(19, 20, 60))
    assert shift.run(6).level == "low"
    shift.cell.change(shift.now_ns, charging=True)
    told = shift.run(30)
    assert (told.charging, told.level, told.draw_seen) == (True, "ok", True)
    assert told.draw_percent_per_hour == pytest.approx(20, rel=0.02)


def test_a_gauge_that_cannot_tell_charging_promises_no_days() -> None:
    shift = Shift(CellState(50, 5, 30, charging=True), tells_charging=False)
    told = shift.run(20)
    assert told.draw_percent_per_hour == LIMITS.least_draw_percent_per_hour


def test_another_pack_begins_another_history() -> None:
    shift = Shift(CellState(30, 30, 40))
    shift.run(8)
    shift.cell.change(shift.now_ns, percent=95.0, draw_percent_per_hour=12.0)
    assert shift.run(1).draw_percent_per_hour == pytest.approx(30, rel=0.01)  # the last one seen, until
    assert shift.run(6).draw_percent_per_hour == pytest.approx(12, rel=0.01)  # there are five minutes of the new one


def test_levels_have_hysteresis() -> None:
    judge = PowerJudge()

    def level(percent: float, volts: float = 3.8) -> str:
        return judge.take(Charge(percent, volts, None), 0).level

    assert [level(percent) for percent in (21, 20, 21, 22.9, 23.1)] == ["ok", "low", "low", "low", "ok"]
    assert [level(percent) for percent in (5, 7.9, 8.1, 23.1)] == ["critical", "critical", "low", "ok"]


def test_a_sag_is_told_by_the_reading_that_shows_it() -> None:
    shift = Shift(CellState(60, 10, 40))
    assert shift.run(1).level == "ok"
    for volts, level in [(3.5, "low"), (3.3, "critical"), (3.4, "critical"), (3.5, "low"), (3.7, "ok")]:
        shift.cell.change(shift.now_ns, volts=volts)
        assert shift.read().level == level


def test_a_cold_cell_sags_under_load_before_it_is_empty() -> None:
    shift = Shift(CellState(30, 10, 40))
    assert shift.read().level == "ok"
    shift.cell.change(shift.now_ns, draw_percent_per_hour=120.0)
    assert shift.read().level == "critical"


def test_a_cell_ends_at_empty_and_full() -> None:
    cell = Cell(CellState(50, 10, 40), 0)
    assert cell.at(10 * HOUR).percent == 0
    cell.change(10 * HOUR, charging=True)
    assert cell.at(15 * HOUR).percent == 100
    assert battery.rate(cell.at(15 * HOUR)) == 0


def test_figures_can_stand_in_a_record() -> None:
    shift = Shift(CellState(61.6, 10, 40))
    heat, storage = HeatJudge().take(71.4), StorageJudge(1e6).take(10**10, 41.0, 0, recording=False)
    told = shift.read().figures() | heat.figures() | storage.figures() | HeatJudge().take(None).figures()
    assert jose.parse_json(jose.dump_json(told)) == told
    assert (told["battery_percent"], told["battery_minutes"], told["storage_minutes"]) == (62, 340, 167)


def test_heat_has_hysteresis_and_a_silent_board_changes_nothing() -> None:
    judge = HeatJudge(HeatLimits(70, 80, 5))
    told = [judge.take(celsius).level for celsius in (69, 70, 66, 81, None, 76, 74, 66, 64)]
    assert told == ["ok", "warm", "warm", "critical", "critical", "critical", "warm", "warm", "ok"]
    assert judge.take(None) == Heat("ok", None)


def test_storage_is_counted_at_the_planned_rate_until_the_real_one_is_seen() -> None:
    judge = StorageJudge(500_000)
    free = 9_000_000_000
    first = judge.take(free, None, 0, recording=False)
    assert first == Storage("ok", free, 5.0, rate_seen=False, wear_percent=None, worn=False)
    for second in range(0, 400, 10):
        told = judge.take(free - second * 1_000_000, None, second * SECOND, recording=True)
    assert told.rate_seen
    assert told.hours == pytest.approx(told.free_bytes / 1_000_000 / 3600, rel=0.01)


def test_space_given_up_while_recording_is_no_slower_rate() -> None:
    judge = StorageJudge(500_000)
    free = 9_000_000_000
    for second in range(0, 1200, 10):
        free += 3_000_000_000 if second == 600 else -10_000_000
        told = judge.take(free, None, second * SECOND, recording=True)
    assert told.hours == pytest.approx(free / 1_000_000 / 3600, rel=0.01)


def test_storage_levels_and_the_worn_card() -> None:
    judge = StorageJudge(1_000_000, StorageLimits(2, 0.5, 0.25, 80))

    def take(hours: float, wear: float | None = None) -> Storage:
        return judge.take(round(hours * 3.6e9), wear, 0, recording=False)

    assert [take(hours).level for hours in (3, 2, 2.2, 2.3, 0.5, 0.7, 0.8)] == [
        "ok", "low", "low", "ok", "critical", "critical", "low",
    ]  # fmt: skip
    assert [take(3, wear).worn for wear in (None, 79, 80)] == [False, False, True]


def test_a_trend_needs_history_and_forgets_what_is_old() -> None:
    trend = Trend(10 * MINUTE, 5 * MINUTE, 30 * SECOND)
    assert trend.per_hour() is None
    for minute in range(5):
        trend.take(minute, minute * MINUTE)
    assert trend.per_hour() is None
    for minute in range(5, 30):
        trend.take(5 - 2 * minute, minute * MINUTE)
    assert trend.per_hour() == pytest.approx(-120)
    trend.forget()
    assert trend.per_hour() is None
