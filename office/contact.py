"""When a camera was in a dock, by its own signed word, and which uses of it that brings to their end (rule 19).

Records and acts may come in either order: what follows from both is the same.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from evidence import shape
from evidence.records import Record
from office.database import put
from office.schema import DOCKINGS, LOANS


class Contact:
    """Follows a camera's records, in order, in one transaction of the catalogue."""

    def __init__(self, db: Connection, device: str) -> None:
        self._db = db
        self._device = device
        latest = select(DOCKINGS).where(DOCKINGS.c.device == device).order_by(DOCKINGS.c.seq.desc()).limit(1)
        row = db.execute(latest).mappings().one_or_none()
        self._docking = None if row is None or row["over"] else dict(row)

    def take(self, record: Record, seen: str) -> None:
        """Take in the next record, which the office had at `seen`."""
        at = _at(record, seen)
        if record.kind == "docked":
            self._end()
            if record.body["docked"]:
                self._docking = {"device": self._device, "seq": record.seq, "since": at, "last": at, "over": False}
        if self._docking is not None:
            self._docking["last"] = max(at, self._docking["last"])

    def close(self) -> None:
        """Keep what was followed, and end the uses that are over by it."""
        if self._docking is not None:
            self._keep(over=False)
        meet(self._db, self._device)

    def _end(self) -> None:
        if self._docking is not None:
            self._keep(over=True)
            self._docking = None

    def _keep(self, *, over: bool) -> None:
        put(self._db, DOCKINGS, {**(self._docking or {}), "over": over}, "last", "over")


def meet(db: Connection, device: str) -> None:
    """End the uses that had ended by a word of the camera from a dock: the first such docking counts."""
    loans = select(LOANS.c.leaf_index, LOANS.c.ends).where(LOANS.c.device == device, LOANS.c.met.is_(None))
    for loan in db.execute(loans).all():
        reaching = select(DOCKINGS.c.since).where(DOCKINGS.c.device == device, DOCKINGS.c.last >= loan.ends)
        since = db.scalar(reaching.order_by(DOCKINGS.c.seq).limit(1))
        if since is not None:
            this = LOANS.c.leaf_index == loan.leaf_index
            db.execute(update(LOANS).where(this).values(met=max(loan.ends, since)))


def _at(record: Record, seen: str) -> str:
    # A clock that was never set says nothing, and one that runs ahead must not end what is not over.
    claimed = shape.utc_text(record.clock.utc_ms)
    return seen if record.clock.source == "none" else min(claimed, seen)
