"""Camera, requests and camera manager: a sensor that exposes on a steady grid into the application's buffers.

As in libcamera: completed requests are announced on an eventfd; a frame that finds no request queued is dropped without
a word, and only its sequence number is missing; stopping cancels what is still queued; a camera that was unplugged
never comes back, the manager lists a new one.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import mmap
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hw_sim.libcamera_sim import controls, properties
from hw_sim.libcamera_sim.configuration import (
    RAW_FORMAT,
    SENSOR_SIZE,
    CameraConfiguration,
    Stream,
    StreamConfiguration,
    StreamRole,
)
from hw_sim.libcamera_sim.controls import ControlId, ControlInfo
from hw_sim.libcamera_sim.values import Rectangle

_SHORTEST_FRAME_US = 8_333
_LONGEST_FRAME_US = 1_000_000
_DEFAULT_FRAME_US = 33_333
_CLOSE_READING_NS = 200_000


class Planes(NamedTuple):
    """The planes of one YUV420 picture in place: luma (height, width), chroma (height / 2, width / 2)."""

    y: NDArray[np.uint8]
    u: NDArray[np.uint8]
    v: NDArray[np.uint8]


class Fate(enum.Enum):
    """What becomes of one exposure."""

    DELIVERED = "delivered"
    LOST = "lost"
    ERROR = "error"
    CANCELLED = "cancelled"
    HANG = "hang"
    UNPLUGGED = "unplugged"
    UNTIMED = "untimed"


class Optics(Protocol):
    """What a simulated camera looks through."""

    model: str
    camera_id: str

    def plugged(self) -> bool:
        """Is the camera there?"""

    def await_memory(self) -> None:
        """Wait until pictures may be written to."""

    def now(self) -> int:
        """Nanoseconds since the simulated power-on."""

    def fate(self) -> Fate:
        """Decide what becomes of the next exposure."""

    def paint(self, pictures: list[Planes], sensor_ns: int) -> None:
        """Paint the exposure into every picture stream; the smaller is the larger one scaled down."""

    def record(self, fate: Fate, sensor_ns: int, sequence: int) -> None:
        """Note what became of an exposure, before the application learns of it."""


class FrameMetadata:
    """Namespace of the status."""

    class Status(enum.Enum):
        """State of a buffer."""

        Success = 0
        Error = 1
        Cancelled = 2
        Startup = 3


@dataclass(eq=False)
class _Plane:
    fd: int = -1
    offset: int = 0
    length: int = 0


class FrameBuffer:
    """A buffer made of planes in shared memory."""

    Plane = _Plane

    def __init__(self, planes: list[_Plane]) -> None:
        self.planes = planes
        self.metadata = SimpleNamespace(
            status=FrameMetadata.Status.Success,
            sequence=0,
            timestamp=0,
            planes=[SimpleNamespace(bytes_used=plane.length) for plane in planes],
        )


@dataclass(eq=False)
class Request:
    """A capture request."""

    class Status(enum.Enum):
        """State of a request."""

        Pending = 0
        Complete = 1
        Cancelled = 2

    cookie: int
    status: Status = Status.Pending
    buffers: dict[Stream, FrameBuffer] = field(default_factory=dict)
    metadata: dict[ControlId, Any] = field(default_factory=dict)
    controls: dict[ControlId, Any] = field(default_factory=dict)

    def add_buffer(self, stream: Stream, buffer: FrameBuffer) -> None:
        """Give the request a buffer for `stream`."""
        self.buffers[stream] = buffer

    def set_control(self, control: ControlId, value: Any) -> None:
        """Ask for a control from this request on."""
        self.controls[control] = value

    def reuse(self) -> None:
        """Make the request ready to be queued again with the same buffers."""
        self.status = Request.Status.Pending
        self.metadata, self.controls = {}, {}


class Camera:
    """One simulated camera. Lives until it is unplugged."""

    def __init__(self, manager: CameraManager, optics: Optics) -> None:
        self.id = optics.camera_id
        self.properties: dict[ControlId, Any] = {
            properties.Model: optics.model,
            properties.Location: 2,
            properties.Rotation: 0,
            properties.draft.ColorFilterArrangement: properties.draft.ColorFilterArrangementEnum.RGGB,
        }
        whole = Rectangle(0, 0, SENSOR_SIZE.width, SENSOR_SIZE.height)
        self.controls: dict[ControlId, ControlInfo] = {
            controls.FrameDurationLimits: ControlInfo(_SHORTEST_FRAME_US, _LONGEST_FRAME_US, _DEFAULT_FRAME_US),
            controls.ExposureTime: ControlInfo(0, _LONGEST_FRAME_US, 20_000),
            controls.AnalogueGain: ControlInfo(1.0, 16.0, 1.0),
            controls.ScalerCrop: ControlInfo(Rectangle(0, 0, 64, 64), whole, whole),
            controls.draft.NoiseReductionMode: ControlInfo(0, 4, 0),
        }
        self._manager = manager
        self._optics = optics
        self._acquired = False
        self._unplugged = False
        self._frame_us = _DEFAULT_FRAME_US
        self._queue: deque[Request] = deque()
        self._pictures: dict[FrameBuffer, Planes] = {}
        self._offset_ns: int | None = None  # device's clock minus ours
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def generate_configuration(self, roles: list[StreamRole]) -> CameraConfiguration:
        """Give a default configuration with one stream for each role."""
        return CameraConfiguration(roles)

    def acquire(self) -> None:
        """Take exclusive use of the camera."""
        if self._acquired:
            raise _refusal("Failed to acquire camera", errno.EBUSY)
        self._refuse_if_unplugged("Failed to acquire camera")
        self._acquired = True

    def release(self) -> None:
        """Give the camera back."""
        self._pictures.clear()
        self._acquired = False

    def configure(self, configuration: CameraConfiguration) -> int:
        """Take over a validated configuration. Buffers mapped for an earlier one are forgotten."""
        self._pictures.clear()
        return 0 if len(configuration) else -errno.EINVAL

    def create_request(self, cookie: int) -> Request:
        """Make an empty request; `cookie` comes back with it."""
        return Request(cookie)

    def start(self, wanted: dict[ControlId, Any] | None = None) -> None:
        """Start to expose at the frame duration asked for."""
        self._refuse_if_unplugged("Failed to start camera")
        self._apply(wanted or {})
        self._stopping.clear()
        self._thread = threading.Thread(target=self._expose_until_stopped, name="sim-lens", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop exposing; whatever is queued is cancelled."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        thread.join()
        self._cancel_queued()

    def queue_request(self, request: Request) -> None:
        """Queue a request for the next free exposure."""
        self._refuse_if_unplugged("Failed to queue request")
        self._queue.append(request)

    def unplug(self) -> None:
        """Lose the camera: queued requests come back cancelled, further calls fail."""
        self._unplugged = True
        self._cancel_queued()

    def _refuse_if_unplugged(self, what: str) -> None:
        if self._unplugged:
            raise _refusal(what, errno.ENODEV)

    def _apply(self, wanted: dict[ControlId, Any]) -> None:
        limits = wanted.get(controls.FrameDurationLimits)
        if limits is not None:
            self._frame_us = min(max(int(limits[0]), _SHORTEST_FRAME_US), _LONGEST_FRAME_US)

    def _expose_until_stopped(self) -> None:
        due_ns = time.monotonic_ns() + self._frame_us * 1_000  # requests are queued after the start, as ever
        sequence = 0
        while not self._unplugged:
            if self._stopping.wait(max(0, due_ns - time.monotonic_ns()) / 1e9):
                return
            if self._expose(sequence, due_ns):
                sequence += 1
            due_ns += self._frame_us * 1_000

    def _expose(self, sequence: int, due_ns: int) -> bool:
        """Expose once; False if the sensor stood still."""
        fate = self._optics.fate()
        if fate is Fate.HANG:
            return False
        if fate is Fate.UNPLUGGED:
            self.unplug()
            return False
        sensor_ns = self._sensor_time(due_ns)
        request = self._next_request() if fate is not Fate.LOST else None
        if request is None:
            self._optics.record(Fate.LOST, sensor_ns, sequence)
            return True
        self._apply(request.controls)
        if fate is Fate.DELIVERED:
            self._optics.paint(
                [self._planes(*item) for item in request.buffers.items() if _is_picture(item[0])], sensor_ns
            )
        self._optics.record(fate, sensor_ns, sequence)
        self._complete(request, fate, sensor_ns, sequence)
        return True

    def _sensor_time(self, due_ns: int) -> int:
        """Give the device's time of the moment an exposure was due: this thread may wake late, the sensor never did."""
        before_ns, device_ns, after_ns = time.monotonic_ns(), self._optics.now(), time.monotonic_ns()
        if self._offset_ns is None or after_ns - before_ns < _CLOSE_READING_NS:
            self._offset_ns = device_ns - after_ns
        return due_ns + self._offset_ns

    def _next_request(self) -> Request | None:
        try:
            return self._queue.popleft()
        except IndexError:
            return None

    def _complete(self, request: Request, fate: Fate, sensor_ns: int, sequence: int) -> None:
        failed = FrameMetadata.Status.Cancelled if fate is Fate.CANCELLED else FrameMetadata.Status.Error
        for buffer in request.buffers.values():
            buffer.metadata.sequence = sequence
            buffer.metadata.timestamp = sensor_ns
            good = fate in {Fate.DELIVERED, Fate.UNTIMED}
            buffer.metadata.status = FrameMetadata.Status.Success if good else failed
        request.metadata = {controls.ExposureTime: 20_000, controls.AnalogueGain: 1.0}
        if fate is not Fate.UNTIMED:
            request.metadata[controls.SensorTimestamp] = sensor_ns
        request.status = Request.Status.Cancelled if fate is Fate.CANCELLED else Request.Status.Complete
        self._manager.announce(request)

    def _cancel_queued(self) -> None:
        while (request := self._next_request()) is not None:
            self._complete(request, Fate.CANCELLED, 0, 0)

    def _planes(self, stream: Stream, buffer: FrameBuffer) -> Planes:
        planes = self._pictures.get(buffer)
        if planes is None:
            planes = self._pictures[buffer] = _map(stream.configuration, buffer)
        return planes


