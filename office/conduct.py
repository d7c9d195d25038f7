"""Facts that bear on the eight kinds of misconduct of rule 27. Never a verdict on a person.

Each fact says what the machine saw, and where to look. Whether there was intent, or harm, only people can find out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from office import custody, worklists
from office.archive import Archive
from office.catalogue import utc
from office.deadlines import State
from office.duties import deadlines
from office.register import MARKS
from office.rows import rows
from office.schema import EXPORTS, FORKS
from office.worklists import Item, Ledger


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. `kind`: 1 to 8, as rule 27 counts; `at`: UTC as records write it, as far as it is known."""

    kind: int
    at: str | None
    device: str | None
    recording: str | None
    text: str


def facts(archive: Archive, since: datetime, until: datetime) -> list[Fact]:
    """All facts of a period, by kind and time."""
    now = datetime.now(UTC)
    with archive.database.read() as db:
        ledger = worklists.read(db, since, until, custody.sections(db, until))
        forks, exports = (
            rows(db, select(table).where(table.c.at >= utc(since), table.c.at < utc(until)))
            for table in (FORKS, EXPORTS)
        )
    found = [*_of_recordings(ledger), *_of_worklists(worklists.items(ledger, now, archive.config.zone))]
    found += [Fact(1, row["at"], row["device"], None, "日志链分叉：与已移交的不符") for row in forks]
    found += [_export(row) for row in exports]
    found += [*_lost(archive), *_late(archive, now, since)]
    return sorted(found, key=lambda one: (one.kind, one.at or "", one.device or "", one.recording or ""))


def _of_recordings(ledger: Ledger) -> Iterable[Fact]:
    for one in ledger.recordings:
        at = utc(one.begins) if one.begins else None
        if one.missing and one.over:
            yield Fact(1, at, *one.key, f"日志链所载分段文件 {len(one.missing)} 个未移交")
        if one.officer is None:
            yield Fact(2, at, *one.key, "录制时领用台账无使用人")
        if not one.signed:
            yield Fact(5, at, *one.key, "记录未经设备证据密钥签名")
        if not one.notice_heard:
            yield Fact(8, at, *one.key, "未听到告知语（第十一条）")


def _of_worklists(items: Iterable[Item]) -> Iterable[Fact]:
    told = {
        "unrecorded": (3, "有执法活动，无录像也无说明"),
        "unexplained": (3, "中断未说明原因（第十五条）"),
        "loose": (6, "录像无对应的执法活动"),
    }
    for one in items:
        if one.list in told and not one.early:
            kind, words = told[one.list]
            words += f"：活动 {one.activity}" if one.activity is not None else ""
            yield Fact(kind, utc(one.at) if one.at else None, one.device, one.recording, words)


def _export(row: Mapping[str, Any]) -> Fact:
    words = f"导出副本：{row['by']}，事由：{row['reason']}" + ("，已解密" if row["decrypted"] else "，密文")
    return Fact(4, row["at"], row["device"], row["recording"], words)


def _lost(archive: Archive) -> Iterable[Fact]:
    register = archive.register
    for device in register.devices():
        if register.marked(device) is MARKS[0]:
            yield Fact(7, None, device, None, "设备已挂失")


def _late(archive: Archive, now: datetime, since: datetime) -> Iterable[Fact]:
    warn = timedelta(hours=archive.config.warn_hours)
    words = {State.OVERDUE: "逾期未移交（第十九条）", State.LATE: "逾期移交（第十九条）"}
    for one in deadlines(archive.catalogue, now, archive.config.zone, warn, done_since=since):
        if one.state in words:
            yield Fact(7, utc(one.duty.begins), one.duty.device, one.duty.recording, words[one.state])
