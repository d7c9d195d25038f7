"""Stream and camera configurations, and how the simulated pipeline adjusts them."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

from hw_sim.libcamera_sim.values import ColorSpace, Orientation, PixelFormat, Size

SENSOR_SIZE = Size(1920, 1080)
RAW_FORMAT = PixelFormat("SRGGB10")
_PICTURE_FORMAT = PixelFormat("YUV420")
_STRIDE_ALIGNMENT = 64  # bytes of luma, as on a Pi
_RAW_BYTES_PER_PIXEL = 2
_SCALERS = 2  # outputs of a Pi's image processor: one large, one that is not larger


class StreamRole(enum.Enum):
    """What a stream is for."""

    Raw = 0
    StillCapture = 1
    VideoRecording = 2
    Viewfinder = 3


class Stream:
    """Identity of a configured stream."""

    def __init__(self, configuration: StreamConfiguration) -> None:
        self.configuration = configuration


@dataclass(eq=False)
class StreamConfiguration:
    """One stream; `stride` in bytes of a luma row, `frame_size` in bytes."""

    role: StreamRole
    size: Size = field(default_factory=lambda: Size(SENSOR_SIZE.width, SENSOR_SIZE.height))
    pixel_format: PixelFormat = _PICTURE_FORMAT
    buffer_count: int = 4
    stride: int = 0
    frame_size: int = 0
    color_space: ColorSpace | None = None
    formats: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(pixel_formats=[RAW_FORMAT], sizes=lambda _format: [SENSOR_SIZE])
    )

    def __post_init__(self) -> None:
        self.stream = Stream(self)

    def validate(self) -> bool:
        """Make the stream one that the pipeline can fill; True if nothing asked for had to change."""
        wanted = RAW_FORMAT if self.role is StreamRole.Raw else _PICTURE_FORMAT
        unchanged = self.pixel_format == wanted
        self.pixel_format = wanted
        bytes_per_pixel = _RAW_BYTES_PER_PIXEL if wanted == RAW_FORMAT else 1
        stride = _aligned(max(self.stride, self.size.width * bytes_per_pixel))
        unchanged = unchanged and self.stride in {0, stride}
        self.stride = stride
        self.frame_size = stride * self.size.height * (2 if wanted == RAW_FORMAT else 3) // 2
        return unchanged


@dataclass
class SensorConfiguration:
    """Mode of the sensor that the application asks for."""

    bit_depth: int = 0
    output_size: Size = field(default_factory=Size)


class CameraConfiguration:
    """The streams of a camera, in order."""

    class Status(enum.Enum):
        """Outcome of `validate`."""

        Valid = 0
        Adjusted = 1
        Invalid = 2

    def __init__(self, roles: list[StreamRole]) -> None:
        self._streams = [StreamConfiguration(role) for role in roles]
        self.orientation = Orientation.Rotate0
        self.sensor_config: SensorConfiguration | None = None

    def at(self, index: int) -> StreamConfiguration:
        """Give the stream at `index`."""
        return self._streams[index]

    def __iter__(self) -> Iterator[StreamConfiguration]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def validate(self) -> CameraConfiguration.Status:
        """Adjust every stream; invalid if one has no area, or if there are more pictures than scalers."""
        pictures = sum(stream.role is not StreamRole.Raw for stream in self._streams)
        if pictures > _SCALERS or any(stream.size.width <= 0 or stream.size.height <= 0 for stream in self._streams):
            return self.Status.Invalid
        unchanged = [stream.validate() for stream in self._streams]
        return self.Status.Valid if all(unchanged) else self.Status.Adjusted


def _aligned(width: int) -> int:
    return -(-width // _STRIDE_ALIGNMENT) * _STRIDE_ALIGNMENT
