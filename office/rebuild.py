"""`bodycam office rebuild`: the catalogue made again from store and log alone.

What messages told stands nowhere else, is no evidence and is kept: tables marked as hints, and alerts that cameras told
directly. All else is emptied in one transaction, then entered as at any start; a cut in between costs only time.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select

from office.archive import Archive
from office.database import METADATA, Database, Row, put_new
from office.quarantine import Quarantine
from office.schema import ALERTS, empty, is_hints

_BYTES: Final = "base64"


def rebuild(archive: Archive) -> dict[str, int]:
    """Rows of each table afterwards. For an office that is not running. Raises `OfficeError`, OSError."""
    quarantine = Quarantine(archive)
    try:
        for database in (archive.database, quarantine.database):
            with database.begin() as db:
                empty(db)
        archive.book.catch_up()
        archive.journals.recover()
        archive.receipts.recover()
        quarantine.journals.recover()
    finally:
        quarantine.close()
    return rows(archive.database)


def rows(database: Database) -> dict[str, int]:
    """How many rows each table has that is made from store and log."""
    with database.read() as db:
        return {table.name: db.scalar(select(func.count()).select_from(table)) or 0 for table in _derived()}


def told(db: Connection) -> Iterator[Row]:
    """What is not made from store and log, row by row, each with its table: for a backup."""
    for table in METADATA.sorted_tables:
        wanted = select(table).order_by(*table.primary_key)
        if table is ALERTS:
            wanted = wanted.where(ALERTS.c.told.is_not(None))
        if table is ALERTS or is_hints(table):
            for row in db.execute(wanted).mappings():
                yield {"table": table.name, "row": {name: _plain(value) for name, value in row.items()}}


def put_told(db: Connection, row: Row) -> None:
    """Enter such a row again. One that this program has no table for is left out."""
    table = METADATA.tables.get(row["table"])
    if table is ALERTS or (table is not None and is_hints(table)):
        values = {name: _value(value) for name, value in row["row"].items() if name in table.c}
        put_new(db, table, {**values, "handed_in": None} if table is ALERTS else values)


def _derived() -> list[Table]:
    return [table for table in METADATA.sorted_tables if not is_hints(table)]


def _plain(value: Any) -> Any:
    return {_BYTES: base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _value(value: Any) -> Any:
    return base64.b64decode(value[_BYTES]) if isinstance(value, dict) else value
