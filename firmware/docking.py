"""The dock port's coming and going: open while the contact is closed, and only then (radio silence while worn)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from firmware.books import Books
from firmware.dock_port import DockPort
from firmware.handin import HandIn
from firmware.worker import Worker

_AGAIN_SECONDS = 1.0


class Docking:
    """Called from the runner's loop; what waits for the network runs in a thread of its own, in order."""

    def __init__(self, port: DockPort, handin: HandIn, books: Books, on_failed: Callable[[str, str], None]) -> None:
        self._port = port
        self._handin = handin
        self._books = books
        self._on_failed = on_failed
        self._worker = Worker("dock port", on_failed)
        self._undocked = threading.Event()

    def start(self) -> None:
        """Finish what a cut kept from being released; that reads the whole journal, so a recording does not wait."""
        self._worker.start()
        self._worker.do(self._handin.finish_releases)

    def open(self) -> None:
        """The contact has closed."""
        self._books.record("docked", {"docked": True})
        undocked = self._undocked = threading.Event()
        self._worker.do(lambda: self._listen(undocked))

    def close(self) -> None:
        """The contact has opened, or the camera goes off."""
        self._undocked.set()
        self._books.record("docked", {"docked": False})
        self._worker.do(self._port.stop)

    def stop(self) -> None:
        """Be silent, and end the thread."""
        self._undocked.set()
        self._worker.do(self._port.stop)
        self._worker.stop()

    def _listen(self, undocked: threading.Event) -> None:
        """The dock link may get its address only a while after the contact has closed."""
        self._handin.docked()
        while not undocked.is_set():
            try:
                self._port.start()
            except OSError as error:
                self._on_failed("dock port", f"cannot listen on {self._port.address}: {error.strerror or error}")
                undocked.wait(_AGAIN_SECONDS)
            else:
                return
