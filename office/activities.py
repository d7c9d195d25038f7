"""The ledger of activities: what should have been recorded (rule 5), entered by hand or from a table.

An entry is never changed. Its kind, and a recording's, is changed by a further act with its author and reason; an entry
made by mistake is set aside, and stays readable. Recordings are linked to activities, or parted from them, likewise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Connection, Table, Text, insert, select, update

from office import entry, footage
from office.book import Book, Enter, Leaf, Turn
from office.database import METADATA
from office.errors import OfficeError
from office.matching import Activity, Key
from office.rows import row, rows
from office.words import KINDS

LONGEST: Final = timedelta(hours=72)

_ACTIVITIES: Final = Table(
    "activities", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Text, index=True),  # the agency's own
    Column("kind", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("begins", Text, nullable=False, index=True),
    Column("ends", Text, nullable=False),
    Column("section", Text, nullable=False),
    Column("officers", Text, nullable=False),  # JSON: numbers
    Column("parties", Text, nullable=False),  # JSON: who else took part
    Column("source", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("set_aside", Text),  # the reason
)  # fmt: skip
_KINDS: Final = Table(
    "activity_kinds", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("activity", BigInteger, index=True),  # or a recording:
    Column("device", Text),
    Column("recording", Text, index=True),
    Column("kind", Text, nullable=False),
    Column("was", Text),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip
_LINKS: Final = Table(
    "activity_links", METADATA,
    Column("activity", BigInteger, primary_key=True, autoincrement=False),
    Column("device", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("linked", Boolean, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """An activity as it is entered; times as records write them."""

    kind: str
    place: str
    begins: str
    ends: str
    section: str
    officers: tuple[str, ...]
    parties: tuple[str, ...] = ()
    number: str | None = None

    def __post_init__(self) -> None:
        entry.one_of("类别 kind", self.kind, KINDS)
        length = datetime.fromisoformat(self.ends) - datetime.fromisoformat(self.begins)
        if not timedelta() < length <= LONGEST:
            raise entry.wrong("时间 time", "结束应晚于开始，不超过72小时 ends after it begins, within 72 hours")
        if not self.officers:
            raise entry.wrong("执法人员 officers", "不能为空 must not be empty")


def enter(book: Book, by: str, new: Entry) -> int:
    """Enter an activity; its leaf. Raises `OfficeError` ("already-entered")."""
    with book.turn() as turn:
        return add(turn, by, new, "entered")


def add(turn: Turn, by: str, new: Entry, source: str) -> int:
    """As `enter`, within a turn."""
    if new.number is not None and by_number(turn.db, new.number) is not None:
        raise OfficeError("already-entered", f"{new.number} 已登记 is in the ledger", 409)
    return turn.enter(
        "activity-entered", by=by, number=new.number, kind=new.kind, place=new.place, begins=new.begins,
        ends=new.ends, section=new.section, officers=list(new.officers), parties=list(new.parties), source=source,
    )  # fmt: skip


def by_number(db: Connection, number: str) -> int | None:
    """The activity with the agency's number that is not set aside."""
    query = select(_ACTIVITIES.c.leaf_index).where(_ACTIVITIES.c.number == number, _ACTIVITIES.c.set_aside.is_(None))
    found: int | None = db.execute(query).scalar()
    return found


def set_aside(book: Book, by: str, activity: int, reason: str) -> int:
    """Say that an entry was a mistake. Raises `OfficeError` ("activity-unknown")."""
    with book.turn() as turn:
        _open(turn.db, activity)
        return turn.enter("activity-set-aside", by=by, activity=activity, reason=entry.text("理由 reason", reason))


def change_kind(book: Book, by: str, activity: int, kind: str, reason: str) -> int:
    """Change the kind of an activity (rule 5). Raises `OfficeError`."""
    entry.one_of("类别 kind", kind, KINDS)
    with book.turn() as turn:
        was = _open(turn.db, activity)["kind"]
        if was == kind:
            raise entry.wrong("类别 kind", "与现类别相同 that is its kind already")
        return turn.enter(
            "activity-kind", by=by, activity=activity, kind=kind, was=was, reason=entry.text("理由 reason", reason)
        )


def change_recording_kind(book: Book, by: str, device: str, recording: str, kind: str, reason: str) -> int:
    """Give a recording its kind, or another one than its camera told (rule 5). Raises `OfficeError`."""
    entry.one_of("类别 kind", kind, KINDS)
    with book.turn() as turn:
        _recorded(turn.db, device, recording)
        was = recording_kinds(turn.db).get((device, recording))
        if was == kind:
            raise entry.wrong("类别 kind", "与现类别相同 that is its kind already")
        return turn.enter(
            "recording-kind", by=by, device=device, recording=recording, kind=kind, was=was,
            reason=entry.text("理由 reason", reason),
        )  # fmt: skip


