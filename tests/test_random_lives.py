"""Random lives of a camera: whatever is pressed, breaks and is cut, in whatever order, the books hold."""

from __future__ import annotations

import random

import pytest

from evidence.records import PAUSES
from firmware.capture import vocabulary as v
from firmware.capture.state import Phase
from tests.camera_rig import SECOND, BootClock, Camera, Owner, World, lines, of_kind, picture, verified
from tests.memory_disk import MemoryDisk

LIVES = 12
STEPS = 45
OTHER_SPS = bytes.fromhex("67640028acd940780227e5c044000003000400000300f03c60c659")


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


class Life:
    """One camera, from its first boot until it is asked to account for everything."""

    def __init__(self, owner: Owner, seed: int) -> None:
        self.random = random.Random(seed)
        self.owner, self.disk, self.world = owner, MemoryDisk(seed), World()
        self.private: list[tuple[BootClock, int, int]] = []  # stopped for privacy, boot times
        self.log: list[str] = []
        self.broken = False
        self.power_on()

    def power_on(self) -> None:
        self.clock = BootClock(self.world)
        self.boot()

    def boot(self) -> None:
        self.broken = False
        self.camera = Camera(self.owner, self.disk, self.world, self.clock)
        self.expect()

    def live(self, steps: int) -> None:
        deeds = [
            self.run, self.run, self.run, self.run, self.press, self.press, self.release, self.hold, self.hold,
            self.hold, self.mark, self.mark, self.mark_held, self.mark_released, self.docked, self.undocked,
            self.picture_lost, self.sound_lost, self.picture_back, self.sound_back, self.blind, self.sighted,
            self.refuse, self.take, self.said, self.checked, self.answered, self.confirm_over, self.choice_over,
            self.warned, self.checked_itself, self.still, self.encoder, self.crash, self.cut, self.quit, self.stop_now,
        ]  # fmt: skip
        for _ in range(steps):
            deed = self.random.choice(deeds)
            self.log.append(deed.__name__)
            before = self.camera.state.phase, len(lines(self.disk)) if self.camera.state.phase is Phase.STOPPED else 0
            fragments = len(of_kind(self.disk, "fragment"))
            deed()
            if before[0] is Phase.STOPPED and self.camera.state.phase is Phase.STOPPED:
                assert len(of_kind(self.disk, "fragment")) == fragments, self.log
            self.expect()

    def expect(self) -> None:
        state, camera = self.camera.state, self.camera
        if state.phase in (Phase.RECORDING, Phase.DEGRADED):
            assert state.able, self.log
            assert camera.media.recording, self.log
        else:
            assert not camera.media.recording, (state.phase, self.log)
        if state.phase is Phase.INTERRUPTED:
            assert not state.able, (state, self.log)
        if state.phase is Phase.DOCKED:
            assert state.docked, self.log
        if state.phase is Phase.ARMED:
            assert not state.docked, self.log

    # Deeds.

    @property
    def now(self) -> int:
        return self.clock.boot_ns()

    def run(self) -> None:
        self.camera.run(self.random.choice([0.1, 0.3, 1.0, 2.5]))

    def press(self) -> None:
        self.camera.step(v.RecordPressed(max(0, self.now - self.random.choice([0, 0, SECOND // 10]))))

    def release(self) -> None:
        self.camera.step(v.RecordReleased(self.now))

    def hold(self) -> None:
        self.camera.step(v.RecordHeld(self.now))

    def stop_now(self) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.hold()
            for _ in range(self.random.randint(0, 4)):
                self.mark()
        self.hold()

    def mark(self) -> None:
        self.camera.step(v.MarkPressed(self.now))

    def mark_held(self) -> None:
        self.camera.step(v.MarkHeld(self.now))

    def mark_released(self) -> None:
        self.camera.step(v.MarkReleased(self.now))

    def docked(self) -> None:
        self.camera.step(v.Docked())

    def undocked(self) -> None:
        self.camera.step(v.Undocked())

    def picture_lost(self) -> None:
        if self.camera.picture:
            self.camera.picture = False
            self.camera.step(v.SourceLost(picture=True, cause="camera_lost"))

    def sound_lost(self) -> None:
        if self.camera.sound:
            self.camera.sound = False
            self.camera.step(v.SourceLost(picture=False, cause="microphone_lost"))

    def picture_back(self) -> None:
        if not self.camera.picture:
            self.camera._group = 0
            self.camera.picture = True
            self.camera.step(v.SourceBack(picture=True))

    def sound_back(self) -> None:
        if not self.camera.sound:
            self.camera._next_block_ns = self.now
            self.camera.sound = True
            self.camera.step(v.SourceBack(picture=False))

    def blind(self) -> None:
        self.camera.step(v.PictureBlind("camera_black"))

    def sighted(self) -> None:
        self.camera.step(v.PictureBlind(None))

    def refuse(self) -> None:
        def before(_number: int, operation: str) -> None:
            if operation.startswith(("append", "sync", "create", "truncate")):
                raise OSError(5, "refused")

        self.broken = True
        self.disk.before = before

    def take(self) -> None:
        self.broken = False
        self.disk.before = lambda _number, _operation: None
        self.camera.try_storage()

    def said(self) -> None:
        key = self.random.choice(["notice", "ask_reason", "ask_reason_again"])
        self.camera.step(v.Said(key, self.now - SECOND, self.now))

    def checked(self) -> None:
        awaited = self.camera.state.awaited_ns
        self.camera.step(v.NoticeChecked(self.random.random() < 0.5, self.now if awaited is None else awaited))

    def answered(self) -> None:
        awaited = self.camera.state.awaited_ns
        self.camera.step(v.AnswerOver(self.random.random() < 0.5, self.now if awaited is None else awaited, self.now))

    def confirm_over(self) -> None:
        self.camera.step(v.ConfirmOver(self.camera.state.hold_ns or 0))

    def choice_over(self) -> None:
        self.camera.step(v.ChoiceOver(self.camera.state.choosing_ns or 0))

    def warned(self) -> None:
        self.camera.step(v.Warned("battery_low", self.random.choice(["battery_low", "heat", None]), "4 %"))

    def checked_itself(self) -> None:
        self.camera.step(v.SelfChecked(self.random.choice([(), ("camera_fault",)])))

    def still(self) -> None:
        self.camera.take_still()

    def encoder(self) -> None:
        self.camera.sps = OTHER_SPS if self.camera.sps != OTHER_SPS else picture(0, key=True)[4:31]
        self.camera._group = 0

    def crash(self) -> None:
        self.disk.restart()
        self.boot()

    def cut(self) -> None:
        self.disk.lose_power()
        self.world.now_ns += self.random.randint(1, 20) * SECOND
        self.power_on()

    def quit(self) -> None:
        self.take()
        self.camera.quit()
        if self.random.random() < 0.5:
            self.cut()
        else:
            self.crash()

    def account(self) -> None:
        """End it all; the verifier finds nothing wrong, and each record is what it must be."""
        self.take()
        for _ in range(8):
            if self.camera.state.phase in (Phase.ARMED, Phase.DOCKED):
                break
            if self.camera.state.phase is Phase.STOPPED:
                self.mark_held()
            else:
                self.camera.step(v.ConfirmOver(self.camera.state.hold_ns or 0))
                self.camera.end()
        assert self.camera.state.phase in (Phase.ARMED, Phase.DOCKED), self.log
        self.camera.quit()
        self.check()

    def check(self) -> None:
        verified(self.owner, self.disk)
        told = lines(self.disk)
        modes: dict[tuple[str, int], str] = {}
        stopped: dict[str, str] = {}
        gaps: dict[int, str] = {}
        reasons: set[int] = set()
        ended: set[str] = set()
        for record in told:
            body = record.body
            if record.kind == "recording_started":
                modes[body["recording"], body["part"]] = body["mode"]
            elif record.kind == "fragment" and modes[body["recording"], body["part"]] == "sound_only":
                assert body["frames"] == 0, self.log
            elif record.kind == "still":
                parts = [part for (name, part) in modes if name == body["recording"]]
                assert modes[body["recording"], max(parts)] == "picture_and_sound", self.log
            elif record.kind == "stopped":
                stopped[body["recording"]] = body["ground"]
            elif record.kind == "gap":
                if body["after_part"] != body["before_part"]:
                    gaps[record.seq] = body["recording"]
                    ground = stopped.pop(body["recording"], None)  # stopped in a gap that a cut began: either tells
                    assert body["cause"] == ground or body["cause"] not in PAUSES, (body, self.log)
            elif record.kind == "gap_reason":
                assert body["gap_seq"] in gaps.keys() - reasons, self.log
                reasons.add(body["gap_seq"])
            elif record.kind == "recording_ended":
                ended.add(body["recording"])
        assert {name for name, _ in modes} == ended, self.log
        assert gaps.keys() == reasons, self.log
        unwritten = [f for f in self.camera.faults if "given up" in f[1]]
        assert not unwritten, (unwritten, self.log)


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_random_life_is_accounted_for(owner: Owner, seed: int) -> None:
    life = Life(owner, seed)
    life.live(STEPS)
    life.account()
