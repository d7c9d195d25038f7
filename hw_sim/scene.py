"""What stands before the simulated lens: a video file, a webcam, or a drawn scene with a number in every picture.

A scene paints into planes of any size. The same `at_ns` paints the same picture again, so a repeated source frame is
converted once, and a frozen lens is a lens that stops moving `at_ns`.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from hw_sim.libcamera_sim.camera import Planes

_FIRST_PICTURE_SECONDS = 5.0


class SceneError(Exception):
    """A scene cannot be shown; the text says what to do."""


class Scene(Protocol):
    """Something to look at."""

    def paint(self, planes: Planes, at_ns: int, number: int) -> int:
        """Paint the picture of the moment `at_ns` as the `number`-th delivery; return the source frame's number."""

    def close(self) -> None:
        """Release what the scene holds. Idempotent."""


def open_scene(address: str) -> Scene:
    """Open "drawn", a video device `/dev/video<N>`, or a video file. Raises `SceneError`."""
    if address == "drawn":
        return DrawnScene()
    if address.startswith("/dev/video"):
        return LiveScene(address, "v4l2")
    return VideoScene(Path(address))


class _SourceFrame(NamedTuple):
    number: int
    at_ns: int  # since the first frame, growing through loops
    frame: av.VideoFrame


class _Painter:
    """Converts and scales a source frame once for each size of planes."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._number: tuple[int, int] | None = None
        self._converted: dict[tuple[int, ...], Planes] = {}

    def paint(self, planes: Planes, source: _SourceFrame) -> None:
        if self._number != source[:2]:
            self._number = source[:2]
            self._converted.clear()
        picture = self._converted.get(planes.y.shape)
        if picture is None:
            picture = self._converted[planes.y.shape] = self._convert(planes.y.shape, source.frame)
        for target, plane in zip(planes, picture, strict=True):
            np.copyto(target, plane)

    def _convert(self, shape: tuple[int, ...], frame: av.VideoFrame) -> Planes:
        height, width = shape
        scaled = self._reformatter.reformat(frame, width, height, "yuv420p", interpolation="BILINEAR")
        return Planes(*(_plane(plane) for plane in scaled.planes))


class VideoScene:
    """A video file, decoded on the fly at its own pace and looped; source numbers start again with each loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = _open(str(path), None)
        self._frames = self._decode_for_ever()
        self._painter = _Painter()
        self._epoch_ns: int | None = None
        self._now = next(self._frames)
        self._next = next(self._frames)

    def paint(self, planes: Planes, at_ns: int, number: int) -> int:
        """Paint the file's frame of that moment; the first call shows the first frame."""
        del number
        if self._epoch_ns is None:
            self._epoch_ns = at_ns
        while self._next.at_ns <= at_ns - self._epoch_ns:
            self._now, self._next = self._next, next(self._frames)
        self._painter.paint(planes, self._now)
        return self._now.number

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _decode_for_ever(self) -> Iterator[_SourceFrame]:
        stream = self._container.streams.video[0]
        period_ns = round(1e9 / (stream.average_rate or 25))
        loop_ns = 0
        while True:
            at_ns, first_ns, number = loop_ns, None, -1
            for number, frame in enumerate(self._container.decode(stream)):
                time_ns = round((frame.time or 0.0) * 1e9)
                first_ns = time_ns if first_ns is None else first_ns
                at_ns = loop_ns + time_ns - first_ns
                yield _SourceFrame(number, at_ns, frame)
            if number < 0:
                raise SceneError(f"{self._path} holds no picture that can be decoded; give another video file")
            loop_ns = at_ns + period_ns
            self._container.seek(0)


class LiveScene:
    """A live source of FFmpeg, e.g. a V4L2 webcam: shows the newest frame, read by a thread of its own."""

    def __init__(self, address: str, input_format: str) -> None:
        self._address = address
        self._container = _open(address, input_format)
        self._painter = _Painter()
        self._newest: _SourceFrame | None = None
        self._held: tuple[int, _SourceFrame] | None = None
        self._seen = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="sim-webcam", daemon=True)
        self._thread.start()
        if not self._seen.wait(_FIRST_PICTURE_SECONDS) or self._newest is None:
            self.close()
            raise SceneError(f"{address} gives no picture; check that no other program uses it")

    def paint(self, planes: Planes, at_ns: int, number: int) -> int:
        """Paint the newest frame of the source."""
        del number
        newest = self._newest
        if self._held is None or self._held[0] != at_ns:
            assert newest is not None  # noqa: S101 - the constructor waited for it
            self._held = (at_ns, newest)
        self._painter.paint(planes, self._held[1])
        return self._held[1].number

    def close(self) -> None:
        """Stop reading and give the device back."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._container.close()

    def _read(self) -> None:
        try:
            for number, frame in enumerate(self._container.decode(video=0)):
                if self._closing.is_set():
                    return
                self._newest = _SourceFrame(number, number, frame)
                self._seen.set()
        except (OSError, FFmpegError):
            pass  # the device went away: the last picture stays, as before a frozen webcam
        finally:
            self._seen.set()


# The number's place: bottom centre, 3 rows of 16 cells, each 1/32 of the width, on a border of one cell.
_COLUMNS, _ROWS, _CELLS_PER_WIDTH = 16, 3, 32
_DARK, _LIGHT, _NEUTRAL = 30, 220, 128
_LEAST_CONTRAST = 60
_SPEED = 2  # pixels a delivery; even, so that chroma moves whole samples
_SEED = 20_180_801


class DrawnScene:
    """A textured wall that passes by, with the delivery's number in big cells; source numbers are delivery numbers."""

    def __init__(self) -> None:
        self._walls: dict[tuple[int, ...], Planes] = {}

    def paint(self, planes: Planes, at_ns: int, number: int) -> int:
        """Paint the wall where delivery `number` sees it, and the number before it."""
        del at_ns
        height, width = planes.y.shape
        wall = self._walls.get(planes.y.shape)
        if wall is None:
            wall = self._walls[planes.y.shape] = _draw_wall(width, height)
        offset = number * _SPEED % width
        for target, plane in zip(planes, wall, strict=True):
            start = offset * target.shape[1] // width
            np.copyto(target, plane[:, start : start + target.shape[1]])
        _draw_number(planes, number)
        return number

    def close(self) -> None:
        """Nothing to release."""


