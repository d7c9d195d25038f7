"""Which time the camera believes. Pure: claims and fixes in, decisions out.

Sources rank dock > gnss > rtc > none. A better source replaces a worse one. An equal or worse one replaces only a claim
whose bound has grown to twice its own; one that contradicts a better claim is refused, however small its bound: a radio
signal can be forged, the office's signature cannot.

A satellite receiver is believed once its fixes have agreed with each other for some seconds. It counts leap seconds
from an almanac that takes 12.5 minutes to come in; until then its UTC may be whole seconds off.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

from firmware.hal.ports import Fix, Utc

TRUSTED_ERROR_MS = 60_000
"""A clock whose bound is wider than this is called untrusted: a minute is what times are told in."""

_RANK = {"none": 0, "rtc": 1, "gnss": 2, "dock": 3}
_SECOND_NS = 10**9
_USELESS_MS = 86_400_000  # a bound that is no bound, and would stand in every record
_YEAR_MS = 365 * 86_400_000
_CONFIGURED_MS = 2 * _YEAR_MS  # a camera gets a new configuration more often than this
_ROLLOVER_MS = 1024 * 7 * 86_400_000  # the week number of GPS has ten bits


@dataclass(frozen=True, slots=True)
class Believable:
    """Bounds of times that can be true at all, in ms since 1970, both included."""

    earliest_ms: int
    latest_ms: int

    @classmethod
    def since(cls, issued_ms: int) -> Believable:
        """From the issue of the camera's configuration, for 15 years: less than a week rollover (19.6 years)."""
        return cls(issued_ms, issued_ms + 15 * _YEAR_MS)

    def objection(self, ms: int) -> str | None:
        """Why that time cannot be true; None if it can."""
        if self.earliest_ms <= ms <= self.latest_ms:
            return None
        turned = (ms + turns * _ROLLOVER_MS - self.earliest_ms for turns in (-1, 1, 2))
        if any(0 <= since_ms <= _CONFIGURED_MS for since_ms in turned):
            return "week_rollover"
        return "before_configuration" if ms < self.earliest_ms else "too_late"


@dataclass(frozen=True, slots=True)
class TimeSet:
    """The clock is to be set: `clock.set_utc(ms, source, error_ms)`, then a `clock_set` record with `body`."""

    ms: int  # UTC now
    source: str
    error_ms: int
    stepped_ms: int  # from what the clock told before, even if that was unset

    def body(self) -> dict[str, Any]:
        """The body of the record."""
        return {"source": self.source, "stepped_ms": self.stepped_ms, "error_ms": self.error_ms}


@dataclass(frozen=True, slots=True)
class TimeRefused:
    """A time that was offered is not believed.

    `reason`: `week_rollover`, `before_configuration`, `too_late`, `contradicts_better`, `fixes_disagree`,
    `no_bound`.
    """

    source: str
    reason: str
    offered_ms: int

    def __str__(self) -> str:
        return f"time of {self.source} refused: {self.reason} ({self.offered_ms} ms since 1970)"


def judge(ms: int, source: str, error_ms: int, claim: Utc, believable: Believable) -> TimeSet | TimeRefused | None:
    """What to do about an offered time, given the present claim. None: nothing, the claim is as good.

    The office's word (`dock`) is taken each time it comes, if the office itself knows the time.
    """
    objection = believable.objection(ms)
    if objection is None and source == "dock" and error_ms > TRUSTED_ERROR_MS:
        objection = "no_bound"
    if objection is not None:
        return TimeRefused(source, objection, ms)
    taken = TimeSet(ms, source, error_ms, ms - claim.ms)
    if source == "dock" or _RANK[source] > _RANK[claim.source] or claim.error_ms is None:
        return taken
    if abs(ms - claim.ms) > error_ms + claim.error_ms:
        return taken if source == claim.source else TimeRefused(source, "contradicts_better", ms)
    return taken if 2 * error_ms <= claim.error_ms else None


@dataclass(frozen=True, slots=True)
class AgreementLimits:
    """How long a receiver must agree with itself before its time is believed."""

    fixes: int = 8
    spread_ms: int = 1000  # between the readings of one clock: how late a fix is told varies by so much
    almanac_seconds: int = 780
    leap_error_ms: int = 3000  # until then: receivers count from the leap seconds of their firmware's year


class GnssTime:
    """Turns fixes into decisions about the clock. Each refusal is told once, until the reason changes."""

    def __init__(self, believable: Believable, limits: AgreementLimits | None = None) -> None:
        self._believable = believable
        self._limits = limits or AgreementLimits()
        self._offsets: list[int] = []  # UTC minus boot time of the last fixes, in ms
        self._since_ns: int | None = None  # when these fixes began
        self._told_ms: int | None = None  # by the last one
        self._refused: str | None = None

    def take(self, fix: Fix | None, claim: Utc, now_ns: int) -> TimeSet | TimeRefused | None:
        """Take what `Positioning` told (None: lost); `claim` is the clock's, `now_ns` its boot time."""
        if fix is None or fix.utc_ms is None or fix.utc_error_ms is None or not 0 <= fix.utc_error_ms <= _USELESS_MS:
            self._begin_anew()
            return None
        if fix.utc_ms == self._told_ms:  # several fixes of one second are one word
            return None
        self._told_ms = fix.utc_ms
        self._since_ns = fix.boot_ns if self._since_ns is None else self._since_ns
        self._offsets = [*self._offsets, fix.utc_ms - fix.boot_ns // 10**6][-self._limits.fixes :]
        ms = round(statistics.median(self._offsets)) + now_ns // 10**6
        if max(self._offsets) - min(self._offsets) > self._limits.spread_ms:
            self._begin_anew()
            return self._once(TimeRefused("gnss", "fixes_disagree", ms))
        if len(self._offsets) < self._limits.fixes:
            return None
        young = fix.boot_ns - self._since_ns < self._limits.almanac_seconds * _SECOND_NS
        error_ms = fix.utc_error_ms + self._limits.leap_error_ms * young
        return self._once(judge(ms, "gnss", error_ms, claim, self._believable))

    def _begin_anew(self) -> None:
        self._offsets = []
        self._since_ns = None

    def _once(self, decision: TimeSet | TimeRefused | None) -> TimeSet | TimeRefused | None:
        reason = decision.reason if isinstance(decision, TimeRefused) else None
        repeated = reason is not None and reason == self._refused
        self._refused = reason
        return None if repeated else decision


def leap_error_ms(since_ms: int, until_ms: int) -> int:
    """How far UTC may have left a clock that was carried on from one time to another.

    A second for each end of June and of December between them: a camera in the field does not hear of a leap second.
    """
    return 1000 * max(0, _half_years(until_ms) - _half_years(since_ms))


def _half_years(ms: int) -> int:
    moment = time.gmtime(ms // 1000)
    return 2 * moment.tm_year + (moment.tm_mon > 6)  # noqa: PLR2004 - June


def trusted(claim: Utc) -> bool:
    """Whether the clock may be shown without the words "clock untrusted"."""
    return claim.source != "none" and claim.error_ms is not None and claim.error_ms <= TRUSTED_ERROR_MS
