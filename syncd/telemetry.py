"""How cameras and dock are (docs/spec/messages.md §4).

A camera's figures are those of its own signed records, and each message names the records that they are taken from:
there is no second source that could say something else.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from evidence import shape
from evidence.jose import Json
from evidence.records import Record
from syncd.events import Events
from syncd.spool import Spool

_KINDS: Final = ("boot", "heartbeat", "self_check")
_UNSYNCHRONISED = 0x40  # STA_UNSYNC of adjtimex(2)
_FIGURE_LIMIT = 2**53  # what every JSON reader takes

_log = logging.getLogger(__name__)


class CameraTelemetry:
    """The figures of one camera, from verified records. For one thread at a time."""

    def __init__(self) -> None:
        self._last: dict[str, Record] = {}
        self._changed = True

    def note(self, record: Record) -> None:
        """Take in a record."""
        if record.kind in _KINDS:
            self._last[record.kind] = record
            self._changed = True

    def news(self) -> Json | None:
        """The figures, if there are any and they have changed since they were asked for last."""
        if not self._changed or not self._last:
            return None
        self._changed = False
        newest = max(self._last.values(), key=lambda record: record.seq)
        checked, boot = self._last.get("self_check"), self._last.get("boot")
        return {
            "at": shape.utc_text(newest.clock.utc_ms),
            "clock": {"source": newest.clock.source, "error_ms": newest.clock.error_ms},
            "software": boot.body["software"] if boot else None,
            "simulated": boot.body["simulated"] if boot else None,
            "checked": checked.body["passed"] if checked else None,
            "battery_percent": self._figure("battery_percent"),
            "battery_minutes": self._figure("battery_minutes"),
            "battery_charging": self._figure("battery_charging"),
            "free_bytes": self._figure("free_bytes"),
            "storage_minutes": self._figure("storage_minutes"),
            "card_wear_percent": self._figure("card_wear_percent"),
            "celsius": self._figure("celsius"),
            "records": {
                kind: {"seq": record.seq, "sha256": record.sha256} for kind, record in sorted(self._last.items())
            },
        }

    def _figure(self, name: str) -> int | bool | None:
        """The newest word on this figure; figures have no shape that a reader could count on."""
        told = sorted((self._last[kind] for kind in self._last.keys() - {"boot"}), key=lambda record: -record.seq)
        for record in told:
            value = _figures(record).get(name)
            if isinstance(value, int) and abs(value) < _FIGURE_LIMIT:
                return value
        return None


def _figures(record: Record) -> dict[str, Any]:
    body = dict(record.body)
    return {**body["checks"]} if record.kind == "self_check" else {**body["figures"], "free_bytes": body["free_bytes"]}


class _Timex(ctypes.Structure):
    """The beginning of `struct timex`; the kernel writes no more than 208 bytes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # microseconds
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def clock_bound_ms() -> int | None:
    """How far this machine's UTC may be off, as its kernel counts; None: nothing keeps it right."""
    timex = _Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(timex)) < 0 or timex.status & _UNSYNCHRONISED:
        return None
    return -(-int(timex.maxerror) // 1000)


def celsius(path: Path) -> int | None:
    """A temperature as the kernel tells it; None: this machine has no such sensor."""
    with contextlib.suppress(OSError, ValueError):
        return round(int(path.read_text()) / 1000)
    return None


class DockTelemetry:
    """Tells how the dock is, every so many seconds, from a thread of its own."""

    def __init__(
        self, spool: Spool, limit_bytes: int, pending: Callable[[], int], bays: Callable[[], dict[str, str]],
        thermometer: Path,
    ) -> None:  # fmt: skip
        self._spool = spool
        self._limit = limit_bytes
        self._pending = pending
        self._bays = bays
        self._thermometer = thermometer
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def figures(self) -> Json:
        """How the dock is now."""
        disk = os.statvfs(self._spool.root)
        return {
            "at": shape.utc_text(time.time_ns() // 1_000_000),
            "clock": {"error_ms": clock_bound_ms()},
            "software": importlib.metadata.version("bodycam"),
            "disk_free_bytes": disk.f_bavail * disk.f_frsize,
            "disk_bytes": disk.f_blocks * disk.f_frsize,
            "spool_bytes": self._spool.used_bytes(),
            "spool_limit_bytes": self._limit,
            "events_waiting": self._pending(),
            "celsius": celsius(self._thermometer),
            "cameras": self._bays(),
        }

    def start(self, events: Events, seconds: float) -> None:
        """Tell it now, and again and again."""
        self._thread = threading.Thread(target=self._run, args=(events, seconds), name="telemetry")
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, events: Events, seconds: float) -> None:
        while True:
            try:
                events.telemetry(self.figures())
            except Exception:  # noqa: BLE001 - a disk that fails is told by whoever needs it
                _log.exception("dock-error: its own figures cannot be had")
            if self._stopping.wait(seconds):
                return
