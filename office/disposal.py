"""Disposal of what has been kept for its term (rule 20): proposed by one person, approved by another, with its proof.

The term must be over by a time that is borne out (`office.clock`), by the law (`office.retention`) and by the locks of
all stores, when it is proposed and again when it is approved. What goes are the segments; receipts, journal and log
stay, and say what there was. The leaf stands before the first byte goes, and a run that was cut goes on with it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Table, Text, func, insert, select, update

from office.book import Book, Enter, Leaf
from office.catalogue import utc
from office.clock import Clock
from office.database import METADATA
from office.errors import OfficeError
from office.retention import facts, reason_of, term
from office.schema import SEGMENTS
from office.store import segment_name
from office.stores.port import ObjectStore

_log = logging.getLogger(__name__)

DISPOSALS: Final = Table(
    "disposals",
    METADATA,
    Column("leaf_index", BigInteger, primary_key=True),  # of the proposal
    Column("device", Text, nullable=False, index=True),
    Column("recording", Text, nullable=False, index=True),
    Column("term", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("withdrawn", BigInteger),  # the leaf
    Column("approved_by", Text),
    Column("approved", BigInteger),  # the leaf
    Column("disposed", BigInteger),  # the leaf: what is to go, and why it may
    Column("removed", BigInteger),  # the leaf: it has gone
)


def _proposed(db: Connection, index: int, leaf: Leaf) -> None:
    told = {name: leaf[name] for name in ("device", "recording", "term", "reason")}
    db.execute(insert(DISPOSALS).values(leaf_index=index, **told, proposed_by=leaf["by"], proposed=leaf["at"]))


def _set(db: Connection, leaf: Leaf, **values: Any) -> None:
    db.execute(update(DISPOSALS).where(DISPOSALS.c.leaf_index == leaf["proposal"]).values(**values))


def _withdrawn(db: Connection, index: int, leaf: Leaf) -> None:
    _set(db, leaf, withdrawn=index)


def _approved(db: Connection, index: int, leaf: Leaf) -> None:
    _set(db, leaf, approved=index, approved_by=leaf["by"])


def _disposed(db: Connection, index: int, leaf: Leaf) -> None:
    _set(db, leaf, disposed=index)


def _removed(db: Connection, index: int, leaf: Leaf) -> None:
    _set(db, leaf, removed=index)


ENTERS: Final[Mapping[str, Enter]] = {
    "disposal-proposed": _proposed,
    "disposal-withdrawn": _withdrawn,
    "disposal-approved": _approved,
    "disposed": _disposed,
    "disposal-done": _removed,
}


def held_segments(db: Connection, device: str, recording: str) -> Sequence[Any]:
    """Rows of the segments that have a receipt, those too that were disposed of."""
    one = SEGMENTS.c
    found = select(SEGMENTS).where(one.device == device, one.recording == recording, one.received.is_not(None))
    return db.execute(found.order_by(one.segment)).all()


def _promised_until(db: Connection, now: datetime) -> Sequence[Any]:
    """Device and id of the recordings whose receipts promise nothing beyond `now`."""
    one, until = SEGMENTS.c, func.max(SEGMENTS.c.retain_until)
    found = select(one.device, one.recording).where(one.received.is_not(None)).group_by(one.device, one.recording)
    return db.execute(found.having(until <= utc(now)).order_by(until, one.device, one.recording)).all()


@dataclass(frozen=True, slots=True)
class Due:
    """A recording whose term is over."""

    device: str
    recording: str
    term: datetime


class Disposals:
    """Disposal over all places where segments stand."""

    def __init__(self, book: Book, clock: Clock, places: Sequence[ObjectStore]) -> None:
        self._book = book
        self._clock = clock
        self._places = places

    def due(self) -> list[Due]:
        """What may be disposed of, and neither is nor is proposed. Raises `OfficeError`."""
        now = self._clock.borne_out()
        with self._book.turn() as turn:
            rows = _promised_until(turn.db, now)
            found = [Due(row.device, row.recording, over) for row in rows if (over := _over(turn.db, row, now))]
            return [
                one
                for one in found
                if not _open(turn.db, one.device, one.recording) and disposed_at(turn.db, one.device, one.recording) < 0
            ]

    def rows(self) -> list[dict[str, Any]]:
        """All disposals, by their proposals, as the catalogue has them."""
        with self._book.turn() as turn:
            return [dict(row._mapping) for row in turn.db.execute(select(DISPOSALS).order_by(DISPOSALS.c.leaf_index))]  # noqa: SLF001 - SQLAlchemy's name for it

    def propose(self, *, by: str, device: str, recording: str, reason: str) -> int:
        """The first of two people; the leaf, by which the proposal is known. Raises `OfficeError`."""
        now = self._clock.borne_out()
        with self._book.turn() as turn:
            if _open(turn.db, device, recording):
                raise OfficeError("disposal-known", f"the disposal of {recording} is proposed already", 409)
            over = self._require_over(turn.db, device, recording, now)
            return turn.enter(
                "disposal-proposed", by=by, device=device, recording=recording, term=utc(over), reason=reason_of(reason)
            )

    def withdraw(self, proposal: int, *, by: str, reason: str) -> int:
        """A proposal comes to nothing; the leaf. Raises `OfficeError`."""
        with self._book.turn() as turn:
            _waiting(turn.db, proposal)
            return turn.enter("disposal-withdrawn", by=by, proposal=proposal, reason=reason_of(reason))

    def approve(self, proposal: int, *, by: str) -> int:
        """The second of two people: the segments are removed; the leaf of its proof. Raises `OfficeError`, OSError."""
        now = self._clock.borne_out()
        with self._book.turn() as turn:
            row = _waiting(turn.db, proposal)
            if by == row.proposed_by:
                raise OfficeError("same-person", f"{by} proposed it: somebody else has to approve", 403)
            over = self._require_over(turn.db, row.device, row.recording, now)
            key = {"device": row.device, "recording": row.recording}
            segments = held_segments(turn.db, **key)
            approval = turn.enter("disposal-approved", by=by, proposal=proposal, **key)
            index = turn.enter(
                "disposed", by=by, proposal=proposal, approval=approval, proposed_by=row.proposed_by, **key,
                term=utc(over), borne_out=utc(now),
                segments=[[one.segment, one.sha256, one.size, one.leaf_index] for one in segments],
            )  # fmt: skip
        self._remove(proposal)
        return index

    def recover(self) -> None:
        """Remove what a cut run has left of what is disposed of."""
        with self._book.turn() as turn:
            undone = select(DISPOSALS).where(DISPOSALS.c.disposed.is_not(None), DISPOSALS.c.removed.is_(None))
            rows = turn.db.execute(undone).all()
        for row in rows:
            try:
                self._remove(row.leaf_index)
            except (OfficeError, OSError) as error:
                _log.error("what is disposed of is still there: %s", error, extra={"recording": row.recording})

    def _remove(self, proposal: int) -> None:
        with self._book.turn() as turn:
            row = turn.db.execute(select(DISPOSALS).where(DISPOSALS.c.leaf_index == proposal)).one()
            for place, name in list(self._held(turn.db, row.device, row.recording, row.disposed)):
                place.remove(name)
            turn.enter("disposal-done", by=row.approved_by, proposal=proposal, disposed=row.disposed)

    def _require_over(self, db: Connection, device: str, recording: str, now: datetime) -> datetime:
        over = term(facts(db, device, recording))
        if over is None:
            raise OfficeError("retention", f"{recording} is kept without an end: by a hold, a case or its class", 409)
        if over > now:
            raise OfficeError("retention", f"{recording} is kept until {utc(over)}; it is {utc(now)} for sure", 409)
        held = list(self._held(db, device, recording))
        if not held:
            raise OfficeError("disposal-known", f"nothing is left of {recording}", 409)
        for place, name in held:
            if (lock := place.lock(name)).hold or (lock.until is not None and lock.until > now):
                raise OfficeError("store-locked", f"{name} is locked: {lock}", 409)
        return over

    def _held(
        self, db: Connection, device: str, recording: str, before: int | None = None
    ) -> Iterator[tuple[ObjectStore, str]]:
        """What is there of it; `before`: of segments that were handed in before that leaf."""
        rows = held_segments(db, device, recording)
        for place in self._places:
            there = set(place.names(segment_name(device, recording, 0).rpartition("/")[0]))
            names = (
                segment_name(device, recording, row.segment) for row in rows if not before or row.leaf_index < before
            )
            yield from ((place, name) for name in names if name in there)


def disposed_at(db: Connection, device: str, recording: str) -> int:
    """The leaf at which a recording was disposed of: what was handed in before it is gone; -1: it was not."""
    found = select(func.max(DISPOSALS.c.disposed)).where(_of(device, recording))
    index: int | None = db.execute(found).scalar()
    return -1 if index is None else index


def gone(db: Connection) -> dict[tuple[str, str], int]:
    """As `disposed_at`, of all that was."""
    found = select(DISPOSALS.c.device, DISPOSALS.c.recording, func.max(DISPOSALS.c.disposed))
    rows = db.execute(
        found.where(DISPOSALS.c.disposed.is_not(None)).group_by(DISPOSALS.c.device, DISPOSALS.c.recording)
    )
    return {(device, recording): index for device, recording, index in rows}


def _of(device: str, recording: str) -> ColumnElement[bool]:
    return (DISPOSALS.c.device == device) & (DISPOSALS.c.recording == recording)


def _over(db: Connection, row: Any, now: datetime) -> datetime | None:
    with contextlib.suppress(OfficeError):
        over = term(facts(db, row.device, row.recording))
        return over if over is not None and over <= now else None
    return None


def _open(db: Connection, device: str, recording: str) -> bool:
    """Whether its disposal is proposed and waits for approval."""
    waits = select(DISPOSALS).where(
        _of(device, recording), DISPOSALS.c.withdrawn.is_(None), DISPOSALS.c.disposed.is_(None)
    )
    return db.execute(waits).first() is not None


def _waiting(db: Connection, proposal: int) -> Any:
    row = db.execute(select(DISPOSALS).where(DISPOSALS.c.leaf_index == proposal)).one_or_none()
    if row is None or row.withdrawn is not None or row.approved is not None:
        raise OfficeError("disposal-unknown", f"no disposal {proposal} waits for approval", 409)
    return row
