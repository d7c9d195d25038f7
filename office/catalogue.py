"""The catalogue: what the office holds, found quickly. SQLite; derived from journals and store, and rebuildable.

Only `events`, and `alerts` that are not handed in yet, hold what stands nowhere else: hints until the journal arrives.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence import shape
from evidence.documents import Receipt
from evidence.errors import EvidenceError
from evidence.records import Record
from office.contact import Contact
from office.errors import OfficeError
from office.schema import SCHEMA, VERSION

_BUSY_SECONDS = 10


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
    """One connection, used by one thread at a time. Every method is one durable transaction."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (VERSION, 0) or (
                version == 0 and self._db.execute("SELECT 1 FROM sqlite_master").fetchone()
            ):
                raise sqlite3.DatabaseError(f"its tables are of version {version}, this program's of {VERSION}")
            self._db.executescript(f"{SCHEMA}PRAGMA user_version={VERSION};")
        except sqlite3.Error as error:
            raise OfficeError("catalogue", f"{path} cannot be opened ({error}); move it away, it is rebuilt") from error

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def head_seq(self, device: str) -> int:
        """Last record that was taken in; -1: none."""
        rows = self.rows("SELECT head_seq FROM devices WHERE device = ?", device)
        return int(rows[0]["head_seq"]) if rows else -1

    def add_records(self, device: str, found: Sequence[tuple[Record, bool]], dock: str | None) -> None:
        """Take in verified records in order, each with whether its session is signed. Known ones change nothing."""
        known = self.head_seq(device)
        fresh = [(record, signed) for record, signed in found if record.seq > known]
        if not fresh:
            return
        last = fresh[-1][0]
        with self.transaction() as db:
            contact = Contact(db, device, utc_now())
            for record, signed in fresh:
                _take(db, device, record, signed)
                contact.take(record)
            db.execute(
                "INSERT INTO devices VALUES (?,?,?,?,?,?,?) ON CONFLICT (device) DO UPDATE SET "
                "head_seq=excluded.head_seq, head=excluded.head, handed_in=excluded.handed_in, dock=excluded.dock, "
                "docked_since=excluded.docked_since, contact=excluded.contact",
                (device, last.seq, last.sha256, utc_now(), dock, contact.since, contact.last),
            )

    def add_receipt(self, receipt: Receipt) -> None:
        """A segment is held. Known ones change nothing."""
        with self.transaction() as db:
            db.execute(
                "UPDATE segments SET received=?, retain_until=?, leaf_index=? "
                "WHERE device=? AND recording=? AND segment=?",
                (receipt.received, receipt.retain_until, receipt.leaf_index,
                 receipt.device, receipt.recording, receipt.segment),
            )  # fmt: skip

    def add_fork(self, device: str, sha256: str, file: int, size: int, dock: str) -> None:
        """A journal that does not extend the one held."""
        row = (device, sha256, file, size, utc_now(), dock)
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO forks VALUES (?,?,?,?,?,?)", row)

    def knows_fork(self, device: str, sha256: str) -> bool:
        """Whether `add_fork` was done."""
        return bool(self.rows("SELECT 1 FROM forks WHERE device=? AND sha256=?", device, sha256))

    def add_events(self, events: Sequence[Event]) -> None:
        """Keep messages, each once."""
        rows = [(e.id, e.dock, e.camera, e.what, e.kind, e.seq, e.verdict, utc_now(), e.payload) for e in events]
        with self.transaction() as db:
            db.executemany("INSERT OR IGNORE INTO events VALUES (?,?,?,?,?,?,?,?,?)", rows)

    def openings(self, camera: str) -> list[bytes]:
        """Lines that open sessions of a camera and verify, among the messages; the newest first."""
        found = self.rows(
            "SELECT payload FROM events WHERE camera=? AND kind IN ('boot', 'summary') AND verdict='signed' "
            "ORDER BY seq DESC LIMIT 64", camera,
        )  # fmt: skip
        return [row["payload"] for row in found]

    def unverified(self, camera: str) -> list[tuple[str, bytes]]:
        """Dock and payload of a camera's lines whose key was not known when they came."""
        found = self.rows(
            "SELECT dock, payload FROM events WHERE camera=? AND class='journal' AND verdict='unverified' "
            "ORDER BY rowid DESC LIMIT 10000", camera,
        )  # fmt: skip
        return [(row["dock"], row["payload"]) for row in found]

    def verified(self, events: Sequence[Event]) -> None:
        """Those events are signed: their key has come meanwhile."""
        with self.transaction() as db:
            db.executemany(
                "UPDATE events SET verdict='signed' WHERE dock=? AND id=?", [(event.dock, event.id) for event in events]
            )

    def tell_alert(self, record: Record, *, signed: bool) -> bool:
        """An alert that its camera told directly; False if it was known.

        Raises `EvidenceError` ("fork") if the journal that was handed in has another line in its place. Two that were
        only told are both kept: the journal will show which one is false.
        """
        key = (record.device, record.sha256)
        with self.transaction() as db:
            if db.execute("SELECT 1 FROM alerts WHERE device=? AND sha256=?", key).fetchone():
                db.execute("UPDATE alerts SET told=coalesce(told, ?) WHERE device=? AND sha256=?", (utc_now(), *key))
                return False
            place = (record.device, record.seq)
            if db.execute("SELECT 1 FROM devices WHERE device=? AND head_seq>=?", place).fetchone():
                raise EvidenceError("fork", f"another line stands at {record.seq} in the journal of {record.device}")
            _insert_alert(db, record, signed=signed, told=utc_now(), handed_in=None)
            return True

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts, earliest first; `covered`: the journal that was handed in reaches that far."""
        return self.rows(
            "SELECT alerts.*, seq <= coalesce(head_seq, -1) AS covered FROM alerts LEFT JOIN devices USING (device) "
            "ORDER BY at, device, seq"
        )

    def set_presence(self, dock: str, *, online: bool) -> None:
        """Whether a dock is connected to the broker. Its bays are not known without it."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO docks VALUES (?,?,?)", (dock, online, utc_now()))
            if not online:
                db.execute("UPDATE bays SET online=0, camera=NULL, since=? WHERE dock=? AND online", (utc_now(), dock))

    def set_bay(self, dock: str, bay: str, camera: str | None, *, online: bool) -> None:
        """Which camera is in a bay."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO bays VALUES (?,?,?,?,?)", (dock, bay, online, camera, utc_now()))

    def set_telemetry(self, dock: str, camera: str, payload: bytes) -> None:
        """How a camera is, as this dock told last, or (empty) the dock itself."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO telemetry VALUES (?,?,?,?)", (dock, camera, payload, utc_now()))

    def add_export(self, leaf_index: int, leaf: Mapping[str, Any]) -> None:
        """Who takes out what, and why; written before anything is taken out. Known ones change nothing."""
        with self.transaction() as db:
            enter_export(db, leaf_index, leaf)

    def add_head(self, leaf_index: int, leaf: Mapping[str, Any]) -> None:
        """A head of a camera's chain is in the log. Known ones change nothing."""
        with self.transaction() as db:
            enter_head(db, leaf_index, leaf)

    def logged_seq(self, device: str) -> int | None:
        """The last record of a camera that the log holds as a head."""
        (row,) = self.rows("SELECT max(seq) AS seq FROM heads WHERE device=?", device)
        return None if row["seq"] is None else int(row["seq"])

    def heads(self, device: str) -> list[dict[str, Any]]:
        """`seq` and `leaf_index` of the heads of a camera that are in the log, rising."""
        return self.rows("SELECT seq, leaf_index FROM heads WHERE device=? ORDER BY seq", device)

    def recordings(self, recording: str | None = None) -> list[dict[str, Any]]:
        """Recordings with `segments`, `gaps` and `notices` of each, earliest first; or those of one id."""
        found = self.rows(
            "SELECT * FROM recordings WHERE recording = coalesce(?, recording) ORDER BY started, recording", recording
        )
        for row in found:
            key = (row["device"], row["recording"])
            of = "WHERE device = ? AND recording = ? ORDER BY"
            row["segments"] = self.rows(f"SELECT * FROM segments {of} segment", *key)  # noqa: S608 - constant text
            row["gaps"] = self.rows(f"SELECT * FROM gaps {of} seq", *key)  # noqa: S608
            row["notices"] = self.rows(f"SELECT * FROM notices {of} seq", *key)  # noqa: S608
        return found

    def ended(self, device: str, recording: str) -> datetime | None:
        """When a recording ended, if it has and the camera's clock was set."""
        rows = self.rows(
            "SELECT ended FROM recordings WHERE device=? AND recording=? AND ended_by_set_clock", device, recording
        )
        return datetime.fromisoformat(rows[0]["ended"]) if rows else None

    def table(self, name: str) -> list[dict[str, Any]]:
        """All rows of one of these tables."""
        if name not in {"events", "exports", "forks", "docks", "devices", "bays", "telemetry", "loans", "remotes"}:
            raise ValueError(name)
        return self.rows(f"SELECT * FROM {name} ORDER BY rowid")  # noqa: S608 - one of the names above

    def version(self) -> int:
        """Another number after another process has changed something."""
        (row,) = self.rows("PRAGMA data_version")
        return int(row["data_version"])

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """What a query finds."""
        with self._lock:
            return [dict(row) for row in self._db.execute(query, values)]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Changes that are durable together, or not at all."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def enter_export(db: sqlite3.Connection, leaf_index: int, leaf: Mapping[str, Any]) -> None:
    """As `Catalogue.add_export`, within a transaction."""
    values = [leaf[name] for name in ("device", "recording", "by", "reason", "at", "decrypted", "folder")]
    db.execute("INSERT OR IGNORE INTO exports VALUES (?,?,?,?,?,?,?,?)", (leaf_index, *values))


