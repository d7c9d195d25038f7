"""What the tests of lens, driver and overlay share: a clock, a collector of frames, a decoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import av
import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import Frame, SourceFault, Utc

UTC_AT_POWER_ON_MS = 1_795_501_389_000  # 2026-11-24 06:23:09 UTC


class PowerOnClock:
    """`Clock` of a device that was switched on when this object was made."""

    kernel_boot = "5" * 32

    def __init__(self) -> None:
        self._power_on_ns = time.monotonic_ns()

    def boot_ns(self) -> int:
        return time.monotonic_ns() - self._power_on_ns

    def utc(self) -> Utc:
        return Utc(UTC_AT_POWER_ON_MS + self.boot_ns() // 1_000_000, "dock", 10)

    def set_utc(self, ms: int, source: str, error_ms: int) -> None:
        raise NotImplementedError


class Collector:
    """Takes frames and faults, and lets a test wait for them with a bound."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.faults: list[SourceFault] = []
        self._changed = threading.Condition()

    def on_frame(self, frame: Frame) -> None:
        with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()

    def on_fault(self, fault: SourceFault) -> None:
        with self._changed:
            self.faults.append(fault)
            self._changed.notify_all()

    def wait_frames(self, more: int, seconds: float = 10.0) -> None:
        with self._changed:
            wanted = len(self.frames) + more
            assert self._changed.wait_for(lambda: len(self.frames) >= wanted, seconds), (
                f"only {len(self.frames)} frames"
            )

    def wait_fault(self, cause: str, seconds: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: cause in self.causes(), seconds), f"only {self.faults}"

    def causes(self) -> list[str]:
        return [fault.cause for fault in self.faults]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll a condition that nothing announces."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def decode_luma(frames: Iterable[Frame], width: int, height: int) -> list[NDArray[np.uint8]]:
    """Decode access units one by one; every one must give its picture at once."""
    decoder = av.CodecContext.create("h264", "r")
    lumas: list[NDArray[np.uint8]] = []
    for frame in frames:
        pictures = decoder.decode(av.Packet(frame.data))
        assert len(pictures) == 1
        lumas.append(pictures[0].to_ndarray()[:height, :width].astype(np.uint8, copy=False))
    return lumas
