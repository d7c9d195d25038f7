"""The simulated lens: puts a scene before the real picamera2 by standing in for `libcamera` below it.

    lens = hw_sim.lens.install(LensConfig(scene="street.mp4", deliveries=world / "deliveries.jsonl"), clock)
    # only now import picamera2, or build a driver that does
    lens.set_fault("lost", frames=3)

A simulated run says so: the camera's model and id begin with "sim-" and "/sim/".
"""

from __future__ import annotations

import enum
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import cv2

from hw_sim import libcamera_sim, spoiled_view
from hw_sim.deliveries import Delivery, DeliveryLog
from hw_sim.libcamera_sim import CameraManager, dma_heap, kms
from hw_sim.libcamera_sim.camera import Fate, Planes
from hw_sim.scene import open_scene

_LOOK_SECONDS, _LOOK_MOST = 1.0, 640


class Fault(enum.Enum):
    """What can be wrong with the lens."""

    NONE = "none"
    LOST = "lost"  # exposures that never arrive
    ERROR = "error"  # exposures that arrive spoilt, and say so
    CANCEL = "cancel"  # requests come back cancelled; the application never gets their buffers again
    HANG = "hang"  # the sensor stands still
    FROZEN = "frozen"  # the same picture, with new timestamps
    BLACK = "black"  # no signal: not even noise
    COVERED = "covered"  # a hand, a coat: dark and flat, with the sensor's noise
    DARK = "dark"  # hardly any light
    BLURRED = "blurred"  # grease on the glass
    TILTED = "tilted"  # turned about its axis
    SKY = "sky"  # leaned back: bright, and the horizon at the bottom
    UNPLUGGED = "unplugged"  # the cable is off; after NONE the camera is found again
    UNTIMED = "untimed"  # exposures without their time, which ends the thread of picamera2 that meets one
    HELD = "held"  # exposures arrive, and nobody may write to their memory: neither overlay nor encoder goes on


_FATES = {
    Fault.LOST: Fate.LOST,
    Fault.ERROR: Fate.ERROR,
    Fault.CANCEL: Fate.CANCELLED,
    Fault.HANG: Fate.HANG,
    Fault.UNPLUGGED: Fate.UNPLUGGED,
    Fault.UNTIMED: Fate.UNTIMED,
}
_SPOILED: Mapping[Fault, spoiled_view.Spoil] = {
    Fault.BLACK: spoiled_view.black,
    Fault.COVERED: spoiled_view.covered,
    Fault.DARK: spoiled_view.dark,
    Fault.BLURRED: spoiled_view.blurred,
    Fault.TILTED: spoiled_view.tilted,
    Fault.SKY: spoiled_view.sky,
}
_SOURCELESS = {Fault.BLACK, Fault.COVERED}


@dataclass(frozen=True, slots=True)
class LensConfig:
    """`scene` is "drawn", the path of a video file, or `/dev/video<N>`; `deliveries` is the log's path."""

    deliveries: Path
    scene: str = "drawn"


