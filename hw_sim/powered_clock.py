"""The clocks of a simulated camera, which start anew at each simulated power-on.

It has the shape of the camera's clock port without importing it: whoever builds the clock hands in the port's class
for a claim about UTC, `PoweredClock(world, Utc)`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from hw_sim import world as worlds

DRIFT_PPM = 50
_Claim = TypeVar("_Claim")


class _Anchor(NamedTuple):
    kernel_boot: str
    boot_ns: int
    ms: int
    source: str
    error_ms: int | None


class PoweredClock(Generic[_Claim]):
    """Clock over the world folder's power.json. Without a real-time clock, UTC starts at 1970 and says "none"."""

    def __init__(
        self,
        folder: Path,
        claim: Callable[[int, str, int | None], _Claim],
        earliest_ms: int = 0,
        latest_ms: int = 2**62,
    ) -> None:
        """`claim` makes a claim from milliseconds, source and error in ms. Raises ConfigError before any power-on.

        A real-time clock that tells a time outside the bounds is not believed.
        """
        self._claim = claim
        self._bounds = (earliest_ms, latest_ms)
        self._power = worlds.power(folder)
        self._remembered = folder / "utc.json"
        self._anchor = self._recall() or self._unset(worlds.load(folder).clock)

    @property
    def kernel_boot(self) -> str:
        """Id of the simulated kernel's boot."""
        return self._power.kernel_boot

    def boot_ns(self) -> int:
        """Nanoseconds since the simulated power-on."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._power.power_on_boottime_ns

    def utc(self) -> _Claim:
        """The present claim."""
        anchor = self._anchor
        elapsed_ns = self.boot_ns() - anchor.boot_ns
        drift_ms = -(-elapsed_ns * DRIFT_PPM // 10**12)
        error_ms = None if anchor.error_ms is None else anchor.error_ms + drift_ms
        return self._claim(anchor.ms + elapsed_ns // 10**6, anchor.source, error_ms)

    def set_utc(self, ms: int, source: str, error_ms: int) -> None:
        """Take over a trusted time; it is remembered as long as the power lasts."""
        self._anchor = _Anchor(self.kernel_boot, self.boot_ns(), ms, source, error_ms)
        worlds.replace_json(self._remembered, self._anchor)

    def _recall(self) -> _Anchor | None:
        if not self._remembered.exists():
            return None
        anchor = _Anchor(*json.loads(self._remembered.read_bytes()))
        return anchor if anchor.kernel_boot == self.kernel_boot else None

    def _unset(self, clock: worlds.ClockWorld) -> _Anchor:
        boot_ns = self.boot_ns()
        ms = time.time_ns() // 10**6 + clock.rtc_offset_ms
        earliest_ms, latest_ms = self._bounds
        if clock.rtc and earliest_ms <= ms <= latest_ms:
            return _Anchor(self.kernel_boot, boot_ns, ms, "rtc", clock.rtc_error_ms)
        return _Anchor(self.kernel_boot, boot_ns, boot_ns // 10**6, "none", None)
