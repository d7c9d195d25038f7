"""The rows of inspections (rule 26), as their acts in the log make them; `office.inspection` enters those acts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, insert, select, update

from office.book import Enter, Leaf
from office.database import METADATA
from office.errors import OfficeError
from office.rows import row, rows

VERDICTS: Final = {"met": "符合", "unmet": "不符合", "not-judged": "不评"}

_INSPECTIONS: Final = Table(
    "inspections", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("since", Text, nullable=False),
    Column("until", Text, nullable=False),
    Column("permille", BigInteger, nullable=False),
    Column("least", BigInteger, nullable=False),
    Column("commitment", Text, nullable=False),
    Column("nonce_by", Text, nullable=False),
    Column("frame", Text, nullable=False),  # SHA-256
    Column("size", BigInteger, nullable=False),  # of the frame: units
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("nonce", Text),
    Column("root", Text),
    Column("seed", Text),
    Column("drawn", Text),
    Column("drawn_by", Text),
    Column("closed", Text),
    Column("closed_by", Text),
)  # fmt: skip
_SAMPLE: Final = Table(
    "inspection_sample", METADATA,
    Column("inspection", BigInteger, primary_key=True, autoincrement=False),
    Column("item", Text, primary_key=True),
    Column("section", Text, nullable=False),
    Column("place", BigInteger, nullable=False),  # in the order of the draw
)  # fmt: skip
_FINDINGS: Final = Table(
    "inspection_findings", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("inspection", BigInteger, nullable=False, index=True),
    Column("item", Text, nullable=False),
    Column("question", BigInteger, nullable=False),  # 1 to 3
    Column("verdict", Text, nullable=False),
    Column("remark", Text),
    Column("facts", Text, nullable=False),  # JSON: what the machine knew then
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip


def all_of_them(db: Connection) -> list[dict[str, Any]]:
    """All inspections, the last one first."""
    return rows(db, select(_INSPECTIONS).order_by(_INSPECTIONS.c.leaf_index.desc()))


def one(db: Connection, inspection: int) -> dict[str, Any]:
    """An inspection. Raises `OfficeError` ("inspection-unknown")."""
    found = row(db, select(_INSPECTIONS).where(_INSPECTIONS.c.leaf_index == inspection))
    if found is None:
        raise OfficeError("inspection-unknown", f"没有编号为 {inspection} 的检查 no inspection has this number", 404)
    return found


def sample(db: Connection, inspection: int) -> list[dict[str, Any]]:
    """What was drawn: `section`, `item`, by section and in the order of the draw."""
    query = select(_SAMPLE).where(_SAMPLE.c.inspection == inspection).order_by(_SAMPLE.c.section, _SAMPLE.c.place)
    return rows(db, query)


def findings(db: Connection, inspection: int) -> dict[tuple[str, int], dict[str, Any]]:
    """The findings that count: the last of each item and question."""
    query = select(_FINDINGS).where(_FINDINGS.c.inspection == inspection).order_by(_FINDINGS.c.leaf_index)
    return {(told["item"], told["question"]): {**told, "facts": json.loads(told["facts"])} for told in rows(db, query)}


def _announced(db: Connection, index: int, leaf: Leaf) -> None:
    names = ("since", "until", "permille", "least", "commitment", "nonce_by", "frame", "size", "by", "at")
    db.execute(insert(_INSPECTIONS).values(leaf_index=index, **{name: leaf[name] for name in names}))


def _drawn(db: Connection, _: int, leaf: Leaf) -> None:
    values = {name: leaf[name] for name in ("nonce", "root", "seed")}
    of = _INSPECTIONS.c.leaf_index == leaf["inspection"]
    db.execute(update(_INSPECTIONS).where(of).values(**values, drawn=leaf["at"], drawn_by=leaf["by"]))
    rows = [
        {"inspection": leaf["inspection"], "item": item, "section": section, "place": place}
        for section, items in leaf["sample"].items()
        for place, item in enumerate(items)
    ]
    if rows:
        db.execute(insert(_SAMPLE), rows)


def _found(db: Connection, index: int, leaf: Leaf) -> None:
    names = ("inspection", "item", "question", "verdict", "remark", "by", "at")
    told = json.dumps(leaf["facts"], ensure_ascii=False)
    db.execute(insert(_FINDINGS).values(leaf_index=index, facts=told, **{name: leaf[name] for name in names}))


def _closed(db: Connection, _: int, leaf: Leaf) -> None:
    of = _INSPECTIONS.c.leaf_index == leaf["inspection"]
    db.execute(update(_INSPECTIONS).where(of).values(closed=leaf["at"], closed_by=leaf["by"]))


ENTERS: Final[Mapping[str, Enter]] = {
    "inspection-announced": _announced,
    "inspection-drawn": _drawn,
    "inspection-finding": _found,
    "inspection-closed": _closed,
}
