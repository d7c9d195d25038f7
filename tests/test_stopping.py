"""What the officer stops stays stopped, over power cuts too, and what a gap's cause is (rules 6 and 15)."""

from __future__ import annotations

import pytest

from evidence.records import GROUNDS
from firmware.capture import vocabulary as v
from firmware.capture.state import Phase
from tests.camera_rig import SECOND, BootClock, Camera, Owner, World, of_kind, verified
from tests.memory_disk import MemoryDisk


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


class Shift:
    """One camera through several boots."""

    def __init__(self, owner: Owner) -> None:
        self.owner, self.disk, self.world = owner, MemoryDisk(), World()
        self.clock = BootClock(self.world)
        self.camera = Camera(owner, self.disk, self.world, self.clock)

    def again(self, *, power: bool = True) -> None:
        """Boot again, after a power cut or a crash of the program alone."""
        if power:
            self.disk.lose_power()
            self.world.now_ns += 10 * SECOND
            self.clock = BootClock(self.world)
        self.camera = Camera(self.owner, self.disk, self.world, self.clock)

    def stop(self, ground: str) -> None:
        """Hold, choose, hold."""
        at_ns = self.clock.boot_ns()
        self.camera.step(v.RecordHeld(at_ns))
        for _ in range(GROUNDS.index(ground)):
            self.camera.step(v.MarkPressed(at_ns))
        self.camera.step(v.RecordHeld(at_ns))


@pytest.fixture
def shift(owner: Owner) -> Shift:
    return Shift(owner)


def causes(shift: Shift) -> list[str]:
    return [gap.body["cause"] for gap in of_kind(shift.disk, "gap")]


def test_stopped_and_gone_on_is_one_recording_with_a_gap_of_that_cause(shift: Shift) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.stop("change_of_site")
    shift.camera.run(5)
    shift.camera.press()
    shift.camera.run(3)
    shift.camera.end()
    report = verified(shift.owner, shift.disk)
    (recording,) = report.account.recordings.values()
    assert len(recording.parts) == 2
    (gap,) = of_kind(shift.disk, "gap")
    assert gap.body["cause"] == "change_of_site"
    assert abs(gap.body["min_ms"] - 5_000) < 1_100  # the part after it begins with the key frame before the press
    assert gap.body["min_ms"] == gap.body["max_ms"]
    assert [r.body["ground"] for r in of_kind(shift.disk, "recording_ended")] == ["end_of_activity"]


def test_what_was_stopped_for_privacy_is_not_recorded_again_by_itself(shift: Shift) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.stop("privacy")
    assert [alert.body["what"] for alert in of_kind(shift.disk, "alert")] == ["statement_due"]  # rule 6
    before = len(of_kind(shift.disk, "fragment"))
    for power in (True, False, True):
        shift.again(power=power)
        assert shift.camera.state.phase is Phase.STOPPED
        shift.camera.run(4)
        assert len(of_kind(shift.disk, "fragment")) == before
    shift.camera.press()
    shift.camera.run(3)
    shift.camera.end()
    assert causes(shift) == ["privacy"]
    verified(shift.owner, shift.disk)


def test_a_power_cut_after_going_on_is_a_power_cut(shift: Shift) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.stop("weather")
    shift.camera.run(2)
    shift.camera.press()
    shift.camera.run(3)
    shift.again()
    assert shift.camera.state.phase is Phase.RECORDING
    shift.camera.run(3)
    shift.camera.end()
    assert causes(shift) == ["weather", "power_cut"]
    verified(shift.owner, shift.disk)


def test_stopped_switched_off_and_ended_in_the_dock(shift: Shift) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.stop("weather")
    shift.camera.quit()
    shift.again()
    assert shift.camera.state.phase is Phase.STOPPED
    shift.camera.step(v.Docked())
    (ended,) = of_kind(shift.disk, "recording_ended")
    assert ended.body["ground"] == "weather"
    assert causes(shift) == ["weather"]
    verified(shift.owner, shift.disk)


