"""What must not be recorded: pictures in a recording of sound, anything of the time for which it was stopped."""

from __future__ import annotations

import pytest

from firmware.capture import vocabulary as v
from firmware.capture.state import Phase
from firmware.hal.ports import SoundBlock, Still
from tests.camera_rig import BLOCK, SECOND, Camera, Owner, kept_stills, of_kind, verified
from tests.test_random_lives import OTHER_SPS
from tests.test_stopping import Shift


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


@pytest.fixture
def shift(owner: Owner) -> Shift:
    return Shift(owner)


def spans(shift: Shift) -> list[tuple[int, int]]:
    return [(f.body["from_ns"], f.body["to_ns"]) for f in of_kind(shift.disk, "fragment")]


def lose(camera: Camera, *, picture: bool = False, sound: bool = False) -> None:
    if picture:
        camera.picture = False
        camera.step(v.SourceLost(picture=True, cause="camera_lost"))
    if sound:
        camera.sound = False
        camera.step(v.SourceLost(picture=False, cause="microphone_lost"))


def regain(camera: Camera, *, picture: bool = False, sound: bool = False) -> None:
    if picture:
        camera.picture, camera._group = True, 0
        camera.step(v.SourceBack(picture=True))
    if sound:
        camera.sound, camera._next_block_ns = True, camera.clock.boot_ns()
        camera.step(v.SourceBack(picture=False))


def test_a_still_of_before_does_not_get_into_a_recording_of_sound(shift: Shift) -> None:
    camera = shift.camera
    camera.step(v.MarkHeld(shift.clock.boot_ns()))
    camera.run(2)
    camera.media.still(Still(b"\xff\xd8 late \xff\xd9", shift.clock.boot_ns()))
    camera.run(2)
    camera.end()
    assert not of_kind(shift.disk, "still")
    assert not kept_stills(shift.owner, shift.disk)
    assert ("still", "not kept: only sound is recorded") in camera.faults
    verified(shift.owner, shift.disk)


