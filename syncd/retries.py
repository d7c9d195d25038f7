"""When something that failed may be tried again. Pure: time is an argument."""

from __future__ import annotations


class Retries:
    """Bounded exponential back-off for each named thing."""

    def __init__(self, first_seconds: float = 1.0, limit_seconds: float = 120.0) -> None:
        self._first = first_seconds
        self._limit = limit_seconds
        self._waits: dict[str, tuple[float, float]] = {}  # until when, and for how long

    def ready(self, what: str, now: float) -> bool:
        """Whether it may be tried."""
        until, _ = self._waits.get(what, (now, 0.0))
        return now >= until

    def failed(self, what: str, now: float, asked: float | None = None) -> float:
        """Note a failure; returns how many seconds to wait, at least what the other end asked for within the bound."""
        _, last = self._waits.get(what, (now, 0.0))
        wait = min(max(last * 2, self._first, asked or 0.0), self._limit)
        self._waits[what] = (now + wait, wait)
        return wait

    def worked(self, what: str) -> None:
        """Forget its failures."""
        self._waits.pop(what, None)
