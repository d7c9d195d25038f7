"""What the fuel gauge's figures mean for the shift: level, and the hours that are left (rule 10). Pure.

Thresholds are for one lithium cell. Percent alone is not enough: an old or cold cell that still tells 30 % sags under
load, and the board browns out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from firmware.hal.ports import Charge
from firmware.trend import Trend

PowerLevel = Literal["ok", "low", "critical"]
_LEVELS: tuple[PowerLevel, ...] = ("ok", "low", "critical")
_MINUTE_NS = 60 * 10**9


@dataclass(frozen=True, slots=True)
class PowerLimits:
    """A level is entered at or below its threshold, and left only above threshold and margin together."""

    low_percent: float = 20.0
    critical_percent: float = 5.0
    margin_percent: float = 3.0
    low_volts: float = 3.5
    critical_volts: float = 3.3
    margin_volts: float = 0.15
    planned_draw_percent_per_hour: float = 10.0  # counted with until the real draw has been seen
    least_draw_percent_per_hour: float = 2.0  # a gauge that stands still must not promise days
    exchange_percent: float = 5.0  # a jump of so much from one reading to the next is another pack


@dataclass(frozen=True, slots=True)
class Power:
    """How the battery stands."""

    level: PowerLevel
    percent: float
    volts: float
    charging: bool | None
    hours: float  # until `critical_percent`, at the draw below; while charging: once taken off the charger
    draw_percent_per_hour: float
    draw_seen: bool  # False: planned, for want of history

    def figures(self) -> dict[str, Any]:
        """For `self_check` and `heartbeat` records, whose numbers are whole."""
        return {
            "battery_level": self.level,
            "battery_percent": round(self.percent),
            "battery_mv": round(self.volts * 1000),
            "battery_charging": self.charging,
            "battery_minutes": round(self.hours * 60),
            "battery_draw_permille_per_hour": round(self.draw_percent_per_hour * 10),
            "battery_draw_seen": self.draw_seen,
        }


class PowerJudge:
    """Judges readings one after another. Take one every few seconds: a sag is told by the first reading that shows it.

    The draw is the slope of the charge over the last 20 minutes on the battery, once there are five of them; the last
    draw seen stays valid on the charger and after it.
    """

    def __init__(self, limits: PowerLimits | None = None) -> None:
        self._limits = limits or PowerLimits()
        self._trend = Trend(20 * _MINUTE_NS, 5 * _MINUTE_NS, _MINUTE_NS // 2)
        self._level = 0
        self._percent: float | None = None
        self._draw: float | None = None

    def take(self, charge: Charge, now_ns: int) -> Power:
        """Judge the reading of `now_ns` (boot time)."""
        limits = self._limits
        exchanged = self._percent is not None and abs(charge.percent - self._percent) >= limits.exchange_percent
        self._percent = charge.percent
        if charge.charging or exchanged:
            self._trend.forget()
        if not charge.charging:
            self._trend.take(charge.percent, now_ns)
        slope = self._trend.per_hour()
        if slope is not None:
            self._draw = max(-slope, limits.least_draw_percent_per_hour)
        self._level = max(self._reached(charge, 0.0, 0.0), min(self._level, self._held(charge)))
        draw = limits.planned_draw_percent_per_hour if self._draw is None else self._draw
        return Power(
            _LEVELS[self._level],
            charge.percent,
            charge.volts,
            charge.charging,
            max(0.0, charge.percent - limits.critical_percent) / draw,
            draw,
            self._draw is not None,
        )

    def _held(self, charge: Charge) -> int:
        return self._reached(charge, self._limits.margin_percent, self._limits.margin_volts)

    def _reached(self, charge: Charge, more_percent: float, more_volts: float) -> int:
        limits = self._limits
        if (
            charge.percent <= limits.critical_percent + more_percent
            or charge.volts <= limits.critical_volts + more_volts
        ):
            return 2
        return int(charge.percent <= limits.low_percent + more_percent or charge.volts <= limits.low_volts + more_volts)
