"""The camera's lamps and buzzer as an onlooker sees them: levels of pins over time."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PINS = {"green": 5, "red": 6, "yellow": 13}
BUZZER_PIN = 19
_MEMORY_SECONDS = 1.3  # a lamp that blinks changes twice in that time, one that was switched changes once


class Lamp(NamedTuple):
    """One lamp: whether it shines at this moment, and "off", "on" or "blinking"."""

    lit: bool
    word: str


class LampWatch:
    """Tells a blinking lamp from one that was switched."""

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._changes: dict[str, deque[float]] = {name: deque(maxlen=2) for name in PINS}

    def see(self, levels: Mapping[str, int], now: float) -> dict[str, Lamp]:
        """Take the levels by pin number at `now` (seconds); return the lamps by their colours."""
        return {name: self._see(name, levels.get(str(pin), 0), now) for name, pin in PINS.items()}

    def _see(self, name: str, level: int, now: float) -> Lamp:
        changes = self._changes[name]
        if level != self._levels.get(name, level):
            changes.append(now)
        self._levels[name] = level
        if len(changes) == 2 and now - changes[0] < _MEMORY_SECONDS:  # noqa: PLR2004
            return Lamp(bool(level), "blinking")
        return Lamp(bool(level), "on" if level else "off")


class BuzzCount:
    """Counts how often the buzzer has sounded, by the chip's own diary: its pulses are too short to be polled."""

    def __init__(self, diary: Path) -> None:
        self._diary = diary
        self._offset = diary.stat().st_size if diary.exists() else 0

    def new(self) -> int:
        """How often since the last call."""
        try:
            with self._diary.open("rb") as file:
                file.seek(self._offset)
                whole, end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return 0
        self._offset += len(whole) + len(end)
        count = 0
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                change = json.loads(line)
                count += change["pin"] == BUZZER_PIN and change["level"] == 1
        return count
