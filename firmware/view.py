"""Judges what the camera sees: is it worn so that the whole is captured (rule 17), and are there pictures at all?

Thresholds were found on 79.5 s of people walking in a street (OpenCV's `vtest`), whole and spoiled in known ways, as
looks of 320x180; `scripts/bench view` measures them again, and a test holds them on the 12 s that are shipped.

| the clip, 159 looks                                     | told               | wrongly told |
|---------------------------------------------------------|--------------------|--------------|
| as it is; half, a third of the light; night (gamma 2.2) | -                  | 0            |
| 15 %, 8 % of the light                                  | dark, 6.0 s        | 0            |
| covered (luma 26 and the noise of a high gain)          | covered, 6.0 s     | 0            |
| no signal; the same picture again                       | black 2.0, frozen 1.5 s | 0       |
| Gaussian blur of 0.2 %, 0.4 % of the width              | -                  | 0            |
| 0.8 %, 1.2 %, 2 %                                       | blurred, 6.0 s     | 0            |
| turned by 10, 15 and 90 degrees, either way             | -                  | 0            |
| 25, 30, 45, 60                                          | tilted, 6.0 s      | 0            |
| sky over 60 % of the picture                            | -                  | 0            |
| 80 %, 88 %, all of it                                   | sky, 6.0 s         | 0            |

Bounds. A tilt is seen in straight lines only, so not in a wood; modulo 90 degrees, so not one of more than 65; below
20 it was never told, from 25 on it is where walls or windows are in view. A wall or ceiling that fills the picture is
called sky. Blur finer than 0.7 % of the width (13 pixels of 1080p) does not show in a look. All of it is measured on
footage from a standing camera and a simulated sensor, none on a worn one.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import Look
from firmware.view_measures import ROWS, Measures, measure


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """Thresholds. Luma is 16 (black) to 235 (white); looks come twice a second; parts are 0 to 1."""

    told_after_looks: int = 12
    frozen_after_looks: int = 3
    black_after_looks: int = 4
    remembered_looks: int = 8  # a frozen driver may show its old buffers in turn
    frozen_least_contrast_luma: int = 8
    black_most_luma: int = 20
    black_most_noise_luma: int = 2
    flat_most_detail_luma_per_pixel: float = 1.0
    covered_least_flat_part: float = 0.95
    covered_most_luma: float = 80.0
    covered_most_spread_luma: float = 3.0  # in the dark; with more spread it is a dark scene
    sky_least_part: float = 0.76
    sky_least_part_of_top: float = 0.9
    dark_most_luma: float = 32.0
    dark_most_bright_part_luma: float = 60.0  # of the brightest twentieth: a lit face at night is a view
    blurred_least_edge_pixels: float = 6.4
    edge_least_contrast_luma: float = 16.0  # less says nothing about sharpness
    tilted_least_degrees: float = 20.0
    tilted_least_line_part: float = 0.03
    tilted_least_agreement: float = 0.35
    tilted_least_crossing: float = 0.1
    tilted_most_upright: float = 0.5  # of the agreement
    moved_least_luma: float = 3.0
    sharpest_edge_pixels: float = 3.0


@dataclass(frozen=True, slots=True)
class ViewChange:
    """A finding begins or has passed; `figures` are those of the look that decided, for the `view_quality` record."""

    finding: str
    begins: bool
    figures: Mapping[str, float | int]


class ViewJudge:
    """Takes each look, 320 pixels wide, and tells what changes.

    Findings: `camera_frozen` (a picture that was there before, to the last bit, as no sensor gives it twice),
    `camera_black`, and of the view `covered`, `sky`, `dark`, `blurred`, `tilted`. A look has at most one of the view,
    the first that holds: where nothing can be seen, nothing is blurred. A look that has the finding counts up, a good
    one counts down twice: so a finding begins after a run of looks, the longer the more exceptions are in it, and
    passes in half that time.
    """

    def __init__(self, config: ViewConfig | None = None) -> None:
        self._config = config = config or ViewConfig()
        patience = {"camera_frozen": config.frozen_after_looks, "camera_black": config.black_after_looks}
        self._runs = {
            finding: _Run(patience.get(finding, config.told_after_looks)) for finding in ("camera_frozen", *_VIEW)
        }
        self._remembered: deque[int] = deque(maxlen=config.remembered_looks)
        self._last: Measures | None = None
        self.motion = 0.0  # part of the picture that moved between the last two looks, 0 to 1
        self.sharpness = 0.0  # 1: edges as narrow as a good lens makes them; 0: no edge to be seen
        self.brightness = 0.0  # mean luma, 16 (black) to 235 (white)

    def look(self, look: Look) -> Sequence[ViewChange]:
        """Judge one look; give what began and what passed with it."""
        config, measures = self._config, measure(look.luma)
        self.brightness = measures.brightness
        self.sharpness = _sharpness(measures, config)
        self.motion = _motion(self._last, measures, config)
        self._last = measures
        found = "camera_frozen" if self._is_repeated(look, measures) else _judge(measures, config)
        changes = [
            (finding, run.count(has_it=finding == found, good=found is None)) for finding, run in self._runs.items()
        ]
        figures = _figures(measures, config) | {
            "motion_part": round(self.motion, 3),
            "sharpness": round(self.sharpness, 2),
        }
        return [ViewChange(finding, begins, figures) for finding, begins in changes if begins is not None]

    def _is_repeated(self, look: Look, measures: Measures) -> bool:
        """A picture without any contrast may be the same twice: it is black, or burnt out."""
        checksum = zlib.crc32(look.luma.tobytes())
        repeated = checksum in self._remembered
        self._remembered.append(checksum)
        return repeated and measures.most - measures.least >= self._config.frozen_least_contrast_luma


class _Run:
    """Counts looks for and against one finding."""

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._count = 0
        self._present = False

    def count(self, *, has_it: bool, good: bool) -> bool | None:
        """Count one look. True: the finding begins; False: it has passed; None: nothing has changed.

        A look with another finding speaks against one that is present, not against one that is about to begin: what is
        now called dark and now covered is told in the end.
        """
        against = -2 if good or self._present else 0
        self._count = min(self._looks, max(0, self._count + (1 if has_it else against)))
        changed = self._count == (0 if self._present else self._looks)
        self._present ^= changed
        return self._present if changed else None


def _judge(measures: Measures, config: ViewConfig) -> str | None:
    """Give what is wrong with a look, if anything."""
    return next((finding for finding, holds in _VIEW.items() if holds(measures, config)), None)


def _black(measures: Measures, config: ViewConfig) -> bool:
    noise = measures.most - measures.least
    return measures.most <= config.black_most_luma and noise <= config.black_most_noise_luma


def _covered(measures: Measures, config: ViewConfig) -> bool:
    """In the dark only the sensor's noise has detail; in more light, a coat or a finger is flat but not even."""
    if measures.brightness <= config.dark_most_luma:
        return measures.spread <= config.covered_most_spread_luma
    flat_part = float(_flat(measures, config).mean())
    return measures.brightness <= config.covered_most_luma and flat_part >= config.covered_least_flat_part


