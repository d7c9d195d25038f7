"""What the catalogue knows of recordings without opening one: who, when, how whole, when handed in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from office.catalogue import utc
from office.rows import rows

UNEXPLAINED: Final = (None, "unanswered")
"""Reasons of a gap that are none."""

_BEFORE: Final = timedelta(hours=26)  # a recording that began so long before a period may reach into it
_IN: Final = (
    "((r.clock_source <> 'none' AND r.started >= :since AND r.started < :until) OR "
    "(r.clock_source = 'none' AND r.seen >= :since AND r.seen < :until))"
)
_RECORDINGS: Final = f"SELECT r.* FROM recordings r WHERE {_IN} ORDER BY r.started, r.device, r.recording"  # noqa: S608
_PARTS: Final = "SELECT p.* FROM {} p JOIN recordings r ON r.device = p.device AND r.recording = p.recording WHERE {}"
_LOANS: Final = "SELECT * FROM loans WHERE issued < :until ORDER BY device, issued"


@dataclass(frozen=True, slots=True)
class Gap:
    """A span that was not recorded. `reason`: how its reason is known, as the camera told it."""

    seq: int
    cause: str
    min_ms: int
    max_ms: int | None
    reason: str | None

    @property
    def explained(self) -> bool:
        """Whether the officer gave a reason on the spot."""
        return self.reason not in UNEXPLAINED


@dataclass(frozen=True, slots=True)
class Footage:
    """One recording. `begins` None: its camera had no clock. `officer`: the number of who had the camera, if known."""

    device: str
    recording: str
    begins: datetime | None
    ends: datetime | None
    kind: str | None
    officer: str | None
    gaps: tuple[Gap, ...] = ()
    notice_heard: bool = False
    missing: tuple[int, ...] = ()
    segments: int = 0
    over: bool = True  # its end was told
    signed: bool = True
    handed_in: datetime | None = None  # the whole of it
    statement_due: bool = False  # stopped on privacy or secrecy (rule 6)
    frames_dropped: int = 0
    seen: datetime | None = field(default=None, compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """Its name."""
        return self.device, self.recording

    @property
    def name(self) -> str:
        """Its name, for people and in leaves."""
        return f"{self.device}/{self.recording}"


def known(db: Connection, device: str, recording: str) -> bool:
    """Whether such a recording was told of by its camera's journal."""
    query = text("SELECT 1 FROM recordings WHERE device = :device AND recording = :recording")
    return db.execute(query, {"device": device, "recording": recording}).first() is not None


def between(db: Connection, since: datetime, until: datetime) -> list[Footage]:
    """Recordings that were made within a period, or reach into it; earliest first."""
    found = _read(db, since - _BEFORE, until)
    return [one for one in found if one.begins is None or max(one.begins, one.ends or one.begins) >= since]


def _read(db: Connection, since: datetime, until: datetime) -> list[Footage]:
    period = {"since": utc(since), "until": utc(until)}

    def of(table: str) -> defaultdict[tuple[str, str], list[Mapping[str, Any]]]:
        grouped: defaultdict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows(db, text(_PARTS.format(table, _IN)).bindparams(**period)):
            grouped[row["device"], row["recording"]].append(row)
        return grouped

    segments, gaps, notices, alerts = of("segments"), of("gaps"), of("notices"), of("alerts")
    loans: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows(db, text(_LOANS).bindparams(until=period["until"])):
        loans[row["device"]].append(row)
    return [
        _footage(row, segments[key], gaps[key], notices[key], alerts[key], loans[row["device"]])
        for row in rows(db, text(_RECORDINGS).bindparams(**period))
        for key in [(row["device"], row["recording"])]
    ]


def _footage(
    row: Mapping[str, Any], segments: Sequence[Mapping[str, Any]], gaps: Sequence[Mapping[str, Any]],
    notices: Sequence[Mapping[str, Any]], alerts: Sequence[Mapping[str, Any]], loans: Sequence[Mapping[str, Any]],
) -> Footage:  # fmt: skip
    begins = _time(row["started"]) if row["clock_source"] != "none" else None
    ends = _time(row["ended"] or max((one["ended"] for one in segments), default=row["started"]))
    missing = tuple(sorted(one["segment"] for one in segments if one["received"] is None))
    whole = row["ended"] is not None and segments and not missing
    return Footage(
        row["device"], row["recording"], begins, ends if begins else None, row["activity"],
        holder(loans, begins or _time(row["seen"])),
        tuple(
            Gap(gap["seq"], gap["cause"], gap["min_ms"], gap["max_ms"], gap["reason"])
            for gap in sorted(gaps, key=lambda gap: gap["seq"])
        ),
        any(one["heard"] for one in notices), missing, len(segments), row["ended"] is not None, bool(row["signed"]),
        _time(max(one["received"] for one in segments)) if whole else None,
        any(gap["cause"] == "privacy" for gap in gaps) or any(one["what"] == "statement_due" for one in alerts),
        row["frames_dropped"] or 0, _time(row["seen"]),
    )  # fmt: skip


def holder(loans: Sequence[Mapping[str, Any]], at: datetime) -> str | None:
    """The number of the officer who had a camera at a time, by the ledger; `loans`: of that camera."""
    given = [loan for loan in loans if _time(loan["issued"]) <= at]
    if not given:
        return None
    loan = max(given, key=lambda loan: (loan["issued"], loan["leaf_index"]))
    over = loan["returned"] or loan["met"]
    return None if over and _time(over) < at else str(loan["officer"])


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)