def enter_head(db: sqlite3.Connection, leaf_index: int, leaf: Mapping[str, Any]) -> None:
    """As `Catalogue.add_head`, within a transaction."""
    db.execute("INSERT OR IGNORE INTO heads VALUES (?,?,?)", (leaf["device"], leaf["seq"], leaf_index))


def utc_now() -> str:
    """This machine's time as records write it."""
    return utc(datetime.now(UTC))


def utc(at: datetime) -> str:
    """A time as records write it."""
    return shape.utc_text(int(at.timestamp() * 1000))


def _take(db: sqlite3.Connection, device: str, record: Record, signed: bool) -> None:
    handler = _HANDLERS.get(record.kind)
    if handler is None:
        return
    handler(db, device, record)
    if not signed:
        _unsigned(db, device, record)


def _unsigned(db: sqlite3.Connection, device: str, record: Record) -> None:
    """An alert, or a recording, of which a boot tells whose session nothing certifies so far."""
    recording = record.body["recording"]
    db.execute("UPDATE alerts SET signed=0 WHERE device=? AND sha256=?", (device, record.sha256))
    db.execute("UPDATE recordings SET signed=0 WHERE device=? AND recording=?", (device, recording))
    told = record.sha256 if record.kind == "alert" else None  # other records have no row of their own
    names = [(device, record.boot, name) for name in (told, recording) if name is not None]
    db.executemany("INSERT OR IGNORE INTO unsigned VALUES (?,?,?)", names)


