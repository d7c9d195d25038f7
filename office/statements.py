"""What is owed in writing: why nothing was recorded (rule 6), and why a recording was broken off (rule 15).

A statement is made by one person and reviewed by another: taken, or given back with a note. Nothing is written over:
a new wording is a new act that replaces the last, and all of them stay readable.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, insert, select, update

from office import activities, entry, footage
from office.book import Book, Enter, Leaf
from office.database import METADATA
from office.errors import OfficeError
from office.rows import row, rows
from office.words import GROUNDS


class State(enum.StrEnum):
    """How a version of a statement stands."""

    WAITING = "waiting"
    TAKEN = "taken"
    RETURNED = "returned"
    REPLACED = "replaced"


STATES: Final = {
    State.WAITING: "待审阅", State.TAKEN: "已采纳", State.RETURNED: "已退回", State.REPLACED: "已有新稿",
}  # fmt: skip
CONCERNS: Final = {"unrecorded": "未记录说明", "gap": "中断说明", "stop": "终止说明", "unanswered": "未答复说明"}
"""`unrecorded` is rule 6; the others are rule 15: a gap, a recording that could not go on, a question not answered."""

_STATEMENTS: Final = Table(
    "statements", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("statement", BigInteger, nullable=False, index=True),  # its first version
    Column("version", BigInteger, nullable=False),
    Column("concerns", Text, nullable=False),
    Column("ground", Text),  # rule 6: which of the four cases
    Column("activity", BigInteger, index=True),
    Column("device", Text),
    Column("recording", Text, index=True),
    Column("gap", BigInteger),  # its record's number in the journal
    Column("reason", Text, nullable=False),
    Column("basis", Text),
    Column("leader", Text),  # of the bureau: whom it is reported to
    Column("author", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("reviewer", Text),
    Column("reviewed", Text),
    Column("note", Text),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class About:
    """What a statement is about: an activity, a recording, or one gap of it."""

    activity: int | None = None
    device: str | None = None
    recording: str | None = None
    gap: int | None = None


def state_unrecorded(book: Book, author: str, about: About, ground: str, reason: str, basis: str, leader: str) -> int:
    """Rule 6: why an activity was not recorded, or a recording stopped; its leaf. Raises `OfficeError`.

    `ground`: one of `GROUNDS`; `basis`: what makes it one; `leader`: the account of the bureau's leader.
    """
    entry.one_of("情形 ground", ground, GROUNDS)
    words = {
        "ground": ground,
        "reason": entry.text("原因 reason", reason),
        "basis": entry.text("依据 basis", basis),
        "leader": entry.text("局主管领导 leader", leader, entry.SHORT),
    }
    return _make(book, author, "unrecorded", about, words)


def explain(book: Book, author: str, concerns: str, about: About, reason: str) -> int:
    """Rule 15: why a recording has a gap, could not go on, or a question was not answered. Raises `OfficeError`."""
    entry.one_of("事项 concerns", concerns, [one for one in CONCERNS if one != "unrecorded"])
    if about.recording is None:
        raise entry.wrong("录像 recording", "不能为空 must not be empty")
    return _make(book, author, concerns, about, {"reason": entry.text("原因 reason", reason)})


def reword(book: Book, author: str, statement: int, reason: str, basis: str | None = None) -> int:
    """A new version, by its author, while the last is not taken. Raises `OfficeError`: "not-author", "taken"."""
    with book.turn() as turn:
        last = _last(turn.db, statement)
        if last["author"] != author:
            raise OfficeError("not-author", f"仅作者 only {last['author']} 可修改 words it anew", 403)
        if last["state"] == State.TAKEN:
            raise OfficeError("taken", "已采纳，不得修改 it was taken: make another statement", 409)
        names = ("concerns", "ground", "activity", "device", "recording", "gap", "leader")
        return turn.enter(
            "statement-made", by=author, statement=last["statement"], version=last["version"] + 1,
            **{name: last[name] for name in names}, reason=entry.text("原因 reason", reason),
            basis=entry.text("依据 basis", basis or last["basis"]) if last["ground"] else None,
        )  # fmt: skip


def review(book: Book, reviewer: str, version: int, *, taken: bool, note: str | None = None) -> int:
    """Take a statement, or give it back with a note. `version`: the leaf of what was read, which must be the last.

    Raises `OfficeError`: "statement-unknown", "own-statement", "not-latest".
    """
    with book.turn() as turn:
        read = _version(turn.db, version)
        if read["author"] == reviewer:
            raise OfficeError("own-statement", "不得审阅本人的说明 nobody reviews a statement of his own", 403)
        if read["state"] != State.WAITING:
            raise OfficeError("not-latest", f"该稿{STATES[State(read['state'])]} this version does not wait", 409)
        words = entry.maybe("意见 note", note) if taken else entry.text("意见 note", note)
        return turn.enter(
            "statement-reviewed", by=reviewer, version=version, statement=read["statement"],
            verdict="taken" if taken else "returned", note=words,
        )  # fmt: skip


def versions(db: Connection, statement: int) -> list[dict[str, Any]]:
    """All versions of a statement, the first one first. Raises `OfficeError` ("statement-unknown")."""
    query = select(_STATEMENTS).where(_STATEMENTS.c.statement == statement).order_by(_STATEMENTS.c.version)
    found = rows(db, query)
    if not found:
        raise _unknown(statement)
    return found


def latest(db: Connection, *states: State) -> list[dict[str, Any]]:
    """The last version of each statement, of these states (all, if none is named); earliest first."""
    query = select(_STATEMENTS).where(_STATEMENTS.c.state.in_(states or [one for one in State if one != "replaced"]))
    return rows(db, query.order_by(_STATEMENTS.c.leaf_index))


def excused(latest: Sequence[Mapping[str, Any]]) -> tuple[set[int], set[tuple[str, str]]]:
    """Activities, and recordings, with a statement of rule 6 that was not given back; of `latest`."""
    own = [
        each for each in latest if each["concerns"] == "unrecorded" and each["state"] in (State.WAITING, State.TAKEN)
    ]
    return (
        {each["activity"] for each in own if each["activity"] is not None},
        {(each["device"], each["recording"]) for each in own if each["recording"] is not None},
    )


def explained(latest: Sequence[Mapping[str, Any]]) -> set[tuple[str, str, int | None]]:
    """Gaps (or with None all of a recording) that were explained in writing, and not given back."""
    return {
        (each["device"], each["recording"], each["gap"])
        for each in latest
        if each["recording"] is not None and each["state"] in (State.WAITING, State.TAKEN)
    }


def _make(book: Book, author: str, concerns: str, about: About, words: Mapping[str, Any]) -> int:
    with book.turn() as turn:
        if about.activity is None and about.recording is None:
            raise entry.wrong("事项 about", "应指明执法活动或者录像 name an activity or a recording")
        if about.activity is not None:
            activities.one(turn.db, about.activity)
        if about.recording is not None:
            key = entry.recording(about.device or "", about.recording)
            if not footage.known(turn.db, *key):
                raise OfficeError("recording-unknown", f"没有录像 no recording {'/'.join(key)} was handed in", 404)
        return turn.enter(
            "statement-made", by=author, statement=None, version=1, concerns=concerns, activity=about.activity,
            device=about.device, recording=about.recording, gap=about.gap,
            **{"ground": None, "basis": None, "leader": None, **words},
        )  # fmt: skip


def _version(db: Connection, leaf: int) -> Mapping[str, Any]:
    found = row(db, select(_STATEMENTS).where(_STATEMENTS.c.leaf_index == leaf))
    if found is None:
        raise _unknown(leaf)
    return found


def _last(db: Connection, statement: int) -> Mapping[str, Any]:
    return versions(db, statement)[-1]


def _unknown(leaf: int) -> OfficeError:
    return OfficeError("statement-unknown", f"没有编号为 {leaf} 的说明 no statement has this number", 404)


def _made(db: Connection, index: int, leaf: Leaf) -> None:
    names = (
        "version",
        "concerns",
        "ground",
        "activity",
        "device",
        "recording",
        "gap",
        "reason",
        "basis",
        "leader",
        "at",
    )
    first = index if leaf["statement"] is None else leaf["statement"]
    db.execute(update(_STATEMENTS).where(_STATEMENTS.c.statement == first).values(state=State.REPLACED))
    db.execute(
        insert(_STATEMENTS).values(
            leaf_index=index, statement=first, author=leaf["by"], state=State.WAITING,
            **{name: leaf[name] for name in names},
        )
    )  # fmt: skip


def _reviewed(db: Connection, _: int, leaf: Leaf) -> None:
    db.execute(
        update(_STATEMENTS)
        .where(_STATEMENTS.c.leaf_index == leaf["version"])
        .values(state=State(leaf["verdict"]), reviewer=leaf["by"], reviewed=leaf["at"], note=leaf["note"])
    )


ENTERS: Final[Mapping[str, Enter]] = {"statement-made": _made, "statement-reviewed": _reviewed}
