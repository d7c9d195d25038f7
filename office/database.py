"""The database of the catalogue: SQLite by default, PostgreSQL by its address. Tables stand beside what uses them.

Everything here is derived, from the store or from the office's log, and is made again from them (`office.book`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, MetaData, Table, case, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from office import migrations
from office.errors import OfficeError

METADATA: Final = MetaData()
"""All tables. A time is UTC in text as records write it; `leaf_index` is a leaf of the office's log."""

Row = Mapping[str, Any]
_BUSY_SECONDS = 10
_ADVISORY = 0x626F6479  # names the lock of who changes something
_BY_BYTES = ("C", "POSIX", "C.UTF-8", "C.utf8")


def sqlite_url(path: Path) -> str:
    """The address of a database in a file."""
    return f"sqlite:///{path}"


class Database:
    """Safe for several threads and several processes."""

    def __init__(self, url: str) -> None:
        """`url` as SQLAlchemy takes it: `sqlite:///FILE`, `sqlite://` (in memory), `postgresql+pg8000://…`.

        Raises `OfficeError` ("catalogue").
        """
        self.engine = _sqlite(url) if url.startswith("sqlite") else create_engine(url, pool_pre_ping=True)
        self._one = threading.Lock()  # of this process's threads, which would else ask SQLite again and again
        try:
            self._open()
        except (SQLAlchemyError, OSError) as error:
            self.close()
            told = f"{self.engine.url.render_as_string()} cannot be opened ({error})"
            raise OfficeError("catalogue", f"{told}; move it away, it is rebuilt") from error
        except OfficeError:
            self.close()
            raise

    def _open(self) -> None:
        if self.is_sqlite and self.engine.url.database is None:
            METADATA.create_all(self.engine)  # in memory: nobody opens it again
            return
        with self.read() as db:
            _check(db)
            of_today = migrations.is_of_today(db)
        if not of_today:
            with self.begin() as db:
                if not migrations.is_of_today(db):  # it may have waited for who did it
                    migrations.upgrade(db)

    @property
    def is_sqlite(self) -> bool:
        """Or else PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """Changes that are durable together, or not at all."""
        with self._one, self.engine.connect() as db:  # which takes back what was not committed
            # One at a time, over all processes: or two that read first and write then would be in each other's way.
            if self.is_sqlite:
                db.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                db.execute(select(func.pg_advisory_xact_lock(_ADVISORY)))
            yield db
            db.commit()

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One look: what it reads belongs together."""
        with self.engine.connect() as db:
            if self.is_sqlite:
                db.exec_driver_sql("BEGIN")
            else:
                db.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield db


def put(db: Connection, table: Table, rows: Row | Sequence[Row], *changed: str) -> None:
    """Insert rows; of one that is there by its key, change these columns to the new row's."""
    statement = _insert(db, table)
    fresh = {name: statement.excluded[name] for name in changed}
    db.execute(statement.on_conflict_do_update(index_elements=table.primary_key, set_=fresh), rows)


def put_new(db: Connection, table: Table, rows: Row | Sequence[Row]) -> int:
    """Insert rows, but those that are there by their keys; how many of a single one were new."""
    statement = _insert(db, table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return db.execute(statement, rows).rowcount


def later(one: Any, other: Any) -> ColumnElement[Any]:
    """The greater of two values that are not null."""
    return case((one > other, one), else_=other)


def sooner(one: Any, other: Any) -> ColumnElement[Any]:
    """The lesser of two values that are not null."""
    return case((one < other, one), else_=other)


def tellable(text: str) -> str:
    """What a camera or dock tells in words, as every database takes it: PostgreSQL knows no NUL."""
    return text.replace("\0", "\ufffd")


def _insert(db: Connection, table: Table) -> Any:
    return (postgresql if db.dialect.name == "postgresql" else sqlite).insert(table)


def _check(db: Connection) -> None:
    """Times and ids are compared as text: on PostgreSQL, that must go by their bytes. Raises `OfficeError`."""
    if db.dialect.name == "sqlite":
        return
    asked = "SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()"
    collation, encoding = db.exec_driver_sql(asked).one()
    if encoding != "UTF8" or collation not in _BY_BYTES:
        raise OfficeError(
            "catalogue", f"the database sorts by {collation} in {encoding}: make it by createdb --template=template0 "
            "--encoding=UTF8 --locale=C NAME",
        )  # fmt: skip


def _sqlite(url: str) -> Engine:
    in_memory: dict[str, Any] = {"poolclass": StaticPool} if url == "sqlite://" else {}
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False}, **in_memory)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # BEGIN is said here, and not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine
