"""Shapes of JSON bodies: which members, of which kind, within which bounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from evidence.errors import EvidenceError

Check = Callable[[Any], bool]

_ID = re.compile(r"[A-Z0-9-]{3,32}\Z")
_RECORDING = re.compile(r"[0-9a-f]{8}-[1-9][0-9]{0,9}\Z")
_HEX = re.compile(r"[0-9a-f]*\Z")
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\Z")
_TEXT_LIMIT = 4096
_LIST_LIMIT = 64


def require(what: str, value: Any, shape: Mapping[str, Check]) -> dict[str, Any]:
    """Return `value` if it is an object with exactly these members; a name ending in `?` may be absent."""
    if not isinstance(value, dict):
        raise EvidenceError("shape", f"{what}: an object is expected")
    for name, check in shape.items():
        key = name.rstrip("?")
        if key not in value:
            if name.endswith("?"):
                continue
            raise EvidenceError("shape", f"{what}: {key!r} is missing")
        if not check(value[key]):
            raise EvidenceError("shape", f"{what}: {key!r} has a wrong value")
    unknown = value.keys() - {name.rstrip("?") for name in shape}
    if unknown:
        raise EvidenceError("shape", f"{what}: unknown member {min(unknown)!r}")
    return value


def number(low: int = 0, high: int = 2**63 - 1) -> Check:
    """A whole number within bounds, both included."""
    return lambda value: type(value) is int and low <= value <= high


def hexadecimal(digits: int) -> Check:
    """Lower-case hexadecimal of that many digits."""
    return lambda value: isinstance(value, str) and len(value) == digits and bool(_HEX.match(value))


def optional(check: Check) -> Check:
    """`null`, or what `check` takes."""
    return lambda value: value is None or check(value)


def one_of(*values: str) -> Check:
    """One of these strings."""
    return lambda value: isinstance(value, str) and value in values


def list_of(check: Check, at_least: int = 0, at_most: int = _LIST_LIMIT) -> Check:
    """A list of such values, of a length within bounds."""
    return lambda value: isinstance(value, list) and at_least <= len(value) <= at_most and all(map(check, value))


def nested(shape: Mapping[str, Check]) -> Check:
    """An object of that shape."""

    def check(value: Any) -> bool:
        try:
            require("", value, shape)
        except EvidenceError:
            return False
        return True

    return check


def text(value: Any) -> bool:
    """A string of at most 4,096 characters."""
    return isinstance(value, str) and len(value) <= _TEXT_LIMIT


def long_text(value: Any) -> bool:
    """A string bounded by the line that carries it."""
    return isinstance(value, str)


def boolean(value: Any) -> bool:
    """`true` or `false`."""
    return isinstance(value, bool)


def anything(value: Any) -> bool:
    """Any object: members that only people read."""
    return isinstance(value, dict)


def identifier(value: Any) -> bool:
    """Id of a device, dock or office: capitals, digits, hyphen, 3 to 32 characters."""
    return isinstance(value, str) and bool(_ID.match(value))


def recording_id(value: Any) -> bool:
    """Id of a recording: first eight digits of the boot id in which it began, hyphen, its number in that boot."""
    return isinstance(value, str) and bool(_RECORDING.match(value))


def utc(value: Any) -> bool:
    """A UTC time to the millisecond, `2026-11-24T06:12:00.123Z`, from 1970 on: what `utc_text` can write."""
    if not isinstance(value, str) or not _UTC.match(value) or value < "1970":
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


SHA256 = hexadecimal(64)
BOOT = hexadecimal(32)


def utc_text(ms: int) -> str:
    """Milliseconds since 1970 as the text that records use; clamped to the years 1970 to 9999."""
    ms = min(max(ms, 0), 253_402_300_799_999)
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"


def utc_of(at: datetime) -> str:
    """A moment, which knows its zone, as `utc_text`."""
    return utc_text(int(at.timestamp() * 1000))


def utc_ms(value: str) -> int:
    """Milliseconds since 1970 of a text that `utc` accepted."""
    whole = datetime.fromisoformat(value)
    return int(whole.replace(microsecond=0).timestamp()) * 1000 + whole.microsecond // 1000
