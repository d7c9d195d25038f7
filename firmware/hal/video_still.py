"""Stills from the stream that is recorded: copied from the next picture, made a JPEG by the thread that asked."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import DriverError, Still

_PATIENCE_SECONDS = 1.0
_QUALITY = 92
_Taken = tuple[NDArray[np.uint8], int]


@dataclass(frozen=True, slots=True)
class StillFormat:
    """How a YUV420 buffer (height * 3 / 2, stride) is to be read: visible size in pixels, and its matrix."""

    width: int
    height: int
    matrix: Literal["bt601", "bt709"]


class Stills:
    """One still at a time, so that at most one picture is held; who comes second waits."""

    def __init__(self, driver: str) -> None:
        self._driver = driver
        self._turn = threading.Lock()
        self._orders: deque[queue.SimpleQueue[_Taken]] = deque(maxlen=1)

    def offer(self, picture: NDArray[np.uint8], boot_ns: int) -> None:
        """Give a picture; it is copied if a still is wanted. Costs nothing otherwise."""
        if self._orders:
            self._orders.popleft().put((picture.copy(), boot_ns))

    def take(self, form: StillFormat) -> Still:
        """Wait for the next picture, a second at most, and make it a JPEG. Raises `DriverError`."""
        until = time.monotonic() + _PATIENCE_SECONDS
        if not self._turn.acquire(timeout=_PATIENCE_SECONDS):
            raise DriverError(self._driver, "is busy with another still; ask again")
        try:
            order: queue.SimpleQueue[_Taken] = queue.SimpleQueue()
            self._orders.append(order)
            picture, boot_ns = order.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            self._orders.clear()
            raise DriverError(self._driver, "no picture has come for the still; is the camera running?") from None
        else:
            return Still(_jpeg(picture, form), boot_ns)
        finally:
            self._turn.release()


def _jpeg(picture: NDArray[np.uint8], form: StillFormat) -> bytes:
    done, jpeg = cv2.imencode(".jpg", _bgr(picture, form), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError("OpenCV cannot encode JPEG; install opencv-python-headless")
    return bytes(jpeg)


def _bgr(picture: NDArray[np.uint8], form: StillFormat) -> NDArray[np.uint8]:
    """Convert to blue, green, red by the stream's own matrix: OpenCV's conversion from YUV420 knows BT.601 only."""
    width, height, stride = form.width, form.height, picture.shape[1]
    chroma = picture[height:].reshape(2, height // 2, stride // 2)[:, :, : width // 2]
    u, v = (cv2.resize(plane, (width, height)) for plane in chroma)
    bgr: NDArray[np.uint8] = cv2.transform(cv2.merge([picture[:height, :width], u, v]), _TO_BGR[form.matrix])
    return bgr


def _to_bgr(red: float, blue: float) -> NDArray[np.float64]:
    """Give the matrix (3, 4) from television-range Y, U, V, 1 to B, G, R for the luma weights of red and blue."""
    green = 1 - red - blue
    from_v, from_u = 2 * (1 - red) / 224, 2 * (1 - blue) / 224
    rows = np.array(
        [[1 / 219, from_u, 0], [1 / 219, -from_u * blue / green, -from_v * red / green], [1 / 219, 0, from_v]]
    )
    return 255 * np.column_stack([rows, rows @ (-16.0, -128.0, -128.0)])


_TO_BGR = {"bt601": _to_bgr(0.299, 0.114), "bt709": _to_bgr(0.2126, 0.0722)}
