"""Which camera is in which bay: told to the office as it changes, and asked when the office wants one found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from evidence import shape
from evidence.jose import Json

Address = tuple[str, int]


def _untold(_bay: str, _state: Json) -> None:
    """For a dock that tells nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class Stay:
    """One camera in one bay, from when it answers until it does no more."""

    bay: str
    device: str
    address: Address


class Presence:
    """Safe for several threads."""

    def __init__(self, tell: Callable[[str, Json], None] = _untold) -> None:
        """`tell(bay, state)`: as `Events.bay`; it never waits."""
        self._tell = tell
        self._lock = threading.Lock()
        self._here: dict[str, Stay] = {}  # by bay

    def open(self, bays: Iterable[str]) -> None:
        """These bays are looked at from now on."""
        for bay in bays:
            self._say(bay, None, online=True)

    def came(self, bay: str, device: str, address: Address) -> Stay:
        """A camera answers in this bay."""
        stay = Stay(bay, device, address)
        with self._lock:
            self._here[bay] = stay
            self._say(bay, device, online=True)
        return stay

    def gone(self, stay: Stay) -> None:
        """It answers no more. Nothing happens if another has come into the bay since: whoever saw this one is late."""
        with self._lock:
            if self._here.get(stay.bay) is stay:
                del self._here[stay.bay]
                self._say(stay.bay, None, online=True)

    def close(self, bays: Iterable[str]) -> None:
        """The dock ends."""
        for bay in bays:
            self._say(bay, None, online=False)

    def where(self, device: str) -> tuple[str, Address] | None:
        """Bay and address of a camera that is here."""
        with self._lock:
            return next(((one.bay, one.address) for one in self._here.values() if one.device == device), None)

    def bays(self) -> dict[str, str]:
        """The cameras that are here, by bay."""
        with self._lock:
            return {bay: stay.device for bay, stay in sorted(self._here.items())}

    def _say(self, bay: str, device: str | None, *, online: bool) -> None:
        now = shape.utc_text(time.time_ns() // 1_000_000)
        self._tell(bay, {"online": online, "camera": device, "since": now})