def _certified(db: sqlite3.Connection, device: str, record: Record) -> None:
    """The evidence key answered late: all that the boot told is signed, if no other boot tells of it as well."""
    names = db.execute("SELECT name FROM unsigned WHERE device=? AND boot=?", (device, record.boot)).fetchall()
    db.execute("DELETE FROM unsigned WHERE device=? AND boot=?", (device, record.boot))
    for (name,) in names:
        db.execute("UPDATE alerts SET signed=1 WHERE device=? AND sha256=?", (device, name))
        db.execute(
            "UPDATE recordings SET signed=1 WHERE device=? AND recording=? "
            "AND NOT EXISTS (SELECT 1 FROM unsigned WHERE device=? AND name=?)",
            (device, name, device, name),
        )


def _started(db: sqlite3.Connection, device: str, record: Record) -> None:
    body, clock = record.body, record.clock
    db.execute(
        "INSERT INTO recordings VALUES (?,?,?,?,?,?,?,?,NULL,NULL,NULL,NULL,NULL,1,?) "
        "ON CONFLICT (device, recording) DO UPDATE SET parts=max(parts, excluded.parts)",
        (device, body["recording"], record.boot, body["activity"], shape.utc_text(clock.utc_ms), clock.source,
         clock.error_ms, body["part"], utc_now()),
    )  # fmt: skip


