"""How fast a figure rises or falls: a slope over the last minutes that single odd readings do not move."""

from __future__ import annotations

import itertools
import statistics
from collections import deque

_HOUR_NS = 3_600 * 10**9


class Trend:
    """Theil-Sen slope over a window: the median of the slopes between all pairs of readings.

    Readings nearer than `spacing_ns` to the one before are left out, which bounds the work: a window of 40 of them has
    780 pairs, a tenth of a millisecond. Without `least_ns` of history there is no slope.
    """

    def __init__(self, window_ns: int, least_ns: int, spacing_ns: int) -> None:
        self._window_ns = window_ns
        self._least_ns = least_ns
        self._spacing_ns = spacing_ns
        self._readings: deque[tuple[int, float]] = deque()

    def take(self, value: float, now_ns: int) -> None:
        """Take a reading; times must not run backwards."""
        if self._readings and now_ns - self._readings[-1][0] < self._spacing_ns:
            return
        self._readings.append((now_ns, value))
        while now_ns - self._readings[0][0] > self._window_ns:
            self._readings.popleft()

    def forget(self) -> None:
        """Begin anew: what was seen tells nothing of what comes."""
        self._readings.clear()

    def per_hour(self) -> float | None:
        """The slope per hour; None as long as the history is too short."""
        if not self._readings or self._readings[-1][0] - self._readings[0][0] < self._least_ns:
            return None
        pairs = itertools.combinations(self._readings, 2)
        return statistics.median(
            (after - before) * _HOUR_NS / (late - early) for (early, before), (late, after) in pairs
        )
