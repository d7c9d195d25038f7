"""The catalogue: what the office holds, found quickly. Derived from journals, store and log, and rebuildable.

Only `events`, and `alerts` that are not handed in yet, hold what stands nowhere else: hints until the journal arrives.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Executable, Table, exists, func, select, update

from evidence import shape
from evidence.documents import Receipt
from evidence.errors import EvidenceError
from evidence.records import Record
from office.contact import Contact
from office.database import Database, Row, put, put_new
from office.intake import put_alert, take
from office.schema import (
    ALERTS,
    BAYS,
    DEVICES,
    DOCKS,
    EVENTS,
    EXPORTS,
    FORKS,
    GAPS,
    HEADS,
    LOANS,
    NOTICES,
    RECORDINGS,
    REMOTES,
    SEGMENTS,
    TELEMETRY,
)  # fmt: skip

_TABLES: Final = {
    table.name: table for table in (EVENTS, EXPORTS, FORKS, DOCKS, DEVICES, BAYS, TELEMETRY, LOANS, REMOTES)
}
_OPENINGS = 64
_UNVERIFIED = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """A message of a dock. `verdict`: `signed`, `unverified` (key not known yet), `malformed`; always only a hint."""

    id: str
    dock: str
    camera: str
    what: str
    kind: str | None
    seq: int | None
    verdict: str
    payload: bytes


class Catalogue:
    """Safe to use from several threads. Every method is one durable transaction, or one look."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def head_seq(self, device: str) -> int:
        """Last record that was taken in; -1: none."""
        rows = self.rows(select(DEVICES.c.head_seq).where(DEVICES.c.device == device))
        return int(rows[0]["head_seq"]) if rows else -1

    def add_records(self, device: str, found: Sequence[tuple[Record, bool]], dock: str | None) -> None:
        """Take in verified records in order, each with whether its session is signed. Known ones change nothing.

        `dock`: who brought them, if no head in the log tells it.
        """
        known = self.head_seq(device)
        fresh = [(record, signed) for record, signed in found if record.seq > known]
        if not fresh:
            return
        last = fresh[-1][0]
        with self._database.begin() as db:
            arrivals, contact = _Arrivals(db, device, fresh[0][0].seq, last.seq), Contact(db, device)
            for record, signed in fresh:
                seen = arrivals.at(record.seq)
                take(db, record, seen, signed=signed)
                contact.take(record, seen)
            contact.close()
            row = {"device": device, "head_seq": last.seq, "head": last.sha256, "handed_in": arrivals.at(last.seq)}
            put(db, DEVICES, {**row, "dock": dock}, *row)
            if (dock := arrivals.dock or dock) is not None:
                db.execute(update(DEVICES).where(DEVICES.c.device == device).values(dock=dock))

    def add_receipt(self, receipt: Receipt) -> None:
        """A segment is held. Known ones change nothing."""
        segment = SEGMENTS.c
        with self._database.begin() as db:
            db.execute(
                update(SEGMENTS)
                .where(
                    segment.device == receipt.device,
                    segment.recording == receipt.recording,
                    segment.segment == receipt.segment,
                )
                .values(received=receipt.received, retain_until=receipt.retain_until, leaf_index=receipt.leaf_index)
            )

    def missing(self) -> list[tuple[str, str, int]]:
        """Device, recording and number of the segments that journals tell of and no receipt does."""
        segment = SEGMENTS.c
        found = select(segment.device, segment.recording, segment.segment).where(segment.received.is_(None))
        return [(row["device"], row["recording"], row["segment"]) for row in self.rows(found)]

    def add_events(self, events: Sequence[Event]) -> None:
        """Keep messages, each once."""
        rows = [
            {"id": e.id, "dock": e.dock, "camera": e.camera, "class": e.what, "kind": e.kind, "seq": e.seq,
             "verdict": e.verdict, "received": utc_now(), "payload": e.payload} for e in events
        ]  # fmt: skip
        if rows:
            with self._database.begin() as db:
                put_new(db, EVENTS, rows)

    def openings(self, camera: str) -> list[bytes]:
        """Lines that open sessions of a camera and verify, among the messages; the newest first."""
        event = EVENTS.c
        found = self.rows(
            select(event.payload)
            .where(event.camera == camera, event.kind.in_(("boot", "summary")), event.verdict == "signed")
            .order_by(event.seq.desc())
            .limit(_OPENINGS)
        )
        return [row["payload"] for row in found]

    def unverified(self, camera: str) -> list[tuple[str, bytes]]:
        """Dock and payload of a camera's lines whose key was not known when they came; the newest ones."""
        event = EVENTS.c
        found = self.rows(
            select(event.dock, event.payload)
            .where(event.camera == camera, event["class"] == "journal", event.verdict == "unverified")
            .order_by(event.received.desc())
            .limit(_UNVERIFIED)
        )
        return [(row["dock"], row["payload"]) for row in found]

    def verified(self, events: Sequence[Event]) -> None:
        """Those events are signed: their key has come meanwhile."""
        with self._database.begin() as db:
            for event in events:
                this = (EVENTS.c.dock == event.dock) & (EVENTS.c.id == event.id)
                db.execute(update(EVENTS).where(this).values(verdict="signed"))

    def tell_alert(self, record: Record, *, signed: bool) -> bool:
        """An alert that its camera told directly; False if it was known.

        Raises `EvidenceError` ("fork") if the journal that was handed in has another line in its place. Two that were
        only told are both kept: the journal will show which one is false.
        """
        this = (ALERTS.c.device == record.device) & (ALERTS.c.sha256 == record.sha256)
        handed_in = (DEVICES.c.device == record.device) & (DEVICES.c.head_seq >= record.seq)
        with self._database.begin() as db:
            if db.scalar(select(exists().where(this))):
                told = func.coalesce(ALERTS.c.told, utc_now())
                db.execute(update(ALERTS).where(this).values(told=told))
                return False
            if db.scalar(select(exists().where(handed_in))):
                raise EvidenceError("fork", f"another line stands at {record.seq} in the journal of {record.device}")
            put_alert(db, record, signed=signed, told=utc_now(), handed_in=None)
            return True

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts, earliest first; `covered`: the journal that was handed in reaches that far."""
        covered = (ALERTS.c.seq <= func.coalesce(DEVICES.c.head_seq, -1)).label("covered")
        with_head = ALERTS.outerjoin(DEVICES, ALERTS.c.device == DEVICES.c.device)
        order = (ALERTS.c.at, ALERTS.c.device, ALERTS.c.seq)
        return self.rows(select(*ALERTS.c, covered).select_from(with_head).order_by(*order))

    def set_presence(self, dock: str, *, online: bool) -> None:
        """Whether a dock is connected to the broker. Its bays are not known without it."""
        now = utc_now()
        with self._database.begin() as db:
            put(db, DOCKS, {"dock": dock, "online": online, "seen": now}, "online", "seen")
            if not online:
                there = (BAYS.c.dock == dock) & BAYS.c.online
                db.execute(update(BAYS).where(there).values(online=False, camera=None, since=now))

    def set_bay(self, dock: str, bay: str, camera: str | None, *, online: bool) -> None:
        """Which camera is in a bay."""
        row = {"dock": dock, "bay": bay, "online": online, "camera": camera, "since": utc_now()}
        with self._database.begin() as db:
            put(db, BAYS, row, "online", "camera", "since")

    def set_telemetry(self, dock: str, camera: str, payload: bytes) -> None:
        """How a camera is, as this dock told last, or (empty) the dock itself."""
        row = {"dock": dock, "camera": camera, "payload": payload, "received": utc_now()}
        with self._database.begin() as db:
            put(db, TELEMETRY, row, "payload", "received")

    def logged_seq(self, device: str) -> int | None:
        """The last record of a camera that the log holds as a head."""
        (row,) = self.rows(select(func.max(HEADS.c.seq).label("seq")).where(HEADS.c.device == device))
        return None if row["seq"] is None else int(row["seq"])

    def heads(self, device: str) -> list[dict[str, Any]]:
        """`seq` and `leaf_index` of the heads of a camera that are in the log, rising."""
        heads = select(HEADS.c.seq, HEADS.c.leaf_index).where(HEADS.c.device == device)
        return self.rows(heads.order_by(HEADS.c.seq))

    def recordings(
        self, recording: str | None = None, *, since: str | None = None, until: str | None = None
    ) -> list[dict[str, Any]]:
        """Recordings with `segments`, `gaps` and `notices` of each, earliest first: all; those of one id; of a time.

        `since`, `until`: bounds of the claimed start, the latter excluded.
        """
        started = RECORDINGS.c.started
        of = [] if recording is None else [RECORDINGS.c.recording == recording]
        of += [] if since is None else [started >= since]
        of += [] if until is None else [started < until]
        with self._database.read() as db:
            found = _rows(db, select(RECORDINGS).where(*of).order_by(started, RECORDINGS.c.recording))
            for name, table in (("segments", SEGMENTS), ("gaps", GAPS), ("notices", NOTICES)):
                parts = _parts(db, table, of)
                for row in found:
                    row[name] = parts[row["device"], row["recording"]]
        return found

    def holds(self, device: str, recording: str) -> bool:
        """Whether a camera's journal tells of a recording."""
        of = (RECORDINGS.c.device == device) & (RECORDINGS.c.recording == recording)
        return bool(self.rows(select(RECORDINGS.c.device).where(of)))

    def ended(self, device: str, recording: str) -> datetime | None:
        """When a recording ended, if it has and the camera's clock was set."""
        of = (RECORDINGS.c.device == device) & (RECORDINGS.c.recording == recording)
        rows = self.rows(select(RECORDINGS.c.ended).where(of, RECORDINGS.c.ended_by_set_clock))
        return datetime.fromisoformat(rows[0]["ended"]) if rows else None

    def table(self, name: str) -> list[dict[str, Any]]:
        """All rows of one of these tables."""
        table = _TABLES[name]
        return self.rows(select(table).order_by(*table.primary_key))

    def rows(self, query: Executable) -> list[dict[str, Any]]:
        """What a query finds."""
        with self._database.read() as db:
            return _rows(db, query)


