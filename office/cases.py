"""Cases, and what is preserved on a complaint (rule 9): who opened, bound, held, and who let go.

What lengthens the time that a recording is kept is entered by `office.retention`; here stands who may do it. One person
preserves at once, by name and reason; two let go: one asks for it, another one does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, insert, select

from office import activities, entry, retention
from office.book import Book, Enter, Leaf
from office.database import METADATA
from office.errors import OfficeError
from office.retention import CASES as _BOUND
from office.retention import HOLDS as _HOLDS
from office.rows import row, rows

_CASES: Final = Table(
    "cases", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Text, nullable=False, unique=True),  # the agency's own
    Column("title", Text, nullable=False),
    Column("leader", Text, nullable=False),  # who leads it
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("closed", Text),
    Column("closed_by", Text),
    Column("file_until", Text),
)  # fmt: skip
_ACTIVITIES: Final = Table(
    "case_activities", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("case_no", Text, nullable=False, index=True),
    Column("activity", BigInteger, nullable=False),
)  # fmt: skip
_ASKED: Final = Table(
    "hold_releases", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("hold", BigInteger, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip
_HOLD_ACTS: Final = Table(
    "hold_acts", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip


def open_case(book: Book, by: str, number: str, title: str, leader: str) -> int:
    """Open a case. Raises `OfficeError` ("already-entered")."""
    number = entry.text("案号 number", number, entry.SHORT)
    with book.turn() as turn:
        if turn.db.execute(select(_CASES.c.leaf_index).where(_CASES.c.number == number)).first():
            raise OfficeError("already-entered", f"案件 {number} 已立 the case is there", 409)
        return turn.enter(
            "case-opened", by=by, case=number, title=entry.text("案由 title", title, entry.SHORT),
            leader=entry.text("办案负责人 leader", leader, entry.SHORT),
        )  # fmt: skip


def bind(book: Book, by: str, number: str, device: str, recording: str, reason: str) -> int:
    """A recording is evidence of a case: kept as long as the case file (rule 20). Raises `OfficeError`."""
    with book.turn() as turn:
        _open(turn.db, number)
        key = entry.recording(device, recording)
        return retention.bind_case(turn, by=by, device=key[0], recording=key[1], case=number, reason=reason)


def bind_activity(book: Book, by: str, number: str, activity: int) -> int:
    """An activity belongs to a case. Raises `OfficeError`."""
    with book.turn() as turn:
        _open(turn.db, number)
        activities.one(turn.db, activity)
        if activity in _activities(turn.db, number):
            raise OfficeError("already-entered", f"执法活动 {activity} 已在案件 {number} it is in the case", 409)
        return turn.enter("case-activity", by=by, case=number, activity=activity)


def close_case(book: Book, by: str, number: str, until: datetime | None, reason: str) -> int:
    """Close a case; its file, and the recordings with it, kept until then (None: for good). Raises `OfficeError`."""
    with book.turn() as turn:
        _open(turn.db, number)
        return retention.close_case(turn, by=by, case=number, until=until, reason=reason)


def hold(book: Book, by: str, device: str, recording: str, reason: str) -> int:
    """Preserve a recording at once (rule 9). Raises `OfficeError`."""
    key = entry.recording(device, recording)
    with book.turn() as turn:
        words = entry.text("理由 reason", reason)
        return retention.hold(turn, by=by, device=key[0], recording=key[1], reason=words)


def ask_release(book: Book, by: str, hold: int, reason: str) -> int:
    """Ask that a hold be released. Raises `OfficeError`: "hold-unknown", "already-entered"."""
    with book.turn() as turn:
        if _in_force(turn.db, hold)["asked_by"] is not None:
            raise OfficeError("already-entered", "已申请解除 its release was asked for", 409)
        return turn.enter("hold-release-asked", by=by, hold=hold, reason=entry.text("理由 reason", reason))


def release(book: Book, by: str, hold: int, reason: str) -> int:
    """Release a hold that another person asked to be released. Raises `OfficeError`: "two-people"."""
    with book.turn() as turn:
        asked_by = _in_force(turn.db, hold)["asked_by"]
        if asked_by is None or asked_by == by:
            raise OfficeError(
                "two-people", "解除须由两人办理：先由他人申请 another person has to ask for it first", 403
            )
        return retention.release_hold(turn, by=by, hold=hold, reason=entry.text("理由 reason", reason))


def all_of_them(db: Connection) -> list[dict[str, Any]]:
    """All cases, the last one first."""
    return rows(db, select(_CASES).order_by(_CASES.c.leaf_index.desc()))


def one(db: Connection, number: str) -> dict[str, Any]:
    """A case, with its `activities` and `recordings`. Raises `OfficeError` ("case-unknown")."""
    found = row(db, select(_CASES).where(_CASES.c.number == number))
    if found is None:
        raise OfficeError("case-unknown", f"没有案件 there is no case {number}", 404)
    bound = db.execute(select(_BOUND.c.device, _BOUND.c.recording).where(_BOUND.c.case_no == number).distinct())
    return {
        **found,
        "activities": _activities(db, number),
        "recordings": sorted((each.device, each.recording) for each in bound),
    }


def of_recording(db: Connection, device: str, recording: str) -> list[str]:
    """The cases that a recording was ever bound to."""
    of_it = (_BOUND.c.device == device) & (_BOUND.c.recording == recording)
    return sorted({bound.case_no for bound in db.execute(select(_BOUND.c.case_no).where(of_it))})


def holds(db: Connection, *, in_force: bool = True) -> list[dict[str, Any]]:
    """Holds, with who set them and who asked for their release; the last one first."""
    query = (
        select(_HOLDS, _HOLD_ACTS.c.by, _HOLD_ACTS.c.at)
        .join(_HOLD_ACTS, _HOLD_ACTS.c.leaf_index == _HOLDS.c.leaf_index)
        .order_by(_HOLDS.c.leaf_index.desc())
    )
    if in_force:
        query = query.where(_HOLDS.c.released.is_(None))
    asked = {one["hold"]: {"asked_by": one["by"], "asked_reason": one["reason"]} for one in rows(db, select(_ASKED))}
    nobody = {"asked_by": None, "asked_reason": None}
    return [{**held, **asked.get(held["leaf_index"], nobody)} for held in rows(db, query)]


def _in_force(db: Connection, hold: int) -> Mapping[str, Any]:
    for held in holds(db):
        if held["leaf_index"] == hold:
            return held
    raise OfficeError("hold-unknown", f"没有有效的保全 {hold} no such hold is in force", 404)


def _open(db: Connection, number: str) -> None:
    if one(db, number)["closed"]:
        raise OfficeError("case-closed", f"案件 {number} 已结 the case is closed", 409)


def _activities(db: Connection, number: str) -> list[int]:
    return sorted(db.execute(select(_ACTIVITIES.c.activity).where(_ACTIVITIES.c.case_no == number)).scalars())


def _opened(db: Connection, index: int, leaf: Leaf) -> None:
    values = {name: leaf[name] for name in ("title", "leader", "by", "at")}
    db.execute(insert(_CASES).values(leaf_index=index, number=leaf["case"], **values))


def _activity(db: Connection, index: int, leaf: Leaf) -> None:
    db.execute(insert(_ACTIVITIES).values(leaf_index=index, case_no=leaf["case"], activity=leaf["activity"]))


def _asked(db: Connection, index: int, leaf: Leaf) -> None:
    values = {name: leaf[name] for name in ("hold", "reason", "by", "at")}
    db.execute(insert(_ASKED).values(leaf_index=index, **values))


def _held(db: Connection, index: int, leaf: Leaf) -> None:
    db.execute(insert(_HOLD_ACTS).values(leaf_index=index, by=leaf["by"], at=leaf["at"]))


def _closed(db: Connection, _: int, leaf: Leaf) -> None:
    values = {"closed": leaf["at"], "closed_by": leaf["by"], "file_until": leaf["until"]}
    db.execute(_CASES.update().where(_CASES.c.number == leaf["case"]).values(**values))


ENTERS: Final[Mapping[str, Enter]] = {
    "case-opened": _opened,
    "case-activity": _activity,
    "hold-release-asked": _asked,
    "hold": _held,
    "case-closed": _closed,
}
"""`office.retention` makes rows of holds and of the end of a case, too: what they do to terms."""
