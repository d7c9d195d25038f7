"""One camera's attempts at this and that: each tried again after a while that grows, each failure told."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from syncd.errors import AwayError, DockError, RefusedError, Stopped
from syncd.events import Events
from syncd.link import Blocks
from syncd.retries import Retries


class Attempts:
    """Of the camera `device`. For one thread at a time."""

    def __init__(self, device: str, events: Events, retries: Retries, stopping: threading.Event) -> None:
        self._device = device
        self._events = events
        self._retries = retries
        self._stopping = stopping
        self.doubtful = False  # whether the office still holds what it was known to hold

    def attempt(self, what: str, action: Callable[[], bool | None]) -> bool:
        """Do it, unless it failed a short while ago; whether it was done. Passes on `AwayError` of the camera."""
        name = f"{self._device}/{what}"
        if not self._retries.ready(name, time.monotonic()):
            return False
        self.check_stop()
        try:
            done = action() is not False
        except AwayError as away:
            if away.side == "camera":
                raise
            self.office_failed(away)
        except (DockError, OSError) as error:
            self.doubtful |= isinstance(error, RefusedError)
            fault = error if isinstance(error, DockError) else DockError("spool-disk", str(error))
            wait = self._retries.failed(name, time.monotonic())
            self.fault(fault, retry_ms=round(wait * 1000), where=what)
        else:
            self._retries.worked(name)
            return done
        return False

    def office_ready(self) -> bool:
        """Whether the office may be worked with again."""
        return self._retries.ready("office", time.monotonic())

    def office_failed(self, away: AwayError) -> None:
        """Leave the office alone for a while."""
        self.doubtful = True
        wait = self._retries.failed("office", time.monotonic(), away.retry_after)
        self.fault(away, retry_ms=round(wait * 1000))

    def fault(self, fault: DockError, **facts: str | int) -> None:
        """Tell it."""
        self._events.handin(self._device, "fault", code=fault.code, detail=fault.message, **facts)

    def check_stop(self) -> None:
        """Raise `Stopped` if the dock is to stop."""
        if self._stopping.is_set():
            raise Stopped

    def watched(self, blocks: Blocks) -> Blocks:
        """The same blocks, until the dock is to stop."""
        with contextlib.closing(blocks):
            for block in blocks:
                self.check_stop()
                yield block
