"""The period that a page shows: days of the county, the last thirty if none are chosen."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Final

from office.site.call import Call
from office.site.fields import Field
from office.site.text import Text

DAYS: Final = 30
SINCE: Final = Field("since", Text("自", "From"), "date", required=False)
UNTIL: Final = Field("until", Text("至", "Until"), "date", required=False, hint=Text("含当日", "This day included"))


def of(call: Call) -> tuple[datetime, datetime]:
    """Begin and end; the end is now at the latest, or the end of a chosen day."""
    now = datetime.now(UTC)
    until = _midnight(call, call["until"], 1) if call["until"] else now
    since = _midnight(call, call["since"], 0) if call["since"] else until - timedelta(days=DAYS)
    return since, max(until, since)


def _midnight(call: Call, day: str, more: int) -> datetime:
    date = datetime.fromisoformat(day).date() + timedelta(days=more)
    return datetime.combine(date, time(), call.frame.zone).astimezone(UTC)
