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

    def office_attempt(self, what: str, action: Callable[[], bool | None]) -> bool:
        """As `attempt`, of something at the office: not while that is to be left alone."""
        return self.office_ready() and self.attempt(what, action)

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
            self.office_failed(away, what)
        except (DockError, OSError) as error:
            self.doubtful |= isinstance(error, RefusedError) and error.side == "office"
            fault = error if isinstance(error, DockError) else DockError("spool-disk", str(error))
            wait = self._retries.failed(name, time.monotonic())
            self.fault(fault, retry_ms=round(wait * 1000), where=what)
        else:
            if done:
                self._retries.worked(name)
            return done
        return False

    def office_ready(self, what: str = "") -> bool:
        """Whether the office may be worked with again for this camera, and `what` be tried there."""
        now = time.monotonic()
        return self._retries.office_ready(self._device, now) and self._retries.ready(f"{self._device}/{what}", now)

    def office_failed(self, away: AwayError, what: str) -> None:
        """Leave `what` alone for a while; or the office, if it was not this that it failed at."""
        self.doubtful = True
        now = time.monotonic()
        if not away.answers:
            self.fault(away, retry_ms=round(self._retries.office_away(now, away.retry_after) * 1000))
            return
        itself = away.code in {"office-busy", "office-full"}
        self._retries.office_failed(self._device, now, away.retry_after, itself=itself)
        wait = self._retries.failed(f"{self._device}/{what}", now, away.retry_after)
        self.fault(away, retry_ms=round(wait * 1000), where=what)

    def office_worked(self, what: str) -> None:
        """`what` was done there."""
        self._retries.office_worked()
        self._retries.worked(f"{self._device}/{what}")

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
