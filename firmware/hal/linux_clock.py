"""`Clock` of a Linux device: CLOCK_BOOTTIME, and a UTC claim that is honest about where it comes from.

A claim is an anchor (UTC at a boot time) carried on by CLOCK_BOOTTIME, so that a step of the system's clock moves
nothing. Without a real-time clock on board, an anchor dies with the power.
"""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware.clock_discipline import leap_error_ms
from firmware.hal.ports import DriverError, Utc

DRIFT_PPM = 50
"""How far CLOCK_BOOTTIME may run off: the bound of a Pi's crystal over its temperature range."""
_YEAR_9999_MS = 253_370_764_800_000
_SOURCES = ("none", "rtc", "gnss", "dock")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinuxClockConfig:
    """`state` remembers the last trusted time within one power-on; `rtc` says that a real-time clock is on board.

    A real-time clock that tells a time outside the bounds is not believed: its battery was empty, or it was set wrong.
    """

    state: Path
    rtc: bool = False
    rtc_error_ms: int = 2000
    earliest_ms: int = 0
    latest_ms: int = 2**62


@dataclass(frozen=True, slots=True)
class _Anchor:
    kernel_boot: str
    boot_ns: int
    ms: int
    source: str
    error_ms: int | None

    def possible(self, now_ns: int) -> bool:
        """Whether a record can carry it, which stands in each one: `now_ns` is the boot clock's present."""
        error_ms = 0 if self.error_ms is None else self.error_ms
        if not all(type(number) is int for number in (self.boot_ns, self.ms, error_ms)):
            return False
        bounds = -(2**62) < self.boot_ns <= now_ns and 0 <= self.ms < _YEAR_9999_MS and 0 <= error_ms < 2**62
        return bounds and self.source in _SOURCES


class LinuxClock:
    """Both clocks of the device; setting UTC needs no privilege, since it is kept here."""

    def __init__(self, config: LinuxClockConfig) -> None:
        """Take up what an earlier process of the same power-on knew. Raises `DriverError` on a system without Linux."""
        try:
            self._kernel_boot = _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")
        except OSError as error:
            raise DriverError("linux_clock", f"{error}; the camera runs on Linux only") from error
        self._state = config.state
        self._anchor = self._remembered() or self._from_system(config)

    @property
    def kernel_boot(self) -> str:
        """The kernel's boot id without its dashes."""
        return self._kernel_boot

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def utc(self) -> Utc:
        """The claim, its bound widened by `DRIFT_PPM` and what may have been leap seconds since the anchor."""
        anchor = self._anchor
        elapsed_ns = self.boot_ns() - anchor.boot_ns
        ms = anchor.ms + elapsed_ns // 10**6
        if anchor.error_ms is None:
            return Utc(ms, anchor.source, None)
        error_ms = anchor.error_ms - (-elapsed_ns * DRIFT_PPM // 10**12)
        error_ms += leap_error_ms(anchor.ms - anchor.error_ms, ms + error_ms)
        return Utc(ms, anchor.source, error_ms)

    def set_utc(self, ms: int, source: str, error_ms: int) -> None:
        """Anchor UTC anew and remember it; a disk that cannot remember is logged, for the time itself is good."""
        self._anchor = _Anchor(self._kernel_boot, self.boot_ns(), ms, source, error_ms)
        try:
            _replace(self._state, json.dumps(asdict(self._anchor)).encode())
        except OSError:
            _log.exception("the time could not be remembered in %s; a restart will not know it", self._state)

    def _from_system(self, config: LinuxClockConfig) -> _Anchor:
        ms = time.time_ns() // 10**6
        believed = config.rtc and config.earliest_ms <= ms <= config.latest_ms
        if config.rtc and not believed:
            _log.error("the real-time clock tells %s ms since 1970, which cannot be; the clock counts as unset", ms)
        source, error_ms = ("rtc", config.rtc_error_ms) if believed else ("none", None)
        return _Anchor(self._kernel_boot, self.boot_ns(), ms, source, error_ms)

    def _remembered(self) -> _Anchor | None:
        try:
            anchor = _Anchor(**json.loads(self._state.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError):
            _log.exception("%s is not a remembered time; the clock counts as unset", self._state)
            return None
        if anchor.kernel_boot != self._kernel_boot:
            return None  # of an earlier power-on
        if not anchor.possible(self.boot_ns()):
            _log.error("%s remembers a time that cannot be; the clock counts as unset", self._state)
            return None
        return anchor


def _replace(path: Path, data: bytes) -> None:
    """Write a file in one step. Not synced: it is worthless after the power cut that could lose it."""
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    passing.write_bytes(data)
    passing.replace(path)
