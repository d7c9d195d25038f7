"""Events that wait for their acknowledgement, in SQLite. For one thread at a time; see `runtime.outbox`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_PAGE = 4096


class OutboxError(Exception):
    """The outbox cannot keep events on the disk. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Event:
    """One message. `id` is unique for its content; the other end acknowledges it."""

    id: str
    topic: str
    payload: bytes


class EventStore:
    """The events of one outbox, oldest first. Reading may raise `sqlite3.Error`."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Raises `OutboxError`."""
        try:
            self._database = sqlite3.connect(path, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(f"PRAGMA max_page_count = {max(limit_bytes // _PAGE, 16)}")
            with self._database as database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS event ("
                    "seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL)"
                )
                database.execute("CREATE TABLE IF NOT EXISTS mark (id INTEGER PRIMARY KEY, value INTEGER NOT NULL)")
        except sqlite3.Error as error:
            raise OutboxError(f"{path}: cannot be used ({error}); it holds hints only and may be moved away") from error

    def keep(self, events: Iterable[Event], mark: int | None) -> None:
        """Keep all or none, durable on return, and with them the mark. Raises `OutboxError`."""
        rows = [(event.id, event.topic, event.payload) for event in events]
        try:
            with self._database as database:
                database.executemany("INSERT OR IGNORE INTO event (id, topic, payload) VALUES (?, ?, ?)", rows)
                if mark is not None:
                    database.execute("INSERT OR REPLACE INTO mark (id, value) VALUES (0, ?)", (mark,))
        except sqlite3.Error as error:
            raise OutboxError(f"events cannot be kept ({error}); free or replace the disk") from error

    def mark(self) -> int | None:
        """The mark that was kept last."""
        found = self._database.execute("SELECT value FROM mark").fetchone()
        return found[0] if found else None

    def count(self) -> int:
        """How many wait."""
        return _count(self._database)

    def in_turn(self, turn: int, most: int) -> Iterator[tuple[int, Event]]:
        """What waits, from behind number `turn` on and then from the beginning: at most so many of each."""
        for condition in ("seq > ?", "seq <= ?"):
            query = f"SELECT seq, id, topic, payload FROM event WHERE {condition} ORDER BY seq LIMIT ?"  # noqa: S608
            for seq, *row in self._database.execute(query, (turn, most)).fetchall():
                yield seq, Event(*row)

    def forget(self, ids: Iterable[str]) -> None:
        """Those are done with."""
        with self._database as database:
            database.executemany("DELETE FROM event WHERE id = ?", [(name,) for name in ids])

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def waiting(path: Path) -> int:
    """Events that wait in the outbox at `path`, which another process may have open. Raises `OutboxError`."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return _count(database)
    except sqlite3.Error as error:
        raise OutboxError(f"{path}: cannot be read: {error}") from error


def _count(database: sqlite3.Connection) -> int:
    found: tuple[int] = database.execute("SELECT COUNT(*) FROM event").fetchone()
    return found[0]
