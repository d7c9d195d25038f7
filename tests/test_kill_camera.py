"""The camera's program killed (SIGKILL) at each change of its state, by the card under it; started again it converges.

The whole program over simulated hardware, in real time; the power stays on, so its boot clock runs on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from evidence import pki
from evidence.report import Report
from evidence.verify import Verifier
from hw_sim import control, forgetful_fs
from hw_sim import world as worlds
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import DemoError, Program, await_room
from runtime.disk import PosixDisk
from runtime.folder import DiskFolder
from tests import invariants
from tests.card_rig import lines

pytestmark = [
    pytest.mark.sound,
    pytest.mark.net,
    pytest.mark.fuse,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse; run: modprobe fuse"),
]
PATIENCE = 40.0
SETTINGS = {
    "officer": "000123", "officer_name": "张三", "unit": "执法大队", "activity": "inspection", "segment_seconds": 3,
    "pre_event_seconds": 2, "answer_seconds": 2, "release_after_seconds": 0,
}  # fmt: skip
Moment = Mapping[str, Any]


def told(kind: str, kill: str = "after") -> Moment:
    """When a record of that kind is written; it is not durable yet."""
    return {"op": "write", "match": "/journal/*", "record": kind, "kill": kill, "count": 1}


def at(op: str, match: str = "/segments/*", kill: str = "after", **more: Any) -> Moment:
    return {"op": op, "match": match, "kill": kill, "count": 1, **more}


class Killed:
    """A camera over a card that kills it, with dock and office to hand in to."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        world = stages.make_world("drawn", "silence", muted=False, snr_db=None, ppm=0.0, card_bytes=None)
        self.stage = stages.build(folder / "stage", world, SETTINGS)
        self._stack = stack
        worlds.power_on(self.stage.world)
        sound = self._start("room", ["sim", "room", str(self.stage.world)])
        await_room(self.stage.world, sound, PATIENCE)
        self.card = stack.enter_context(forgetful_fs.mount(self.stage.card, self.stage.mounted_card))
        self.kills = 0
        self.snapshots: list[invariants.Snapshot] = []

    def _start(self, name: str, arguments: list[str]) -> Program:
        program = Program(name, arguments, self.stage.logs, {})
        program.alerts_end_it = False
        self._stack.callback(program.stop)
        return program

    def boot(self) -> Program:
        (self.stage.world / "control.sock").unlink(missing_ok=True)
        return self._start(f"camera-{self.kills}", self.stage.camera_program)

    def at(self, moment: Moment, provoke: Callable[[Program], object] = lambda _: None, *, ready: bool = True) -> None:
        """Start it, provoke what it is killed at. `ready`: the card turns on it only when it runs."""
        self.snapshots.append(invariants.snapshot(self.stage.mounted_card))
        if not ready:
            self.card.set_rules(moment)
        camera = self.boot()
        if ready:
            camera.message("phase", PATIENCE)
            self.card.set_rules(moment)
        else:
            with suppress(DemoError):  # killed while it starts
                camera.message("phase", PATIENCE)
        provoke(camera)
        deadline = time.monotonic() + PATIENCE
        while camera.running:
            assert time.monotonic() < deadline, f"nothing of the kind happened: {moment}"
            time.sleep(0.02)
        assert camera.status == -SIGKILL, (moment, camera.last_words())
        self.card.set_rules()
        self.kills += 1

    def press(self, camera: Program) -> None:
        """Begin a recording, unless one goes on."""
        del camera
        self.order("press", pin=stages.RECORD_PIN, seconds=0.1)

    def mark(self, camera: Program) -> None:
        del camera
        self.order("press", pin=stages.MARK_PIN, seconds=0.1)

    def dock(self, camera: Program) -> None:
        del camera
        self.order("pin", pin=stages.DOCK_PIN, level=0)

    @staticmethod
    def stop(camera: Program) -> None:
        camera.ask_to_stop()

    def press_and_stop(self, camera: Program) -> None:
        """Begin a recording and end it once it has a picture: before, there is none."""
        self.press(camera)
        camera.message("say", PATIENCE, prompt="notice")
        self.stop(camera)

    def order(self, do: str, **what: Any) -> None:
        with suppress(control.ControlError):  # killed before it could answer
            control.ask(self.stage.world / "control.sock", {"do": do, **what})

    def verified(self, folder: Path) -> Report:
        roots = pki.parse_certificates(self.stage.root_certificate.read_bytes())
        keys = (self.stage.office / "keys" / "office.age").read_text().splitlines()
        return Verifier(DiskFolder(folder), roots, next(line for line in keys if line.startswith("AGE-"))).run()

    def check(self) -> Report:
        """What is on the card has no finding, nothing that lay there was changed, and each crash is told as one."""
        report = self.verified(self.stage.mounted_card)
        invariants.no_finding(report)
        invariants.books_are_closed(report)
        now = invariants.snapshot(self.stage.mounted_card)
        released = [
            f"segments/{record.body['recording']}/{record.body['segment']:05d}.mp4.age"
            for record in lines(PosixDisk(self.stage.mounted_card)) if record.kind == "released"
        ]  # fmt: skip
        for before in self.snapshots:
            invariants.nothing_changed(before, now, released)
        for recording in report.account.recordings.values():
            for gap in recording.gaps:
                assert gap.body["cause"] == "crash"
                if gap.body["before_part"] is not None:  # else the recording ended in it
                    assert gap.body["min_ms"] == gap.body["max_ms"]
        return report


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    with ExitStack() as stack:
        yield Killed(tmp_path, stack)


