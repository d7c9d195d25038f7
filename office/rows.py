"""Rows of the database as dictionaries of their own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Executable


def rows(db: Connection, query: Executable) -> list[dict[str, Any]]:
    """All rows."""
    return [dict(row) for row in db.execute(query).mappings()]


def row(db: Connection, query: Executable) -> dict[str, Any] | None:
    """The one row, if there is one."""
    found = db.execute(query).mappings().one_or_none()
    return None if found is None else dict(found)
