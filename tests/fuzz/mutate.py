"""Changes to an input that knows JSON: a byte changed at random in a record is nearly always only `json-form`."""

from __future__ import annotations

import json
import random
from typing import Any

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 65_536, 99_999, 99_999_999, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, -(2**63),
    {"a": 1}, 10**30, 0.5, 1e308, "", "a", "\ud800", "\0", "\x1b[2J\n", "\U0001f600", "a" * 5000, "0" * 64, "1" * 32,
    "1970-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2026-11-24T06:00:00.000Z", [], {}, [[]], [None] * 65,
)  # fmt: skip


def mutated(data: bytes, seed: int) -> bytes:
    """The input with one to four changes: of JSON values where it is JSON, a line at a time, of bytes elsewhere."""
    chance = random.Random(seed)
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = _json_line(data, chance) if chance.random() < 0.8 else _bytes(data, chance)
    return data


def _json_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    number = chance.randrange(len(lines))
    if chance.random() < 0.2:
        return b"\n".join(_shuffled(lines, number, chance))
    start = lines[number].find(b"{")
    try:
        value = json.loads(lines[number][max(start, 0) :])
    except (ValueError, RecursionError):
        return _bytes(data, chance)
    lines[number] = lines[number][: max(start, 0)] + json.dumps(_value(value, chance)).encode()
    return b"\n".join(lines)


def _shuffled(lines: list[bytes], number: int, chance: random.Random) -> list[bytes]:
    other = chance.randrange(len(lines))
    match chance.randrange(3):
        case 0:
            return [*lines[:number], lines[other], *lines[number:]]
        case 1:
            return [*lines[:number], *lines[number + 1 :]]
    lines[number], lines[other] = lines[other], lines[number]
    return lines


def _value(value: Any, chance: random.Random) -> Any:
    """The value with one node changed; what lies deeper is changed more often."""
    inside = isinstance(value, dict | list) and value and chance.random() < 0.85
    if isinstance(value, dict) and inside:
        name = chance.choice(list(value))
        if chance.random() < 0.1:
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: _value(value[name], chance)}
    if isinstance(value, list) and inside:
        place = chance.randrange(len(value))
        if chance.random() < 0.1:
            return [*value[:place], *value[place + 1 :]]
        return [*value[:place], _value(value[place], chance), *value[place + chance.choice((0, 1)) :]]
    if isinstance(value, int) and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 1000, -1000))
    if isinstance(value, str) and value and chance.random() < 0.5:
        place = chance.randrange(len(value))
        return value[:place] + chance.choice(("", "0", "Z", "-", "é", value)) + value[place + 1 :]
    return chance.choice(_VALUES)


def _bytes(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    other = chance.randrange(len(data) + 1)
    some = data[min(place, other) : max(place, other)][:64]
    match chance.randrange(5):
        case 0:
            return data[:place]
        case 1:
            return data[:place] + data[place + chance.choice((1, 4, 64)) :]
        case 2:
            return data[:place] + some + data[place:]
        case 3:
            told = chance.choice((b"\0", b"\xff", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\n", b"9", b"[", b"\0\0\0\x08"))
            return data[:place] + told + data[place + len(told) :]
    return data[:place] + chance.randbytes(chance.choice((1, 1, 4, 16))) + data[place + 1 :]
