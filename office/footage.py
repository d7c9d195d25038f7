"""What the catalogue knows of recordings without opening one: who, when, how whole, when handed in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Table, case, select

from office.catalogue import utc
from office.database import Row
from office.rows import rows
from office.schema import ALERTS, GAPS, LOANS, NOTICES, RECORDINGS, SEGMENTS

UNEXPLAINED: Final = (None, "unanswered")
"""Reasons of a gap that are none."""

_BEFORE: Final = timedelta(hours=26)  # a recording that began so long before a period may reach into it


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
    of_it = (RECORDINGS.c.device == device) & (RECORDINGS.c.recording == recording)
    return db.execute(select(RECORDINGS.c.device).where(of_it)).first() is not None


def between(db: Connection, since: datetime, until: datetime) -> list[Footage]:
    """Recordings that were made within a period, or reach into it; earliest first."""
    found = _read(db, since - _BEFORE, until)
    return [one for one in found if one.begins is None or max(one.begins, one.ends or one.begins) >= since]


def _read(db: Connection, since: datetime, until: datetime) -> list[Footage]:
    at = case((RECORDINGS.c.clock_source != "none", RECORDINGS.c.started), else_=RECORDINGS.c.seen)
    within = (at >= utc(since)) & (at < utc(until))

    def of(table: Table) -> defaultdict[tuple[str, str], list[Row]]:
        same = (table.c.device == RECORDINGS.c.device) & (table.c.recording == RECORDINGS.c.recording)
        grouped: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows(db, select(table).join(RECORDINGS, same).where(within)):
            grouped[row["device"], row["recording"]].append(row)
        return grouped

    segments, gaps, notices, alerts = of(SEGMENTS), of(GAPS), of(NOTICES), of(ALERTS)
    loans: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows(db, select(LOANS).where(LOANS.c.issued < utc(until))):
        loans[row["device"]].append(row)
    found = select(RECORDINGS).where(within).order_by(RECORDINGS.c.started, RECORDINGS.c.device, RECORDINGS.c.recording)
    return [
        _footage(row, segments[key], gaps[key], notices[key], alerts[key], loans[row["device"]])
        for row in rows(db, found)
        for key in [(row["device"], row["recording"])]
    ]


def _footage(
    row: Row, segments: Sequence[Row], gaps: Sequence[Row], notices: Sequence[Row], alerts: Sequence[Row],
    loans: Sequence[Row],
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


def holder(loans: Sequence[Row], at: datetime) -> str | None:
    """The number of the officer who had a camera at a time, by the ledger; `loans`: of that camera."""
    given = [loan for loan in loans if _time(loan["issued"]) <= at]
    if not given:
        return None
    loan = max(given, key=lambda loan: (loan["issued"], loan["leaf_index"]))
    over = loan["returned"] or loan["met"]
    return None if over and _time(over) < at else str(loan["officer"])


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)