def test_killed_at_each_change_of_a_recording(killed: Killed) -> None:
    for moment in (at("create", "/journal/*"), told("boot", "before"), told("boot"), told("assigned")):
        killed.at(moment, ready=False)
    killed.at(told("recording_started", "before"), killed.press)
    for moment in (told("recording_started"), at("mkdir"), at("create"), at("write"), at("fsync", kill="before")):
        killed.at(moment, killed.press)
    for moment in (at("fsync"), told("fragment", "before"), told("fragment"), at("fsync", "/journal/*", skip=3)):
        killed.at(moment, killed.press)
    for moment in (told("gap", "before"), told("gap"), at("fsync", "/journal/*", skip=4)):
        killed.at(moment, ready=False)
    killed.at(told("marker"), killed.mark)
    for moment in (told("segment", "before"), told("segment"), told("notice")):
        killed.at(moment)
    killed.at(told("gap_reason", "before"), killed.stop)
    # The gap that the recording ends in may be told already: then a start ends it by itself (R4).
    for moment in (told("gap_reason"), told("recording_ended", "before"), told("recording_ended")):
        killed.at(moment, killed.stop, ready=False)
    killed.at(told("recording_ended", "before"), killed.press_and_stop)
    killed.at(told("recording_ended"), killed.stop)  # it goes on: no gap was told
    killed.at(told("shutdown", "before"), killed.stop)
    killed.at(told("shutdown"), killed.stop)
    camera = killed.boot()
    camera.message("phase", PATIENCE)
    assert camera.stop() == 0
    report = killed.check()
    assert len(report.account.recordings) <= 3
    assert sum(len(recording.gaps) for recording in report.account.recordings.values()) >= 12


def test_killed_at_each_change_of_a_hand_in(killed: Killed) -> None:
    killed.at(at("write", "/certs/*", "before"), ready=False)
    camera = killed.boot()
    camera.message("phase", PATIENCE)
    killed.press(camera)
    camera.message("phase", PATIENCE, phase="recording")
    time.sleep(20)  # six segments: each kill hands in one of them
    assert camera.stop() == 0
    stage = killed.stage
    for name in ("office", "dock"):
        config = getattr(stage, name) / f"{name}.toml"
        killed._start(name, [name, "run", "--config", str(config)]).message("ready", PATIENCE)
    for moment in (
        told("docked"), told("receipt", "before"), told("receipt"), told("released", "before"), told("released"),
        at("unlink", kill="before"), at("unlink"), at("fsyncdir"),
    ):  # fmt: skip
        killed.at(moment, killed.dock)
    camera = killed.boot()
    camera.message("phase", PATIENCE)
    killed.dock(camera)
    camera.message("say", PATIENCE, prompt="handed_in")
    assert camera.stop() == 0
    report = killed.check()
    assert Counter(str(verdict.verdict) for verdict in report.segments.values()).keys() == {"released"}
    held = killed.verified(stage.office / "data" / "store" / stages.CAMERA)
    for key in report.segments:
        assert str(held.segments[key].verdict) in ("intact", "truncated")
