"""The camera's one loop: what drivers and threads hand it, and what is due, one after another."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import queue
from collections.abc import Callable, Iterator
from typing import Any

from firmware.hal.ports import Clock

_IDLE_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Loop:
    """`take(item)` gets whatever was put; `on_failed(where, text)` what failed. Nothing that fails ends the loop."""

    def __init__(self, clock: Clock, take: Callable[[Any], None], on_failed: Callable[[str, str], None]) -> None:
        self._clock = clock
        self._take = take
        self._on_failed = on_failed
        # No SimpleQueue: in Python 3.11 a signal at the end of its wait can make it wait for ever.
        self._queue: queue.Queue[Any] = queue.Queue()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def put(self, item: Any) -> None:
        """Hand something to the loop: an event, a frame, or something to call. Any thread may."""
        self._queue.put(item)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later. Only from the loop itself."""
        at = self._clock.boot_ns() + int(seconds * 1e9)
        heapq.heappush(self._timers, (at, next(self._order), action))

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something now and then, for the first time after so long. Only from the loop itself."""

        def again() -> None:
            self.after(seconds, again)
            action()

        self.after(seconds, again)

    def turn(self) -> None:
        """What is due, then one item; waits for it, at most until something is due."""
        self.run_due()
        wait = _IDLE_SECONDS
        if self._timers:
            wait = min(wait, (self._timers[0][0] - self._clock.boot_ns()) / 1e9)
        with contextlib.suppress(queue.Empty):
            self._handle(self._queue.get(timeout=max(wait, 0.0)))

    def settle(self) -> None:
        """What is due and all that was put, without waiting: for a clock that does not run by itself."""
        self.run_due()
        with contextlib.suppress(queue.Empty):
            while True:
                self._handle(self._queue.get_nowait())

    def run_due(self) -> None:
        """Do what is due by now."""
        now = self._clock.boot_ns()
        while self._timers and self._timers[0][0] <= now:
            with self.surviving("timer"):
                heapq.heappop(self._timers)[2]()

    @contextlib.contextmanager
    def surviving(self, what: str) -> Iterator[None]:
        """Nothing may stop a recording that can still be made: whatever fails is told, and the loop goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            _log.exception("a step failed; the recorder goes on")
            self._on_failed("runner", f"{what}: {type(error).__name__}: {error}")

    def _handle(self, item: Any) -> None:
        with self.surviving(type(item).__name__):
            self._take(item)
