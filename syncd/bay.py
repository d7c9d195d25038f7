"""Workers of the dock: one for each camera in contact, and one that brings the office what waits in the spool."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from syncd.camera import ANSWER_SECONDS, Camera
from syncd.errors import AwayError, Stopped
from syncd.gate import EMPTY, Offer
from syncd.guest import Guest
from syncd.handin import Dock, HandIn
from syncd.office import Office
from syncd.presence import Stay

_AGAIN_SECONDS = 0.1

_log = logging.getLogger(__name__)


class HandIns:
    """The hand-in of each camera that was ever here; a camera may change bays. Safe for several threads."""

    def __init__(self, dock: Dock) -> None:
        self.dock = dock
        self._lock = threading.Lock()
        self._known: dict[str, HandIn] = {}
        self._guests: dict[str, Guest] = {}

    def of(self, device: str) -> HandIn:
        """The one hand-in of this camera."""
        with self._lock:
            if device not in self._known:
                self._known[device] = HandIn(device, self.dock)
            return self._known[device]

    def guest(self, device: str) -> Guest:
        """The one guest of this camera."""
        handin = self.of(device)
        with self._lock:
            if device not in self._guests:
                self._guests[device] = Guest(handin, self.dock)
            return self._guests[device]

    def objections(self, device: str) -> list[str]:
        """Codes of why a camera that has handed everything in may not be handed out; the gravest first."""
        return [reason.code for reason in self.guest(device).offer.reasons]

    def with_spool(self) -> list[HandIn]:
        """Those of which something is in the spool, the most urgent first."""
        return sorted((self.of(device) for device in self.dock.spool.devices()), key=HandIn.rank)


class Bay:
    """Empties the camera at one address, again and again while it is there.

    `eager`: the link to it has just been made, so it is looked for often, and missed if it does not answer.
    """

    def __init__(
        self, handins: HandIns, camera: Camera, office: Office, name: str = "", *, eager: bool = False
    ) -> None:
        self._handins = handins
        self._camera = camera
        self._office = office
        self._name = name
        self._present: Guest | None = None
        self._stay: Stay | None = None  # of the one who is present
        self._cut: Callable[[], Exception] | None = None
        self._eager_until = time.monotonic() + ANSWER_SECONDS if eager else None

    @property
    def offer(self) -> Offer:
        """What may be handed out here."""
        guest = self._present
        return EMPTY if guest is None else guest.offer

    def work(self) -> None:
        """Look once, and do all that can be done now. Raises `Stopped`."""
        try:
            guest = self._handins.guest(self._camera.connect())
            if guest is not self._present:
                _log.info("%s is in bay %s", guest.device, self._name)
                guest.begin(self)
                self._present, self._eager_until = guest, None
                self._stay = self._handins.dock.presence.came(self._name, guest.device, self._camera.address)
            before = guest.offer
            guest.visit(self._camera, self._office)
            if guest.offer != before:
                told = "; ".join(map(str, guest.offer.reasons))
                _log.info("bay %s: %s %s %s", self._name, guest.device, guest.offer.light, told)
        except AwayError as away:
            self._camera.close()
            if self._present is None and away.code != "camera-lost":  # an empty bay is nothing to tell
                _log.warning("bay %s: %s", self._name, away)
                self._eager_until = None
            self._left(away)

    def pause(self, usual: float) -> float:
        """Seconds until the next look."""
        if self._eager_until is None:
            return usual
        if time.monotonic() < self._eager_until:
            return _AGAIN_SECONDS
        self._eager_until = None
        _log.warning("camera-silent: bay %s has contact, and no camera answers: put it in again", self._name)
        return usual

    def cut(self, reason: Callable[[], Exception]) -> None:
        """End what is under way, which then raises `reason()`. For any thread."""
        self._cut = reason
        self._camera.cut(reason)
        self._office.cut(reason)

    def close(self) -> None:
        """Close the connections. A camera that was pulled out between two looks is missed now."""
        self._camera.close()
        self._office.close()
        self._left(self._cut() if self._cut is not None else Stopped())

    def _left(self, reason: Exception) -> None:
        """Whoever was present is not worked with any more; if it is he who has gone, he is missed."""
        guest, self._present = self._present, None
        stay, self._stay = self._stay, None
        if guest is not None and isinstance(reason, AwayError):
            guest.lost(reason, self)
        if stay is not None:
            self._handins.dock.presence.gone(stay)


class Drain:
    """Brings the office what waits in the spool, whether its camera is here or not."""

    def __init__(self, handins: HandIns, office: Office) -> None:
        self._handins = handins
        self._office = office

    def work(self) -> None:
        """Bring what can be brought now. Raises `Stopped`."""
        for handin in self._handins.with_spool():
            handin.drain(self._office)

    def pause(self, usual: float) -> float:
        """Seconds until the next look."""
        return usual

    def cut(self, reason: Callable[[], Exception]) -> None:
        """As `Bay.cut`."""
        self._office.cut(reason)

    def close(self) -> None:
        """Close the connection."""
        self._office.close()


class Worker:
    """A thread in which a `Bay` or the `Drain` works, every so many seconds, until it is ended."""

    def __init__(self, work: Bay | Drain, seconds: float, name: str) -> None:
        self._work = work
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def end(self, reason: Callable[[], Exception]) -> None:
        """End at once: what is under way raises `reason()`. Returns before the thread has ended; see `join`."""
        self._ended.set()
        self._work.cut(reason)

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the thread; whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._work.work()
            except Stopped:
                break
            except Exception:  # noqa: BLE001 - an error of this program: footage must still get through, so it goes on
                _log.exception("dock-error: unforeseen; the bay goes on")
            self._ended.wait(self._work.pause(self._seconds))
        self._work.close()
