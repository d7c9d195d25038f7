"""When something that failed may be tried again. Pure: time is an argument."""

from __future__ import annotations

_OFFICE = "office"


class Retries:
    """Bounded exponential back-off for each named thing, and for the office, where no camera can have others wait.

    Nobody goes to an office that cannot be reached. What fails once it answers may be the fault of what it was asked:
    that alone waits. All wait only if two cameras have met with failure since anything worked, for a time that does not
    grow; and for the next such time it takes two again.
    """

    def __init__(self, first_seconds: float = 1.0, limit_seconds: float = 120.0) -> None:
        self._first = first_seconds
        self._limit = limit_seconds
        self._waits: dict[str, tuple[float, float]] = {}  # until when, and for how long
        self._failing: set[str] = set()  # cameras for which the office failed since it last worked

    def ready(self, what: str, now: float) -> bool:
        """Whether it may be tried."""
        until, _ = self._waits.get(what, (now, 0.0))
        return now >= until

    def failed(self, what: str, now: float, asked: float | None = None) -> float:
        """Note a failure; returns how many seconds to wait, at least what the other end asked for within the bound."""
        _, last = self._waits.get(what, (now, 0.0))
        wait = self._bounded(max(last * 2, asked or 0.0))
        self._waits[what] = (now + wait, wait)
        return wait

    def worked(self, what: str) -> None:
        """Forget its failures."""
        self._waits.pop(what, None)

    def office_ready(self, camera: str, now: float) -> bool:
        """Whether the office may be worked with for this camera."""
        return self.ready(_OFFICE, now) and self.ready(_of(camera), now)

    def office_away(self, now: float, asked: float | None = None) -> float:
        """It cannot be reached; returns how many seconds all wait."""
        return self.failed(_OFFICE, now, asked)

    def office_failed(self, camera: str, now: float, asked: float | None = None, *, itself: bool = False) -> None:
        """It answers, and failed at something of this camera; `itself`: by its own word, whatever it was."""
        if itself:
            self._hold(_of(camera), now, asked)
        self._failing.add(camera)
        if len(self._failing) > 1:
            self._failing.clear()
            self._hold(_OFFICE, now, asked)

    def office_worked(self) -> None:
        """It has done what it was asked."""
        self._failing.clear()
        self.worked(_OFFICE)

    def _hold(self, what: str, now: float, asked: float | None) -> None:
        until, last = self._waits.get(what, (now, 0.0))
        self._waits[what] = (max(until, now + self._bounded(asked or 0.0)), last)

    def _bounded(self, seconds: float) -> float:
        return min(max(seconds, self._first), self._limit)


def _of(camera: str) -> str:
    return f"{_OFFICE} for {camera}"
