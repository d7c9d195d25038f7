"""Which camera is in which bay: told to the office as it changes, and asked when the office wants one found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from evidence import shape
from evidence.jose import Json

Address = tuple[str, int]


def _untold(_bay: str, _state: Json) -> None:
    """For a dock that tells nobody."""


class Presence:
    """Safe for several threads."""

    def __init__(self, tell: Callable[[str, Json], None] = _untold) -> None:
        """`tell(bay, state)`: as `Events.bay`; it never waits."""
        self._tell = tell
        self._lock = threading.Lock()
        self._here: dict[str, tuple[str, Address]] = {}  # by bay

    def open(self, bays: Iterable[str]) -> None:
        """These bays are looked at from now on."""
        for bay in bays:
            self._say(bay, None, online=True)

    def came(self, bay: str, device: str, address: Address) -> None:
        """A camera answers in this bay."""
        with self._lock:
            self._here[bay] = device, address
            self._say(bay, device, online=True)

    def gone(self, bay: str) -> None:
        """It answers no more."""
        with self._lock:
            if self._here.pop(bay, None) is not None:
                self._say(bay, None, online=True)

    def close(self, bays: Iterable[str]) -> None:
        """The dock ends."""
        for bay in bays:
            self._say(bay, None, online=False)

    def where(self, device: str) -> tuple[str, Address] | None:
        """Bay and address of a camera that is here."""
        with self._lock:
            found = [(bay, address) for bay, (name, address) in self._here.items() if name == device]
        return found[0] if found else None

    def bays(self) -> dict[str, str]:
        """The cameras that are here, by bay."""
        with self._lock:
            return {bay: device for bay, (device, _) in sorted(self._here.items())}

    def _say(self, bay: str, device: str | None, *, online: bool) -> None:
        now = shape.utc_text(time.time_ns() // 1_000_000)
        self._tell(bay, {"online": online, "camera": device, "since": now})
