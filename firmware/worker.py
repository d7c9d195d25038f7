"""A thread for what may take long, so that the loop that takes the frames never waits."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

_PATIENCE_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Worker:
    """Does one thing after another. What fails is told by `on_failed(name, text)`; the thread lives on."""

    def __init__(self, name: str, on_failed: Callable[[str, str], None]) -> None:
        self._name = name
        self._on_failed = on_failed
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def do(self, action: Callable[[], None]) -> None:
        """Queue something to do."""
        self._queue.put(action)

    def stop(self) -> None:
        """Finish what is queued, then end; one that hangs is left behind after a while. Idempotent."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_SECONDS)

    def _run(self) -> None:
        while (action := self._queue.get()) is not None:
            try:
                action()
            except Exception as error:  # noqa: BLE001 - no thread dies silently
                _log.exception("%s failed; it goes on", self._name)
                self._on_failed(self._name, f"{type(error).__name__}: {error}")