def _sky(measures: Measures, config: ViewConfig) -> bool:
    sky = _flat(measures, config) & (measures.cells >= config.covered_most_luma)
    top = sky[: ROWS // 3]
    return float(sky.mean()) >= config.sky_least_part and float(top.mean()) >= config.sky_least_part_of_top


def _dark(measures: Measures, config: ViewConfig) -> bool:
    bright_part = float(np.percentile(measures.cells, 95))
    return measures.brightness <= config.dark_most_luma and bright_part <= config.dark_most_bright_part_luma


def _blurred(measures: Measures, config: ViewConfig) -> bool:
    return _has_edges(measures, config) and measures.edge_pixels >= config.blurred_least_edge_pixels


def _tilted(measures: Measures, config: ViewConfig) -> bool:
    lines = measures.lines
    return (
        abs(lines.degrees) >= config.tilted_least_degrees
        and lines.part >= config.tilted_least_line_part
        and lines.agreement >= config.tilted_least_agreement
        and lines.crossing >= config.tilted_least_crossing
        and lines.upright <= config.tilted_most_upright * lines.agreement
    )


_VIEW: Mapping[str, Callable[[Measures, ViewConfig], bool]] = {
    "camera_black": _black, "covered": _covered, "sky": _sky, "dark": _dark, "blurred": _blurred, "tilted": _tilted,
}  # fmt: skip


def _flat(measures: Measures, config: ViewConfig) -> NDArray[np.bool_]:
    flat: NDArray[np.bool_] = measures.detail <= config.flat_most_detail_luma_per_pixel
    return flat


def _has_edges(measures: Measures, config: ViewConfig) -> bool:
    return measures.edge_contrast >= config.edge_least_contrast_luma


def _sharpness(measures: Measures, config: ViewConfig) -> float:
    if not _has_edges(measures, config):
        return 0.0
    return min(1.0, config.sharpest_edge_pixels / measures.edge_pixels)


def _motion(before: Measures | None, now: Measures, config: ViewConfig) -> float:
    """Part of the cells that changed, beyond what the exposure changed in all of them."""
    if before is None:
        return 0.0
    change = now.cells - before.cells
    return float((np.abs(change - np.median(change)) >= config.moved_least_luma).mean())


def _figures(measures: Measures, config: ViewConfig) -> dict[str, float | int]:
    lines = measures.lines
    return {
        "luma_mean": round(measures.brightness, 1),
        "luma_spread": round(measures.spread, 1),
        "flat_part": round(float(_flat(measures, config).mean()), 2),
        "edge_pixels": round(measures.edge_pixels, 1),
        "line_part": round(lines.part, 3),
        "line_degrees": round(lines.degrees),
        "line_agreement": round(lines.agreement, 2),
    }
