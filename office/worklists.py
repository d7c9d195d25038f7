"""What somebody has to look at: where the rules ask for something and nothing is there. Made anew at each look.

A worklist says what is missing, never whose fault it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from office import activities, footage, statements
from office.catalogue import utc
from office.deadlines import end_of_day
from office.footage import Footage
from office.matching import LONGEST_REACH, Activity, Match, match, recorders

LISTS: Final = {
    "unrecorded": "有活动，无录像也无说明",
    "loose": "有录像，无活动",
    "unexplained": "中断未说明原因",
    "kindless": "录像未选类别",
    "statement-due": "因隐私秘密终止，未报说明",
    "lone": "仅一人录像",
}
"""The lists, the gravest first: rules 5 and 6, 16, 15, 5, 6, 10."""


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a worklist. `early`: the day on which it is to be handed in is not over, so it may mend itself."""

    list: str
    at: datetime | None
    section: str
    activity: int | None = None
    device: str | None = None
    recording: str | None = None
    gap: int | None = None
    detail: str = ""
    early: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """A period: activities, recordings with the kind that counts now, matches, and what was stated in writing."""

    rows: Sequence[Mapping[str, Any]]
    activities: Sequence[Activity]
    recordings: Sequence[Footage]
    matches: Sequence[Match]
    statements: Sequence[Mapping[str, Any]]
    sections: Mapping[tuple[str, str], str]

    def of(self, activity: int) -> list[Match]:
        """The matches of an activity."""
        return [one for one in self.matches if one.activity == activity]

    def section(self, one: Footage) -> str:
        """The section of a recording: its activity's, or that of its camera's custodian."""
        return self.sections.get(one.key, "")


def read(db: Connection, since: datetime, until: datetime, sections: Mapping[str, str]) -> Ledger:
    """What the office knows of a period; `sections`: of cameras. Whatever reaches into it from outside is matched."""
    rows = activities.between(db, utc(since - LONGEST_REACH), utc(until + LONGEST_REACH))
    kinds = activities.recording_kinds(db)
    recordings = [
        replace(one, kind=kinds.get(one.key, one.kind))
        for one in footage.between(db, since - LONGEST_REACH, until + LONGEST_REACH)
    ]
    all_of_them = [activities.as_activity(row) for row in rows]
    matches = match(all_of_them, recordings, activities.links(db))
    by_leaf = {one.leaf: one for one in all_of_them}
    of = {one.footage.key: by_leaf[one.activity].section for one in matches if one.why.sure}
    inside = [one for one in all_of_them if since <= one.begins < until]
    leaves = {one.leaf for one in inside}
    return Ledger(
        [row for row in rows if row["leaf_index"] in leaves],
        inside,
        [one for one in recordings if since <= _at(one) < until],
        matches,
        statements.latest(db),
        {one.key: of.get(one.key, sections.get(one.device, "")) for one in recordings},
    )


def items(ledger: Ledger, now: datetime, zone: ZoneInfo) -> list[Item]:
    """All worklists of a period, in their order and then by time."""
    sure: defaultdict[int, list[Match]] = defaultdict(list)
    for one in ledger.matches:
        if one.why.sure:
            sure[one.activity].append(one)
    found = [*_of_activities(ledger, sure, now, zone), *_of_recordings(ledger, sure)]
    order = {name: number for number, name in enumerate(LISTS)}
    return sorted(found, key=lambda one: (order[one.list], utc(one.at) if one.at else "", one.recording or ""))


def _of_activities(
    ledger: Ledger, sure: Mapping[int, Sequence[Match]], now: datetime, zone: ZoneInfo
) -> Iterable[Item]:
    stated, _ = statements.excused(ledger.statements)
    for one in ledger.activities:
        if one.ends > now:
            continue
        early = now < end_of_day(one.ends, zone)
        matches = sure.get(one.leaf, ())
        if not matches and one.leaf not in stated:
            yield Item("unrecorded", one.begins, one.section, one.leaf, detail=_looks(ledger, one.leaf), early=early)
        if matches and len(found := recorders(matches)) == 1:
            others = [officer for officer in one.officers if officer not in found]
            detail = f"仅 {found[0]} 录像" + (f"，{'、'.join(others)} 无录像" if others else "，仅登记一名执法人员")
            yield Item("lone", one.begins, one.section, one.leaf, detail=detail, early=early)


def _looks(ledger: Ledger, activity: int) -> str:
    looks = [one for one in ledger.of(activity) if not one.why.sure]
    return "疑似 " + "；".join(f"{one.footage.name}（{one.reason}）" for one in looks) if looks else ""


def _of_recordings(ledger: Ledger, sure: Mapping[int, Sequence[Match]]) -> Iterable[Item]:
    matched = {one.footage.key for matches in sure.values() for one in matches}
    written = statements.explained(ledger.statements)
    _, stated = statements.excused(ledger.statements)
    for one in ledger.recordings:
        item = Item("loose", _at(one), ledger.section(one), None, one.device, one.recording)
        if one.key not in matched:
            yield replace(item, detail="" if one.officer else "领用人不明")
        if one.kind is None:
            yield replace(item, list="kindless")
        if one.statement_due and one.key not in stated:
            yield replace(item, list="statement-due")
        for gap in one.gaps:
            if not gap.explained and not {(*one.key, gap.seq), (*one.key, None)} & written:
                yield replace(item, list="unexplained", gap=gap.seq, detail=gap.cause)


def _at(one: Footage) -> datetime:
    """When it began; without a clock, when the office first saw it."""
    at = one.begins or one.seen
    if at is None:
        raise ValueError(one.name)
    return at
