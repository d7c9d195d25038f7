"""What judging the view costs, and what it finds.   scripts/bench view [--seconds N] [--video FILE]

CPU of a look (the copy of the small stream's luma and the judgement), twice a second, as a part of one core; beside it
what scaling the look from a 1080p picture would cost if the camera's own scaler did not do it. Then the clip, whole and
spoiled in known ways: how soon each finding is told, and how many are told that should not be.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import Look
from firmware.view import ViewJudge
from hw_sim import spoiled_view
from hw_sim.libcamera_sim.camera import Planes
from hw_sim.scene import open_scene

CLIP = Path(spoiled_view.__file__).parent / "media" / "street.mp4"
LOOK_NS = 500_000_000
GOAL_PERCENT = 1.0
GOOD_LOOKS = 6  # before the view is spoiled
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


def main() -> int:
    """Measure, print two tables and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench view", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of looks to measure (default 60)")
    parser.add_argument("--video", type=Path, default=CLIP, help="the clip to judge (default: the one that is shipped)")
    told = parser.parse_args()
    cost = measure_cost(told.video, round(told.seconds * 2))
    found = {name: survey(told.video, *way) for name, way in WAYS.items()}
    print(f"\n{'the clip':<32}{'expected':>14}{'told after s':>14}{'wrongly told':>14}")
    for name, (after_s, wrong) in found.items():
        shown = "" if after_s is None else f"{after_s:.1f}"
        print(f"{name:<32}{WAYS[name][1] or 'nothing':>14}{shown:>14}{', '.join(wrong) or '-':>14}")
    print(json.dumps({"bench": "view", "on_a_pi": False, **cost, "found": found}))
    return 0


def measure_cost(video: Path, count: int) -> dict[str, float]:
    """CPU of a look, and of scaling one from 1080p, in turns."""
    looks = [luma for luma, _ in zip(lumas(video, WAYS["as it is"][0]), range(20), strict=False)]
    streams = [np.pad(luma, ((0, 0), (0, 64))) for luma in looks]  # rows are padded in the camera's memory
    whole = cv2.resize(looks[0], (1920, 1080))
    judge, ours, resize = ViewJudge(), [], []
    for number in range(count):
        stream = streams[number % len(streams)]
        before = time.thread_time()
        judge.look(Look(stream[:, : looks[0].shape[1]].copy(), number * LOOK_NS))
        between = time.thread_time()
        cv2.resize(whole, looks[0].shape[::-1], interpolation=cv2.INTER_AREA)
        ours.append(between - before)
        resize.append(time.thread_time() - between)
    look_ms, resize_ms = statistics.median(ours) * 1e3, statistics.median(resize) * 1e3
    percent = statistics.mean(ours) * 1e9 / LOOK_NS * 100
    print(f"{count} looks of {looks[0].shape[1]}x{looks[0].shape[0]}; not on a Pi")
    print(f"a look, copied and judged       {look_ms:8.2f} ms")
    print(f"scaling one from 1080p          {resize_ms:8.2f} ms   ours / this {look_ms / resize_ms:.1f}")
    verdict = "reached" if percent <= GOAL_PERCENT else "NOT reached"
    print(f"twice a second                  {percent:8.2f} % of a core   goal <= {GOAL_PERCENT} %: {verdict}")
    return {"look_ms": round(look_ms, 3), "resize_ms": round(resize_ms, 3), "percent_of_a_core": round(percent, 3)}


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


def survey(video: Path, spoil: Spoil, expected: str | None) -> tuple[float | None, list[str]]:
    """How many seconds after the view was spoiled the finding was told, and what was told wrongly."""
    judge, after_s, wrong = ViewJudge(), None, []
    for number, luma in enumerate(lumas(video, spoil, GOOD_LOOKS)):
        for change in judge.look(Look(luma, number * LOOK_NS)):
            if change.finding == expected and change.begins:
                after_s = (number - GOOD_LOOKS + 1) * LOOK_NS / 1e9
            else:
                wrong.append(change.finding)
    return after_s, wrong


if __name__ == "__main__":
    raise SystemExit(main())
