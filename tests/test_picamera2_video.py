"""The driver over the real picamera2, the real encoder and the simulated lens."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_mock import MockerFixture

from firmware.hal import picamera2_video
from firmware.hal.overlay import Caption, Overlay, OverlayConfig
from firmware.hal.picamera2_video import VideoConfig
from firmware.hal.ports import DriverError, Frame, SourceFault
from firmware.hal.video_watch import Ledger
from tests.lens_kit import FAST, SMALL, UTC_AT_POWER_ON_MS, World, decode_luma, running_world, until

pytestmark = pytest.mark.long


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        yield world


def test_720p_at_2_megabit_keeps_every_number_and_every_time(world: World) -> None:
    config = VideoConfig(bitrate_bps=2_000_000)
    video = world.started(config)
    world.seen.wait_frames(55)
    video.stop()
    world.assert_frames_are_deliveries(config)
    assert world.seen.faults == []
    keys = [index for index, frame in enumerate(world.seen.frames) if frame.keyframe]
    assert keys == list(range(0, len(world.seen.frames), 25))
    counts = video.counts()
    assert counts["encoded"] == counts["delivered"] == len(world.seen.frames)
    assert counts["dropped"] == 0
    assert counts["lost"] == world.missing()


def test_no_frame_waits_in_the_encoder_for_the_next_picture(world: World) -> None:
    waiting: list[int] = []
    video = world.video()

    def on_frame(frame: Frame) -> None:
        counts = video.counts()
        waiting.append(counts["delivered"] - counts["encoded"])
        world.seen.on_frame(frame)

    video.start(on_frame, world.seen.on_fault, lambda _: None)
    world.seen.wait_frames(20)
    assert min(waiting[:20]) == 0  # a busy machine may deliver two pictures at once, but not each time


def test_each_key_frame_opens_with_its_parameter_sets(world: World) -> None:
    world.started(FAST)
    world.seen.wait_frames(60)
    for frame in world.seen.frames:
        types = [nal[0] & 0x1F for nal in frame.data.split(b"\0\0\1")[1:]]
        assert frame.data[:4] == b"\0\0\0\1"
        assert types[:2] == [7, 8] if frame.keyframe else types == [1]
        assert (5 in types) == frame.keyframe


def test_a_width_with_padded_rows_keeps_picture_and_strip(world: World) -> None:
    config = VideoConfig(width=426, height=240, frames_per_second=50)  # the pipeline pads rows to 448 bytes
    text = Caption("BWC-0001", "012345", "执法大队")
    overlay_config = OverlayConfig(config.width, config.height, text_height=1 / 16)
    world.started(config, Overlay(overlay_config, text))
    world.seen.wait_frames(5)
    world.assert_frames_are_deliveries(config)

    def expected(utc_ms: int) -> NDArray[np.uint8]:
        frame = np.zeros((config.height * 3 // 2, 448), np.uint8)
        Overlay(overlay_config, text)(frame, utc_ms)
        return frame[: config.height, : config.width]

    frame, luma = world.seen.frames[2], decode_luma(world.seen.frames, config.width, config.height)[2]
    utc_ms = UTC_AT_POWER_ON_MS + frame.boot_ns // 1_000_000
    strip = expected(utc_ms) != 0

    def difference(other_ms: int) -> float:
        return float(np.abs(luma[strip].astype(int) - expected(other_ms)[strip]).mean())

    assert difference(utc_ms) < 12
    assert difference(utc_ms) < min(difference(utc_ms + seconds * 1000) for seconds in (-1, 1, 10, 3600))


@pytest.mark.parametrize("kind", ["lost", "error"])
def test_pictures_that_never_arrive_are_counted_and_are_no_fault(world: World, kind: str) -> None:
    video = world.started(FAST)
    world.seen.wait_frames(5)
    world.lens.set_fault(kind, frames=7)
    until(lambda: sum(delivery.status == kind for delivery in world.deliveries()) == 7)
    world.seen.wait_frames(5)
    video.stop()
    assert video.counts()["lost"] == world.missing() >= 7
    assert world.seen.faults == []
    world.assert_frames_are_deliveries()


def test_a_hang_is_a_camera_stall_told_once_and_told_again_when_it_comes_again(world: World) -> None:
    world.started(FAST)
    world.seen.wait_frames(5)
    for times in (1, 2):
        world.lens.set_fault("hang")
        until(lambda times=times: world.seen.causes() == ["camera_stall"] * times)  # type: ignore[misc]
        world.lens.set_fault("none")
        world.seen.wait_frames(15)  # the watchdog looks several times meanwhile
    assert world.seen.causes() == ["camera_stall"] * 2
    world.assert_frames_are_deliveries()


def test_cancelled_requests_starve_picamera2_until_the_driver_is_started_again(world: World) -> None:
    video = world.started(FAST)
    world.seen.wait_frames(5)
    world.lens.set_fault("cancel", frames=6)
    world.seen.wait_fault("camera_stall")
    video.stop()
    video.start(world.seen.on_frame, world.seen.on_fault, lambda _: None)
    world.seen.wait_frames(5)
    assert world.seen.causes() == ["camera_stall"]
    world.assert_frames_are_deliveries()


def test_an_unplugged_camera_is_lost_refused_and_found_again(world: World) -> None:
    video = world.started(FAST)
    world.seen.wait_frames(5)
    world.lens.set_fault("unplugged")
    world.seen.wait_fault("camera_lost")
    video.stop()
    with pytest.raises(DriverError, match="there is no camera number 0; check its cable"):
        video.start(world.seen.on_frame, world.seen.on_fault, lambda _: None)
    with pytest.raises(DriverError, match="there is no camera number 0"):
        world.video()
    world.lens.set_fault("none")
    video.start(world.seen.on_frame, world.seen.on_fault, lambda _: None)
    world.seen.wait_frames(5)
    world.assert_frames_are_deliveries()


def test_an_overlay_that_fails_is_told_once_and_recording_goes_on(world: World) -> None:
    def broken(*_: object) -> None:
        raise KeyError("glyph")

    video = world.started(FAST, broken)
    world.seen.wait_frames(20)
    video.stop()
    assert world.seen.faults == [SourceFault("overlay_failed", "KeyError: 'glyph'")]
    world.assert_frames_are_deliveries()
    assert video.counts()["dropped"] == 0


def test_a_listener_that_fails_is_told_and_gets_the_next_frame(world: World) -> None:
    taken: list[Frame] = []

    def failing_at_first(frame: Frame) -> None:
        if not taken:
            taken.append(frame)
            raise ValueError("queue")
        world.seen.on_frame(frame)

    video = world.video()
    video.start(failing_at_first, world.seen.on_fault, lambda _: None)
    world.seen.wait_frames(5)
    assert world.seen.faults == [SourceFault("unknown", "ValueError: queue")]


def test_a_fault_listener_that_fails_ends_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise KeyError("glyph")

    with caplog.at_level(logging.ERROR):
        world.video(FAST, broken).start(world.seen.on_frame, broken, lambda _: None)
        world.seen.wait_frames(10)
    assert "listener for faults failed on overlay_failed" in caplog.text


def test_an_encoder_that_gives_nothing_is_an_encoder_stall(world: World, mocker: MockerFixture) -> None:
    encoder = importlib.import_module("picamera2.encoders.libav_h264_encoder").LibavH264Encoder
    world.started(FAST)
    world.seen.wait_frames(5)
    mocker.patch.object(encoder, "_encode", autospec=True)
    world.seen.wait_fault("encoder_stall")
    mocker.stopall()
    world.seen.wait_frames(5)
    assert world.seen.causes() == ["encoder_stall"]
    assert world.videos[0].counts()["dropped"] >= 40


def test_pictures_that_come_and_do_not_come_out_are_an_encoder_stall(world: World) -> None:
    """Not of the camera, though no more pictures come either: the encoder holds them all."""
    world.started(FAST)
    world.seen.wait_frames(5)
    world.lens.set_fault("held")
    world.seen.wait_fault("encoder_stall")
    world.lens.set_fault("none")
    world.seen.wait_frames(5)
    assert world.seen.causes() == ["encoder_stall"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_picture_without_its_time_ends_a_thread_and_the_camera_can_be_started_again(world: World) -> None:
    video = world.started(FAST)
    world.seen.wait_frames(5)
    world.lens.set_fault("untimed", frames=1)
    world.seen.wait_fault("camera_stall")
    video.stop()
    video.start(world.seen.on_frame, world.seen.on_fault, lambda _: None)
    world.seen.wait_frames(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_stop_does_not_wait_for_an_event_loop_that_has_died(world: World, mocker: MockerFixture) -> None:
    encoder = importlib.import_module("picamera2.encoders.libav_h264_encoder").LibavH264Encoder
    video = world.started(FAST)
    world.seen.wait_frames(5)
    mocker.patch.object(encoder, "_encode", autospec=True, side_effect=MemoryError)
    world.seen.wait_fault("encoder_stall")
    mocker.stopall()
    stopping = threading.Thread(target=video.stop)
    stopping.start()
    stopping.join(5)
    assert not stopping.is_alive()
    video.start(world.seen.on_frame, world.seen.on_fault, lambda _: None)
    world.seen.wait_frames(5)


def test_stop_ends_every_thread_and_may_be_called_again(world: World) -> None:
    before = set(threading.enumerate())
    video = world.video()
    video.stop()
    video.start(world.seen.on_frame, world.seen.on_fault, lambda _: None)
    world.seen.wait_frames(3)
    with pytest.raises(DriverError, match="already started"):
        video.start(world.seen.on_frame, world.seen.on_fault, lambda _: None)
    video.stop()
    video.stop()
    assert set(threading.enumerate()) <= before


def test_a_hardware_encoder_that_is_not_there_is_an_error_with_advice(world: World) -> None:
    with pytest.raises(DriverError, match=r'/dev/video11.*set encoder = "libav"'):
        world.started(VideoConfig(encoder="hardware"))
    world.started(FAST)
    world.seen.wait_frames(2)


def test_a_missing_library_is_an_error_with_advice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(DriverError, match=r"picamera2: cannot be imported .* install Debian's python3-libcamera"):
        world.video()


def test_the_description_names_the_simulated_camera(world: World) -> None:
    described = world.video(SMALL).describe()
    assert described["driver"].startswith("picamera2 0.")
    assert described["model"].startswith("sim-")
    assert described["id"].startswith("/sim/")
    assert described["encoder"] == "libav h264 320x180@25 1000000 bit/s"


@pytest.mark.parametrize("encoder", ["libav", "hardware"])
def test_picamera2_has_every_name_and_argument_that_is_used(world: World, mocker: MockerFixture, encoder: str) -> None:
    library = importlib.import_module("picamera2")
    info = library.Picamera2.global_camera_info()
    classes = {"libav": "libav_h264_encoder.LibavH264Encoder", "hardware": "h264_encoder.H264Encoder"}
    chosen = mocker.patch(f"picamera2.encoders.{classes[encoder]}", autospec=True)
    camera_class = mocker.patch.object(library, "Picamera2", autospec=True)
    camera_class.global_camera_info.return_value = info
    video = world.started(VideoConfig(encoder=encoder, bitrate_bps=4_000_000, key_frame_seconds=0.5))  # type: ignore[arg-type]
    video.stop()
    chosen.assert_called_once_with(bitrate=4_000_000, repeat=True, iperiod=12, framerate=25)
    camera = camera_class.return_value
    (_, wanted) = camera.create_video_configuration.call_args
    assert wanted["lores"] == {"format": "YUV420", "size": (320, 180)}
    used = {call[0] for call in camera.method_calls}
    assert used == {
        "create_video_configuration",
        "configure",
        "start_recording",
        "stop_preview",
        "stop",
        "stop_encoder",
        "close",
    }


def test_parameter_sets_are_repeated_where_the_encoder_left_them_out() -> None:
    sets = picamera2_video._ParameterSets()
    sps, pps, idr = b"\0\0\0\1\x67abc", b"\0\0\1\x68de", b"\0\0\1\x65picture"
    assert sets.complete(idr) == idr
    assert sets.complete(sps + pps + idr) == sps + pps + idr
    assert sets.complete(idr) == sps + b"\0" + pps + idr


def test_the_ledger_gives_exact_times_and_counts_what_the_encoder_left_out() -> None:
    ledger = Ledger(frame_ns=40_000_000)
    times = [1_000_000_999 + 40_000_000 * index for index in (0, 1, 2, 5)]
    for boot_ns in times:
        ledger.exposed(boot_ns)
    assert ledger.encoded(1_000_000) == times[0]
    assert ledger.oldest_ns() == times[1]
    assert ledger.encoded(times[3] // 1000) == times[3]
    assert ledger.oldest_ns() is None
    assert ledger.encoded(9_000_000) == 9_000_000_000
    assert ledger.counts() == {"delivered": 4, "encoded": 3, "dropped": 2, "lost": 2}
