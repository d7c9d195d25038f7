"""What is to be handed in, from the ledger and from the cameras' own journals, and how it stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Executable, Select, func, not_, select, tuple_

from evidence.jose import Json
from office.catalogue import Catalogue, utc
from office.deadlines import Deadline, Duty, Remote, State, begin_of_duty, judge
from office.listing import columns, minute
from office.schema import DEVICES, LOANS, RECORDINGS, REMOTES, SEGMENTS

OPEN: Final = (State.OVERDUE, State.WARNING, State.AWAY, State.OPEN)
"""States of what is not handed in."""

_KNOWN = timedelta(days=62)  # acts of the ledger before that explain nothing that is still open, but open ones
_STATES = {
    State.OVERDUE: "已逾期 overdue", State.WARNING: "即将到期 near", State.AWAY: "异地未返 away",
    State.OPEN: "未到期 open", State.LATE: "逾期移交 late", State.MET: "按时移交 in time",
}  # fmt: skip
_LIMITS = {"same_day": "当日 same day", "after_return": "返回后24小时 24 h after return"}
_HEADINGS = ("状态 state", "设备 device", "录像 recording", "警号 officer", "起算 from", "期限 due",
             "依据 limit", "备注 notes")  # fmt: skip


def deadlines(
    catalogue: Catalogue, now: datetime, zone: ZoneInfo, warn: timedelta, *, done_since: datetime | None = None
) -> list[Deadline]:
    """How every duty stands that is not met, the worst and most urgent first; and those since then that are."""
    recent = utc(now - _KNOWN)
    known = LOANS.c.met.is_(None) | (LOANS.c.issued >= recent)
    loans = _by_device(catalogue, select(LOANS).where(known).order_by(LOANS.c.issued))
    remotes = _remotes(catalogue, recent)
    duties = _recordings(catalogue, loans, done_since) + _cameras(catalogue, loans, done_since)
    found = [judge(duty, remotes[duty.device], now, zone, warn) for duty in duties]
    order = {state: number for number, state in enumerate(State)}
    latest = datetime.max.replace(tzinfo=UTC)
    return sorted(found, key=lambda one: (order[one.state], one.due or latest, one.duty.device, one.duty.begins))


def _recordings(
    catalogue: Catalogue, loans: Mapping[str, Sequence[Mapping[str, Any]]], done_since: datetime | None
) -> list[Duty]:
    lacking = select(SEGMENTS.c.device, SEGMENTS.c.recording).where(SEGMENTS.c.received.is_(None))
    undone = RECORDINGS.c.ended.is_(None) | tuple_(RECORDINGS.c.device, RECORDINGS.c.recording).in_(lacking)
    rows = catalogue.rows(_sums(undone))
    if done_since is not None:
        done = catalogue.rows(_sums(not_(undone) & (RECORDINGS.c.seen >= utc(done_since))))
        rows += [row for row in done if row["segments"]]
    planned = {
        device: [(_time(loan["issued"]), _time(loan["shift_end"])) for loan in of_it] for device, of_it in loans.items()
    }
    duties = []
    for row in rows:
        shifts = planned.get(row["device"], [])
        ended = _ended(row)
        loan = _loan(loans[row["device"]], ended)
        whole = row["ended"] is not None and row["held"] == row["segments"]
        if whole and not row["segments"]:
            continue  # nothing was recorded
        duties.append(
            Duty(
                row["device"], row["recording"], loan["officer"] if loan else None,
                loan["dock"] if loan and loan["dock"] else row["dock"], begin_of_duty(ended, shifts),
                _time(row["last"]) if whole else None,
            )
        )  # fmt: skip
    return duties


def _sums(which: ColumnElement[bool]) -> Select[Any]:
    """Those recordings, with what is told of their segments together."""
    recording, segment = RECORDINGS.c, SEGMENTS.c
    theirs = (segment.device == recording.device) & (segment.recording == recording.recording)
    with_parts = RECORDINGS.outerjoin(SEGMENTS, theirs).outerjoin(DEVICES, DEVICES.c.device == recording.device)
    sums = (
        func.count(segment.segment).label("segments"),
        func.count(segment.received).label("held"),
        func.max(segment.received).label("last"),
        func.max(segment.ended).label("until"),
    )
    told = select(*RECORDINGS.c, DEVICES.c.dock, *sums).select_from(with_parts).where(which)
    return told.group_by(recording.device, recording.recording, DEVICES.c.dock).order_by(recording.started)


def _ended(row: Mapping[str, Any]) -> datetime:
    """When a recording ended, as far as is known: never later than the office saw it, whatever a clock says."""
    known = row["ended_by_set_clock"] if row["ended"] is not None else row["clock_source"] != "none"
    claimed = row["ended"] or row["until"] or row["started"]
    return _time(min(claimed, row["seen"]) if known else row["seen"])


def _cameras(
    catalogue: Catalogue, loans: Mapping[str, Sequence[Mapping[str, Any]]], done_since: datetime | None
) -> list[Duty]:
    docks = {row["device"]: row["dock"] for row in catalogue.rows(select(DEVICES.c.device, DEVICES.c.dock))}
    return [
        Duty(
            device, None, loan["officer"], loan["dock"] or docks.get(device), _time(loan["ends"]),
            _time(loan["met"]) if loan["met"] else None,
        )
        for device, all_of_it in loans.items()
        for loan in all_of_it
        if loan["met"] is None or (done_since is not None and _time(loan["met"]) >= done_since)
    ]  # fmt: skip


def _loan(loans: Sequence[Mapping[str, Any]], at: datetime) -> Mapping[str, Any] | None:
    """The use of a camera in which something was recorded: the last that had begun."""
    begun = utc(at)
    return max((loan for loan in loans if loan["issued"] <= begun), key=lambda loan: loan["issued"], default=None)


def _by_device(catalogue: Catalogue, query: Executable) -> defaultdict[str, list[Mapping[str, Any]]]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in catalogue.rows(query):
        found[row["device"]].append(row)
    return found


def _remotes(catalogue: Catalogue, recent: str) -> defaultdict[str, list[Remote]]:
    found: defaultdict[str, list[Remote]] = defaultdict(list)
    known = REMOTES.c.returned.is_(None) | (REMOTES.c.returned >= recent)
    for device, rows in _by_device(catalogue, select(REMOTES).where(known).order_by(REMOTES.c.since)).items():
        for row in rows:
            returned, until = (_time(row[name]) if row[name] else None for name in ("returned", "until"))
            found[device].append(Remote(_time(row["since"]), returned, row["reason"], _time(row["declared"]), until))
    return found


def describe(deadline: Deadline) -> Json:
    """One deadline with stable keys."""
    duty, remote = deadline.duty, deadline.remote
    return {
        "state": deadline.state,
        "device": duty.device,
        "recording": duty.recording,
        "officer": duty.officer,
        "dock": duty.dock,
        "from": utc(duty.begins),
        "due": utc(deadline.due) if deadline.due else None,
        "limit": deadline.limit,
        "met": utc(duty.met) if duty.met else None,
        "remote": remote and {
            "since": utc(remote.since),
            "until": utc(remote.until) if remote.until else None,
            "returned": utc(remote.returned) if remote.returned else None,
            "reason": remote.reason,
            "declared": utc(remote.declared),
        },
    }  # fmt: skip


def table(found: Sequence[Deadline], zone: ZoneInfo) -> str:
    """A table for people; times are the county's."""
    if not found:
        return "无待移交 nothing is to be handed in\n"
    return columns([_HEADINGS, *(_row(deadline, zone) for deadline in found)])


def _row(deadline: Deadline, zone: ZoneInfo) -> tuple[str, ...]:
    duty = deadline.duty
    return (
        _STATES[deadline.state],
        duty.device,
        duty.recording or "整机 camera",
        duty.officer or "—",
        minute(duty.begins, zone),
        minute(deadline.due, zone) if deadline.due else "返回后起算 from the return",
        _LIMITS[deadline.limit],
        "、".join(_notes(deadline, zone)) or "—",
    )


def _notes(deadline: Deadline, zone: ZoneInfo) -> list[str]:
    duty, remote, notes = deadline.duty, deadline.remote, []
    if duty.met is not None:
        notes.append(f"移交 handed in {minute(duty.met, zone)}")
    if remote is not None:
        notes.append(f"异地 remote：{remote.reason}")
        if remote.declared > remote.since + timedelta(hours=1):
            notes.append(f"事后申报 declared {minute(remote.declared, zone)}")
        if remote.until is not None and remote.returned is None:
            notes.append(f"预计返回 expected {minute(remote.until, zone)}")
    return notes


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
