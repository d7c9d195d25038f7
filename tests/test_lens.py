"""The simulated lens by itself: scenes, number, deliveries log, and libcamera's behaviour below the real picamera2."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hw_sim import lens as lens_module
from hw_sim.deliveries import Delivery, DeliveryLog, read_deliveries
from hw_sim.lens import Lens, LensConfig
from hw_sim.libcamera_sim import CameraConfiguration, StreamRole
from hw_sim.libcamera_sim.camera import Planes
from hw_sim.scene import DrawnScene, LiveScene, SceneError, VideoScene, open_scene, read_number
from tests.lens_kit import PowerOnClock, until

FRAME_NS = 20_000_000
CLIP_FRAMES = 6


def planes(width: int = 320, height: int = 180) -> Planes:
    return Planes(*(np.zeros(shape, np.uint8) for shape in ((height, width), *[(height // 2, width // 2)] * 2)))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames at 10 frames/s, the grey of frame n is 40 + 30 n."""
    path = tmp_path_factory.mktemp("clip") / "six frames.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("h264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(CLIP_FRAMES):
            grey = np.full((180, 160), 40 + 30 * number, np.uint8)
            grey[120:] = 128
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="yuv420p")))
        container.mux(stream.encode())
    return path


@contextmanager
def camera(
    log: Path, scene: str = "drawn", size: tuple[int, int] = (320, 180), lores: dict[str, Any] | None = None
) -> Iterator[tuple[Any, Lens]]:
    """A running picamera2 at 50 frames/s in front of a scene."""
    lens = lens_module.install(LensConfig(log, scene), PowerOnClock().boot_ns)
    picamera2 = importlib.import_module("picamera2")
    device = picamera2.Picamera2()
    try:
        device.configure(
            device.create_video_configuration(
                main={"format": "YUV420", "size": size},
                lores=lores,
                raw=None,
                display=None,
                controls={"FrameDurationLimits": (FRAME_NS // 1000, FRAME_NS // 1000)},
            )
        )
        device.start()
        yield device, lens
    finally:
        device.close()
        lens.close()


def log_of(tmp_path: Path) -> Path:
    return tmp_path / "world" / "deliveries.jsonl"


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (854, 480), (320, 180)])
@pytest.mark.parametrize("number", [0, 1, 255, 0x00ABCDEF, 0xFFFFFFFF])
def test_the_drawn_number_is_read_back(size: tuple[int, int], number: int) -> None:
    picture = planes(*size)
    assert DrawnScene().paint(picture, 0, number) == number
    assert read_number(picture.y) == number


