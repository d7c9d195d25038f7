"""`VideoSource` on picamera2: libcamera's pictures, our overlay, picamera2's encoder, each frame handed on at once.

A second, small stream of the same exposures is made by the camera's own scaler; twice a second its luma is handed on as
a `Look`. Stills are copies of the recorded stream, after the overlay.

Threads: picamera2's event thread calls `_on_picture` and, with the software encoder, `_on_encoded`; the hardware
encoder has a thread of its own for the latter. Neither may ever see an exception of ours: it would end the thread.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.metadata
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import Clock, DriverError, Frame, Look, SourceFault, Still
from firmware.hal.video_still import StillFormat, Stills
from firmware.hal.video_watch import Faults, Ledger, Watchdog

_log = logging.getLogger(__name__)

_DRIVER = "picamera2"
_STREAM, _LOOK_STREAM = "main", "lores"
_BUFFERS = 6  # one held by the encoder, one by picamera2, the rest in flight
_LOOK_COLUMNS = 320
_LOOK_NS = 500_000_000
_SPS, _PPS = 7, 8  # NAL unit types


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """Size in pixels (even), rate, and the encoder: "libav" in software, "hardware" on a Pi that has one."""

    width: int = 1280
    height: int = 720
    frames_per_second: int = 25
    bitrate_bps: int = 3_000_000
    encoder: Literal["libav", "hardware"] = "libav"
    key_frame_seconds: float = 1.0
    camera_num: int = 0


class Picamera2Video:
    """One camera. `overlay(frame, utc_ms)` draws on the YUV420 buffer (height * 3 / 2, stride) of each picture.

    Building it raises `DriverError` if the library or the camera is missing. Faults told: `camera_stall`,
    `camera_lost`, `encoder_stall` when a second has brought nothing; `overlay_failed`, `look_failed` (pictures go on
    without); `unknown` if `on_frame` raises (the next frame is offered again).
    """

    def __init__(self, config: VideoConfig, overlay: Callable[[NDArray[np.uint8], int], None], clock: Clock) -> None:
        self._config = config
        self._overlay = overlay
        self._clock = clock
        self._library = _import_library()
        self._info = self._find_camera()
        self._before: Counter[str] = Counter()
        self._ledger = Ledger(1_000_000_000 // config.frames_per_second)
        self._parameter_sets = _ParameterSets()
        self._camera: Any = None
        self._encoder: Any = None
        self._watchdog: Watchdog | None = None
        self._faults = Faults(lambda _fault: None)
        self._on_frame: Callable[[Frame], None] = lambda _frame: None
        self._on_look: Callable[[Look], None] = lambda _look: None
        self._next_look_ns = 0
        self._stills = Stills(_DRIVER)

    def start(
        self,
        on_frame: Callable[[Frame], None],
        on_fault: Callable[[SourceFault], None],
        on_look: Callable[[Look], None],
    ) -> None:
        """Open the camera and deliver frames. Raises `DriverError`; nothing is left open then."""
        if self._camera is not None:
            raise DriverError(_DRIVER, "already started; stop it first")
        self._on_frame, self._faults, self._on_look = on_frame, Faults(on_fault), on_look
        self._before = Counter(self.counts())
        self._ledger = Ledger(1_000_000_000 // self._config.frames_per_second)
        self._parameter_sets = _ParameterSets()
        self._next_look_ns = 0
        self._info = self._find_camera()
        self._watchdog = Watchdog(self._clock, self._ledger, self._faults, self._is_plugged)
        try:
            self._camera = self._library.Picamera2(self._config.camera_num)
            self._encoder = self._build_encoder()
            self._camera.configure(self._configuration())
            self._camera.pre_callback = self._on_picture
            self._camera.start_recording(self._encoder, _output(self._on_encoded))
        except (RuntimeError, OSError, ValueError) as error:
            self.stop()
            raise DriverError(_DRIVER, f"cannot start the camera: {error}; {self._advice()}") from error
        self._watchdog.start()

    def still(self) -> Still:
        """Take a still of the next picture. Two threads that ask at once are served one after the other."""
        camera, config = self._camera, self._config
        if camera is None:
            raise DriverError(_DRIVER, "takes no still while it is stopped; start it first")
        matrix: Literal["bt601", "bt709"] = (
            "bt709" if str(camera.camera_configuration()["colour_space"]) == "Rec709" else "bt601"
        )
        return self._stills.take(StillFormat(config.width, config.height, matrix))

    def stop(self) -> None:
        """Stop, flush the encoder, release the camera, end the threads. Not to be called from a callback."""
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.stop()
        camera, self._camera = self._camera, None
        if camera is None:
            return
        atexit.unregister(camera.close)  # picamera2's own: a camera that hangs must not keep the program from ending
        # The event loop goes first: once it has ended, whether by us or by an exception, nothing below can wait for it.
        for step in (camera.stop_preview, camera.stop, camera.stop_encoder, camera.close):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - what is broken must not keep the rest from being released
                _log.warning("%s: %s while stopping: %s", _DRIVER, step.__name__, error)

    def counts(self) -> Mapping[str, int]:
        """`delivered`, `encoded`, `dropped`, and `lost`: pictures missing in the sensor's time, never delivered."""
        return {name: self._before[name] + count for name, count in self._ledger.counts().items()}

    def describe(self) -> Mapping[str, str]:
        """What libcamera says of the camera, and how it is encoded."""
        config = self._config
        size = f"{config.width}x{config.height}@{config.frames_per_second}"
        return {
            "driver": f"{_DRIVER} {importlib.metadata.version('picamera2')}",
            "model": str(self._info["Model"]),
            "id": str(self._info["Id"]),
            "encoder": f"{config.encoder} h264 {size} {config.bitrate_bps} bit/s",
        }

    def _find_camera(self) -> Mapping[str, Any]:
        if not self._is_plugged():
            advice = "check its cable; `rpicam-hello --list-cameras` must show it"
            raise DriverError(_DRIVER, f"there is no camera number {self._config.camera_num}; {advice}")
        info: Mapping[str, Any] = self._library.Picamera2.global_camera_info()[self._config.camera_num]
        return info

    def _is_plugged(self) -> bool:
        return self._config.camera_num < len(self._library.Picamera2.global_camera_info())

    def _configuration(self) -> Any:
        config = self._config
        frame_us = 1_000_000 // config.frames_per_second
        return self._camera.create_video_configuration(
            main={"format": "YUV420", "size": (config.width, config.height)},
            lores={"format": "YUV420", "size": _look_size(config)},
            raw=None,
            buffer_count=_BUFFERS,
            controls={"FrameDurationLimits": (frame_us, frame_us)},
            display=None,
            encode=_STREAM,
        )

    def _build_encoder(self) -> Any:
        """Build the encoder without B-frames or delay. picamera2 picks one by the platform; evidence picks by name."""
        config = self._config
        settings = {
            "bitrate": config.bitrate_bps,
            "repeat": True,
            "iperiod": max(1, int(config.frames_per_second * config.key_frame_seconds)),
            "framerate": config.frames_per_second,
        }
        if config.encoder == "hardware":
            return importlib.import_module("picamera2.encoders.h264_encoder").H264Encoder(**settings)
        encoder = importlib.import_module("picamera2.encoders.libav_h264_encoder").LibavH264Encoder(**settings)
        # picamera2 asks for frame threads, which hold back one frame each; one thread holds back none.
        encoder.threads = 1
        return encoder

    def _advice(self) -> str:
        if self._config.encoder == "hardware":
            return 'is another program using it? a Pi 5 has no hardware encoder: set encoder = "libav"'
        return "is another program using it?"

    def _on_picture(self, request: Any) -> None:
        """Take note of a picture, look, and draw the overlay. `pre_callback` of picamera2, before the encoder."""
        with self._faults.told("overlay_failed"):
            sensor_ns = int(request.get_metadata()["SensorTimestamp"])
            self._ledger.exposed(sensor_ns)
            if sensor_ns >= self._next_look_ns:
                self._look(request, sensor_ns)
            utc_ms = self._clock.utc().ms - (self._clock.boot_ns() - sensor_ns) // 1_000_000
            with self._library.MappedArray(request, _STREAM) as mapped:
                try:
                    self._overlay(mapped.array, utc_ms)
                finally:
                    self._stills.offer(mapped.array, sensor_ns)

    def _look(self, request: Any, sensor_ns: int) -> None:
        self._next_look_ns = (sensor_ns // _LOOK_NS + 1) * _LOOK_NS
        columns, rows = _look_size(self._config)
        with self._faults.told("look_failed"), self._library.MappedArray(request, _LOOK_STREAM, write=False) as mapped:
            self._on_look(Look(mapped.array[:rows, :columns].copy(), sensor_ns))

    def _on_encoded(self, data: Any, keyframe: bool, timestamp_us: int) -> None:
        with self._faults.told("unknown"):
            boot_ns = self._ledger.encoded(self._encoder.firsttimestamp + timestamp_us)
            unit = bytes(data)
            self._on_frame(Frame(self._parameter_sets.complete(unit) if keyframe else unit, boot_ns, keyframe))


class _ParameterSets:
    """Sees to it that SPS and PPS stand before each IDR picture, whatever the encoder does."""

    def __init__(self) -> None:
        self._sets = b""

    def complete(self, unit: bytes) -> bytes:
        """Give the access unit of an IDR picture with its parameter sets; the last ones if it brought none."""
        nals = unit.split(b"\0\0\1")[1:]
        # The first byte of a four-byte start code hangs at the end of the unit before it; a set never ends in zero.
        sets = [nal.rstrip(b"\0") for nal in nals if nal[0] & 0x1F in {_SPS, _PPS}]
        if not sets:
            return self._sets + unit
        self._sets = b"".join(b"\0\0\0\1" + nal for nal in sets)
        return unit


def _look_size(config: VideoConfig) -> tuple[int, int]:
    """Give columns and rows of the small stream: even, of the picture's own shape, and never larger than it."""
    columns = min(_LOOK_COLUMNS, config.width)
    return columns, round(config.height * columns / config.width / 2) * 2


def _output(sink: Callable[[Any, bool, int], None]) -> Any:
    """Make the picamera2 output that hands each encoded frame to `sink`."""
    base: Any = importlib.import_module("picamera2.outputs").Output

    class FrameOutput(base):  # type: ignore[misc]  # picamera2 has no types
        def outputframe(
            self,
            frame: Any,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: Any = None,
            audio: bool = False,
        ) -> None:
            del packet
            if not audio and timestamp is not None:
                sink(frame, keyframe, timestamp)

    return FrameOutput()


def _import_library() -> Any:
    try:
        return importlib.import_module("picamera2")
    except ImportError as error:
        raise DriverError(
            _DRIVER, f"cannot be imported ({error}); install Debian's python3-libcamera and bodycam[camera]"
        ) from error
