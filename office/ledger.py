"""Who has which camera since when, and who works away from the unit (rules 7, 8 and 19).

Each act is a leaf of the office's log before it is a row of the catalogue, so nobody can quietly change afterwards when
a camera was given out, or when remote work was declared; the rows are made again from the leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Table, select, update

from office.book import Book, Enter, Leaf
from office.catalogue import utc
from office.contact import meet
from office.database import put_new, sooner
from office.errors import OfficeError
from office.schema import LOANS, REMOTES

SHIFT_LIMIT: Final = timedelta(hours=24)
_EARLY = timedelta(minutes=5)  # clocks of two machines


class Ledger:
    """The ledger over the office's book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def issue(
        self, device: str, officer: str, shift_end: datetime, by: str, *, at: datetime | None = None,
        dock: str | None = None,
    ) -> None:  # fmt: skip
        """A camera is given out until `shift_end`; `dock`: where it is to come back. Ends an earlier use of it.

        Raises `OfficeError`: "in-the-future", "shift-length".
        """
        issued = _past(at)
        if not timedelta() < shift_end - issued <= SHIFT_LIMIT:
            raise OfficeError("shift-length", "a shift ends after it began, within 24 hours: declare remote work", 400)
        with self._book.turn() as turn:
            turn.enter(
                "issue", by=by, device=device, officer=officer, issued=utc(issued), shift_end=utc(shift_end), dock=dock
            )

    def give_back(self, device: str, by: str, *, at: datetime | None = None) -> None:
        """The officer has given the camera back. Raises `OfficeError`: "in-the-future", "not-issued"."""
        returned = utc(_past(at))
        with self._book.turn() as turn:
            last = turn.db.execute(_last(LOANS, LOANS.c.issued, device, returned)).one_or_none()
            if last is None or last.returned is not None:
                raise OfficeError("not-issued", f"nobody had {device} at that time: see bodycam office deadlines", 409)
            turn.enter("return", by=by, device=device, returned=returned)

    def declare_remote(
        self, device: str, reason: str, by: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> None:
        """Who has the camera works away from the unit, and why; `until`: when the return is expected.

        Raises `OfficeError`: "in-the-future", "reason", "already-remote".
        """
        if not reason.strip():
            raise OfficeError("reason", "remote work needs its reason", 400)
        begin, expected = utc(_past(since)), utc(until) if until else None
        with self._book.turn() as turn:
            if turn.db.execute(_away(device)).first():
                raise OfficeError("already-remote", f"{device} is away: enter its return first", 409)
            turn.enter("remote", by=by, device=device, since=begin, until=expected, reason=reason)

    def came_back(self, device: str, by: str, *, at: datetime | None = None) -> None:
        """Who had the camera is back at the unit. Raises `OfficeError`: "in-the-future", "not-remote"."""
        returned = utc(_past(at))
        with self._book.turn() as turn:
            if not turn.db.execute(_away(device).where(REMOTES.c.since <= returned)).first():
                raise OfficeError("not-remote", f"no remote work of {device} was declared for that time", 409)
            turn.enter("back", by=by, device=device, returned=returned)


def _last(table: Table, begin: Any, device: str, at: str) -> Any:
    """The last use, or remote work, of a camera that had begun by then."""
    begun = select(table).where(table.c.device == device, begin <= at)
    return begun.order_by(begin.desc(), table.c.leaf_index.desc()).limit(1)


def _away(device: str) -> Any:
    return select(REMOTES.c.leaf_index).where(REMOTES.c.device == device, REMOTES.c.returned.is_(None))


def _of_loans(enter: Callable[[Connection, int, Leaf], None]) -> Enter:
    """An act that changes uses of a camera: it may have been in a dock before this was entered, and still be."""

    def entering(db: Connection, index: int, leaf: Leaf) -> None:
        enter(db, index, leaf)
        meet(db, leaf["device"])

    return entering


@_of_loans
def _issue(db: Connection, index: int, leaf: Leaf) -> None:
    loan, issued = LOANS.c, leaf["issued"]
    names = ("device", "officer", "issued", "shift_end", "dock", "by")
    put_new(db, LOANS, {"leaf_index": index, "ends": leaf["shift_end"], **{name: leaf[name] for name in names}})
    before = (loan.device == leaf["device"]) & (loan.issued < issued) & (loan.ends > issued)
    db.execute(update(LOANS).where(before).values(ends=issued, met=None))


@_of_loans
def _return(db: Connection, _index: int, leaf: Leaf) -> None:
    returned = leaf["returned"]
    last = db.execute(_last(LOANS, LOANS.c.issued, leaf["device"], returned)).one_or_none()
    if last is not None and last.returned is None:
        this = LOANS.c.leaf_index == last.leaf_index
        db.execute(update(LOANS).where(this).values(returned=returned, ends=sooner(LOANS.c.ends, returned), met=None))


def _remote(db: Connection, index: int, leaf: Leaf) -> None:
    names = ("device", "since", "until", "reason", "by")
    put_new(db, REMOTES, {"leaf_index": index, "declared": leaf["at"], **{name: leaf[name] for name in names}})


def _back(db: Connection, _index: int, leaf: Leaf) -> None:
    last = db.execute(_last(REMOTES, REMOTES.c.since, leaf["device"], leaf["returned"])).one_or_none()
    if last is not None and last.returned is None:
        this = REMOTES.c.leaf_index == last.leaf_index
        db.execute(update(REMOTES).where(this).values(returned=leaf["returned"]))


ENTERS: Final = {"issue": _issue, "return": _return, "remote": _remote, "back": _back}
"""The ledger's rows (`office.book`)."""


def _past(at: datetime | None) -> datetime:
    now = datetime.now(UTC)
    if at is not None and at > now + _EARLY:
        raise OfficeError("in-the-future", "what has not happened yet cannot be entered", 400)
    return at or now
