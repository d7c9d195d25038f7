"""What the service manager and a long-running program tell each other: stop signals, readiness, watchdog."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

_STOP = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger(__name__)


class Service:
    """Build one in the main thread. `stopping` is set by SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._notifier = _notifier()
        # Python runs handlers in the main thread only, and the system may hand the signal to any other: a main thread
        # inside `stopping.wait()` would not wake. The byte is written by whichever thread was interrupted.
        self._signals, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in _STOP:
            # The handler writes it, too: uvloop, while it runs, has a descriptor of its own in place of this one, and
            # wakes the main thread itself.
            signal.signal(number, lambda number, _: os.write(wake, bytes([number])) and None)
        threading.Thread(target=self._await_signal, name="signals", daemon=True).start()

    def _await_signal(self) -> None:
        number = 0
        while number not in _STOP:  # a handler that somebody else has set writes here too
            number = os.read(self._signals, 1)[0]
        _log.info("stopping", extra={"signal": signal.Signals(number).name})
        self._notify("STOPPING=1")
        self.stopping.set()

    @property
    def watchdog_seconds(self) -> float | None:
        """How often to call `alive`: half of what the service manager allows; None: it does not watch."""
        allowed = os.environ.get("WATCHDOG_USEC", "")
        return int(allowed) / 2e6 if self._notifier and allowed.isdigit() else None

    def ready(self, **facts: Any) -> None:
        """Say, to the service manager and in the log, that the program does its work."""
        _log.info("ready", extra=facts)
        self._notify("READY=1")

    def alive(self) -> None:
        """Feed the watchdog. Call it from the loop whose death it shall notice."""
        self._notify("WATCHDOG=1")

    def _notify(self, state: str) -> None:
        if self._notifier:
            self._notifier.notify(state)


def _notifier() -> Any:
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    import sdnotify  # noqa: PLC0415 - only where a service manager listens

    return sdnotify.SystemdNotifier()
