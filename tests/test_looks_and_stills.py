"""The driver's small pictures for the judge of the view, and its stills, over the real picamera2."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.hal.picamera2_video import VideoConfig
from firmware.hal.ports import DriverError, Look, SourceFault, Still
from firmware.hal.video_still import StillFormat, _bgr
from hw_sim.scene import read_number
from tests.lens_kit import FAST, World, running_world

pytestmark = pytest.mark.long


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        yield world


def opened(still: Still) -> NDArray[np.uint8]:
    """The luma of a still."""
    picture = cv2.imdecode(np.frombuffer(still.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def whiten(frame: NDArray[np.uint8], utc_ms: int) -> None:
    """An overlay that leaves nothing of the upper half."""
    del utc_ms
    frame[: frame.shape[0] // 3] = 235


def test_looks_are_small_copies_of_the_picture_before_the_overlay_twice_a_second(world: World) -> None:
    config = VideoConfig(width=854, height=480, frames_per_second=50)  # the pipeline pads its rows to 896 bytes
    looks: list[Look] = []
    world.video(config, whiten).start(world.seen.on_frame, world.seen.on_fault, looks.append)
    world.seen.wait_frames(120)
    by_time = {delivery.sensor_ns: delivery.n for delivery in world.deliveries()}
    numbers = [read_number(look.luma) for look in looks]
    assert None not in numbers
    assert numbers == [by_time[look.boot_ns] for look in looks]
    assert all(look.luma.shape == (180, 320) and look.luma.flags.owndata for look in looks)
    assert all(look.luma[:90].max() < 235 for look in looks)
    assert [look.boot_ns // 500_000_000 for look in looks] == list(
        range(looks[0].boot_ns // 500_000_000, looks[-1].boot_ns // 500_000_000 + 1)
    )


def test_a_listener_for_looks_that_fails_is_told_once_and_costs_no_frame(world: World) -> None:
    def broken(_: Look) -> None:
        raise ValueError("judge")

    video = world.video()
    video.start(world.seen.on_frame, world.seen.on_fault, broken)
    world.seen.wait_frames(80)
    video.stop()
    assert world.seen.faults == [SourceFault("look_failed", "ValueError: judge")]
    world.assert_frames_are_deliveries()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (426, 240)])
def test_a_still_is_the_recorded_picture_of_its_moment_with_the_overlay(world: World, width: int, height: int) -> None:
    config = VideoConfig(width=width, height=height)
    video = world.started(config, whiten)
    world.seen.wait_frames(3)
    still = video.still()
    picture = opened(still)
    assert picture.shape == (height, width)
    assert read_number(picture) == {delivery.sensor_ns: delivery.n for delivery in world.deliveries()}[still.boot_ns]
    assert picture[: height // 3].min() > 245
    assert picture[height // 2 + height // 20 :].min() < 30


def test_a_still_is_taken_when_the_overlay_fails(world: World) -> None:
    def broken(*_: object) -> None:
        raise KeyError("glyph")

    assert opened(world.started(FAST, broken).still()).shape == (180, 320)


def test_stills_asked_for_at_once_are_all_taken_one_after_the_other(world: World) -> None:
    video, stills = world.started(FAST), list[Still]()
    threads = [threading.Thread(target=lambda: stills.append(video.still())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len({still.boot_ns for still in stills}) == 4
    before = len(world.seen.frames)
    world.seen.wait_frames(3)
    assert len(world.seen.frames) >= before + 3


def test_no_picture_no_still(world: World) -> None:
    video = world.video(FAST)
    with pytest.raises(DriverError, match="stopped; start it first"):
        video.still()
    video.start(world.seen.on_frame, world.seen.on_fault, lambda _: None)
    world.seen.wait_frames(3)
    world.lens.set_fault("hang")
    world.seen.wait_fault("camera_stall")
    with pytest.raises(DriverError, match="no picture has come for the still"):
        video.still()
    world.lens.set_fault("none")
    world.seen.wait_frames(3)
    assert video.still().boot_ns > 0


@pytest.mark.parametrize(("matrix", "standard"), [("bt601", 5), ("bt709", 1)])
def test_a_still_has_the_colours_that_ffmpeg_gives_the_recorded_picture(matrix: str, standard: int) -> None:
    width, height, stride = 64, 48, 96
    levels = np.random.default_rng(7).integers(60, 190, (3, 6, 8), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    buffer = np.zeros((height * 3 // 2, stride), np.uint8)
    buffer[:height, :width] = levels[0]
    chroma = buffer[height:].reshape(2, height // 2, stride // 2)
    chroma[:, :, : width // 2] = levels[1:, ::2, ::2]
    packed = np.concatenate([levels[0].ravel(), levels[1, ::2, ::2].ravel(), levels[2, ::2, ::2].ravel()])
    frame = av.VideoFrame.from_ndarray(packed.reshape(height * 3 // 2, width), format="yuv420p")
    expected = frame.reformat(format="bgr24", src_colorspace=standard).to_ndarray()
    bgr = _bgr(buffer, StillFormat(width, height, matrix))  # type: ignore[arg-type]
    inner = np.ix_(*[[at for at in range(size) if at % 8 in {3, 4}] for size in (height, width)])  # clear of the edges
    assert np.abs(bgr[inner].astype(int) - expected[inner]).max() <= 3  # FFmpeg's own rounding
