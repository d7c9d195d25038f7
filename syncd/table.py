"""`bodycam dock status`: how the dock stands, on a terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime

from syncd.status import BayStatus, DockStatus, SpoolStatus
from syncd.words import STATES, reason

_BAR = 16
_COLUMNS = (
    ("口 bay", 9),
    ("记录仪 camera", 16),
    ("状态 state", 18),
    ("进度 done", _BAR + 6),
    ("速率 rate", 12),
    ("剩余 left", 12),
    ("期限 due", 14),
)


def lines(status: DockStatus, *, running: bool) -> Iterator[str]:
    """All of it, for people."""
    yield _head(status, running=running)
    yield ""
    yield _row(title for title, _ in _COLUMNS)
    for bay in status.bays:
        yield _row(_cells(bay))
        if bay.code:
            yield f"{'':9}└ {reason(bay.code)} ({bay.code})"
    yield ""
    yield from _spool(status.spool)
    yield f"消息 messages: {status.outbox_events} 条待送 events wait" + _trouble(status.broker_trouble)
    if status.office_code:
        yield f"档案库 office: {reason(status.office_code)} ({status.office_code})"


def amount(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:  # noqa: PLR2004 - binary multiples
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def minutes_left(seconds: int | None) -> int | None:
    """Whole minutes, rounded up; None: not known."""
    return None if seconds is None else math.ceil(seconds / 60)


def _head(status: DockStatus, *, running: bool) -> str:
    if running:
        return f"采集站 dock {status.dock}  运行中 running"
    told = f"，最后消息 last heard of {_moment(status.utc_ms)}" if status.utc_ms else ""
    return f"采集站 dock {status.dock}  未运行 not running{told}"


def _cells(bay: BayStatus) -> Iterator[str]:
    yield bay.name
    yield bay.camera or "—"
    yield str(STATES[bay.state])
    yield _bar(bay.percent) if bay.camera else ""
    yield f"{amount(bay.bytes_per_second)}/s" if bay.bytes_per_second else ""
    minutes = minutes_left(bay.left_seconds)
    yield "" if minutes is None else f"{minutes} 分 min"
    yield _moment(bay.due_ms) if bay.due_ms else ""


def _bar(percent: int) -> str:
    full = percent * _BAR // 100
    return "█" * full + "░" * (_BAR - full) + f" {percent:3}%"


def _spool(spool: SpoolStatus) -> Iterator[str]:
    yield (
        f"暂存 spool: {amount(spool.used_bytes)} / {amount(spool.limit_bytes)}，"
        f"磁盘余 disk free {amount(spool.disk_free_bytes)}"
    )
    for one in spool.waiting:
        yield f"  {one.camera}: {one.segments} 段待送档案库 segments wait for the office, {amount(one.bytes)}"


def _trouble(trouble: str | None) -> str:
    return f" ({trouble})" if trouble else ""


def _moment(utc_ms: int) -> str:
    return datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone().strftime("%m-%d %H:%M")


def _row(cells: Iterator[str] | tuple[str, ...]) -> str:
    return "".join(
        cell + " " * max(1, width - _width(cell)) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)
    ).rstrip()


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
