"""The judge of the view: real footage spoiled in known ways, the simulated lens's own faults, and its counting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.hal.ports import Look
from firmware.view import ViewChange, ViewJudge
from hw_sim.lens import Fault, Lens, LensConfig
from hw_sim.libcamera_sim.camera import Fate, Planes
from hw_sim.view_survey import CLIP, LOOK_NS, WAYS, lumas

GOOD_LOOKS = 6
FRAMES_PER_LOOK = 12
SIZE = (320, 180)

Told = list[tuple[str, bool, float]]  # finding, begins, seconds


def judged(looks: Iterable[NDArray[np.uint8]], judge: ViewJudge | None = None) -> Told:
    """What the judge tells, and after how many seconds."""
    judge = judge or ViewJudge()
    told: Told = []
    for number, luma in enumerate(looks):
        for change in judge.look(Look(luma, number * LOOK_NS)):
            told.append((change.finding, change.begins, (number + 1) * LOOK_NS / 1e9))
    return told


def textured(number: int) -> NDArray[np.uint8]:
    """A sharp picture without a direction, another one for each number."""
    return np.random.default_rng(number).integers(16, 235, (9, 16), np.uint8).repeat(20, axis=0).repeat(20, axis=1)


# --- Real footage ----------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("name", WAYS)
def test_footage_spoiled_in_a_known_way_is_told_in_time_and_nothing_else_is(name: str) -> None:
    spoil, expected = WAYS[name]
    told = judged(lumas(CLIP, spoil, GOOD_LOOKS))
    assert [(finding, begins) for finding, begins, _ in told] == ([] if expected is None else [(expected, True)])
    within = 5 if expected == "camera_black" else 10
    assert all(seconds - GOOD_LOOKS / 2 <= within for _, _, seconds in told)


def test_the_clip_shows_the_judge_a_view_that_is_lit_sharp_and_moving() -> None:
    judge, moved = ViewJudge(), []
    for number, luma in enumerate(lumas(CLIP, WAYS["as it is"][0])):
        assert judge.look(Look(luma, number * LOOK_NS)) == []
        assert judge.sharpness > 0.75
        assert 100 < judge.brightness < 140
        moved.append(judge.motion)
    assert moved[0] == 0.0
    assert min(moved[1:]) > 0.01
    assert max(moved) < 0.2  # people walk through a picture that stands still


# --- The simulated lens ----------------------------------------------------------------------------------------------


class Eye:
    """The simulated lens without a camera: its small picture, twice a second."""

    def __init__(self, folder: Path, scene: str) -> None:
        self.lens = Lens(LensConfig(folder / "deliveries.jsonl", scene), lambda: 0)
        self.number = 0

    def looks(self, count: int, fault: Fault = Fault.NONE) -> Iterator[NDArray[np.uint8]]:
        self.lens.set_fault(fault)
        large, small = (planes(*size) for size in ((1280, 720), SIZE))
        for _ in range(count):
            for _ in range(FRAMES_PER_LOOK):
                self.lens.fate()
                self.number += 1
                at_ns = self.number * LOOK_NS // FRAMES_PER_LOOK
                self.lens.record(Fate.DELIVERED, at_ns, self.number)
            self.lens.paint([large, small], at_ns)
            yield small.y.copy()


def planes(width: int, height: int) -> Planes:
    return Planes(*(np.zeros(shape, np.uint8) for shape in ((height, width), *[(height // 2, width // 2)] * 2)))


@pytest.mark.long
@pytest.mark.parametrize("scene", ["drawn", str(CLIP)], ids=["drawn", "clip"])
@pytest.mark.parametrize(
    ("fault", "finding", "within"),
    [
        (Fault.FROZEN, "camera_frozen", 5),
        (Fault.BLACK, "camera_black", 5),
        (Fault.COVERED, "covered", 10),
        (Fault.DARK, "dark", 10),
        (Fault.BLURRED, "blurred", 10),
        (Fault.TILTED, "tilted", 10),
        (Fault.SKY, "sky", 10),
    ],
)
def test_each_fault_of_the_lens_is_told_in_time_and_passes(
    tmp_path: Path, scene: str, fault: Fault, finding: str, within: int
) -> None:
    eye, judge = Eye(tmp_path, scene), ViewJudge()
    assert judged(eye.looks(8), judge) == []
    told = judged(eye.looks(2 * within, fault), judge)
    assert [change[:2] for change in told] == [(finding, True)]
    told = judged(eye.looks(2 * within), judge)
    assert [change[:2] for change in told] == [(finding, False)]


@pytest.mark.long
def test_a_minute_of_the_drawn_scene_is_a_good_view(tmp_path: Path) -> None:
    assert judged(Eye(tmp_path, "drawn").looks(120)) == []


def test_a_scene_that_stands_still_is_not_taken_for_a_frozen_camera(tmp_path: Path) -> None:
    looks = list(Eye(tmp_path, "drawn").looks(1))
    assert judged([looks[0]] * 3) == []
    assert [change[0] for change in judged([looks[0]] * 4)] == ["camera_frozen"]
    eye = Eye(tmp_path, "drawn")
    eye.lens._scene = _Standing()  # type: ignore[assignment]
    assert judged(eye.looks(20)) == []


class _Standing:
    """The same picture at all times."""

    def paint(self, planes: Planes, at_ns: int, number: int) -> int:
        del at_ns, number
        planes.y[:] = np.kron(textured(1), np.ones((4, 4), np.uint8))
        return 0


# --- Frozen and black ------------------------------------------------------------------------------------------------


def test_old_buffers_shown_in_turn_are_a_frozen_camera() -> None:
    stale = [textured(number) for number in range(6)]
    told = judged([stale[number % 6] for number in range(10)])
    assert [(finding, begins) for finding, begins, _ in told] == [("camera_frozen", True)]
    assert told[0][2] <= 5


@pytest.mark.parametrize("luma", [60, 128, 235])
def test_a_picture_without_contrast_may_come_twice(luma: int) -> None:
    told = judged([np.full(SIZE[::-1], luma, np.uint8)] * 30)
    assert "camera_frozen" not in {finding for finding, _, _ in told}


def test_no_signal_is_black_and_noise_in_the_dark_is_not() -> None:
    assert judged([np.full(SIZE[::-1], 16, np.uint8)] * 4) == [("camera_black", True, 2.0)]
    random = np.random.default_rng(3)
    dark = [(16 + random.integers(0, 8, SIZE[::-1])).astype(np.uint8) for _ in range(12)]
    assert judged(dark) == [("covered", True, 6.0)]


# --- Counting --------------------------------------------------------------------------------------------------------


def dim(number: int) -> NDArray[np.uint8]:
    return (16 + (textured(number) - 16.0) * 0.08).astype(np.uint8)


def covered(number: int) -> NDArray[np.uint8]:
    return (24 + np.random.default_rng(number).integers(0, 3, SIZE[::-1])).astype(np.uint8)


def test_a_view_that_is_bad_every_other_moment_is_not_told() -> None:
    good_and_bad = [covered(number) if number % 2 else textured(number) for number in range(60)]
    assert judged(good_and_bad) == []


def test_one_good_look_delays_a_finding_and_does_not_hide_it() -> None:
    looks = [textured(99) if number == 8 else covered(number) for number in range(20)]
    assert judged(looks) == [("covered", True, 7.5)]


def test_what_is_called_now_covered_and_now_dark_is_told_in_the_end() -> None:
    looks = [covered(number) if number % 3 else dim(number) for number in range(20)]
    assert judged(looks) == [("covered", True, 9.0)]


def test_a_finding_is_told_once_and_its_figures_are_those_of_its_look() -> None:
    judge, changes = ViewJudge(), list[ViewChange]()
    for number in range(60):
        changes += judge.look(Look(covered(number), number * LOOK_NS))
    (change,) = changes
    assert change.figures["luma_mean"] == pytest.approx(25, abs=0.5)
    assert change.figures["flat_part"] == 1.0
    assert all(
        isinstance(value, int | float) and not isinstance(value, np.generic) for value in change.figures.values()
    )


def test_motion_is_the_part_of_the_picture_that_changed_and_not_the_exposure() -> None:
    judge, luma = ViewJudge(), textured(5)
    judge.look(Look(luma, 0))
    judge.look(Look(np.minimum(luma + 20, 235).astype(np.uint8), LOOK_NS))
    assert judge.motion < 0.15  # what was bright already could not become brighter
    changed = luma.copy()
    judge.look(Look(luma, 2 * LOOK_NS))
    changed[:, :160] = 255 - changed[:, :160]
    judge.look(Look(changed, 3 * LOOK_NS))
    assert 0.4 < judge.motion <= 0.5


def test_a_picture_without_edges_has_no_sharpness() -> None:
    judge = ViewJudge()
    judge.look(Look(covered(1), 0))
    assert judge.sharpness == 0.0
    judge.look(Look(textured(1), 0))
    assert judge.sharpness == 1.0
