"""Who looks after which camera, for which section, since when; and what was done to it (rules 7 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Column, Connection, Table, Text, insert, select

from evidence import shape
from office import entry
from office.book import Book, Enter, Leaf
from office.catalogue import utc, utc_now
from office.database import METADATA
from office.rows import rows

WORK: Final = {
    "registered": "登记", "checked": "检查", "repaired": "维修", "updated": "更新", "replenished": "增配",
    "retired": "报废",
}  # fmt: skip
"""Rule 8: what is done to a camera."""

_CUSTODY: Final = Table(
    "custody", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("device", Text, nullable=False, index=True),
    Column("custodian", Text, nullable=False),
    Column("section", Text, nullable=False),
    Column("head", Text, nullable=False),  # of the section: answers for it first
    Column("since", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip
_MAINTENANCE: Final = Table(
    "maintenance", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("device", Text, nullable=False, index=True),
    Column("work", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("done", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip


def assign(
    book: Book, by: str, device: str, custodian: str, section: str, head: str, zone: ZoneInfo,
    since: str | datetime | None = None,
) -> int:  # fmt: skip
    """Name a camera's custodian, section and head of section, from a time on (rule 7). Raises `OfficeError`."""
    with book.turn() as turn:
        return turn.enter(
            "custody", by=by, device=_device(device), custodian=entry.text("保管人 custodian", custodian, entry.SHORT),
            section=entry.text("科室 section", section, entry.SHORT),
            head=entry.text("科室负责人 head", head, entry.SHORT), since=_past(since, zone),
        )  # fmt: skip


def maintain(
    book: Book, by: str, device: str, work: str, detail: str, zone: ZoneInfo, done: str | datetime | None = None
) -> int:
    """Say what was done to a camera (rule 8). Raises `OfficeError`."""
    entry.one_of("事项 work", work, WORK)
    with book.turn() as turn:
        return turn.enter(
            "maintenance", by=by, device=_device(device), work=work, detail=entry.text("内容 detail", detail),
            done=_past(done, zone),
        )  # fmt: skip


def at(db: Connection, when: datetime | None = None) -> dict[str, dict[str, Any]]:
    """Who looked after each camera at a time (now, if none is given), by device."""
    query = select(_CUSTODY).where(_CUSTODY.c.since <= (utc(when) if when else utc_now()))
    return {row["device"]: row for row in rows(db, query.order_by(_CUSTODY.c.since, _CUSTODY.c.leaf_index))}


def sections(db: Connection, when: datetime | None = None) -> dict[str, str]:
    """The section of each camera at a time."""
    return {device: row["section"] for device, row in at(db, when).items()}


def history(db: Connection, device: str) -> list[dict[str, Any]]:
    """All that was entered of a camera, by the time it holds from: custodians, and what was done to it."""
    kept = rows(db, select(_CUSTODY).where(_CUSTODY.c.device == device))
    done = rows(db, select(_MAINTENANCE).where(_MAINTENANCE.c.device == device))
    acts = [{"act": "custody", "from": row["since"], **row} for row in kept]
    acts += [{"act": "maintenance", "from": row["done"], **row} for row in done]
    return sorted(acts, key=lambda row: (row["from"], row["leaf_index"]))


def _device(device: str) -> str:
    if not shape.identifier(device):
        raise entry.wrong("设备 device", "应为大写字母、数字和连字符 capitals, digits and hyphens")
    return device


def _past(when: str | datetime | None, zone: ZoneInfo) -> str:
    now = utc_now()
    found = entry.time("时间 time", when, zone) if when else now
    if found > now:
        raise entry.wrong("时间 time", "不得晚于现在 is in the future")
    return found


def _insert(table: Table) -> Enter:
    def enter(db: Connection, index: int, leaf: Leaf) -> None:
        names = [column.name for column in table.columns if column.name != "leaf_index"]
        db.execute(insert(table).values(leaf_index=index, **{name: leaf[name] for name in names}))

    return enter


ENTERS: Final[Mapping[str, Enter]] = {"custody": _insert(_CUSTODY), "maintenance": _insert(_MAINTENANCE)}
