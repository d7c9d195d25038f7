"""Where the camera is and what time it is, by satellite: overlay, sealed records, discipline of the clock (rule 13)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from evidence import sealed
from firmware.books import Books
from firmware.clock_discipline import Believable, GnssTime, TimeRefused, TimeSet
from firmware.equipment import Place
from firmware.hal.ports import Clock, Fix, Positioning
from firmware.loop import Loop
from firmware.position import sealed_body

_RECORD_SECONDS = 10.0


class Whereabouts:
    """Called from the loop."""

    def __init__(
        self, clock: Clock, receiver: Positioning | None, place: Place, believable: Believable,
        recipients: Sequence[str], books: Books, loop: Loop, fault: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self._clock = clock
        self._receiver = receiver
        self._recipients = recipients
        self._books = books
        self._loop = loop
        self._fault = fault
        self._time = GnssTime(believable)
        self._place = place
        self._newest: Fix | None = None
        self._waiting = threading.Event()

    @property
    def fix(self) -> Fix | None:
        """Where the camera is, if a receiver tells."""
        return self._place.fix

    def start(self) -> None:
        """Listen to the receiver, if there is one."""
        if self._receiver is not None:
            self._receiver.start(self._tell, self._loop.put)
            self._loop.every(_RECORD_SECONDS, self._record)

    def stop(self) -> None:
        """Listen no more."""
        if self._receiver is not None:
            self._receiver.stop()

    def _tell(self, fix: Fix | None) -> None:
        """From the driver's thread. The newest counts: however many it tells a second, one waits for the loop."""
        self._newest = fix
        if not self._waiting.is_set():
            self._waiting.set()
            self._loop.put(self._take)

    def _take(self) -> None:
        self._waiting.clear()
        fix = self._place.fix = self._newest
        decision = self._time.take(fix, self._clock.utc(), self._clock.boot_ns())
        if isinstance(decision, TimeSet):
            self._clock.set_utc(decision.ms, decision.source, decision.error_ms)
            self._books.record("clock_set", decision.body())
        elif isinstance(decision, TimeRefused):
            self._fault("clock", str(decision))

    def _record(self) -> None:
        """Only while something is recorded: a camera follows nobody about."""
        if self.fix is not None and self._books.recording is not None:
            self._books.record("position", sealed.seal("position", sealed_body(self.fix), self._recipients))
