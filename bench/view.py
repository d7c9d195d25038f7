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
from pathlib import Path

import cv2
import numpy as np

from firmware.hal.ports import Look
from firmware.view import ViewJudge
from hw_sim.view_survey import CLIP, LOOK_NS, WAYS, Spoil, lumas

GOAL_PERCENT = 1.0
GOOD_LOOKS = 6  # before the view is spoiled


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
        before = time.process_time()
        judge.look(Look(stream[:, : looks[0].shape[1]].copy(), number * LOOK_NS))
        between = time.process_time()
        cv2.resize(whole, looks[0].shape[::-1], interpolation=cv2.INTER_AREA)
        ours.append(between - before)
        resize.append(time.process_time() - between)
    look_ms, resize_ms = statistics.median(ours) * 1e3, statistics.median(resize) * 1e3
    percent = statistics.mean(ours) * 1e9 / LOOK_NS * 100
    print(f"{count} looks of {looks[0].shape[1]}x{looks[0].shape[0]}; not on a Pi")
    print(f"a look, copied and judged       {look_ms:8.2f} ms")
    print(f"scaling one from 1080p          {resize_ms:8.2f} ms   ours / this {look_ms / resize_ms:.1f}")
    verdict = "reached" if percent <= GOAL_PERCENT else "NOT reached"
    print(f"twice a second                  {percent:8.2f} % of a core   goal <= {GOAL_PERCENT} %: {verdict}")
    return {"look_ms": round(look_ms, 3), "resize_ms": round(resize_ms, 3), "percent_of_a_core": round(percent, 3)}


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
