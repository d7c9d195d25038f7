"""Notices that wait until mail server or webhook has taken them. SQLite; hints only, and may be moved away.

Each notice has an id that its cause gives, so that nothing is told twice however often it is found again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from office.errors import OfficeError

FIRST_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 900.0
KEEP_SECONDS: Final = 90 * 24 * 3600.0
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS notices (id TEXT, channel TEXT, subject TEXT NOT NULL, text TEXT NOT NULL, "
    "made REAL NOT NULL, due REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0, sent REAL, PRIMARY KEY (id, channel))"
)


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody is to know: which, and where to look; nothing out of a recording, and no person's name."""

    id: str
    subject: str
    text: str


class Notices:
    """Safe for several threads. Times are seconds since 1970, given by who calls."""

    def __init__(self, path: Path) -> None:
        """Raises `OfficeError` ("notices")."""
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(_TABLE)
        except sqlite3.Error as error:
            raise OfficeError(
                "notices", f"{path} cannot be used ({error}); move it away, it holds hints only"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, notices: Iterable[Notice], channels: Iterable[str], now: float) -> None:
        """Keep what is new for each channel; forget what was told long ago."""
        channels = [*channels]
        rows = [(one.id, name, one.subject, one.text, now, now) for one in notices for name in channels]
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT OR IGNORE INTO notices (id, channel, subject, text, made, due) VALUES (?,?,?,?,?,?)", rows
            )
            self._db.execute("DELETE FROM notices WHERE made < ?", (now - KEEP_SECONDS,))
            self._db.execute("COMMIT")

    def due(self, channel: str, now: float, most: int) -> list[Notice]:
        """What is to be sent now, the oldest first."""
        query = (
            "SELECT id, subject, text FROM notices WHERE channel=? AND sent IS NULL AND due<=? ORDER BY made LIMIT ?"
        )
        with self._lock:
            return [Notice(*row) for row in self._db.execute(query, (channel, now, most))]

    def done(self, channel: str, notices: Iterable[Notice], now: float) -> None:
        """The other end has taken them."""
        rows = [(now, channel, one.id) for one in notices]
        with self._lock:
            self._db.executemany("UPDATE notices SET sent=? WHERE channel=? AND id=?", rows)

    def failed(self, channel: str, notices: Iterable[Notice], now: float) -> None:
        """The other end has not: again later, each time after twice as long."""
        with self._lock:
            for one in notices:
                (tries,) = self._db.execute(
                    "SELECT tries FROM notices WHERE channel=? AND id=?", (channel, one.id)
                ).fetchone()
                pause = min(FIRST_SECONDS * 2**tries, LONGEST_SECONDS)
                self._db.execute(
                    "UPDATE notices SET tries=?, due=? WHERE channel=? AND id=?",
                    (tries + 1, now + pause, channel, one.id),
                )

    def waiting(self) -> int:
        """How many nobody has taken."""
        with self._lock:
            (found,) = self._db.execute("SELECT count(*) FROM notices WHERE sent IS NULL").fetchone()
            return int(found)
