"""Which recordings are of which activity, and why. Pure: the ledger of activities and the recordings in, reasons out.

An activity is what should have been recorded (rule 5), a recording what was. One recording may hold several activities,
and one activity is to have two recordings, one of each officer (rule 10). Only what is sure counts as recorded:

- linked: somebody said so, by name; or said that it is not, and then nothing else counts.
- time: the officer who had the camera took part, and the recording overlaps the activity.
- near: that officer took part, the recording overlaps none of his activities, and this is the nearest within half an
  hour (a recording is begun on arrival, and the ledger is written from memory).

What only looks like it is a suggestion: same kind, most of the recording within the activity, and nobody knows who had
the camera. A camera without a clock can be linked, and nothing else.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from office.footage import Footage

NEAR: Final = timedelta(minutes=30)
LONGEST_REACH: Final = timedelta(hours=72)
"""So far a recording, or an activity, reaches out of the period in which it began."""
_ZERO: Final = timedelta()
Key = tuple[int, str, str]
"""Activity, device, recording."""


class Why(enum.StrEnum):
    """Why a recording is taken for one of an activity."""

    LINKED = "linked"
    TIME = "time"
    NEAR = "near"
    LOOKS = "looks"  # a suggestion

    @property
    def sure(self) -> bool:
        """Whether it counts."""
        return self is not Why.LOOKS


@dataclass(frozen=True, slots=True)
class Activity:
    """What should have been recorded. Officers by number; `leaf` is its entry in the log."""

    leaf: int
    kind: str
    begins: datetime
    ends: datetime
    officers: tuple[str, ...]
    section: str


@dataclass(frozen=True, slots=True)
class Match:
    """A recording of an activity. `overlap`: how much of it lies within; `off`: else how far it is away."""

    activity: int
    footage: Footage
    why: Why
    overlap: timedelta = _ZERO
    off: timedelta = _ZERO
    same_kind: bool = False

    @property
    def reason(self) -> str:
        """For people."""
        minutes = round((self.overlap or self.off).total_seconds() / 60)
        officer = f"执法人员 {self.footage.officer}"
        words = {
            Why.LINKED: "人工关联",
            Why.TIME: f"{officer}，时间重合 {minutes} 分钟",
            Why.NEAR: f"{officer}，时间相差 {minutes} 分钟",
            Why.LOOKS: f"使用人不明，时间重合 {minutes} 分钟",
        }[self.why]
        return words + ("，类别一致" if self.same_kind else "，类别不同" if self.footage.kind else "，录像未选类别")


def match(
    activities: Sequence[Activity], recordings: Iterable[Footage], said: Mapping[Key, bool] | None = None
) -> list[Match]:
    """All matches, by activity and then by time; `said`: what people have linked (true) or parted (false)."""
    said = said or {}
    by_leaf = {one.leaf: one for one in activities}
    by_officer: defaultdict[str, list[Activity]] = defaultdict(list)
    for activity in activities:
        for officer in activity.officers:
            by_officer[officer].append(activity)
    links: defaultdict[tuple[str, str], dict[int, bool]] = defaultdict(dict)
    for (leaf, device, recording), linked in said.items():
        links[device, recording][leaf] = linked
    found: list[Match] = []
    for footage in recordings:
        told = links[footage.key]
        own = [by_leaf[leaf] for leaf, yes in told.items() if yes and leaf in by_leaf]
        found += [_measured(one, footage, Why.LINKED) for one in own]
        open_to = activities if footage.officer is None else by_officer[footage.officer]
        found += _by_time([one for one in open_to if one.leaf not in told], footage, alone=not own)
    order = {one.leaf: number for number, one in enumerate(sorted(activities, key=lambda one: (one.begins, one.leaf)))}
    return sorted(found, key=lambda one: (order[one.activity], str(one.footage.begins or ""), one.footage.key))


def _by_time(activities: Sequence[Activity], footage: Footage, *, alone: bool) -> list[Match]:
    if footage.begins is None or footage.ends is None:
        return []
    if footage.officer is None:
        looks = [_measured(one, footage, Why.LOOKS) for one in activities if one.kind == footage.kind]
        return [one for one in looks if one.overlap > (footage.ends - footage.begins) / 2]
    measured = [_measured(one, footage, Why.TIME) for one in activities]
    within = [one for one in measured if one.overlap > _ZERO]
    if within or not alone:
        return within
    nearest = min(measured, key=lambda one: (one.off, not one.same_kind, one.activity), default=None)
    if nearest is None or nearest.off > NEAR:
        return []
    return [Match(nearest.activity, footage, Why.NEAR, off=nearest.off, same_kind=nearest.same_kind)]


def _measured(activity: Activity, footage: Footage, why: Why) -> Match:
    same = footage.kind == activity.kind
    if footage.begins is None or footage.ends is None:
        return Match(activity.leaf, footage, why, same_kind=same)
    overlap = min(activity.ends, footage.ends) - max(activity.begins, footage.begins)
    return Match(activity.leaf, footage, why, max(overlap, _ZERO), max(-overlap, _ZERO), same)


def covered(activity: Activity, matches: Iterable[Match]) -> float:
    """The share of an activity's time that its recordings cover, 0 to 1; gaps inside a recording are not taken off."""
    spans = sorted(
        (max(one.footage.begins, activity.begins), min(one.footage.ends, activity.ends))
        for one in matches
        if one.why.sure and one.footage.begins is not None and one.footage.ends is not None
    )
    total, reached = _ZERO, activity.begins
    for begin, end in spans:
        total += max(end - max(begin, reached), _ZERO)
        reached = max(reached, end)
    return total / (activity.ends - activity.begins)


def recorders(matches: Iterable[Match]) -> list[str]:
    """Who recorded an activity: officers by number, or devices of which nobody knows who had them."""
    return sorted({one.footage.officer or one.footage.device for one in matches if one.why.sure})


def pairs(matches: Iterable[Match]) -> list[tuple[Footage, Footage]]:
    """Recordings of one activity by two recorders that run beside each other, the longest time together first."""
    sure = [one.footage for one in matches if one.why.sure]
    found = [
        (_together(one, other), one, other)
        for number, one in enumerate(sure)
        for other in sure[number + 1 :]
        if (one.officer or one.device) != (other.officer or other.device) and one.device != other.device
    ]
    return [(one, other) for time, one, other in sorted(found, key=lambda each: -each[0]) if time > _ZERO]


def _together(one: Footage, other: Footage) -> timedelta:
    if one.begins is None or one.ends is None or other.begins is None or other.ends is None:
        return _ZERO
    return min(one.ends, other.ends) - max(one.begins, other.begins)
