"""When a camera was in a dock, by its own signed word, and which uses of it that brings to their end (rule 19)."""

from __future__ import annotations

import sqlite3

from evidence import shape
from evidence.records import Record


class Contact:
    """Follows a camera's records, in order, in one transaction of the catalogue."""

    def __init__(self, db: sqlite3.Connection, device: str, now: str) -> None:
        self._db = db
        self._device = device
        self._now = now
        row = db.execute("SELECT docked_since, contact FROM devices WHERE device=?", (device,)).fetchone()
        self.since: str | None = row["docked_since"] if row else None  # None: not in a dock
        self.last: str | None = row["contact"] if row else None
        self._open = db.execute("SELECT 1 FROM loans WHERE device=? AND met IS NULL", (device,)).fetchone() is not None

    def take(self, record: Record) -> None:
        """Take in the next record."""
        at = self._at(record)
        if record.kind == "docked":
            self.since = at if record.body["docked"] else None
        if self.since is not None:
            self.last = at
            if self._open:
                meet(self._db, self._device, self.since, at)

    def _at(self, record: Record) -> str:
        # A clock that was never set says nothing, and one that runs ahead must not end what is not over.
        claimed = shape.utc_text(record.clock.utc_ms)
        return self._now if record.clock.source == "none" else min(claimed, self._now)


def meet(db: sqlite3.Connection, device: str, since: str, last: str) -> None:
    """The camera was in a dock from `since` to `last`: uses that had ended by then are over."""
    db.execute("UPDATE loans SET met=max(ends, ?) WHERE device=? AND met IS NULL AND ends<=?", (since, device, last))
