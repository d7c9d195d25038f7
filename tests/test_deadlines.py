"""Rule 19 as a table: the same day, 24 hours after the return, and who is asked when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from office.acts import at_time
from office.deadlines import Duty, Limit, Remote, State, begin_of_duty, end_of_day, judge

COUNTY = ZoneInfo("Asia/Shanghai")
WARN = timedelta(hours=4)


def local(text: str) -> datetime:
    """A time of the county: day and clock of November 2026."""
    day, clock = text.split(" ")
    return datetime.fromisoformat(f"2026-11-{int(day):02d}T{clock}").replace(tzinfo=COUNTY)


def away(since: str, returned: str | None = None, until: str | None = None) -> Remote:
    times = [local(text) if text else None for text in (returned, until)]
    return Remote(local(since), times[0], "乡镇联合执法", local(since), times[1])


D, R = Limit.SAME_DAY, Limit.AFTER_RETURN


@pytest.mark.parametrize(
    ("begins", "met", "remotes", "now", "expected"),
    [
        # The same day. A day ends with the county's midnight, at 16:00 UTC.
        ("24 10:00", None, [], "24 10:01", (D, "25 00:00", State.OPEN)),
        ("24 10:00", None, [], "24 19:59:59.999", (D, "25 00:00", State.OPEN)),
        ("24 10:00", None, [], "24 20:00", (D, "25 00:00", State.WARNING)),
        ("24 10:00", None, [], "24 23:59:59.999", (D, "25 00:00", State.WARNING)),
        ("24 10:00", None, [], "25 00:00", (D, "25 00:00", State.OVERDUE)),
        ("24 10:00", None, [], "30 00:00", (D, "25 00:00", State.OVERDUE)),
        # Handed in just before and just after.
        ("24 10:00", "24 23:59:59.999", [], "26 00:00", (D, "25 00:00", State.MET)),
        ("24 10:00", "25 00:00", [], "26 00:00", (D, "25 00:00", State.LATE)),
        # Ended just before and just after midnight.
        ("24 23:59:59.999", None, [], "25 00:00", (D, "25 00:00", State.OVERDUE)),
        ("25 00:00", None, [], "25 00:00", (D, "26 00:00", State.OPEN)),
        # Morning in the county is the day before in UTC.
        ("24 07:30", None, [], "24 12:00", (D, "25 00:00", State.OPEN)),
        # Away: nothing runs before the return, then 24 hours.
        ("24 10:00", None, [away("24 08:00")], "27 10:00", (R, None, State.AWAY)),
        ("24 10:00", "27 10:00", [away("24 08:00")], "28 10:00", (R, None, State.MET)),
        ("24 10:00", None, [away("24 08:00", until="26 18:00")], "26 17:59", (R, None, State.AWAY)),
        ("24 10:00", None, [away("24 08:00", until="26 18:00")], "26 18:00", (R, None, State.WARNING)),
        ("24 10:00", None, [away("24 08:00", "26 18:00")], "26 18:01", (R, "27 18:00", State.OPEN)),
        ("24 10:00", None, [away("24 08:00", "26 18:00")], "27 14:00", (R, "27 18:00", State.WARNING)),
        ("24 10:00", None, [away("24 08:00", "26 18:00")], "27 18:00", (R, "27 18:00", State.OVERDUE)),
        ("24 10:00", "27 17:59", [away("24 08:00", "26 18:00")], "28 00:00", (R, "27 18:00", State.MET)),
        ("24 10:00", "27 18:00", [away("24 08:00", "26 18:00")], "28 00:00", (R, "27 18:00", State.LATE)),
        # Recorded away and back the same day: 24 hours all the same, never less than the day.
        ("24 10:00", None, [away("24 08:00", "24 15:00")], "25 12:00", (R, "25 15:00", State.WARNING)),
        # Recorded at home, but away when the day ended.
        ("24 10:00", None, [away("24 14:00", "26 09:00")], "26 10:00", (R, "27 09:00", State.OPEN)),
        ("24 10:00", None, [away("24 14:00", "25 00:00")], "25 10:00", (R, "26 00:00", State.OPEN)),
        ("24 10:00", None, [away("24 14:00", "24 23:59")], "25 00:00", (D, "25 00:00", State.OVERDUE)),
        # Remote work excuses nothing that was due before it, nor what was made after it.
        ("24 10:00", None, [away("25 00:00")], "25 08:00", (D, "25 00:00", State.OVERDUE)),
        ("24 10:00", None, [away("22 08:00", "24 09:59")], "25 00:00", (D, "25 00:00", State.OVERDUE)),
        # Of two the one that holds.
        ("24 10:00", None, [away("20 08:00", "21 09:00"), away("24 08:00", "25 09:00")], "25 10:00",
         (R, "26 09:00", State.OPEN)),
    ],
)  # fmt: skip
def test_the_limits(
    begins: str, met: str | None, remotes: list[Remote], now: str, expected: tuple[Limit, str | None, State]
) -> None:
    duty = Duty("BWC-0001", "aaaaaaaa-1", "012345", "DOCK-1", local(begins), local(met) if met else None)
    found = judge(duty, remotes, local(now), COUNTY, WARN)
    assert (found.limit, found.due, found.state) == (expected[0], expected[1] and local(expected[1]), expected[2])
    assert (found.remote is None) == (found.limit is D)


@pytest.mark.parametrize(
    ("ended", "shifts", "begins"),
    [
        ("24 23:30", [("24 20:00", "25 04:00")], "25 04:00"),  # a night shift is not over at midnight
        ("24 19:59", [("24 20:00", "25 04:00")], "24 19:59"),  # recorded before it
        ("25 04:01", [("24 20:00", "25 04:00")], "25 04:01"),  # recorded after it
        ("24 10:00", [], "24 10:00"),
        ("24 10:00", [("24 08:00", "24 18:00"), ("24 09:00", "24 20:00")], "24 20:00"),
    ],
)
def test_a_recording_of_a_night_shift_is_due_with_its_shift(
    ended: str, shifts: list[tuple[str, str]], begins: str
) -> None:
    spans = [(local(issued), local(end)) for issued, end in shifts]
    assert begin_of_duty(local(ended), spans) == local(begins)


@pytest.mark.parametrize(
    ("at", "zone", "end"),
    [
        ("2026-11-24T15:59:59Z", "Asia/Shanghai", "2026-11-24T16:00:00Z"),
        ("2026-11-24T16:00:00Z", "Asia/Shanghai", "2026-11-25T16:00:00Z"),
        ("2026-12-31T12:00:00Z", "Asia/Shanghai", "2026-12-31T16:00:00Z"),
        ("2028-02-28T16:00:00Z", "Asia/Shanghai", "2028-02-29T16:00:00Z"),
        ("2026-11-24T17:00:00Z", "Asia/Urumqi", "2026-11-24T18:00:00Z"),
        ("2026-03-29T00:30:00Z", "Europe/Berlin", "2026-03-29T22:00:00Z"),  # a day of 23 hours
        ("2026-10-25T00:30:00Z", "Europe/Berlin", "2026-10-25T23:00:00Z"),  # and one of 25
    ],
)
def test_a_day_ends_at_midnight_of_the_zone(at: str, zone: str, end: str) -> None:
    assert end_of_day(datetime.fromisoformat(at), ZoneInfo(zone)) == datetime.fromisoformat(end)


@pytest.mark.parametrize(
    ("text", "after", "found"),
    [
        ("18:00", "24 08:00", "24 18:00"),
        ("04:00", "24 20:00", "25 04:00"),
        ("8:00", "24 08:00", "25 08:00"),
        ("2026-11-24T18:00", "24 08:00", "24 18:00"),
        ("2026-11-24T10:00Z", "24 08:00", "24 18:00"),
    ],
)
def test_a_time_as_people_write_it(text: str, after: str, found: str) -> None:
    assert at_time(text, COUNTY, local(after).astimezone(UTC)) == local(found)


@pytest.mark.parametrize("text", ["", "18", "25:00", "noon", "2026-13-01T00:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        at_time(text, COUNTY, local("24 08:00"))
