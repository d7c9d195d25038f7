"""What people enter, in forms, commands and tables: taken as it is to stand in the log, or refused by name.

A leaf is for ever, and auditors read it: nothing empty where something is owed, nothing longer than 2,000 characters,
no sign that a screen does not show.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from evidence import shape
from office.catalogue import utc
from office.errors import OfficeError

LIMIT: Final = 2_000  # characters
SHORT: Final = 120

_BETWEEN = re.compile(r"[、，,;；/\s]+")
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?[T ]+(\d{1,2})[:：](\d{2})(?:[:：](\d{2}))?")


def text(name: str, value: str | None, limit: int = LIMIT) -> str:
    """What must be there. Raises `OfficeError` ("entry")."""
    clean = "\n".join(" ".join(line.split()) for line in unicodedata.normalize("NFC", value or "").splitlines()).strip()
    if not clean:
        raise wrong(name, "不能为空 must not be empty")
    if len(clean) > limit:
        raise wrong(name, f"不得超过{limit}字 at most {limit} characters")
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs") and sign != "\n" for sign in clean):
        raise wrong(name, "含有不可见字符 holds signs that no screen shows")
    return clean


def maybe(name: str, value: str | None, limit: int = LIMIT) -> str | None:
    """What may be left empty."""
    return text(name, value, limit) if (value or "").strip() else None


def several(name: str, value: str | Collection[str] | None, most: int = 40) -> list[str]:
    """Names or numbers with commas, spaces or the like between; each once, in their order. May be none."""
    parts = _BETWEEN.split(value) if isinstance(value, str) else list(value or ())
    found = list(dict.fromkeys(text(name, part, SHORT) for part in parts if part.strip()))
    if len(found) > most:
        raise wrong(name, f"不得超过{most}个 at most {most}")
    return found


def one_of(name: str, value: str | None, choices: Collection[str]) -> str:
    """One of these words."""
    if value not in choices:
        raise wrong(name, f"应为 one of {', '.join(choices)}")
    return str(value)


def time(name: str, value: str | datetime | None, zone: ZoneInfo) -> str:
    """A time as records write it. Text is of the county: `2026-11-24 09:30`, `2026/11/24 9:30`, or a record's UTC."""
    if isinstance(value, datetime):
        return utc(value)
    clean = (value or "").strip()
    if shape.utc(clean):
        return clean
    if (match := _DATE.fullmatch(clean)) is None:
        raise wrong(name, "应为 a time is written 2026-11-24 09:30")
    try:
        return utc(datetime(*(int(part or 0) for part in match.groups()), tzinfo=zone))  # type: ignore[arg-type, misc]
    except ValueError as error:
        raise wrong(name, f"没有这个时间 there is no such time: {clean}") from error


def recording(device: str, name: str) -> tuple[str, str]:
    """The name of a recording, if it can be one."""
    if not shape.identifier(device) or not shape.recording_id(name):
        raise OfficeError("recording-unknown", f"{device}/{name} 不是录像编号 is no recording's name", 404)
    return device, name


def wrong(name: str, what: str) -> OfficeError:
    """What is to be raised for a field that does not fit."""
    return OfficeError("entry", f"{name}：{what}", 400)
