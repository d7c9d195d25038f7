"""A clip spoiled in known ways, as a camera's small stream would show it: what thresholds are found on and held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hw_sim import spoiled_view
from hw_sim.libcamera_sim.camera import Planes
from hw_sim.scene import open_scene

CLIP = Path(__file__).parent / "media" / "street.mp4"
LOOK_NS = 500_000_000
Spoil = Callable[[Planes, int], None]


def exposed(part: float, gamma: float, noise: float) -> Spoil:
    """Less light: `part` of it, the shadows deeper by `gamma`, and the noise of a higher gain."""
    levels = np.clip((np.arange(256) - 16) / 219, 0, 1)
    table = (16 + 219 * part * levels**gamma).astype(np.uint8)

    def spoil(planes: Planes, at_ns: int) -> None:
        cv2.LUT(planes.y, table, dst=planes.y)
        spoiled_view.add_noise(planes.y, at_ns, noise)

    return spoil


def by(spoil: spoiled_view.Spoil, degrees: float = 0.0) -> Spoil:
    """One of the simulator's own ways."""
    return lambda planes, at_ns: spoil(planes, at_ns, degrees)


def blurred(part: float) -> Spoil:
    """Blurred by a Gaussian of that part of the width."""
    return lambda planes, _: spoiled_view.blur(planes.y, planes.y.shape[1] * part)


def leaned(sky: float) -> Spoil:
    """The upper part of the picture is sky."""
    return lambda planes, at_ns: spoiled_view.sky(planes, at_ns, horizon=sky)


WAYS: dict[str, tuple[Spoil, str | None]] = {
    "as it is": (lambda _planes, _ns: None, None),
    "half the light": (exposed(0.5, 1, 3), None),
    "a third of the light": (exposed(0.3, 1, 6), None),
    "night (gamma 2.2, 80 %)": (exposed(0.8, 2.2, 6), None),
    "15 % of the light": (exposed(0.15, 1, 6), "dark"),
    "8 % of the light": (by(spoiled_view.dark), "dark"),
    "covered": (by(spoiled_view.covered), "covered"),
    "no signal": (by(spoiled_view.black), "camera_black"),
    **{f"blurred by {part:.1%} of the width": (blurred(part), None) for part in (0.002, 0.004)},
    **{f"blurred by {part:.1%} of the width": (blurred(part), "blurred") for part in (0.008, 0.012, 0.02)},
    **{f"tilted by {degrees}": (by(spoiled_view.tilted, degrees), None) for degrees in (-15, -10, 10, 15, 90)},
    **{
        f"tilted by {degrees}": (by(spoiled_view.tilted, degrees), "tilted")
        for degrees in (-60, -45, -30, -25, 25, 30, 45, 60)
    },
    "sky over 60 %": (leaned(0.6), None),
    **{f"sky over {part:.0%}": (leaned(part), "sky") for part in (0.8, 0.88, 1.0)},
}


def lumas(video: Path, spoil: Spoil, good: int = 0) -> Iterator[NDArray[np.uint8]]:
    """The looks that a camera before the clip would give, once through it; the first `good` are not spoiled."""
    scene = open_scene(str(video))
    planes = Planes(*(np.zeros(shape, np.uint8) for shape in ((720, 1280), (360, 640), (360, 640))))
    last = -1
    try:
        for number in range(1_000_000):
            at_ns = (number + 1) * LOOK_NS
            source = scene.paint(planes, at_ns, number)
            if source < last:
                return
            last = source
            if number >= good:
                spoil(planes, at_ns)
            luma = np.asarray(cv2.resize(planes.y, (320, 180), interpolation=cv2.INTER_AREA), np.uint8)
            if luma.min() < luma.max():
                spoiled_view.add_noise(luma, at_ns, spoiled_view.CLEAN_NOISE)
            yield luma
    finally:
        scene.close()
