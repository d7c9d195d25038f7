"""`Positioning` by gpsd, over its own JSON protocol on a local TCP connection (gpsd_json(5)).

gpsd is a service of the system: it owns the receiver. It is asked to watch, and tells of each cycle of the receiver in
a TPV object, usually one a second.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from firmware.hal.ports import Clock, Fix, SourceFault
from runtime.config import Between

_DRIVER = "gpsd"
_WATCH = b'?WATCH={"enable":true,"json":true};\n'
_POSITION_MODE = 2  # TPV's mode: 0 and 1 no fix, 2 place, 3 place and altitude
_TICK_SECONDS = 0.5
_LOST_NS = 4_000_000_000  # a fix that is not renewed for so long is lost: told within five seconds
_RETRY_SECONDS = 2.0
_GREETING_SECONDS = 0.2
_LINE_LIMIT = 1 << 16
_FAR_METRES = 1_000_000.0  # no height and no radius is more
_FAST_MPS = 1_000.0
_DAY_SECONDS = 86_400.0  # a time with a wider bound tells nothing
# A receiver tells of a second by the next one, and gpsd passes it on at once: so the second began 0 to 1,000 ms ago.
_LATENESS_MS = 500
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GnssConfig:
    """Where gpsd listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, Between(1, 65535)] = 2947


class GpsdPositioning:
    """A client of gpsd. It comes back by itself when gpsd or the receiver does."""

    def __init__(self, config: GnssConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._fixed_ns: int | None = None  # when the last fix was told; None: none, or it was lost
        self._model = f"not connected to {config.host}:{config.port}"
        self._device = "unknown"

    def start(self, on_fix: Callable[[Fix | None], None], on_fault: Callable[[SourceFault], None]) -> None:
        """Begin to tell. `on_fault` gets `position_lost` once whenever gpsd is not there; that is no gap."""
        self._thread = threading.Thread(target=self._run, args=(on_fix, on_fault), name="gpsd", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def describe(self) -> Mapping[str, str]:
        """Tell driver, gpsd's release and the receiver, as far as they are known by now; asks gpsd, if need be."""
        if self._thread is None:
            self._greet()
        return {"driver": _DRIVER, "model": self._model, "receiver": self._device}

    def _greet(self) -> None:
        """Hear gpsd's first line, which it says unasked. The boot record must not wait for it for long."""
        address = (self._config.host, self._config.port)
        with contextlib.suppress(OSError, ValueError), socket.create_connection(address, _GREETING_SECONDS) as link:
            self._take(link.recv(4096).partition(b"\n")[0], lambda _: None)

    def _run(self, on_fix: Callable[[Fix | None], None], on_fault: Callable[[SourceFault], None]) -> None:
        told = False
        while not self._stopping.is_set():
            try:
                with socket.create_connection((self._config.host, self._config.port), _RETRY_SECONDS) as link:
                    for line in self._lines(link):
                        told = False
                        self._take(line, on_fix)
            except Exception as error:  # noqa: BLE001 - no thread dies silently
                if not isinstance(error, OSError):
                    _log.exception("gpsd told something that could not be used; connecting anew")
                self._lose(on_fix)
                if not told:
                    told = True
                    on_fault(SourceFault("position_lost", f"gpsd at {self._where()}: {error}; is gpsd running?"))
            self._stopping.wait(_RETRY_SECONDS)

    def _where(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    def _lines(self, link: socket.socket) -> Iterator[bytes]:
        """What gpsd says, a line each, or an empty one if it says nothing for a while."""
        link.settimeout(_TICK_SECONDS)
        link.sendall(_WATCH)
        waiting = b""
        while not self._stopping.is_set():
            try:
                data = link.recv(4096)
            except TimeoutError:
                yield b""
                continue
            if not data:
                raise OSError("it hung up")
            *lines, waiting = (waiting + data).split(b"\n")
            if len(waiting) > _LINE_LIMIT:
                raise OSError("it is not gpsd that answers")
            yield from lines

    def _take(self, line: bytes, on_fix: Callable[[Fix | None], None]) -> None:
        now_ns = self._clock.boot_ns()
        try:
            told: Any = json.loads(line) if line.strip() else {}
        except RecursionError as error:
            raise ValueError("lists in lists in lists") from error
        if not isinstance(told, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - as for any other text that is not gpsd's
        match told.get("class"):
            case "VERSION":
                self._model = f"gpsd {told.get('release')} at {self._where()}"
            case "DEVICE":
                self._device = " ".join(str(told[key]) for key in ("subtype", "driver", "path") if told.get(key))
            case "TPV":
                fix = _fix(told, now_ns)
                if fix is not None:
                    self._fixed_ns = now_ns
                    on_fix(fix)
                else:
                    self._lose(on_fix)
        if self._fixed_ns is not None and now_ns - self._fixed_ns > _LOST_NS:
            self._lose(on_fix)

    def _lose(self, on_fix: Callable[[Fix | None], None]) -> None:
        if self._fixed_ns is not None:
            self._fixed_ns = None
            on_fix(None)


def _fix(tpv: Mapping[str, Any], now_ns: int) -> Fix | None:
    """The fix in a TPV object, None if it has none. gpsd's error estimates hold in 95 of 100 cases.

    What cannot be, a NaN too, counts as not told: a record has room for what can.
    """
    latitude, longitude = _number(tpv, "lat", -90, 90), _number(tpv, "lon", -180, 180)
    mode = _number(tpv, "mode", 0, 3)
    if mode is None or mode < _POSITION_MODE or latitude is None or longitude is None:
        return None
    utc_ms, utc_error_ms = _time(tpv)
    return Fix(
        now_ns,
        latitude,
        longitude,
        _number(tpv, "altMSL", -_FAR_METRES, _FAR_METRES),
        _number(tpv, "eph", 0, _FAR_METRES) or _radius(tpv),
        _number(tpv, "speed", 0, _FAST_MPS),
        utc_ms,
        utc_error_ms,
    )


def _number(tpv: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    """A member that is a number within bounds; NaN is within none."""
    told = tpv.get(name)
    if isinstance(told, bool) or not isinstance(told, int | float) or not least <= told <= most:
        return None
    return float(told)


def _radius(tpv: Mapping[str, Any]) -> float | None:
    x, y = _number(tpv, "epx", 0, _FAR_METRES), _number(tpv, "epy", 0, _FAR_METRES)
    return None if x is None or y is None else math.hypot(x, y)


def _time(tpv: Mapping[str, Any]) -> tuple[int, int] | tuple[None, None]:
    """UTC when the object came, and how far off it may be, in ms."""
    error = _number(tpv, "ept", 0, _DAY_SECONDS) if "ept" in tpv else 0.0
    if error is None or not isinstance(tpv.get("time"), str):
        return None, None
    told = datetime.fromisoformat(tpv["time"])
    if told.tzinfo is None:
        return None, None
    return round(told.timestamp() * 1000) + _LATENESS_MS, math.ceil(error * 1000) + _LATENESS_MS