def test_a_still_of_the_stop_is_not_kept(shift: Shift) -> None:
    camera = shift.camera
    camera.press()
    camera.run(2)
    shift.stop("privacy")
    camera.run(2)
    still = Still(b"\xff\xd8 private \xff\xd9", shift.clock.boot_ns() - SECOND // 10)
    camera.press()
    camera.media.still(still)
    camera.run(2)
    camera.end()
    assert not of_kind(shift.disk, "still")
    verified(shift.owner, shift.disk)


def test_sound_of_the_stop_that_comes_late_is_not_kept(shift: Shift) -> None:
    camera = shift.camera
    camera.press()
    camera.run(2)
    lose(camera, picture=True)
    shift.stop("privacy")
    camera.run(3)
    pressed_ns = shift.clock.boot_ns()
    camera.press()
    camera.media.sound(SoundBlock(bytes(4800), pressed_ns - 3 * BLOCK))  # the sound card's library held it back
    camera.run(4)
    camera.end()
    (gap,) = of_kind(shift.disk, "gap")
    assert gap.body["first_ns"] >= pressed_ns
    verified(shift.owner, shift.disk)


def test_the_ring_of_a_stop_is_nobodys_pre_event(shift: Shift) -> None:
    """Neither picture nor sound ever came: stopped before anything was recorded, the recording has no part yet."""
    camera = shift.camera
    lose(camera, picture=True, sound=True)
    camera.press()
    shift.stop("privacy")
    regain(camera, picture=True, sound=True)
    assert camera.state.phase is Phase.STOPPED
    camera.run(5)
    pressed_ns = shift.clock.boot_ns()
    camera.press()
    camera.run(2)
    camera.end()
    assert min(from_ns for from_ns, _ in spans(shift)) >= pressed_ns - SECOND - SECOND // 10  # the key frame before
    verified(shift.owner, shift.disk)


def presses_after_an_outage(shift: Shift, *, back: bool) -> None:
    """Nothing of before the outage is in the recording; `back`: the pictures came back before the press."""
    camera = shift.camera
    camera.run(3)
    lose(camera, picture=True)
    camera.run(60)
    if back:
        regain(camera, picture=True)
        camera.run(1.5)
    pressed_ns = shift.clock.boot_ns()
    camera.press()
    camera.run(4)
    camera.end()
    assert min(from_ns for from_ns, _ in spans(shift)) >= pressed_ns - 3 * SECOND
    verified(shift.owner, shift.disk)


def test_pictures_from_before_the_camera_was_lost_are_not_the_present(shift: Shift) -> None:
    presses_after_an_outage(shift, back=False)


def test_an_outage_is_not_part_of_the_pre_event(shift: Shift) -> None:
    presses_after_an_outage(shift, back=True)


def test_pictures_that_stopped_during_a_gap_do_not_shorten_it(shift: Shift) -> None:
    camera = shift.camera
    camera.press()
    camera.run(3)
    shift.stop("weather")
    camera.run(2)
    lose(camera, picture=True)
    camera.run(60)
    camera.press()
    camera.run(4)
    camera.end()
    (gap,) = of_kind(shift.disk, "gap")
    assert gap.body["min_ms"] > 60_000
    verified(shift.owner, shift.disk)


def test_an_encoder_that_changed_within_the_ring_loses_nothing_after_the_press(shift: Shift) -> None:
    camera = shift.camera
    camera.run(2)
    camera.sps, camera._group = OTHER_SPS, 0
    camera.run(0.5)
    pressed_ns = shift.clock.boot_ns()
    camera.press()
    camera.run(3)
    camera.end()
    told = spans(shift)
    assert min(from_ns for from_ns, _ in told) <= pressed_ns
    assert [s.body["part"] for s in of_kind(shift.disk, "recording_started")] == [1]
    assert sum(f.body["frames"] for f in of_kind(shift.disk, "fragment")) >= 35
    assert not of_kind(shift.disk, "gap")
    verified(shift.owner, shift.disk)


def test_sound_that_waited_for_a_picture_is_kept_when_none_comes(shift: Shift) -> None:
    camera = shift.camera
    camera.picture = False  # nobody has noticed yet
    camera.press()
    camera.run(1.5)
    camera.end()
    assert sum(f.body["samples"] for f in of_kind(shift.disk, "fragment")) >= 1.4 * 48_000
    verified(shift.owner, shift.disk)


def test_what_is_marked_before_anything_is_durable_is_kept(shift: Shift) -> None:
    camera = shift.camera
    camera.picture = False  # sound waits two seconds for it
    camera.press()
    camera.run(1)
    at_ns = shift.clock.boot_ns()
    camera.step(v.MarkPressed(at_ns))
    camera.run(3)
    camera.end()
    assert [marker.body["at_ns"] for marker in of_kind(shift.disk, "marker")] == [at_ns]
    verified(shift.owner, shift.disk)


@pytest.mark.parametrize("ground", ["weather", "privacy"])
def test_stopped_in_the_dock_and_taken_out(shift: Shift, ground: str) -> None:
    camera = shift.camera
    camera.press()
    camera.run(2)
    camera.step(v.Docked())
    shift.stop(ground)
    camera.step(v.Undocked())
    assert not camera.state.docked
    assert [c for c in camera.commands if isinstance(c, v.CloseDockPort)]  # radio silence while worn
    camera.step(v.Docked())
    assert camera.state.phase is Phase.DOCKED
    assert of_kind(shift.disk, "recording_ended")
    verified(shift.owner, shift.disk)


def test_a_ground_can_be_chosen_while_nothing_can_be_recorded(shift: Shift) -> None:
    camera = shift.camera
    camera.press()
    camera.run(2)
    lose(camera, picture=True, sound=True)
    assert not camera.media.recording
    shift.stop("privacy")
    assert camera.state.phase is Phase.STOPPED
    regain(camera, picture=True, sound=True)
    before = len(spans(shift))
    camera.run(3)
    assert len(spans(shift)) == before
    camera.press()
    camera.run(2)
    camera.end()
    verified(shift.owner, shift.disk)
