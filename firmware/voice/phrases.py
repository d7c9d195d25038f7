"""Figures as the keys of prompts that say them. Pure."""

from __future__ import annotations

import math

_MOST_HOURS = 24  # beyond this the camera says "more than"


def hours(value: float) -> str:
    """The prompt of a number of hours, rounded down: what is promised is there. 0 says "less than one hour"."""
    return f"hours_{math.floor(min(_MOST_HOURS, max(0.0, value)))}"


def status(battery_hours: float | None, storage_hours: float | None, *, clock_trusted: bool) -> tuple[str, ...]:
    """Hours of battery and of storage that are left, and whether the clock is right; None: unknown, not said."""
    battery = () if battery_hours is None else ("battery_hours", hours(battery_hours))
    storage = () if storage_hours is None else ("storage_hours", hours(storage_hours))
    return (*battery, *storage, "clock_ok" if clock_trusted else "clock_untrusted")