def _enter_export(db: Connection, leaf_index: int, leaf: Row) -> None:
    names = ("device", "recording", "by", "reason", "at", "decrypted", "folder")
    put_new(db, EXPORTS, {"leaf_index": leaf_index, **{name: leaf[name] for name in names}})


def _enter_head(db: Connection, leaf_index: int, leaf: Row) -> None:
    names = ("device", "seq", "at", "dock")
    put_new(db, HEADS, {"leaf_index": leaf_index, **{name: leaf[name] for name in names}})


def _enter_fork(db: Connection, _leaf_index: int, leaf: Row) -> None:
    if not leaf.get("quarantine"):  # which has chains of its own
        put_new(db, FORKS, {name: leaf.get(name) for name in ("device", "sha256", "file", "size", "dock", "at")})


ENTERS: Final = {"export": _enter_export, "fork": _enter_fork, "head": _enter_head}
"""What the log tells of copies and of the cameras' chains (`office.book`)."""


class _Arrivals:
    """When, and by whose hand, the office had the records of a camera, from `first` to `last`: its logged heads."""

    def __init__(self, db: Connection, device: str, first: int, last: int) -> None:
        seq, now = HEADS.c.seq, utc_now()
        heads = select(seq, HEADS.c.at, HEADS.c.dock).where(HEADS.c.device == device).order_by(seq)
        before = db.execute(heads.where(seq >= first, seq < last)).all()
        rows = [*before, *db.execute(heads.where(seq >= last).limit(1))]
        self._seqs = [row.seq for row in rows]
        self._times: list[str] = [*(row.at for row in rows), now]  # now: quarantine, which logs none
        self.dock = next((row.dock for row in reversed(rows) if row.dock), None)

    def at(self, seq: int) -> str:
        return self._times[bisect.bisect_left(self._seqs, seq)]


def utc_now() -> str:
    """This machine's time as records write it."""
    return utc(datetime.now(UTC))


def utc(at: datetime) -> str:
    """A time as records write it."""
    return shape.utc_of(at)


def _rows(db: Connection, query: Executable) -> list[dict[str, Any]]:
    result = db.execute(query)
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]  # three times as fast as mappings


def _parts(db: Connection, table: Table, of: Sequence[ColumnElement[bool]]) -> Mapping[tuple[str, str], list[Row]]:
    """What belongs to each of these recordings, by device and recording, in order."""
    theirs = (table.c.device == RECORDINGS.c.device) & (table.c.recording == RECORDINGS.c.recording)
    wanted = select(table).join(RECORDINGS, theirs).where(*of).order_by(*table.primary_key)
    found: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in _rows(db, wanted):
        found[row["device"], row["recording"]].append(row)
    return found
