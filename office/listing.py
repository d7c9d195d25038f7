"""What the office's commands tell, as a table for people or as JSON for programs; `bodycam office list`."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from evidence.jose import Json
from evidence.report import printable

CAUSES = {
    "power_cut": "断电", "crash": "程序崩溃", "encoder_changed": "编码器变更", "camera_stall": "镜头停顿",
    "camera_lost": "镜头脱落", "microphone_lost": "话筒脱落", "encoder_stall": "编码停顿", "storage_full": "存储已满",
    "storage_failing": "存储故障", "slow_storage": "存储过慢", "battery_low": "电量不足", "heat": "过热",
    "weather": "天气", "change_of_site": "转移现场", "privacy": "隐私或秘密", "shutdown": "关机", "unknown": "原因不明",
}  # fmt: skip
ACTIVITIES = {
    "inspection": "日常检查", "complaint": "投诉举报", "case": "案件调查", "service": "文书送达",
    "coercion": "强制措施", "other": "其他执法",
}  # fmt: skip
_REASONS = {
    None: "未说明", "unanswered": "未说明", "button_held": "已按键说明", "speech_followed": "已口头说明",
    "chosen": "已选原因",
}  # fmt: skip
_HEADINGS = ("录像 recording", "设备 device", "开始 start", "时长 length", "类别 activity", "段 parts",
             "文件 held", "中断 gaps", "移交 handed in", "备注 notes")  # fmt: skip


def describe(row: Mapping[str, Any]) -> Json:
    """One recording with stable keys. Lengths in ms; `handed_in` is null while a segment or the end is missing."""
    segments: Sequence[Mapping[str, Any]] = row["segments"]
    held = [segment for segment in segments if segment["received"] is not None]
    complete = row["ended"] is not None and len(held) == len(segments) and len(held) > 0
    return {
        "recording": row["recording"],
        "device": row["device"],
        "officer": None,  # sealed to the office; opened with its identity only
        "activity": row["activity"],
        "started": row["started"],
        "clock_source": row["clock_source"],
        "clock_error_ms": row["clock_error_ms"],
        "ended": row["ended"],
        "recorded_ms": sum(segment["to_ns"] - segment["from_ns"] for segment in segments) // 1_000_000,
        "parts": row["parts"],
        "signed": bool(row["signed"]),
        "segments": len(segments),
        "held": len(held),
        "missing": [segment["segment"] for segment in segments if segment["received"] is None],
        "bytes_held": sum(segment["size"] for segment in held),
        "frames": sum(segment["frames"] for segment in segments),
        "frames_delivered": row["frames_delivered"],
        "frames_encoded": row["frames_encoded"],
        "frames_dropped": row["frames_dropped"],
        "notice_heard": any(notice["heard"] for notice in row["notices"]),
        "gaps": [
            {name: gap[name] for name in ("after_part", "before_part", "cause", "min_ms", "max_ms", "reason")}
            for gap in row["gaps"]
        ],
        "handed_in": max(segment["received"] for segment in held) if complete else None,
        "retain_until": max((segment["retain_until"] for segment in held), default=None),
    }


def table(recordings: Sequence[Json]) -> str:
    """A table for people; times are this machine's."""
    if not recordings:
        return "尚无录像 nothing was handed in yet\n"
    return columns([_HEADINGS, *(_row(recording) for recording in recordings)])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, each column as wide as its widest cell. What a camera tells commands no terminal."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _row(recording: Json) -> tuple[str, ...]:
    activity = recording["activity"]
    return (
        recording["recording"],
        recording["device"],
        local(recording["started"]) + ("" if recording["clock_source"] != "none" else "?"),
        _length(recording["recorded_ms"]),
        ACTIVITIES[activity] if activity else "未选",
        str(recording["parts"]),
        f"{recording['held']}/{recording['segments']}",
        "；".join(_gap(gap) for gap in recording["gaps"]) or "无",
        local(recording["handed_in"]) if recording["handed_in"] else "未完成",
        "、".join(_notes(recording)) or "—",
    )


def _notes(recording: Json) -> list[str]:
    notes = {
        "未结束 not ended": recording["ended"] is None,
        "未签名 unsigned": not recording["signed"],
        "未听到告知 notice not heard": not recording["notice_heard"],
        f"缺文件 missing {','.join(map(str, recording['missing']))}": bool(recording["missing"]),
    }
    return [note for note, holds in notes.items() if holds]


def _gap(gap: Json) -> str:
    low, high = gap["min_ms"] / 1000, gap["max_ms"]
    bounds = f"≥{low:.1f}s" if high is None else f"{low:.1f}–{high / 1000:.1f}s"
    return f"{CAUSES[gap['cause']]} {bounds}，{_REASONS[gap['reason']]}"


def _length(ms: int) -> str:
    minutes, seconds = divmod(ms / 1000, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{seconds:04.1f}"


def titled(headings: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> str:
    """As `columns`, below headings; `nothing` if there are no rows."""
    return columns([headings, *rows]) if rows else nothing


def tell(told: Json, text: str, *, as_json: bool) -> None:
    """Write what a command has found: for programs, or for people."""
    sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n" if as_json else text)


def minute(at: datetime, zone: ZoneInfo) -> str:
    """A time by the county's clock."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def local(utc: str) -> str:
    """A time as records write it, by this machine's zone."""
    try:
        return datetime.fromisoformat(utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:  # a clock's last hours of the year 9999, east of Greenwich
        return utc


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
