"""What can be measured on one look: light, detail, edges, lines. Pure; about a millisecond for 320x180.

Lengths are pixels of a picture 320 wide, light is luma as it comes (16 black, 235 white in television range).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 16, 9  # cells of a look
_EDGE_PART = 0.02  # the steepest pixels: what is sharpest in the picture
_EDGE_REACH = 15  # pixels around an edge within which its two sides are found
_LINE_REACH = 7  # pixels that must agree on a direction
_LINE_COHERENCE = 0.85  # how well they must agree: 1 is a perfect line
_LINE_STEEPNESS = 5.0  # luma a pixel (RMS)
_LINE_MOST_WEIGHT = 20.0  # luma a pixel: one bold line must not outvote the rest
_NEAR_DEGREES = 6  # lines that count as of one direction

_Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lines:
    """The picture's straight lines, directions taken modulo 90 degrees, as walls and horizons cross each other."""

    part: float  # of the picture that lies on straight lines
    degrees: float  # how far the camera is turned clockwise if its lines are level and plumb: -45 to 45
    agreement: float  # part of the lines that have this direction
    upright: float  # part of the lines that are level or plumb as they are
    crossing: float  # part of those that agree which cross the others of them: 0 to 0.5


@dataclass(frozen=True, slots=True)
class Measures:
    """One look in figures."""

    cells: _Field  # mean luma of each cell (ROWS, COLUMNS)
    detail: _Field  # mean steepness of each cell, luma a pixel
    least: int
    most: int
    edge_contrast: float  # luma from one side to the other of the picture's steepest edges
    edge_pixels: float  # how wide these edges are
    lines: Lines

    @property
    def brightness(self) -> float:
        """Mean luma."""
        return float(self.cells.mean())

    @property
    def spread(self) -> float:
        """Luma between the dark and the bright parts of the picture, leaving out a twentieth at each end."""
        low, high = np.percentile(self.cells, (5, 95))
        return float(high - low)


def measure(luma: NDArray[np.uint8]) -> Measures:
    """Measure a look (rows, columns)."""
    smooth = cv2.GaussianBlur(luma, (3, 3), 0)  # the sensor's noise is no detail
    across, down = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0))
    steepness = cv2.magnitude(across, down)
    contrast, width = _edges(smooth, steepness)
    return Measures(
        cv2.resize(luma.astype(np.float32), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA),
        cv2.resize(steepness, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA),
        int(luma.min()),
        int(luma.max()),
        contrast,
        width,
        _lines(across, down),
    )


def _edges(smooth: NDArray[np.uint8], steepness: _Field) -> tuple[float, float]:
    """Contrast and width of the steepest edges. The width does not depend on the light, nor the scene much."""
    flattest = int(steepness.size * (1 - _EDGE_PART))
    limit = np.partition(steepness, flattest, axis=None)[flattest]
    edge = (steepness >= limit) & (steepness > 0)
    if not edge.any():
        return 0.0, 0.0
    around = np.ones((_EDGE_REACH, _EDGE_REACH), np.uint8)
    step = (cv2.dilate(smooth, around)[edge] - cv2.erode(smooth, around)[edge]).astype(np.float32)
    return float(np.median(step)), float(np.median(step / steepness[edge]))


def _lines(across: _Field, down: _Field) -> Lines:
    """Find the direction that most straight lines share, by the structure tensor."""
    reach = (_LINE_REACH, _LINE_REACH)
    xx, yy, xy = (cv2.blur(product, reach) for product in (across * across, down * down, across * down))
    energy, apart = xx + yy, xx - yy
    on_line = (cv2.magnitude(apart, 2 * xy) > _LINE_COHERENCE * energy) & (energy > _LINE_STEEPNESS**2)
    if not on_line.any():
        return Lines(0.0, 0.0, 0.0, 0.0, 0.0)
    normal = np.degrees(np.arctan2(2 * xy[on_line], apart[on_line])) / 2 % 180
    weight = np.minimum(np.sqrt(energy[on_line]), _LINE_MOST_WEIGHT)
    histogram = np.bincount(normal.astype(np.intp) % 180, weight / weight.sum(), 180)
    wrapped = np.concatenate([histogram[-_NEAR_DEGREES:], histogram, histogram[:_NEAR_DEGREES]])
    near = np.convolve(wrapped, np.ones(2 * _NEAR_DEGREES + 1), "valid")
    both = near[:90] + near[90:]
    best = int(both.argmax())
    crossing = min(near[best], near[best + 90]) / both[best]
    return Lines(float(on_line.mean()), 44.5 - (best + 45) % 90, float(both[best]), float(both[0]), float(crossing))
