"""What the running office does by itself for what it holds: locks by the law, second copies, the scrub.

Two threads, since the scrub is slow on purpose. What fails is told in the log and tried again; nothing waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from office.archive import Archive

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 60.0
_PASS_SECONDS: Final = 3600.0  # at least, from one pass of the scrub to the next
_JOIN_SECONDS: Final = 5.0


class Caretaker:
    """Runs over an archive, from `start` to `stop`."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._stopping = threading.Event()
        self._failing: set[str] = set()
        self._faults = False
        threads = [("upkeep", _LOOK_SECONDS, self._follow)]
        if archive.config.scrub_bytes_per_second:
            threads.append(("scrub", _PASS_SECONDS, self._scrub))
        self._threads = [
            threading.Thread(target=self._work, args=(name, pause, act), name=name, daemon=True)
            for name, pause, act in threads
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; a file that is being read is given up."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    @property
    def healthy(self) -> bool:
        """Whether locks and copies follow, and no fault of the store stands."""
        return not self._failing and not self._faults

    def _work(self, name: str, pause: float, act: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                act()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may succeed
                self._failing.add(name)
                _log.error("%s is tried again: %s", name, error)
                self._stopping.wait(_RETRY_SECONDS)
            else:
                self._failing.discard(name)
                self._stopping.wait(pause)

    def _follow(self) -> None:
        self._archive.locks.follow()
        self._archive.copies.follow()
        self._faults = bool(self._archive.scrub.open_faults())

    def _scrub(self) -> None:
        for _ in self._archive.scrub.run(self._stopping, self._archive.config.scrub_bytes_per_second):
            pass  # it tells them itself