def test_the_number_survives_noise_and_a_wrong_cell_does_not_check() -> None:
    picture = planes()
    DrawnScene().paint(picture, 0, 1234)
    noise = np.random.default_rng(1).normal(0, 20, picture.y.shape)
    assert read_number(np.clip(picture.y + noise, 0, 255).astype(np.uint8)) == 1234
    height, width = picture.y.shape
    cell = width // 32
    wrong = picture.y[height - 4 * cell : height - 3 * cell, width // 2 : width // 2 + cell]
    wrong[:] = 250 - wrong
    assert read_number(picture.y) is None


def test_no_number_is_read_where_none_is_drawn() -> None:
    assert read_number(np.full((180, 320), 16, np.uint8)) is None
    assert read_number(np.random.default_rng(2).integers(0, 256, (180, 320), np.uint8)) is None


def test_the_drawn_scene_moves() -> None:
    scene, one, two = DrawnScene(), planes(), planes()
    scene.paint(one, 0, 10)
    scene.paint(two, 0, 11)
    assert np.array_equal(one.y[:80, 2:], two.y[:80, :-2])
    assert np.array_equal(one.u[:40, 1:], two.u[:40, :-1])
    assert np.array_equal(one.v[:40, 1:], two.v[:40, :-1])
    assert one.y[:80].std() > 10


def test_a_clip_plays_at_its_own_pace_and_loops(clip: Path) -> None:
    scene, picture = VideoScene(clip), planes()
    start_ns = 7_000_000_000
    shown = []
    for delivery in range(40):
        source = scene.paint(picture, start_ns + delivery * 40_000_000, delivery)
        shown.append(source)
        assert abs(float(picture.y.mean()) - (40 + 30 * source)) < 4
    assert shown == [delivery * 40 // 100 % CLIP_FRAMES for delivery in range(40)]
    scene.close()


def test_a_live_source_shows_its_newest_frame_and_holds_it_for_one_moment() -> None:
    scene, picture, again = LiveScene("testsrc2=size=160x120:rate=50,realtime", "lavfi"), planes(), planes()
    moments = itertools.count(1)
    first = scene.paint(picture, next(moments), 0)
    until(lambda: scene.paint(picture, next(moments), 0) > first)
    moment = next(moments)
    held = scene.paint(picture, moment, 0)
    until(lambda: scene._newest is not None and scene._newest.number > held)
    assert scene.paint(again, moment, 0) == held
    assert np.array_equal(picture.y, again.y)
    scene.close()


@pytest.mark.parametrize("address", ["missing.mp4", "/dev/video99", __file__])
def test_a_scene_that_cannot_be_shown_is_one_clear_line(address: str) -> None:
    with pytest.raises(SceneError) as caught:
        open_scene(address)
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_deliveries_log_counts_on_after_a_restart_and_after_a_torn_line(tmp_path: Path) -> None:
    path = log_of(tmp_path)
    log = DeliveryLog(path)
    written = [Delivery(0, 5, 0, 0, "delivered"), Delivery(None, 6, None, 1, "lost")]
    for delivery in written:
        log.append(delivery)
    log.close()
    with path.open("a") as file:
        file.write('{"n":1,"sensor')
    assert read_deliveries(path) == written
    log = DeliveryLog(path)
    assert log.next_n == 1
    log.append(Delivery(1, 7, 1, 0, "delivered"))
    log.close()
    assert [delivery.n for delivery in read_deliveries(path)] == [0, None, 1]


def test_the_camera_says_that_it_is_simulated(tmp_path: Path) -> None:
    with camera(log_of(tmp_path)) as (device, _):
        (info,) = device.global_camera_info()
    assert info["Model"].startswith("sim-")
    assert info["Id"].startswith("/sim/")


def test_exposures_stand_on_a_steady_grid_at_the_rate_asked_for(tmp_path: Path) -> None:
    with camera(log_of(tmp_path)) as (device, _):
        until(lambda: device.frames >= 20)
    times = [delivery.sensor_ns for delivery in read_deliveries(log_of(tmp_path))]
    steps = np.diff(times)
    assert abs(np.median(steps) - FRAME_NS) < FRAME_NS / 100
    assert times[0] > 0


def test_a_picture_lies_in_padded_memory_as_it_was_painted(tmp_path: Path) -> None:
    width, height, stride = 426, 240, 448
    with camera(log_of(tmp_path), size=(width, height)) as (device, _):
        assert device.camera_configuration()["main"]["stride"] == stride
        array = device.capture_array("main")
    number = read_number(array[:height, :width])
    assert number is not None
    expected = planes(width, height)
    DrawnScene().paint(expected, 0, number)
    chroma = array[height:].reshape(2, height // 2, stride // 2)[:, :, : width // 2]
    assert np.array_equal(array[:height, :width], expected.y)
    assert np.array_equal(chroma[0], expected.u)
    assert np.array_equal(chroma[1], expected.v)


def test_the_small_stream_is_the_same_exposure_scaled_down_in_memory_of_its_own(tmp_path: Path) -> None:
    with camera(log_of(tmp_path), size=(1280, 720), lores={"format": "YUV420", "size": (300, 168)}) as (device, _):
        configured = device.camera_configuration()["lores"]
        assert (configured["size"], configured["stride"]) == ((300, 168), 320)
        request = device.capture_request()
        large, small = request.make_array("main"), request.make_array("lores")
        request.release()
    assert small.shape == (252, 320)
    expected = cv2.resize(large[:720], (300, 168), interpolation=cv2.INTER_AREA).astype(int)
    noise = small[:168, :300] - expected
    assert 0.8 < noise.std() < 1.2  # a sensor's, so that no two pictures are the same
    assert abs(noise.mean()) < 0.1


def test_a_frozen_lens_repeats_the_small_picture_too_and_any_other_does_not(tmp_path: Path) -> None:
    def small(device: Any, skip: int = 0) -> bytes:
        for _ in range(skip):
            device.capture_request().release()
        return bytes(device.capture_array("lores"))

    with camera(log_of(tmp_path), size=(640, 360), lores={"format": "YUV420", "size": (320, 180)}) as (device, lens):
        for fault in ("none", "covered", "dark", "blurred", "tilted", "sky"):
            lens.set_fault(fault)
            assert small(device, skip=4) != small(device)
        lens.set_fault("frozen")
        assert small(device, skip=4) == small(device) == small(device)


def test_there_are_two_scalers_and_no_third(tmp_path: Path) -> None:
    pictures = [StreamRole.VideoRecording, StreamRole.Viewfinder, StreamRole.StillCapture]
    assert CameraConfiguration([*pictures[:2], StreamRole.Raw]).validate() is not CameraConfiguration.Status.Invalid
    assert CameraConfiguration(pictures).validate() is CameraConfiguration.Status.Invalid
    with (
        pytest.raises(RuntimeError, match="may not exceed main stream"),
        camera(log_of(tmp_path), lores={"format": "YUV420", "size": (640, 360)}),
    ):
        pass


def test_withheld_requests_are_dropped_frames(tmp_path: Path) -> None:
    with camera(log_of(tmp_path)) as (device, _):
        held = [device.capture_request() for _ in range(6)]
        until(lambda: sum(delivery.status == "lost" for delivery in read_deliveries(log_of(tmp_path))) >= 3)
        numbers = [read_number(request.make_array("main")[:180, :320]) for request in held]
        for request in held:
            request.release()
        device.capture_metadata(wait=5.0)
        device.capture_metadata(wait=5.0)
    log = read_deliveries(log_of(tmp_path))
    delivered = [delivery for delivery in log if delivery.n is not None]
    assert [delivery.sequence for delivery in log] == list(range(len(log)))
    assert [delivery.n for delivery in delivered] == list(range(len(delivered)))
    assert set(numbers) <= {delivery.n for delivery in delivered}
    assert delivered[-1].sequence - delivered[-1].n >= 3  # type: ignore[operator]  # not None, see above


def test_a_frozen_lens_repeats_its_picture_with_new_times_and_a_covered_one_is_black(tmp_path: Path) -> None:
    def look(device: Any, skip: int = 0) -> tuple[NDArray[np.uint8], int]:
        for _ in range(skip):  # pictures exposed before the fault
            device.capture_request().release()
        request = device.capture_request()
        picture, time_ns = request.make_array("main"), request.get_metadata()["SensorTimestamp"]
        request.release()
        return picture, time_ns

    with camera(log_of(tmp_path)) as (device, lens):
        lens.set_fault("frozen")
        seen = [look(device, skip=3), look(device), look(device)]
        assert len({picture.tobytes() for picture, _ in seen}) == 1
        assert len({time_ns for _, time_ns in seen}) == 3
        lens.set_fault("black")
        assert look(device, skip=3)[0][:180, :320].max() == 16
        lens.set_fault("none")
        assert read_number(look(device, skip=3)[0][:180, :320]) is not None
    log = [delivery for delivery in read_deliveries(log_of(tmp_path)) if delivery.n is not None]
    frozen = [delivery for delivery in log if delivery.source is not None and delivery.source != delivery.n]
    assert len({delivery.source for delivery in frozen}) == 1
    assert any(delivery.source is None for delivery in log)


def test_the_picture_of_a_clip_reaches_the_application(tmp_path: Path, clip: Path) -> None:
    with camera(log_of(tmp_path), str(clip)) as (device, _):
        array = device.capture_array("main")
    log = read_deliveries(log_of(tmp_path))
    source = round((float(array[:180, :320].mean()) - 40) / 30)
    assert source in {delivery.source for delivery in log}
    assert cv2.cvtColor(array, cv2.COLOR_YUV2BGR_I420).shape[2] == 3


def test_the_lens_is_not_put_below_a_library_that_is_loaded_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libcamera", ModuleType("libcamera"))
    with pytest.raises(RuntimeError, match="before picamera2 is imported"):
        lens_module.install(LensConfig(log_of(tmp_path)), PowerOnClock().boot_ns)


def test_nothing_of_picamera2_is_replaced_but_what_is_below_it() -> None:
    """In a fresh process: every module of picamera2 comes from its own files; only `fcntl` is ours in two of them."""
    program = (
        "import sys, fcntl, tempfile, pathlib; from hw_sim.lens import install, LensConfig\n"
        "install(LensConfig(pathlib.Path(tempfile.mkdtemp()) / 'd.jsonl'), lambda: 1)\n"
        "import picamera2, inspect\n"
        "for name, module in list(sys.modules.items()):\n"
        "    if name.split('.')[0] != 'picamera2': continue\n"
        "    assert 'hw_sim' not in module.__file__, name\n"
        "    ours = [k for k, v in vars(module).items() if type(v).__module__.startswith('hw_sim.libcamera_sim.dma')]\n"
        "    functions = [v for k, v in vars(module).items() if inspect.isfunction(v) and 'hw_sim' in v.__module__]\n"
        "    assert not functions, name\n"
        "    if ours: print(name, ours)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "picamera2.allocators.dmaallocator ['fcntl']",
        "picamera2.dma_heap ['fcntl']",
    ]
