"""What a camera sees that is worn badly: each way spoils a painted picture in place.

Noise follows the moment `at_ns`: the same moment gives the same picture to the last bit, another moment another one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from hw_sim.libcamera_sim.camera import Planes

Spoil = Callable[[Planes, int, float], None]

TILT_DEGREES = 30.0
CLEAN_NOISE = 1.0  # RMS in grey levels, of a small picture in good light
_HIGH_GAIN_NOISE = 6.0  # of a sensor that has next to no light
_BLACK, _NEUTRAL = 16, 128
_COVERED_LUMA = 26
_DARK_PART = 0.08  # of the light that there was
_BLUR = 0.012  # standard deviation, as a part of the width
_BLUR_SHRINK = 4
_HORIZON = 0.88  # of the height
_SKY_LUMA = (205, 170)  # at the top, at the bottom
_NOISE_PLACES = 64  # where the field of noise may lie, down and to the right
_SEED = 17


def black(planes: Planes, _at_ns: int, _degrees: float) -> None:
    """No signal."""
    planes.y[:], planes.u[:], planes.v[:] = _BLACK, _NEUTRAL, _NEUTRAL


def covered(planes: Planes, at_ns: int, _degrees: float) -> None:
    """A hand before the lens: what light gets in says nothing, and the gain is high."""
    planes.y[:], planes.u[:], planes.v[:] = _COVERED_LUMA, _NEUTRAL, _NEUTRAL
    add_noise(planes.y, at_ns, _HIGH_GAIN_NOISE)


def dark(planes: Planes, at_ns: int, _degrees: float) -> None:
    """The scene with hardly any light on it."""
    levels = np.arange(256)
    cv2.LUT(planes.y, (_BLACK + np.maximum(levels - _BLACK, 0) * _DARK_PART).astype(np.uint8), dst=planes.y)
    for chroma in (planes.u, planes.v):
        cv2.LUT(chroma, (_NEUTRAL + (levels - _NEUTRAL) * _DARK_PART).astype(np.uint8), dst=chroma)
    add_noise(planes.y, at_ns, _HIGH_GAIN_NOISE)


def blurred(planes: Planes, _at_ns: int, _degrees: float) -> None:
    """Grease on the glass: no detail finer than a hundredth of the width."""
    for plane in planes:
        blur(plane, plane.shape[1] * _BLUR)


def blur(plane: NDArray[np.uint8], sigma: float) -> None:
    """Blur a plane in place; done on a smaller one, where it is cheap."""
    size = plane.shape[::-1]
    small = cv2.resize(plane, (size[0] // _BLUR_SHRINK, size[1] // _BLUR_SHRINK), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / _BLUR_SHRINK)
    plane[:] = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)


def tilted(planes: Planes, _at_ns: int, degrees: float) -> None:
    """Turn the camera about its axis; enlarged as far as needed to keep the corners filled."""
    height, width = planes.y.shape
    turn = np.radians(abs(degrees))
    zoom = float(np.cos(turn) + max(width / height, height / width) * np.sin(turn))
    for plane in planes:
        rows, columns = plane.shape
        matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, zoom)
        plane[:] = cv2.warpAffine(plane, matrix, (columns, rows), borderMode=cv2.BORDER_REPLICATE)


def sky(planes: Planes, at_ns: int, _degrees: float = 0.0, horizon: float = _HORIZON) -> None:
    """Lean the camera back: bright sky, and the top of the scene along the bottom."""
    for plane, (top, bottom) in zip(planes, (_SKY_LUMA, (_NEUTRAL + 8,) * 2, (_NEUTRAL - 6,) * 2), strict=True):
        cut = round(plane.shape[0] * horizon)
        plane[cut:] = plane[: plane.shape[0] - cut].copy()
        plane[:cut] = np.linspace(top, bottom, cut)[:, np.newaxis]
    add_noise(planes.y[: round(planes.y.shape[0] * horizon)], at_ns, CLEAN_NOISE)


def add_noise(luma: NDArray[np.uint8], at_ns: int, rms: float) -> None:
    """Add the sensor's noise of that moment."""
    rows, columns = luma.shape
    down, right = at_ns // 1_000_000 % _NOISE_PLACES, at_ns // 64_000_000 % _NOISE_PLACES
    noise = _noise(rows, columns, rms)[down : down + rows, right : right + columns]
    cv2.add(luma, noise, dst=luma, dtype=cv2.CV_8U)


@functools.lru_cache(maxsize=4)
def _noise(rows: int, columns: int, rms: float) -> NDArray[np.int8]:
    """A field of noise somewhat larger than the picture, to be laid on it at one place or another."""
    field = np.random.default_rng(_SEED).standard_normal((rows + _NOISE_PLACES, columns + _NOISE_PLACES), np.float32)
    noise: NDArray[np.int8] = np.rint(field * rms).astype(np.int8)
    return noise
