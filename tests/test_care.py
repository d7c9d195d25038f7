"""Battery, heat and storage: told when they get worse, once, and once in each recording that they may cut off."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import pytest

from firmware.capture.vocabulary import Event, Warned
from firmware.care import Care
from firmware.hal.ports import Charge, DriverError
from firmware.loop import Loop
from firmware.worker import Worker
from tests.camera_rig import SECOND, BootClock, World
from tests.memory_disk import MemoryDisk

RESERVE = 1 << 20
RATE = 1000.0  # bytes per second: the disk's figures are small


class Gauge:
    def __init__(self) -> None:
        self.charge: Charge | None = Charge(80.0, 3.9, charging=False)

    def read(self) -> Charge:
        if self.charge is None:
            raise DriverError("gauge", "no answer")
        return self.charge

    def describe(self) -> Mapping[str, str]:
        return {"driver": "test", "model": "test"}


class Board:
    def __init__(self) -> None:
        self.hot: float | None = 40.0
        self.hangs: threading.Event | None = None
        self.asked = 0
        self.entered = threading.Event()  # what hangs

    def celsius(self) -> float | None:
        self.asked += 1
        if self.hangs is not None:
            self.entered.set()
            assert self.hangs.wait(20)
        return self.hot

    def card_wear_percent(self) -> float | None:
        return None

    def describe(self) -> Mapping[str, str]:
        return {"driver": "test", "model": "test"}


class Disk(MemoryDisk):
    room = 100 * 3600 * 1000

    def free(self) -> int:
        return self.room + RESERVE


class Stage:
    def __init__(self) -> None:
        self.world = World()
        self.gauge, self.board, self.disk = Gauge(), Board(), Disk()
        self.told: list[tuple[str, str | None]] = []
        self.faults: list[str] = []
        self.recording: str | None = None
        clock = BootClock(self.world)
        self.loop = Loop(clock, lambda item: item(), lambda where, what: self.faults.append(f"{where}: {what}"))
        self.worker = Worker("senses", lambda where, what: self.faults.append(f"{where}: {what}"))
        self.worker.start()
        self.care = Care(
            clock, self.disk, self.gauge, self.board, self.loop, self.worker, self._step,
            lambda where, what: self.faults.append(f"{where}: {what}"), lambda: self.recording,
            reserve_bytes=RESERVE, planned_bytes_per_second=RATE,
        )  # fmt: skip
        self.care.start()
        self.pass_by(0)

    def _step(self, event: Event) -> None:
        assert isinstance(event, Warned)
        self.told.append((event.prompt, event.what))

    def pass_by(self, seconds: float) -> list[tuple[str, str | None]]:
        """Let time pass, a second at a time, and the worker answer; return what was told meanwhile."""
        before = len(self.told)
        for _ in range(max(1, int(seconds))):
            self.world.now_ns += SECOND if seconds else 0
            self.loop.settle()
            done = threading.Event()
            self.worker.do(done.set)
            assert self.board.hangs is not None or done.wait(20)
            self.loop.settle()
        return self.told[before:]


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    if made.board.hangs is not None:
        made.board.hangs.set()
    made.worker.stop()


def test_a_battery_that_runs_down(stage: Stage) -> None:
    assert stage.told == []
    stage.gauge.charge = Charge(15.0, 3.7, charging=False)
    assert stage.pass_by(5) == [("battery_warning", "battery_warning")]
    assert stage.pass_by(60) == []
    stage.gauge.charge = Charge(3.0, 3.4, charging=False)
    assert stage.pass_by(5) == [("battery_low", "battery_low")]
    assert stage.pass_by(60) == []
    stage.recording = "a"  # whose records must tell why it may be cut off
    assert stage.pass_by(5) == [("battery_low", "battery_low")]
    assert stage.pass_by(60) == []
    stage.recording = None
    assert stage.pass_by(60) == [], "the end of a recording is no news of the battery"


def test_a_sag_is_told_within_five_seconds(stage: Stage) -> None:
    stage.gauge.charge = Charge(70.0, 3.2, charging=False)
    assert stage.pass_by(5) == [("battery_low", "battery_low")]


def test_on_the_charger_nothing_is_told(stage: Stage) -> None:
    stage.gauge.charge = Charge(3.0, 3.4, charging=True)
    assert stage.pass_by(20) == []


def test_a_gauge_that_does_not_answer_is_a_fault_and_no_figure(stage: Stage) -> None:
    stage.gauge.charge = None
    stage.pass_by(5)
    assert stage.care.gauge_missing
    assert stage.care.power is None
    assert any("no answer" in fault for fault in stage.faults)
    stage.gauge.charge = Charge(80.0, 3.9, charging=False)
    stage.pass_by(5)
    assert not stage.care.gauge_missing


def test_heat(stage: Stage) -> None:
    stage.board.hot = 77.0
    assert stage.pass_by(5) == [("heat_warning", None)]
    stage.board.hot = 84.0
    assert stage.pass_by(5) == [("heat_warning", "heat")]
    stage.board.hot = 83.0
    assert stage.pass_by(30) == []


def test_storage(stage: Stage) -> None:
    stage.disk.room = 3600 * 1000
    assert stage.pass_by(5) == [("storage_warning", "storage_warning")]
    stage.disk.room = 100 * 1000
    assert stage.pass_by(5) == [("storage_low", "storage_low")]
    assert stage.care.free_bytes() == 100 * 1000 + RESERVE


def test_a_device_that_hangs_is_asked_once(stage: Stage) -> None:
    stage.board.hangs = threading.Event()
    asked = stage.board.asked
    stage.pass_by(60)
    assert stage.board.entered.wait(20)
    stage.pass_by(60)
    assert stage.board.asked == asked + 1