def test_a_recording_that_is_still_stopped_verifies(shift: Shift) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.stop("weather")
    shift.camera.quit()
    verified(shift.owner, shift.disk)


@pytest.mark.parametrize(("what", "cause"), [("battery_low", "battery_low"), ("heat", "heat"), ("other", "power_cut")])
def test_what_the_camera_had_warned_of_is_the_cause_of_the_cut(shift: Shift, what: str, cause: str) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.camera.step(v.Warned("battery_low", what, "4 %"))
    shift.camera.run(1)
    shift.again()
    shift.camera.run(3)
    shift.again()  # the warning was of the boot before
    shift.camera.run(3)
    shift.camera.end()
    assert causes(shift) == [cause, "power_cut"]
    verified(shift.owner, shift.disk)


def test_sound_only_stays_sound_only_over_a_cut(shift: Shift) -> None:
    shift.camera.run(3)
    shift.camera.step(v.MarkHeld(shift.clock.boot_ns()))
    shift.camera.run(5)
    shift.again()
    shift.camera.run(5)
    shift.camera.end()
    started = of_kind(shift.disk, "recording_started")
    assert [record.body["mode"] for record in started] == ["sound_only", "sound_only"]
    assert [record.body["ring_from_ns"] for record in started] == [None, None]
    fragments = of_kind(shift.disk, "fragment")
    assert all(f.body["frames"] == f.body["drops"] == 0 < f.body["samples"] for f in fragments)
    assert max(f.body["to_ns"] - f.body["from_ns"] for f in fragments) <= 600_000_000
    verified(shift.owner, shift.disk)


def test_pictures_from_before_a_recording_of_sound_do_not_come_into_the_next_one(shift: Shift) -> None:
    shift.camera.step(v.MarkHeld(shift.clock.boot_ns()))
    shift.camera.run(4)
    shift.camera.end()
    ended_ns = shift.clock.boot_ns()
    shift.camera.run(1)
    shift.camera.press()
    shift.camera.run(3)
    shift.camera.end()
    second = max(record.body["recording"] for record in of_kind(shift.disk, "recording_started"))
    mine = [f.body["from_ns"] for f in of_kind(shift.disk, "fragment") if f.body["recording"] == second]
    assert min(mine) >= ended_ns
    verified(shift.owner, shift.disk)


def test_the_kind_that_was_chosen_last_goes_on_over_a_cut(shift: Shift) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.camera.books.keep_activity("case")
    shift.camera.run(1)
    shift.again()
    shift.camera.run(2)
    shift.camera.end()
    assert [record.body["activity"] for record in of_kind(shift.disk, "activity")] == ["case"]
    assert [record.body["activity"] for record in of_kind(shift.disk, "recording_started")] == ["inspection", "case"]


@pytest.mark.parametrize(("ground", "before_press"), [("privacy", False), ("weather", True)])
def test_what_was_private_is_not_in_the_part_after_it(shift: Shift, ground: str, *, before_press: bool) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.stop(ground)
    shift.camera.run(4.5)
    pressed_ns = shift.clock.boot_ns()
    shift.camera.press()
    shift.camera.run(3)
    shift.camera.end()
    first = min(f.body["from_ns"] for f in of_kind(shift.disk, "fragment") if f.body["part"] == 2)
    assert (first < pressed_ns) == before_press
    verified(shift.owner, shift.disk)


def test_in_the_dock_a_stop_is_the_end(shift: Shift) -> None:
    shift.camera.press()
    shift.camera.run(3)
    shift.camera.step(v.Docked())
    shift.stop("privacy")
    assert shift.camera.state.phase is Phase.DOCKED
    (ended,) = of_kind(shift.disk, "recording_ended")
    assert ended.body["ground"] == "privacy"
    (alert,) = of_kind(shift.disk, "alert")
    assert alert.body["recording"] == ended.body["recording"]
    verified(shift.owner, shift.disk)
