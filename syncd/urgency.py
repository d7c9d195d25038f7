"""What leaves a camera first, and how large a share of the line to the office it has (rule 19)."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from evidence.records import Record

T = TypeVar("T")
_LIMIT_MS = 24 * 3600 * 1000  # rule 19: handed in within 24 hours
_SOON_MS = 6 * 3600 * 1000


def due_ms(record: Record) -> int | None:
    """UTC at which the time limit of the segment that `record` closed ends; None: its clock was not set."""
    return None if record.clock.source == "none" else record.clock.utc_ms + _LIMIT_MS


class Urgency(enum.IntEnum):
    """Why a segment goes before others, the strongest reason first."""

    HELD = 0  # the office waits for this recording
    FIRST = 1  # the office asked for it before others
    MARKED = 2  # the officer marked a moment of this recording
    DUE = 3  # its time limit ends soon, or has ended
    ROUTINE = 4

    @property
    def weight(self) -> int:
        """Share of the line to the office, as a multiple of a routine one."""
        return {Urgency.HELD: 8, Urgency.FIRST: 8, Urgency.MARKED: 4, Urgency.DUE: 4, Urgency.ROUTINE: 1}[self]


Target = tuple[str, str | None, int | None]  # camera, recording, segment


class Holds:
    """Cameras, recordings and segments that the office has asked for first. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[Target, Urgency] = {}  # replaced whole, never changed
        self.changes = 0  # counts: an order that was made before the last one is out of date

    def add(
        self, device: str, recording: str | None, segment: int | None = None, urgency: Urgency = Urgency.HELD
    ) -> None:
        """Let this segment, or this recording, or all of this camera, go before others."""
        with self._lock:
            self._asked, self.changes = {**self._asked, (device, recording, segment): urgency}, self.changes + 1

    def remove(self, device: str, recording: str | None, segment: int | None = None) -> None:
        """Let it go in its usual order again."""
        with self._lock:
            rest = {target: how for target, how in self._asked.items() if target != (device, recording, segment)}
            self._asked, self.changes = rest, self.changes + 1

    def urgency(self, device: str, recording: str, segment: int) -> Urgency | None:
        """How much the office has asked for this segment; None: not at all."""
        asked, targets = self._asked, ((device, None, None), (device, recording, None), (device, recording, segment))
        return min((asked[target] for target in targets if target in asked), default=None)


class Agenda:
    """In which order one camera's segments leave. For one thread at a time, but for `rank`."""

    LAST = (len(Urgency), 0)

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._marked: set[str] = set()

    def note(self, record: Record) -> None:
        """Take in what a verified record of this camera says about urgency."""
        if record.kind == "marker":
            self._marked.add(record.body["recording"])

    def urgency(self, record: Record, now_ms: int | None = None) -> Urgency:
        """Judge the segment that `record` closed. Of unknown age, because no clock was set, it is due."""
        recording = record.body["recording"]
        asked = self._holds.urgency(record.device, recording, record.body["segment"])
        if asked is not None:
            return asked
        if recording in self._marked:
            return Urgency.MARKED
        now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        due = due_ms(record)
        return Urgency.ROUTINE if due is not None and now < due - _SOON_MS else Urgency.DUE

    def rank(self, record: Record | None) -> tuple[int, int]:
        """Place in the order, the least first; within one urgency the older first, as the journal has them."""
        return (self.urgency(record), record.seq) if record else self.LAST

    def order(self, segments: Iterable[T], record_of: Callable[[T], Record | None]) -> Iterator[T]:
        """The segments, the most urgent first, also by what is held while they are gone through."""
        waiting, changes = list(segments), -1
        while waiting:
            if changes != self._holds.changes:
                changes = self._holds.changes
                waiting.sort(key=lambda segment: self.rank(record_of(segment)), reverse=True)
            yield waiting.pop()
