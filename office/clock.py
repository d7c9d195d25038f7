"""How late it is, as far as more than this machine's clock bears out: one set forward releases nothing (rule 20).

With an outside authority it is the time of its newest stamp. Without one the log's own rhythm has to do: an office at
work enters something every few days, so a longer step between two leaves is no time that has passed, until a step back
takes it away again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from office.errors import OfficeError
from office.log import Log
from office.stamps import Stamps

QUIET: Final = timedelta(days=10)  # the longest holiday, in which an office may enter nothing
_NOTHING: Final = timedelta()
_LEAVES = 10_000  # read at once


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What a log's times, in its order, bear out. `ahead`: how much of the last one they do not."""

    last: datetime | None = None
    ahead: timedelta = _NOTHING

    def after(self, at: datetime) -> Rhythm:
        """With one more time."""
        step = _NOTHING if self.last is None else at - self.last
        if abs(step) <= QUIET:
            return Rhythm(at, self.ahead)
        return Rhythm(at, max(_NOTHING, self.ahead + step))

    @property
    def borne_out(self) -> datetime | None:
        """The last time, less what is not borne out."""
        return None if self.last is None else self.last - self.ahead


class Clock:
    """Safe to use from several threads."""

    def __init__(self, log: Log, stamps: Stamps) -> None:
        self._log = log
        self._stamps = stamps
        self._lock = threading.Lock()
        self._rhythm = Rhythm()
        self._read = 0  # leaves

    def borne_out(self) -> datetime:
        """The time that has come for sure. Raises `OfficeError` ("time-unproven") if nothing bears out any."""
        now = datetime.now(UTC)
        if self._stamps.from_outside:
            with contextlib.suppress(OfficeError):
                self._stamps.stamp()
            sure = self._stamps.outside_time()
        else:
            sure = self._by_rhythm().after(now).borne_out
        if sure is None:
            raise OfficeError("time-unproven", "no stamp of the outside authority tells the time: stamp the log first")
        return min(now, sure)

    def _by_rhythm(self) -> Rhythm:
        with self._lock:
            while leaves := self._log.since(self._read, _LEAVES):
                for _, leaf in leaves:
                    if (at := _time_of(leaf)) is not None:
                        self._rhythm = self._rhythm.after(at)
                self._read += len(leaves)
            return self._rhythm


def _time_of(leaf: Mapping[str, Any]) -> datetime | None:
    """When a leaf was entered, by this machine's clock then."""
    told = leaf.get("at") or leaf.get("received")
    return datetime.fromisoformat(told) if isinstance(told, str) else None
