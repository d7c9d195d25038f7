"""Workers of the dock: one for each bay, and one that brings the office what waits in the spool."""

from __future__ import annotations

import logging
import threading

from syncd.camera import Camera
from syncd.errors import AwayError, Stopped
from syncd.handin import Dock, HandIn
from syncd.office import Office

_log = logging.getLogger(__name__)


class HandIns:
    """The hand-in of each camera that was ever here; a camera may change bays. Safe for several threads."""

    def __init__(self, dock: Dock) -> None:
        self.dock = dock
        self._lock = threading.Lock()
        self._known: dict[str, HandIn] = {}

    def of(self, device: str) -> HandIn:
        """The one hand-in of this camera."""
        with self._lock:
            if device not in self._known:
                self._known[device] = HandIn(device, self.dock)
            return self._known[device]

    def with_spool(self) -> list[HandIn]:
        """Those of which something is in the spool."""
        return [self.of(device) for device in self.dock.spool.devices()]


class Bay:
    """Waits for a camera at one address and empties it, again and again while it is there."""

    def __init__(self, handins: HandIns, camera: Camera, office: Office) -> None:
        self._handins = handins
        self._camera = camera
        self._office = office
        self._present: HandIn | None = None

    def work(self) -> None:
        """Look once, and do all that can be done now. Raises `Stopped`."""
        try:
            handin = self._handins.of(self._camera.connect())
            if handin is not self._present:
                handin.begin()
                self._present = handin
            handin.visit(self._camera, self._office)
        except AwayError as away:
            self._camera.close()
            if self._present is not None:
                self._present.lost(away)
            elif away.code != "camera-lost":  # an empty bay is nothing to tell
                _log.warning("%s", away)
            self._present = None

    def close(self) -> None:
        """Close the connections."""
        self._camera.close()
        self._office.close()


class Drain:
    """Brings the office what waits in the spool, whether its camera is here or not."""

    def __init__(self, handins: HandIns, office: Office) -> None:
        self._handins = handins
        self._office = office

    def work(self) -> None:
        """Bring what can be brought now. Raises `Stopped`."""
        for handin in self._handins.with_spool():
            handin.drain(self._office)

    def close(self) -> None:
        """Close the connection."""
        self._office.close()


def repeat(worker: Bay | Drain, seconds: float, stopping: threading.Event) -> None:
    """Let `worker` work every so many seconds until the dock is to stop."""
    while not stopping.wait(seconds):
        try:
            worker.work()
        except Stopped:
            break
        except Exception:  # noqa: BLE001 - an error of this program: footage must still get through, so the worker goes on
            _log.exception("dock-error: unforeseen; the bay goes on")
    worker.close()
