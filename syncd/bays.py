"""All bays of the dock: a worker begins the moment a camera comes into contact, and ends the moment it has gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from syncd.bay import Bay, Worker
from syncd.errors import AwayError, Stopped

if TYPE_CHECKING:
    from syncd.contact import Interface, Watcher

Address = tuple[str, int]

_log = logging.getLogger(__name__)


class Bays:
    """The bays with their workers. Safe for several threads."""

    def __init__(self, make: Callable[[str, Address, bool], Bay], poll_seconds: float) -> None:
        """`make(name, address, eager)` builds the worker of a bay."""
        self._make = make
        self._poll_seconds = poll_seconds
        self._lock = threading.Lock()
        self._working: dict[str, Worker] = {}
        self._ending: list[Worker] = []
        self._watcher: Watcher | None = None

    def look_at(self, name: str, address: Address) -> None:
        """Look for a camera at this address for ever."""
        self._begin(name, address, eager=False)

    def watch(self, bays: Mapping[str, str]) -> None:
        """Follow the links of these bays, name by port. Raises OSError if the kernel does not tell of them."""
        from syncd.contact import Watcher  # noqa: PLC0415 - a dock with fixed cameras needs no netlink

        self._watcher = Watcher(
            bays.keys(),
            lambda port, interface: self._made(bays[port], interface),
            lambda port: self._broken(bays[port]),
        )

    def stop(self) -> None:
        """End all of them, and wait until they have ended."""
        if self._watcher is not None:
            self._watcher.stop()
        with self._lock:
            workers = [*self._working.values(), *self._ending]
            self._working, self._ending = {}, []
        for worker in workers:
            worker.end(Stopped)
        for worker in workers:
            worker.join()

    def _made(self, name: str, interface: Interface) -> None:
        _log.info("contact made", extra={"bay": name, "interface": interface.name})
        self._begin(name, interface.camera, eager=True)

    def _begin(self, name: str, address: Address, *, eager: bool) -> None:
        with self._lock:
            self._ending = [worker for worker in self._ending if not worker.join(0)]
            self._working[name] = Worker(self._make(name, address, eager), self._poll_seconds, f"bay-{name}")

    def _broken(self, name: str) -> None:
        _log.info("contact broken", extra={"bay": name})
        with self._lock:
            worker = self._working.pop(name)
            self._ending.append(worker)
        worker.end(lambda: AwayError("camera", "lost", f"bay {name}: pulled out, or its link failed"))
