"""What each kind of record changes in the catalogue. Run in the order of the journal, each record once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, delete, exists, insert, select, update
from sqlalchemy.sql import ColumnElement

from evidence import shape
from evidence.records import Record
from office.database import later, put, put_new, tellable
from office.schema import ALERTS, GAPS, MARKERS, NOTICES, POSITIONS, RECORDINGS, SEGMENTS, STILLS, UNSIGNED


def take(db: Connection, record: Record, now: str, *, signed: bool) -> None:
    """Take in a verified record; `signed`: whether anything certifies its session so far; `now`: the office's time."""
    handler = _HANDLERS.get(record.kind)
    if handler is None:
        return
    handler(db, record, now)
    if not signed:
        _unsigned(db, record)


def put_alert(db: Connection, record: Record, *, signed: bool, told: str | None, handed_in: str | None) -> None:
    """Enter an alert, or that one that is known was handed in."""
    body, clock = record.body, record.clock
    row = {
        "device": record.device, "sha256": record.sha256, "seq": record.seq, "at": shape.utc_text(clock.utc_ms),
        "clock_source": clock.source, "what": tellable(body["what"]), "recording": body["recording"],
        "detail": tellable(body["detail"]), "signed": signed, "told": told, "handed_in": handed_in,
    }  # fmt: skip
    put(db, ALERTS, row, "handed_in")


def _of(table: Table, record: Record) -> ColumnElement[bool]:
    """The row of the recording that a record tells of."""
    return and_(table.c.device == record.device, table.c.recording == record.body["recording"])


def _unsigned(db: Connection, record: Record) -> None:
    """An alert, or a recording, of which a boot tells whose session nothing certifies so far."""
    alert = (ALERTS.c.device == record.device) & (ALERTS.c.sha256 == record.sha256)
    db.execute(update(ALERTS).where(alert).values(signed=False))
    db.execute(update(RECORDINGS).where(_of(RECORDINGS, record)).values(signed=False))
    told = record.sha256 if record.kind == "alert" else None  # other records have no row of their own
    names = [name for name in (told, record.body["recording"]) if name is not None]
    if names:
        put_new(db, UNSIGNED, [{"device": record.device, "boot": record.boot, "name": name} for name in names])


def _certified(db: Connection, record: Record, _now: str) -> None:
    """The evidence key answered late: all that the boot told is signed, if no other boot tells of it as well."""
    device = record.device
    of_boot = (UNSIGNED.c.device == device) & (UNSIGNED.c.boot == record.boot)
    names = list(db.scalars(select(UNSIGNED.c.name).where(of_boot)))
    db.execute(delete(UNSIGNED).where(of_boot))
    for name in names:
        alert, recording = ALERTS.c, RECORDINGS.c
        db.execute(update(ALERTS).where(alert.device == device, alert.sha256 == name).values(signed=True))
        elsewhere = exists().where(UNSIGNED.c.device == device, UNSIGNED.c.name == name)
        db.execute(
            update(RECORDINGS)
            .where(recording.device == device, recording.recording == name, ~elsewhere)
            .values(signed=True)
        )


def _started(db: Connection, record: Record, now: str) -> None:
    body, clock = record.body, record.clock
    row = {
        "device": record.device, "recording": body["recording"], "boot": record.boot, "activity": body["activity"],
        "started": shape.utc_text(clock.utc_ms), "clock_source": clock.source, "clock_error_ms": clock.error_ms,
        "parts": body["part"], "signed": True, "seen": now,
    }  # fmt: skip
    if not put_new(db, RECORDINGS, row):
        parts = later(RECORDINGS.c.parts, body["part"])
        db.execute(update(RECORDINGS).where(_of(RECORDINGS, record)).values(parts=parts))


def _activity(db: Connection, record: Record, _now: str) -> None:
    """The kind that was chosen while it ran: the last one counts (rule 5)."""
    db.execute(update(RECORDINGS).where(_of(RECORDINGS, record)).values(activity=record.body["activity"]))


def _ended(db: Connection, record: Record, now: str) -> None:
    body, clock = record.body, record.clock
    names = ("parts", "frames_delivered", "frames_encoded", "frames_dropped")
    by_set_clock = clock.source != "none" and clock.error_ms is not None
    db.execute(
        update(RECORDINGS)
        .where(_of(RECORDINGS, record))
        .values(
            ended=shape.utc_text(clock.utc_ms), ended_by_set_clock=by_set_clock, seen=now,
            **{name: body[name] for name in names},
        )
    )  # fmt: skip


def _segment(db: Connection, record: Record, _now: str) -> None:
    names = ("recording", "segment", "part", "closed", "from_ns", "to_ns", "frames", "samples")
    body = record.body
    # A late record is of the boot that recovered the segment: its clock does not tell when the segment ended.
    ended = record.clock.utc_at(body["to_ns"]) if body["closed"] else record.clock.utc_ms
    row = {
        "device": record.device, "ended": shape.utc_text(ended), "size": body["file_size"],
        "sha256": body["file_sha256"], **{name: body[name] for name in names},
    }  # fmt: skip
    put_new(db, SEGMENTS, row)


def _gap(db: Connection, record: Record, _now: str) -> None:
    _add(db, GAPS, record, "recording", "after_part", "before_part", "cause", "min_ms", "max_ms")


def _gap_reason(db: Connection, record: Record, _now: str) -> None:
    gap = (GAPS.c.device == record.device) & (GAPS.c.seq == record.body["gap_seq"])
    db.execute(update(GAPS).where(gap).values(reason=record.body["basis"]))


def _notice(db: Connection, record: Record, _now: str) -> None:
    _add(db, NOTICES, record, "recording", "attempt", "heard", "score_permille", "from_ns", "to_ns")


def _marker(db: Connection, record: Record, _now: str) -> None:
    _add(db, MARKERS, record, "recording", "at_ns", **_moment(record, record.body["at_ns"]))


def _still(db: Connection, record: Record, _now: str) -> None:
    names = ("recording", "at_ns", "segment", "plain_offset", "size", "sha256")
    _add(db, STILLS, record, *names, **_moment(record, record.body["at_ns"]))


def _position(db: Connection, record: Record, _now: str) -> None:
    at_ns = record.clock.boot_ns
    _add(db, POSITIONS, record, at_ns=at_ns, **_moment(record, at_ns))


def _moment(record: Record, at_ns: int) -> dict[str, Any]:
    return {"boot": record.boot, "at": shape.utc_text(record.clock.utc_at(at_ns))}


def _alert(db: Connection, record: Record, now: str) -> None:
    put_alert(db, record, signed=True, told=None, handed_in=now)


def _add(db: Connection, table: Table, record: Record, *names: str, **more: Any) -> None:
    """A row of a record's own, with these members of its body."""
    row = {"device": record.device, "seq": record.seq, **{name: record.body[name] for name in names}, **more}
    db.execute(insert(table), row)


_HANDLERS: Final[dict[str, Callable[[Connection, Record, str], None]]] = {
    "activity": _activity,
    "alert": _alert,
    "certified": _certified,
    "recording_started": _started,
    "recording_ended": _ended,
    "segment": _segment,
    "gap": _gap,
    "gap_reason": _gap_reason,
    "marker": _marker,
    "notice": _notice,
    "position": _position,
    "still": _still,
}