class CameraManager:
    """The one manager of a process; `plug` gives it the lens to look through."""

    _instance: CameraManager | None = None

    @classmethod
    def singleton(cls) -> CameraManager:
        """Give the manager of this process."""
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def __init__(self) -> None:
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._completed: list[Request] = []
        self._optics: Optics | None = None
        self._camera: Camera | None = None

    def plug(self, optics: Optics) -> None:
        """Put another lens in the place of the present one."""
        self._optics, self._camera = optics, None

    def await_memory(self) -> None:
        """Wait until pictures may be written to, as the kernel does for whoever maps them."""
        if self._optics is not None:
            self._optics.await_memory()

    @property
    def cameras(self) -> list[Camera]:
        """The cameras that are plugged in."""
        if self._optics is None or not self._optics.plugged():
            self._camera = None
            return []
        if self._camera is None:
            self._camera = Camera(self, self._optics)
        return [self._camera]

    def get(self, camera_id: str) -> Camera:
        """Give a camera by its id."""
        for camera in self.cameras:
            if camera.id == camera_id:
                return camera
        raise RuntimeError("Camera not found")

    def announce(self, request: Request) -> None:
        """Hand a completed request to the application."""
        with self._lock:
            self._completed.append(request)
        os.eventfd_write(self.event_fd, 1)

    def get_ready_requests(self) -> list[Request]:
        """Take what was completed since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.event_fd)
        with self._lock:
            ready, self._completed = self._completed, []
        return ready


def _refusal(what: str, number: int) -> RuntimeError:
    return RuntimeError(f"{what}: {os.strerror(number)}")


def _is_picture(stream: Stream) -> bool:
    return stream.configuration.pixel_format != RAW_FORMAT


def _map(configuration: StreamConfiguration, buffer: FrameBuffer) -> Planes:
    """Map a YUV420 buffer; chroma rows have half the luma's stride."""
    plane = buffer.planes[0]
    memory = mmap.mmap(plane.fd, configuration.frame_size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    width, height, stride = configuration.size.width, configuration.size.height, configuration.stride
    flat = np.frombuffer(memory, np.uint8)
    luma, chroma = flat[: stride * height], flat[stride * height :].reshape(2, height // 2, stride // 2)
    return Planes(
        luma.reshape(height, stride)[:, :width],
        chroma[0, :, : width // 2],
        chroma[1, :, : width // 2],
    )