def _ended(db: sqlite3.Connection, device: str, record: Record) -> None:
    body, clock = record.body, record.clock
    db.execute(
        "UPDATE recordings SET ended=?, ended_by_set_clock=?, parts=?, "
        "frames_delivered=?, frames_encoded=?, frames_dropped=?, seen=? WHERE device=? AND recording=?",
        (shape.utc_text(clock.utc_ms), clock.source != "none" and clock.error_ms is not None, body["parts"],
         body["frames_delivered"], body["frames_encoded"], body["frames_dropped"], utc_now(), device,
         body["recording"]),
    )  # fmt: skip


def _segment(db: sqlite3.Connection, device: str, record: Record) -> None:
    names = ("recording", "segment", "part", "closed", "from_ns", "to_ns", "frames", "samples")
    body = record.body
    # A late record is of the boot that recovered the segment: its clock does not tell when the segment ended.
    ended = record.clock.utc_at(body["to_ns"]) if body["closed"] else record.clock.utc_ms
    db.execute(
        "INSERT OR IGNORE INTO segments VALUES (?,?,?,?,?,?,?,?,?,?,?,?,NULL,NULL,NULL)",
        (device, *(body[name] for name in names), shape.utc_text(ended), body["file_size"],
         body["file_sha256"]),
    )  # fmt: skip


def _gap(db: sqlite3.Connection, device: str, record: Record) -> None:
    names = ("recording", "after_part", "before_part", "cause", "min_ms", "max_ms")
    values = (device, record.seq, *(record.body[name] for name in names))
    db.execute("INSERT INTO gaps VALUES (?,?,?,?,?,?,?,?,NULL)", values)


def _gap_reason(db: sqlite3.Connection, device: str, record: Record) -> None:
    db.execute(
        "UPDATE gaps SET reason=? WHERE device=? AND seq=?", (record.body["basis"], device, record.body["gap_seq"])
    )


def _notice(db: sqlite3.Connection, device: str, record: Record) -> None:
    names = ("recording", "attempt", "heard", "score_permille", "from_ns", "to_ns")
    values = (device, record.seq, *(record.body[name] for name in names))
    db.execute("INSERT INTO notices VALUES (?,?,?,?,?,?,?,?)", values)


def _alert(db: sqlite3.Connection, _device: str, record: Record) -> None:
    _insert_alert(db, record, signed=True, told=None, handed_in=utc_now())


def _insert_alert(
    db: sqlite3.Connection, record: Record, *, signed: bool, told: str | None, handed_in: str | None
) -> None:
    body, clock = record.body, record.clock
    db.execute(
        "INSERT INTO alerts VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (device, sha256) DO UPDATE SET "
        "handed_in=excluded.handed_in",
        (record.device, record.sha256, record.seq, shape.utc_text(clock.utc_ms), clock.source, body["what"],
         body["recording"], body["detail"], signed, told, handed_in),
    )  # fmt: skip


_HANDLERS = {
    "alert": _alert,
    "certified": _certified,
    "recording_started": _started,
    "recording_ended": _ended,
    "segment": _segment,
    "gap": _gap,
    "gap_reason": _gap_reason,
    "notice": _notice,
}
