"""The database of the catalogue: SQLite by default, PostgreSQL by its address. Tables stand beside what uses them.

Everything here is derived, from the store or from the office's log, and is made again from them (`office.book`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, MetaData, create_engine, event

METADATA: Final = MetaData()
"""All tables. A time is UTC in text as records write it; `leaf_index` is a leaf of the office's log."""

_BUSY_SECONDS = 10


def sqlite_url(path: Path) -> str:
    """The address of a database in a file."""
    return f"sqlite:///{path}"


class Database:
    """Safe for several threads and several processes."""

    def __init__(self, url: str) -> None:
        """`url` as SQLAlchemy takes it: `sqlite:///FILE`, `postgresql+pg8000://…`."""
        self.engine = _sqlite(url) if url.startswith("sqlite") else create_engine(url, pool_pre_ping=True)
        METADATA.create_all(self.engine)

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """Changes that are durable together, or not at all."""
        with self.engine.connect() as db:  # which takes back what was not committed
            _start(db, "BEGIN IMMEDIATE")  # or two that read first and write then would refuse each other
            yield db
            db.commit()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One look: what it reads belongs together."""
        with self.engine.connect() as db:
            _start(db, "BEGIN")
            yield db


def _start(db: Connection, sqlite: str) -> None:
    if db.dialect.name == "sqlite":
        db.exec_driver_sql(sqlite)


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # BEGIN is said here, and not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine
