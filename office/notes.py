"""Notes of people on recordings, activities and cases. They stand in the log; no original is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, insert, select

from office import entry
from office.book import Book, Enter, Leaf
from office.database import METADATA
from office.rows import rows

_NOTES: Final = Table(
    "notes", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("about", Text, nullable=False, index=True),  # `recording/DEVICE/ID`, `activity/LEAF`, `case/NUMBER`
    Column("text", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip
_ABOUT: Final = ("recording/", "activity/", "case/", "foreign/")


def add(book: Book, by: str, about: str, text: str) -> int:
    """Add a note; its leaf. Raises `OfficeError` ("entry")."""
    if not about.startswith(_ABOUT):
        raise entry.wrong("对象 about", f"应为 begins with {', '.join(_ABOUT)}")
    with book.turn() as turn:
        return turn.enter(
            "note", by=by, about=entry.text("对象 about", about, entry.SHORT), text=entry.text("备注 note", text)
        )


def of(db: Connection, about: str) -> list[dict[str, Any]]:
    """The notes on something, the first one first."""
    return rows(db, select(_NOTES).where(_NOTES.c.about == about).order_by(_NOTES.c.leaf_index))


def _note(db: Connection, index: int, leaf: Leaf) -> None:
    db.execute(insert(_NOTES).values(leaf_index=index, **{name: leaf[name] for name in ("about", "text", "by", "at")}))


ENTERS: Final[Mapping[str, Enter]] = {"note": _note}