def read_number(luma: NDArray[np.uint8]) -> int | None:
    """Read the drawn scene's number from a decoded luma plane (height, width); None if it does not check."""
    top, left, cell = _place(luma.shape)
    inner = slice(cell // 4, cell - cell // 4)
    field = luma[top : top + _ROWS * cell, left : left + _COLUMNS * cell]
    cells = field.reshape(_ROWS, cell, _COLUMNS, cell)[:, inner, :, inner].mean(axis=(1, 3))
    if cells.max() - cells.min() < _LEAST_CONTRAST:
        return None
    bits = cells.ravel() > (cells.max() + cells.min()) / 2
    word = np.packbits(bits).tobytes()
    return int.from_bytes(word[:4], "big") if word[4:] == _check(word[:4]) else None


def _draw_number(planes: Planes, number: int) -> None:
    top, left, cell = _place(planes.y.shape)
    word = (number & 0xFFFFFFFF).to_bytes(4, "big")
    bits = np.unpackbits(np.frombuffer(word + _check(word), np.uint8)).reshape(_ROWS, _COLUMNS)
    cells = np.where(bits, np.uint8(_LIGHT), np.uint8(_DARK)).repeat(cell, axis=0).repeat(cell, axis=1)
    planes.y[top - cell : top + (_ROWS + 1) * cell, left - cell : left + (_COLUMNS + 1) * cell] = _NEUTRAL
    planes.y[top : top + _ROWS * cell, left : left + _COLUMNS * cell] = cells
    for chroma in (planes.u, planes.v):
        chroma[(top - cell) // 2 : (top + (_ROWS + 1) * cell) // 2, (left - cell) // 2 : (left + 17 * cell) // 2] = (
            _NEUTRAL
        )


def _place(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Top, left and cell size in pixels, all even."""
    height, width = shape
    cell = max(2, width // _CELLS_PER_WIDTH // 2 * 2)
    return (height - (_ROWS + 1) * cell) // 2 * 2, (width - _COLUMNS * cell) // 4 * 2, cell


def _check(word: bytes) -> bytes:
    return (~zlib.crc32(word) & 0xFFFF).to_bytes(2, "big")  # inverted, so that no word is all dark or all light


def _draw_wall(width: int, height: int) -> Planes:
    """Draw a wall twice as wide as the picture: plaster, bricks and patches of colour, in television range."""
    random = np.random.default_rng(_SEED)
    luma = 40 + 110 * _noise(random, width, height, 16) + 40 * _noise(random, width, height, 90)
    brick = max(8, height // 12)
    luma[::brick] -= 25
    luma[:, :: 2 * brick] -= 25
    chroma = [118 + 20 * _noise(random, width // 2, height // 2, 6) for _ in range(2)]
    return Planes(*(np.tile(np.clip(plane, 16, 235).astype(np.uint8), (1, 2)) for plane in (luma, *chroma)))


def _noise(random: np.random.Generator, width: int, height: int, detail: int) -> NDArray[np.float32]:
    """Smooth noise from 0 to 1 with `detail` patches along the height."""
    coarse = random.random((detail, detail * 2), dtype=np.float32)
    smooth: NDArray[np.float32] = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return smooth


def _plane(plane: Any) -> NDArray[np.uint8]:
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _open(address: str, input_format: str | None) -> av.container.InputContainer:
    try:
        container = av.open(address, format=input_format)
    except (OSError, FFmpegError) as error:
        raise SceneError(
            f"cannot open {address} as a video: {error.strerror}; give the path of a video file"
        ) from error
    if not container.streams.video:
        container.close()
        raise SceneError(f"{address} has no video stream; give the path of a video file")
    return container
