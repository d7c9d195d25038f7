"""What the tests of lens, driver and overlay share: a clock, a collector of frames, a decoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from firmware.hal.picamera2_video import Picamera2Video, VideoConfig
from firmware.hal.ports import Frame, SourceFault, Utc
from hw_sim import lens as lens_module
from hw_sim.deliveries import Delivery, read_deliveries
from hw_sim.lens import Lens, LensConfig
from hw_sim.scene import read_number

SMALL = VideoConfig(width=320, height=180, bitrate_bps=1_000_000)
FAST = VideoConfig(width=320, height=180, frames_per_second=50, bitrate_bps=1_000_000)
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


def no_overlay(frame: NDArray[np.uint8], utc_ms: int) -> None:
    """Draw nothing."""


class World:
    """A lens, a clock and the drivers made in front of them."""

    def __init__(self, folder: Path) -> None:
        self.clock = PowerOnClock()
        self.log_path = folder / "deliveries.jsonl"
        self.lens: Lens = lens_module.install(LensConfig(self.log_path), self.clock.boot_ns)
        self.seen = Collector()
        self.videos: list[Picamera2Video] = []

    def video(
        self, config: VideoConfig = FAST, overlay: Callable[[NDArray[np.uint8], int], None] = no_overlay
    ) -> Picamera2Video:
        self.videos.append(Picamera2Video(config, overlay, self.clock))
        return self.videos[-1]

    def started(
        self, config: VideoConfig = FAST, overlay: Callable[[NDArray[np.uint8], int], None] = no_overlay
    ) -> Picamera2Video:
        video = self.video(config, overlay)
        video.start(self.seen.on_frame, self.seen.on_fault, lambda _: None)
        return video

    def deliveries(self) -> list[Delivery]:
        return read_deliveries(self.log_path)

    def missing(self) -> int:
        """Exposures between the first and the last frame that did not reach picamera2, on a busy machine too."""
        first, last = self.seen.frames[0].boot_ns, self.seen.frames[-1].boot_ns
        return sum(delivery.n is None and first < delivery.sensor_ns < last for delivery in self.deliveries())

    def assert_frames_are_deliveries(self, config: VideoConfig = FAST) -> None:
        """Every frame's picture carries the number, and its time the sensor's time, of one delivery, in order."""
        frames = list(self.seen.frames)  # more may come while this is looked at
        by_time = {delivery.sensor_ns: delivery.n for delivery in self.deliveries()}
        numbers = [read_number(luma) for luma in decode_luma(frames, config.width, config.height)]
        assert numbers == [by_time[frame.boot_ns] for frame in frames]
        assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + len(numbers)))


@contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """A world whose drivers are stopped in the end."""
    world = World(folder)
    try:
        yield world
    finally:
        for video in world.videos:
            video.stop()
        world.lens.close()
