"""When a segment was made, for people: what the camera's clock claims, what others prove, whether both agree."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.time_bounds import Bound, SegmentTime
from evidence.timestamp import Stamp

_WORDS = {
    "anchor": "档案库时间锚 anchor",
    "receipt": "档案库回执 receipt",
    "log": "档案库存证日志 log",
    "self-stamped": "本机构自盖时间戳 self-stamped",
    "authority": "外部时间戳 authority",
}
_AGREES = {True: "相符 agrees", False: "不符 contradicted", None: "无从比较 nothing to compare"}


def told(time: SegmentTime) -> str:
    """One line of a segment's time."""
    claimed = "—" if time.first is None or time.last is None else f"{time.first} – {time.last}"
    return (
        f"自称 claimed {claimed}；不早于 not before {_bounds(time.not_before)}；"
        f"不晚于 not after {_bounds(time.not_after)}；{_AGREES[time.agrees]}"
    )


def stamped(size: int, stamp: Stamp) -> str:
    """One line of a stamp on the office's log."""
    return f"时间戳 stamp：{_WORDS[stamp.bound.by]}，{stamp.authority}，日志前 {size} 条 first entries of the log"


def _bounds(bounds: Sequence[Bound]) -> str:
    return "、".join(f"{bound.utc}（{_WORDS[bound.by]}）" for bound in bounds) or "—"
