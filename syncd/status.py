"""How the dock stands, as one value: shown by `bodycam dock status`, by the screen and by the metrics.

The running dock writes it to `<spool>/status.json` every second. A file needs no second conversation with the dock, and
tells the last word of one that has died. It is not synced: it is worthless after the power cut that could lose it.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from syncd.spool import Spool

State = Literal["empty", "connecting", "handing_in", "waiting", "done", "fault"]
Lamp = Literal["off", "green", "amber", "red"]
FRESH_SECONDS = 5.0
_NAME = "status.json"


@dataclass(frozen=True, slots=True)
class BayStatus:
    """One bay. Bytes are ciphertext; they are done when they have left the camera."""

    name: str
    state: State = "empty"
    lamp: Lamp = "off"
    camera: str | None = None
    bytes_total: int = 0
    bytes_done: int = 0
    segments_total: int = 0
    segments_done: int = 0  # with a receipt
    bytes_per_second: int = 0
    left_seconds: int | None = None  # None: not known
    due_ms: int | None = None  # UTC at which the first time limit of what is not handed in ends (rule 19)
    code: str | None = None  # why the lamp is not green

    @property
    def percent(self) -> int:
        """How much has left the camera; 100 only when all has."""
        return 100 if self.bytes_done >= self.bytes_total else self.bytes_done * 100 // self.bytes_total


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in the spool of one camera."""

    camera: str
    segments: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """The dock's own disk."""

    used_bytes: int = 0
    limit_bytes: int = 0
    disk_free_bytes: int = 0
    waiting: tuple[Waiting, ...] = ()

    @classmethod
    def of(cls, spool: Spool) -> SpoolStatus:
        """Look at the disk."""
        waiting = []
        for name in spool.devices():
            device = spool.device(name)
            sizes = [device.size(key) for key in device.waiting()]
            if sizes:
                waiting.append(Waiting(name, len(sizes), sum(sizes)))
        return cls(spool.used_bytes(), spool.limit_bytes, spool.disk_free_bytes(), tuple(waiting))


@dataclass(frozen=True, slots=True)
class DockStatus:
    """The dock. `boot_seconds`: CLOCK_BOOTTIME when it was told, so that no step of the clock makes it look old."""

    dock: str
    utc_ms: int
    boot_seconds: float
    version: str = ""
    bays: tuple[BayStatus, ...] = ()
    spool: SpoolStatus = SpoolStatus()
    office_code: str | None = None  # what is wrong with the office, as far as is known
    broker_trouble: str | None = None
    outbox_events: int = 0
    certificate_end_ms: int = 0
    read_bytes: int = 0  # from cameras, since the start
    segments: int = 0  # with a receipt, since the start
    faults: dict[str, int] = dataclasses.field(default_factory=dict)  # since the start, by code

    def fresh(self, boot_seconds: float | None = None) -> bool:
        """Whether the dock that told this is still running."""
        now = boot_now() if boot_seconds is None else boot_seconds
        return 0 <= now - self.boot_seconds <= FRESH_SECONDS


def boot_now() -> float:
    """CLOCK_BOOTTIME in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def plain(status: DockStatus) -> dict[str, Any]:
    """As JSON has it."""
    return dataclasses.asdict(status)


def write(spool: Path, status: DockStatus) -> None:
    """Put `status` where `read` finds it, in one step. Raises OSError."""
    draft = spool / f".{_NAME}"
    draft.write_text(json.dumps(plain(status)), "utf-8")
    draft.replace(spool / _NAME)


def read(spool: Path) -> DockStatus | None:
    """The dock's last word; None if there is none that can be read."""
    try:
        told: dict[str, Any] = json.loads((spool / _NAME).read_text("utf-8"))
        told["bays"] = tuple(BayStatus(**bay) for bay in told["bays"])
        told["spool"]["waiting"] = tuple(Waiting(**one) for one in told["spool"]["waiting"])
        told["spool"] = SpoolStatus(**told["spool"])
        return DockStatus(**told)
    except (OSError, ValueError, TypeError, KeyError):
        return None
