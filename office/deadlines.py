"""When footage and cameras are to be handed in (rule 19), and how that stands. Pure: times in, verdicts out.

The rule has two limits: the same day; and if that cannot be, because the work was away from the unit, 24 hours after
the return. A day is one of the county's time zone. What is handed in before its limit is in time.

- A recording's day is that on which it ended. If it was made in a shift that was planned over midnight, it is the day
  on which that shift was to end: the work was not over before.
- A camera that was given out is due on the day on which its use ended: seen so even if it never docks.
- Remote work counts that the office has declared. It gives the later limit to whatever was made in it, and to whatever
  could not be brought in time because of it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

AFTER_RETURN: Final = timedelta(hours=24)


class State(enum.StrEnum):
    """How a duty stands, the worst first."""

    OVERDUE = "overdue"
    WARNING = "warning"  # its limit is near
    AWAY = "away"  # remote work: no limit runs before the return
    OPEN = "open"
    LATE = "late"  # handed in after its limit
    MET = "met"


class Limit(enum.StrEnum):
    """Which limit of the rule holds."""

    SAME_DAY = "same_day"
    AFTER_RETURN = "after_return"


@dataclass(frozen=True, slots=True)
class Remote:
    """Work away from the unit, as the office declared it; `returned` None: still away."""

    since: datetime
    returned: datetime | None
    reason: str
    declared: datetime
    until: datetime | None = None  # the return that is expected


@dataclass(frozen=True, slots=True)
class Duty:
    """A recording to be handed in whole, or (`recording` None) a camera to be brought to a dock."""

    device: str
    recording: str | None
    officer: str | None  # number
    dock: str | None  # where it is expected
    begins: datetime  # when the recording, or the use of the camera, ended: the day of the rule
    met: datetime | None  # when that was done


@dataclass(frozen=True, slots=True)
class Deadline:
    """A duty with its limit. `due` None: it begins to run with the return."""

    duty: Duty
    limit: Limit
    due: datetime | None
    state: State
    remote: Remote | None


def end_of_day(at: datetime, zone: ZoneInfo) -> datetime:
    """The midnight with which the day of `at` ends."""
    return datetime.combine(at.astimezone(zone).date() + timedelta(days=1), time(), zone).astimezone(UTC)


def begin_of_duty(ended: datetime, shifts: Iterable[tuple[datetime, datetime]]) -> datetime:
    """When the work ended in which a recording was made: `shifts` are issue and planned end, of the same camera."""
    return max([ended, *(end for issued, end in shifts if issued <= ended <= end)])


def judge(duty: Duty, remotes: Sequence[Remote], now: datetime, zone: ZoneInfo, warn: timedelta) -> Deadline:
    """Tell how a duty stands at `now`; `remotes`: those of its camera; `warn`: how long before the limit it is near."""
    same_day = end_of_day(duty.begins, zone)
    remote = _covering(duty.begins, same_day, remotes)
    if remote is None:
        return Deadline(duty, Limit.SAME_DAY, same_day, _state(duty.met, same_day, now, warn), None)
    due = None if remote.returned is None else remote.returned + AFTER_RETURN
    state = _state(duty.met, due, now, warn)
    if state is State.AWAY and remote.until is not None and now >= remote.until:
        state = State.WARNING  # the return is to be entered, or the work goes on and that is to be declared
    return Deadline(duty, Limit.AFTER_RETURN, due, state, remote)


def _covering(begins: datetime, same_day: datetime, remotes: Sequence[Remote]) -> Remote | None:
    """The remote work in which it was made, or which lasted over its limit; the latest of them."""
    found = [
        remote
        for remote in remotes
        if remote.since < same_day and (remote.returned is None or remote.returned >= begins)
        if remote.since <= begins or remote.returned is None or remote.returned >= same_day
    ]
    return max(found, key=lambda remote: remote.since, default=None)


def _state(met: datetime | None, due: datetime | None, now: datetime, warn: timedelta) -> State:
    if met is not None:
        return State.MET if due is None or met < due else State.LATE
    if due is None:
        return State.AWAY
    if now >= due:
        return State.OVERDUE
    return State.WARNING if now >= due - warn else State.OPEN
