"""Clocks that are wrong: order is kept, bounds are honest, nothing is rewritten, and the dock takes the footage."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evidence.report import Report, to_json
from evidence.verify import Verifier
from tests.agency import Agency
from tests.camera_rig import SECOND, lines
from tests.clock_life import DAY, Life

pytestmark = pytest.mark.net
DAY_MS = 86_400_000


@pytest.fixture
def live(tmp_path: Path, agency: Agency, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Life]]:
    lives: list[Life] = []

    def begin(began_ms: int | None = None, *, rtc: bool = False, off_ms: int = 0) -> Life:
        life = Life(tmp_path, agency, monkeypatch, began_ms or int(time.time() * 1000), rtc=rtc, off_ms=off_ms)
        lives.append(life)
        return life

    yield begin
    for life in lives:
        life.site.close()


def told_after(life: Life, found: str = "") -> Report:
    """Hand everything in, then hold the card against what was there before and what the office has."""
    before = life.journal()
    segments = {path: bytes(file.content) for path, file in life.disk.files.items() if path.startswith("segments/")}
    assert segments
    life.dock()
    after = life.journal()
    assert {number: after[number][: len(data)] for number, data in before.items()} == before, "nothing was rewritten"
    assert sorted(life.site.office.stored.values()) == sorted(segments.values()), "the dock took everything"
    assert not [path for path in life.disk.files if path.startswith("segments/")], "and the camera gave it up"
    report = Verifier(life.disk, [life.owner.agency.root.certificate]).run()
    assert " ".join(sorted({f"{one.step}:{one.verdict}" for one in report.findings})) == found
    return report


def recorded(report: Report) -> list[int]:
    """Milliseconds of each recording, by the clock that nobody can set."""
    return [round(one["recorded_ms"], -2) for one in to_json(report)["recordings"]]


def agrees(report: Report) -> set[bool | None]:
    return {segment["time"]["agrees"] for one in to_json(report)["recordings"] for segment in one["segments"]}


def shoot(life: Life, during: Callable[[], None] = lambda: None) -> None:
    """Five seconds, something happens, five seconds more."""
    life.camera.press()
    life.camera.run(5)
    during()
    life.camera.run(5)
    life.camera.end()
    life.camera.run(0.1)


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_clock_of_another_century(live: Callable[..., Life], year: int) -> None:
    """The battery of its real-time clock is empty, or somebody set it: not believed, and said so, until the dock."""
    life = live(rtc=True, off_ms=int(datetime(year, 1, 2, tzinfo=UTC).timestamp() * 1000) - int(time.time() * 1000))
    shoot(life)
    report = told_after(life)
    assert life.dishonest() == []
    told = to_json(report)["recordings"][0]["time"]
    assert (told["claimed"][:4], told["source"], told["error_ms"]) == (str(year), "none", None)
    assert agrees(report) == {None}, "a clock that was not set claims nothing"
    assert told["not_after"] is not None
    assert recorded(report)[0] >= 10_000
    assert life.clock.utc().source == "dock"


def test_a_step_back_of_a_day(live: Callable[..., Life]) -> None:
    """The system's clock is set back in mid-recording: the claim is carried on from the anchor and does not notice."""
    life = live()
    life.undock()

    def stepped() -> None:
        life.kernel.system_off_ms -= DAY_MS

    shoot(life, stepped)
    report = told_after(life)
    assert life.dishonest() == []
    assert agrees(report) == {True}


def test_a_step_back_of_a_day_over_a_power_cut(live: Callable[..., Life]) -> None:
    """A real-time clock that lost a day, and says that it did not: order and gap hold, and the lie is named."""
    life = live(rtc=True)
    life.undock()

    def lost_a_day() -> None:
        life.kernel.system_off_ms -= DAY_MS
        life.cut()

    life.camera.press()
    life.camera.run(5)
    lost_a_day()
    life.camera.run(5)
    life.camera.end()
    report = told_after(life, "10:contradicted")
    assert any("the clock was backdated" in finding.message for finding in report.findings)
    (recording,) = to_json(report)["recordings"]
    (gap,) = recording["gaps"]
    assert gap["max_ms"] is None, "no bound is better than one that a false clock made"
    assert [segment["part"] for segment in recording["segments"]] == sorted(
        segment["part"] for segment in recording["segments"]
    )
    by_part = {
        (segment["part"], segment["time"]["agrees"]) for segment in recording["segments"] if segment["fragments"]
    }
    assert by_part == {(1, True), (2, False)}


def test_another_time_zone(live: Callable[..., Life], monkeypatch: pytest.MonkeyPatch) -> None:
    life = live()
    life.undock()

    def travelled() -> None:
        monkeypatch.setenv("TZ", "America/St_Johns" if os.environ.get("TZ") != "America/St_Johns" else "Asia/Shanghai")
        time.tzset()

    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        shoot(life, travelled)
        report = told_after(life)
        assert life.dishonest() == []
    finally:
        monkeypatch.undo()
        time.tzset()
    assert agrees(report) == {True}


def test_a_leap_second(live: Callable[..., Life]) -> None:
    """UTC stays back by a second in mid-recording, and nobody tells the camera: its bound says that this may be."""
    now = datetime.now(UTC)
    halves = [datetime(now.year + (month > 12), month % 12, 1, tzinfo=UTC) for month in (7, 13, 19)]
    midnight = min(half for half in halves if half > now)
    life = live(int(midnight.timestamp() * 1000) - 30_000)
    life.undock()
    life.rest(25 * SECOND)
    life.kernel.left_ms.append((life.kernel.world.now_ns + 5 * SECOND, -1000))
    shoot(life)
    assert max(record.clock.error_ms or 0 for record in lines(life.disk)) < 1_100
    report = told_after(life)
    assert life.dishonest() == []
    assert recorded(report)[0] >= 10_000, "a second is a second"
    assert agrees(report) == {True}


def test_thirty_days_without_a_network(live: Callable[..., Life]) -> None:
    """A crystal that is off by 40 ppm all the time: the bound has grown with it, and the dock sets the clock."""
    life = live()
    life.undock()
    shoot(life)
    life.kernel.left_ms.append((life.kernel.world.now_ns + DAY, 30 * 86_400 * 40 // 1000))
    life.rest(30 * DAY)
    shoot(life)
    report = told_after(life)
    assert life.dishonest() == []
    first, last = to_json(report)["recordings"]
    assert first["time"]["error_ms"] < 100
    assert 129_000 < last["time"]["error_ms"] < 131_000
    assert agrees(report) == {True}
    error_ms = life.clock.utc().error_ms
    assert error_ms is not None
    assert error_ms <= 1_001