def link(book: Book, by: str, activity: int, device: str, recording: str, reason: str, *, linked: bool = True) -> int:
    """Say that a recording is of an activity, or (`linked` false) is not; the last word counts.

    Raises `OfficeError`: "activity-unknown", "recording-unknown".
    """
    with book.turn() as turn:
        _open(turn.db, activity)
        _recorded(turn.db, device, recording)
        return turn.enter(
            "activity-linked", by=by, activity=activity, device=device, recording=recording, linked=linked,
            reason=entry.text("理由 reason", reason),
        )  # fmt: skip


def one(db: Connection, activity: int) -> dict[str, Any]:
    """An activity, with `history`: how its kind was changed. Raises `OfficeError` ("activity-unknown")."""
    found = row(db, select(_ACTIVITIES).where(_ACTIVITIES.c.leaf_index == activity))
    if found is None:
        raise OfficeError("activity-unknown", f"没有编号为 {activity} 的执法活动 no activity has this number", 404)
    return {
        **_described(found),
        "history": rows(db, select(_KINDS).where(_KINDS.c.activity == activity).order_by(_KINDS.c.leaf_index)),
        "links": rows(db, select(_LINKS).where(_LINKS.c.activity == activity).order_by(_LINKS.c.leaf_index)),
    }


def between(db: Connection, since: str, until: str, *, all_of_them: bool = False) -> list[dict[str, Any]]:
    """Activities that began in a period, earliest first; those that are set aside only if all are asked for."""
    query = select(_ACTIVITIES).where(_ACTIVITIES.c.begins >= since, _ACTIVITIES.c.begins < until)
    if not all_of_them:
        query = query.where(_ACTIVITIES.c.set_aside.is_(None))
    return [_described(each) for each in rows(db, query.order_by(_ACTIVITIES.c.begins, _ACTIVITIES.c.leaf_index))]


def as_activity(told: Mapping[str, Any]) -> Activity:
    """An activity as `office.matching` takes it."""
    return Activity(
        told["leaf_index"], told["kind"], datetime.fromisoformat(told["begins"]), datetime.fromisoformat(told["ends"]),
        tuple(told["officers"]), told["section"],
    )  # fmt: skip


def links(db: Connection) -> dict[Key, bool]:
    """What people have linked and parted."""
    found = db.execute(select(_LINKS.c.activity, _LINKS.c.device, _LINKS.c.recording, _LINKS.c.linked))
    return {(each.activity, each.device, each.recording): each.linked for each in found}


def recording_kinds(db: Connection) -> dict[tuple[str, str], str]:
    """Kinds that people gave to recordings."""
    query = select(_KINDS).where(_KINDS.c.recording.is_not(None)).order_by(_KINDS.c.leaf_index)
    return {(each.device, each.recording): each.kind for each in db.execute(query)}


def _open(db: Connection, activity: int) -> Mapping[str, Any]:
    found = one(db, activity)
    if found["set_aside"] is not None:
        raise OfficeError("activity-unknown", f"执法活动 {activity} 已作废 was set aside", 404)
    return found


def _recorded(db: Connection, device: str, recording: str) -> None:
    if not footage.known(db, *entry.recording(device, recording)):
        raise OfficeError("recording-unknown", f"没有录像 no recording {device}/{recording} was handed in", 404)


def _described(told: Mapping[str, Any]) -> dict[str, Any]:
    return {**told, "officers": json.loads(told["officers"]), "parties": json.loads(told["parties"])}


def _entered(db: Connection, index: int, leaf: Leaf) -> None:
    names = ("number", "kind", "place", "begins", "ends", "section", "source", "by", "at")
    lists = {name: json.dumps(leaf[name], ensure_ascii=False) for name in ("officers", "parties")}
    db.execute(insert(_ACTIVITIES).values(leaf_index=index, **{name: leaf[name] for name in names}, **lists))


def _set_aside(db: Connection, _: int, leaf: Leaf) -> None:
    db.execute(update(_ACTIVITIES).where(_ACTIVITIES.c.leaf_index == leaf["activity"]).values(set_aside=leaf["reason"]))


def _kind(db: Connection, index: int, leaf: Leaf) -> None:
    names = ("activity", "device", "recording", "kind", "was", "reason", "by", "at")
    db.execute(insert(_KINDS).values(leaf_index=index, **{name: leaf.get(name) for name in names}))
    if leaf.get("activity") is not None:
        db.execute(update(_ACTIVITIES).where(_ACTIVITIES.c.leaf_index == leaf["activity"]).values(kind=leaf["kind"]))


def _linked(db: Connection, index: int, leaf: Leaf) -> None:
    names = ("activity", "device", "recording")
    of = [_LINKS.c[name] == leaf[name] for name in names]
    db.execute(_LINKS.delete().where(*of))
    values = {name: leaf[name] for name in (*names, "linked", "reason", "by", "at")}
    db.execute(insert(_LINKS).values(leaf_index=index, **values))


ENTERS: Final[Mapping[str, Enter]] = {
    "activity-entered": _entered,
    "activity-set-aside": _set_aside,
    "activity-kind": _kind,
    "recording-kind": _kind,
    "activity-linked": _linked,
}
