"""What heat and storage mean for the shift: levels, and the hours that can be recorded (rule 10). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from firmware.trend import Trend

HeatLevel = Literal["ok", "warm", "critical"]
StorageLevel = Literal["ok", "low", "critical"]
_HEAT_LEVELS: tuple[HeatLevel, ...] = ("ok", "warm", "critical")
_STORAGE_LEVELS: tuple[StorageLevel, ...] = ("ok", "low", "critical")
_MINUTE_NS = 60 * 10**9
_HOUR_SECONDS = 3_600
_NOISE_BYTES = 1 << 20  # the free space of a filesystem goes up and down a little by itself


@dataclass(frozen=True, slots=True)
class HeatLimits:
    """Degrees Celsius of the processor. A Pi slows itself down at 80 and more so at 85."""

    warm_celsius: float = 75.0
    critical_celsius: float = 82.0
    margin_celsius: float = 5.0  # a level is left only so far below its threshold


@dataclass(frozen=True, slots=True)
class Heat:
    """How hot the device is."""

    level: HeatLevel
    celsius: float | None  # None: the board does not tell

    def figures(self) -> dict[str, Any]:
        """For `self_check` and `heartbeat` records, whose numbers are whole."""
        return {"heat_level": self.level, "celsius": None if self.celsius is None else round(self.celsius)}


class HeatJudge:
    """Judges temperatures one after another; a board that does not tell leaves the level as it was."""

    def __init__(self, limits: HeatLimits | None = None) -> None:
        self._limits = limits or HeatLimits()
        self._level = 0

    def take(self, celsius: float | None) -> Heat:
        """Judge a temperature."""
        if celsius is not None:
            held = self._reached(celsius + self._limits.margin_celsius)
            self._level = max(self._reached(celsius), min(self._level, held))
        return Heat(_HEAT_LEVELS[self._level], celsius)

    def _reached(self, celsius: float) -> int:
        return int(celsius >= self._limits.warm_celsius) + int(celsius >= self._limits.critical_celsius)


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """Hours that can still be recorded, and the used part of the card's life at which it is to be replaced."""

    low_hours: float = 2.0
    critical_hours: float = 0.25
    margin_hours: float = 0.25
    worn_percent: float = 80.0


@dataclass(frozen=True, slots=True)
class Storage:
    """How much can be recorded, and how the card is."""

    level: StorageLevel
    free_bytes: int
    hours: float
    rate_seen: bool  # False: at the planned rate, for want of history
    wear_percent: float | None  # None: the card does not tell
    worn: bool

    def figures(self) -> dict[str, Any]:
        """For `self_check` and `heartbeat` records, whose numbers are whole."""
        return {
            "storage_level": self.level,
            "storage_minutes": round(self.hours * 60),
            "storage_rate_seen": self.rate_seen,
            "card_wear_percent": None if self.wear_percent is None else round(self.wear_percent),
        }


class StorageJudge:
    """Judges free space one reading after another.

    The rate is the slope of the free space while recording, over the last 20 minutes, once there are five of them;
    space that was given up in between starts the history anew. Until then it is the planned rate: bit rates of picture
    and sound, padding and journal, in bytes per second.
    """

    def __init__(self, planned_bytes_per_second: float, limits: StorageLimits | None = None) -> None:
        self._limits = limits or StorageLimits()
        self._trend = Trend(20 * _MINUTE_NS, 5 * _MINUTE_NS, _MINUTE_NS // 2)
        self._planned_per_hour = planned_bytes_per_second * _HOUR_SECONDS
        self._per_hour: float | None = None
        self._free: int | None = None
        self._level = 0

    def take(self, free_bytes: int, wear_percent: float | None, now_ns: int, *, recording: bool) -> Storage:
        """Judge what is free for recordings at `now_ns` (boot time): without the reserve, with what can be given up."""
        grown = self._free is not None and free_bytes - self._free > _NOISE_BYTES
        self._free = free_bytes
        if grown or not recording:
            self._trend.forget()
        if recording:
            self._trend.take(free_bytes, now_ns)
        slope = self._trend.per_hour()
        if slope is not None and slope < 0:
            self._per_hour = -slope
        hours = free_bytes / (self._per_hour or self._planned_per_hour)
        self._level = max(self._reached(hours), min(self._level, self._reached(hours - self._limits.margin_hours)))
        return Storage(
            _STORAGE_LEVELS[self._level],
            free_bytes,
            hours,
            self._per_hour is not None,
            wear_percent,
            wear_percent is not None and wear_percent >= self._limits.worn_percent,
        )

    def _reached(self, hours: float) -> int:
        return int(hours <= self._limits.low_hours) + int(hours <= self._limits.critical_hours)
