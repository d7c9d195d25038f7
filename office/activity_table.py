"""Activities from a table: CSV as spreadsheets write it (UTF-8, or GB 18030), all lines or none.

The first line names the columns, in any order: 编号 类别 地点 开始 结束 科室 执法人员 当事人, or number kind place
begins ends section officers parties. A line whose number is in the ledger is passed over: a table may come again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from office import activities, entry
from office.activities import Entry
from office.book import Book
from office.errors import OfficeError
from office.words import KINDS

LIMIT: Final = 2 * 1024 * 1024  # bytes
_COLUMNS: Final = {
    "编号": "number", "类别": "kind", "地点": "place", "开始": "begins", "结束": "ends", "科室": "section",
    "执法人员": "officers", "当事人": "parties",
}  # fmt: skip
_NEEDED: Final = ("kind", "place", "begins", "ends", "section", "officers")
_SHORT_KINDS: Final = {
    "日常检查": "inspection", "投诉举报": "complaint", "案件调查": "case", "文书送达": "service",
    "强制措施": "coercion", "其他执法": "other",
}  # fmt: skip
_BY_WORD: Final = {**{word: kind for kind, word in KINDS.items()}, **_SHORT_KINDS, **{kind: kind for kind in KINDS}}
_SHOWN: Final = 20  # faults in one answer


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a table: the leaves of what is new, and the numbers that the ledger had already."""

    entered: tuple[int, ...]
    known: tuple[str, ...]


def read(data: bytes, zone: ZoneInfo) -> list[Entry]:
    """The activities of a table. Raises `OfficeError` ("table"), naming each line that does not fit."""
    rows = csv.DictReader(io.StringIO(_text(data), newline=""))
    try:
        names = [_COLUMNS.get(name.strip(), name.strip().lower()) for name in rows.fieldnames or ()]
        missing = [name for name in _NEEDED if name not in names]
        if missing:
            words = {value: key for key, value in _COLUMNS.items()}
            raise _wrong("缺少列 columns are missing: " + "、".join(words[name] for name in missing))
        found, faults = [], []
        for row in rows:
            values = dict(zip(names, row.values(), strict=False))
            if not any((value or "").strip() for value in values.values() if not isinstance(value, list)):
                continue
            try:
                found.append(_entry(values, zone))
            except OfficeError as error:
                faults.append(f"第{rows.line_num}行 {error.message}")
    except csv.Error as error:
        raise _wrong(f"第{rows.line_num}行 {error}") from error
    if faults:
        more = len(faults) - _SHOWN
        raise _wrong("；".join(faults[:_SHOWN]) + (f"；另有{more}处 and {more} more" if more > 0 else ""))
    return found


def bring_in(book: Book, by: str, data: bytes, zone: ZoneInfo) -> Imported:
    """Enter the activities of a table, all or none. Raises `OfficeError` ("table")."""
    entries = read(data, zone)
    numbers = [one.number for one in entries if one.number is not None]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise _wrong(f"编号重复 numbers stand twice: {'、'.join(twice[:_SHOWN])}")
    entered, known = [], []
    with book.turn() as turn:
        for one in entries:
            if one.number is not None and activities.by_number(turn.db, one.number) is not None:
                known.append(one.number)
            else:
                entered.append(activities.add(turn, by, one, "csv"))
    return Imported(tuple(entered), tuple(known))


def _entry(row: Mapping[str, str | None], zone: ZoneInfo) -> Entry:
    kind = (row.get("kind") or "").strip()
    return Entry(
        _BY_WORD.get(kind, kind),
        entry.text("地点 place", row.get("place"), entry.SHORT),
        entry.time("开始 begins", row.get("begins"), zone),
        entry.time("结束 ends", row.get("ends"), zone),
        entry.text("科室 section", row.get("section"), entry.SHORT),
        tuple(entry.several("执法人员 officers", row.get("officers"))),
        tuple(entry.several("当事人 parties", row.get("parties"))),
        entry.maybe("编号 number", row.get("number"), entry.SHORT),
    )


def _text(data: bytes) -> str:
    if len(data) > LIMIT:
        raise _wrong(f"超过 longer than {LIMIT // 1024 // 1024} MiB")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise _wrong("编码应为 UTF-8 或 GB 18030: save it as CSV UTF-8")


def _wrong(message: str) -> OfficeError:
    return OfficeError("table", message, 400)
