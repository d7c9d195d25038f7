"""The simulated battery: one lithium cell that is drawn from or charged, sags under load, and ages.

Time is an argument: hours and days can be tested at once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np

_HOUR_NS = 3_600 * 10**9
# Open-circuit voltage of a common lithium-ion cell over its charge.
_PERCENTS = (0.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0)
_VOLTS = (3.0, 3.45, 3.6, 3.68, 3.77, 3.88, 4.02, 4.2)
_SAG_VOLTS_PER_PERCENT_PER_HOUR = 0.004  # inner resistance, by the draw as a part of the capacity
_SAG_VOLTS = 0.6  # at most: a draw beyond what a cell can give only shortens a test


@dataclass(frozen=True, slots=True)
class CellState:
    """The cell at one moment. `volts` overrides what the model says; without a `pack` nothing answers."""

    percent: float
    draw_percent_per_hour: float  # taken from it, charger or not
    charge_percent_per_hour: float  # given by the charger while `charging`
    charging: bool = False
    volts: float | None = None
    pack: bool = True


class Cell:
    """A cell that lives on. All methods may be called from any thread; times are nanoseconds of one clock."""

    def __init__(self, state: CellState, now_ns: int) -> None:
        self._state = state
        self._now_ns = now_ns
        self._lock = threading.RLock()

    def at(self, now_ns: int) -> CellState:
        """Let time pass up to `now_ns`; the cell stops at empty and full."""
        with self._lock:
            hours = max(0, now_ns - self._now_ns) / _HOUR_NS
            percent = self._state.percent + hours * rate(self._state)
            self._state = replace(self._state, percent=min(max(percent, 0.0), 100.0))
            self._now_ns = max(self._now_ns, now_ns)
            return self._state

    def change(self, now_ns: int, **changes: float | bool | None) -> None:
        """Change fields of the state from now on."""
        with self._lock:
            self.at(now_ns)
            self._state = replace(self._state, **changes)  # type: ignore[arg-type] # names and kinds are the caller's


def rate(state: CellState) -> float:
    """Percent per hour that the cell gains; negative while it is drawn from."""
    if state.charging and state.percent < 100:  # noqa: PLR2004 - full
        return state.charge_percent_per_hour - state.draw_percent_per_hour
    return 0.0 if state.charging else -state.draw_percent_per_hour


def volts(state: CellState) -> float:
    """Voltage at the cell's ends, under its load."""
    if state.volts is not None:
        return state.volts
    sag = rate(state) * _SAG_VOLTS_PER_PERCENT_PER_HOUR
    return float(np.interp(state.percent, _PERCENTS, _VOLTS)) + min(max(sag, -_SAG_VOLTS), _SAG_VOLTS)
