"""What the camera keeps an eye on by itself: the check before use (rule 10), beats, and what the wearer must know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from firmware.books import Books
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.vocabulary import Event, SelfChecked
from firmware.capture.writer import Writer
from firmware.hal.ports import Clock
from firmware.loop import Loop
from runtime.disk import Disk

_HEARTBEAT_SECONDS = 60.0
_SELF_CHECK_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Watch:
    """Called from the loop. `awake` tells whether picture and sound have come; `counts` are the lens's."""

    def __init__(
        self, clock: Clock, disk: Disk, journal: JournalWriter, writer: Writer, books: Books, loop: Loop,
        awake: Mapping[str, bool], counts: Callable[[], Mapping[str, int]], step: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._clock = clock
        self._disk = disk
        self._journal = journal
        self._writer = writer
        self._books = books
        self._loop = loop
        self._awake = awake
        self._counts = counts
        self._step = step

    def start(self) -> None:
        """Check the camera once its drivers have had time to give something, and beat from then on."""
        self._loop.after(_SELF_CHECK_SECONDS, self.check)
        self._loop.every(_HEARTBEAT_SECONDS, self._heartbeat)

    def check(self) -> None:
        """The check of rule 10, with its figures."""
        utc = self._clock.utc()
        checks: dict[str, Any] = {
            "picture": self._awake["picture"],
            "sound": self._awake["sound"],
            "free_bytes": self._disk.free(),
            "clock_source": utc.source,
            "clock_error_ms": utc.error_ms,
            "key_certified": bool(self._journal.opening.chain),
        }
        wrong = {
            "camera_fault": not checks["picture"],
            "microphone_fault": not checks["sound"],
            "key_fault": not checks["key_certified"],
            "storage_low": not self._writer.has_room(),
            "clock_untrusted": utc.source == "none",
        }
        prompts = tuple(key for key, is_wrong in wrong.items() if is_wrong)
        self._books.record("self_check", {"passed": not prompts, "checks": checks})
        _log.info("self-check", extra={"passed": not prompts, **checks})
        self._step(SelfChecked(prompts))

    def status(self, *, check: bool) -> None:
        """Tell what battery, storage and clock still give, after a check if asked."""
        if check:
            self.check()

    def _heartbeat(self) -> None:
        self._books.record("heartbeat", {"free_bytes": self._disk.free(), "figures": dict(self._counts())})