class Lens:
    """One lens: its scene, its faults and its deliveries log. Raises `SceneError` if the scene cannot be shown."""

    model = "sim-imx708"
    camera_id = "/sim/i2c/imx708@1a"

    def __init__(self, config: LensConfig, clock: Callable[[], int]) -> None:
        self._scene = open_scene(config.scene)
        self._log = DeliveryLog(config.deliveries)
        self._clock = clock
        self._lock = threading.Lock()
        self._fault = Fault.NONE
        self._frames_left: int | None = None
        self._degrees = spoiled_view.TILT_DEGREES
        self._exposure_fault = Fault.NONE  # of the exposure in hand
        self._writable = threading.Event()
        self._writable.set()
        self._view: tuple[int, int] | None = None
        self._source: int | None = None
        self._onlookers: list[tuple[tuple[int, int], Future[Planes]]] = []

    def set_fault(
        self, kind: Fault | str, frames: int | None = None, degrees: float = spoiled_view.TILT_DEGREES
    ) -> None:
        """Have a fault from the next exposure on, for `frames` exposures or until told otherwise.

        `degrees` clockwise are for TILTED. HELD is not for a number of exposures: while it lasts, none pass.
        """
        with self._lock:
            self._fault, self._frames_left, self._degrees = Fault(kind), frames, degrees
        if self._fault is Fault.HELD:
            self._writable.clear()
        else:
            self._writable.set()

    def look(self, columns: int, rows: int) -> Planes:
        """Show the next exposure, before any overlay, in planes of that size each. Raises LookupError if none comes."""
        if not (0 < columns <= _LOOK_MOST and 0 < rows <= _LOOK_MOST):
            raise ValueError(f"columns and rows are from 1 to {_LOOK_MOST}")
        seen: Future[Planes] = Future()
        with self._lock:
            self._onlookers.append(((columns, rows), seen))
        try:
            return seen.result(_LOOK_SECONDS)
        except TimeoutError:
            raise LookupError("the lens delivers no picture") from None
        finally:
            with self._lock:
                self._onlookers = [one for one in self._onlookers if one[1] is not seen]

    def close(self) -> None:
        """Release scene and log. The camera must be closed before."""
        self._scene.close()
        self._log.close()

    def plugged(self) -> bool:
        """Is the camera there? (for libcamera_sim)."""
        return self._fault is not Fault.UNPLUGGED

    def await_memory(self) -> None:
        """Wait until pictures may be written to (for libcamera_sim)."""
        self._writable.wait()

    def now(self) -> int:
        """Nanoseconds since the simulated power-on (for libcamera_sim)."""
        return self._clock()

    def fate(self) -> Fate:
        """Decide what becomes of the next exposure (for libcamera_sim)."""
        with self._lock:
            if self._frames_left == 0:
                self._fault, self._frames_left = Fault.NONE, None
            elif self._frames_left is not None:
                self._frames_left -= 1
            self._exposure_fault = self._fault
        return _FATES.get(self._exposure_fault, Fate.DELIVERED)

    def paint(self, pictures: list[Planes], sensor_ns: int) -> None:
        """Paint the exposure in hand (for libcamera_sim).

        The sensor's noise is in the smaller picture only: the large one stays what the scene drew, to be compared with.
        A frozen lens repeats both to the last bit.
        """
        if self._view is None or self._exposure_fault is not Fault.FROZEN:
            self._view = (sensor_ns, self._log.next_n)
        large, *small = sorted(pictures, key=lambda planes: -planes.y.size)
        source = self._scene.paint(large, *self._view)
        self._source = None if self._exposure_fault in _SOURCELESS else source
        spoil = _SPOILED.get(self._exposure_fault)
        if spoil is not None:
            spoil(large, self._view[0], self._degrees)
        for picture in small:
            for target, plane in zip(picture, large, strict=True):
                cv2.resize(plane, target.shape[::-1], dst=target, interpolation=cv2.INTER_AREA)
            if self._exposure_fault is not Fault.BLACK:
                spoiled_view.add_noise(picture.y, self._view[0], spoiled_view.CLEAN_NOISE)
        with self._lock:
            onlookers, self._onlookers = self._onlookers, []
        for size, seen in onlookers:
            seen.set_result(Planes(*(cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in large)))

    def record(self, fate: Fate, sensor_ns: int, sequence: int) -> None:
        """Write the exposure into the deliveries log (for libcamera_sim)."""
        delivered = fate is Fate.DELIVERED
        self._log.append(
            Delivery(
                n=self._log.next_n if delivered else None,
                sensor_ns=sensor_ns,
                source=self._source if delivered else None,
                sequence=sequence,
                status=fate.value,
            )
        )


def install(config: LensConfig, clock: Callable[[], int]) -> Lens:
    """Put the simulated lens below picamera2, before anything imports picamera2.

    `clock` gives nanoseconds since the simulated power-on. Called again, it changes the lens; no camera may be open.
    """
    lens = Lens(config, clock)
    if sys.modules.get("libcamera") is not libcamera_sim:
        if "picamera2" in sys.modules or "libcamera" in sys.modules:
            raise RuntimeError("the real libcamera is loaded already; install the lens before picamera2 is imported")
        sys.modules["libcamera"] = libcamera_sim
        sys.modules["libcamera.controls"] = libcamera_sim.controls
        sys.modules["libcamera.properties"] = libcamera_sim.properties
        sys.modules["kms"] = kms
        dma_heap.install(lambda: CameraManager.singleton().await_memory())
    CameraManager.singleton().plug(lens)
    return lens
