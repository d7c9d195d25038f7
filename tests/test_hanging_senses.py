"""What hangs or fails in a way that no port promises: battery, board, still, a marker button that never comes up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from firmware.capture import recorder
from firmware.capture import vocabulary as v
from firmware.capture.state import Asking, Phase, State
from firmware.care import Care
from firmware.hal.ports import Charge, Still
from firmware.loop import Loop
from firmware.worker import Worker
from tests.camera_rig import SECOND, BootClock, Owner, World
from tests.memory_disk import MemoryDisk
from tests.runner_rig import Board, Rig


@dataclass
class Gauge:
    does: Callable[[], Charge] = lambda: Charge(80.0, 3.9, charging=False)

    def read(self) -> Charge:
        return self.does()

    def describe(self) -> dict[str, str]:
        return {"driver": "test", "model": "test"}


@dataclass
class Cared:
    world: World = field(default_factory=World)
    gauge: Gauge = field(default_factory=Gauge)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock = BootClock(self.world)
        self.loop = Loop(clock, lambda item: item(), lambda *fault: self.faults.append(fault))
        self.worker = Worker("senses", lambda *fault: self.faults.append(fault))
        self.worker.start()
        self.care = Care(
            clock, MemoryDisk(), self.gauge, Board(), self.loop, self.worker, lambda _event: None,
            lambda *fault: self.faults.append(fault), lambda: None, reserve_bytes=1, planned_bytes_per_second=1.0,
        )  # fmt: skip
        self.care.start()

    def pass_time(self, seconds: int, *, hangs: bool = False) -> None:
        for _ in range(seconds):
            self.world.now_ns += SECOND
            self.loop.settle()
            if not hangs:
                done = threading.Event()
                self.worker.do(done.set)
                assert done.wait(5)
                self.loop.settle()


def fail() -> Charge:
    raise RuntimeError("a library's own idea of a failure")


def test_a_gauge_that_fails_in_its_own_way_does_not_end_the_care() -> None:
    cared = Cared()
    cared.gauge.does = fail
    cared.pass_time(5)
    assert cared.care.gauge_missing
    assert cared.care.storage is not None
    assert any("RuntimeError" in what for _, what in cared.faults)
    cared.gauge.does = lambda: Charge(70.0, 3.9, charging=False)
    cared.pass_time(5)
    assert not cared.care.gauge_missing
    assert cared.care.power is not None
    cared.worker.stop()


@pytest.mark.parametrize(
    "charge", [Charge(float("nan"), 3.9, None), Charge(50.0, float("inf"), None), Charge(1e30, 4, None)]
)
def test_a_gauge_that_tells_what_cannot_be_does_not_answer(charge: Charge) -> None:
    cared = Cared()
    cared.gauge.does = lambda: charge
    cared.pass_time(5)
    assert cared.care.gauge_missing
    assert cared.care.power is None
    cared.care.figures()
    cared.worker.stop()


def test_a_gauge_that_hangs_is_told_once_and_its_last_word_does_not_stay() -> None:
    cared = Cared()
    cared.pass_time(5)
    assert cared.care.power is not None
    hung = threading.Event()

    def hang() -> Charge:
        hung.wait(30)
        return Charge(70.0, 3.9, charging=False)

    cared.gauge.does = hang
    cared.pass_time(60, hangs=True)
    assert cared.care.power is None
    assert cared.care.gauge_missing
    assert len(cared.faults) == 1
    hung.set()
    cared.pass_time(5)
    assert not cared.care.gauge_missing
    cared.worker.stop()


def test_an_answer_whose_button_never_comes_up_ends() -> None:
    state = State(phase=Phase.RECORDING, asking=Asking.REASON, attempt=1, gaps=(7,), answer_ns=10 * SECOND)
    kept: list[v.KeepReason] = []
    until = 10 * SECOND
    for _ in range(100):
        state, _ = recorder.step(state, v.Said("ask_reason", until, until)) if not kept else (state, [])
        if state.awaited_ns is None:
            break
        until += 8 * SECOND
        state, commands = recorder.step(state, v.AnswerOver(spoke=True, from_ns=state.awaited_ns, to_ns=until))
        kept += [command for command in commands if isinstance(command, v.KeepReason)]
    (reason,) = kept
    assert reason.basis == "button_held"
    assert reason.to_ns - reason.from_ns <= 90 * SECOND
    assert state.asking is Asking.NOTHING


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


@pytest.fixture
def rig(owner: Owner) -> Iterator[Rig]:
    made = Rig(owner)
    made.start()
    yield made
    if made.thread.is_alive():
        made.stop()


def test_a_thousand_marks_on_a_camera_that_gives_no_still_wait_for_few(rig: Rig) -> None:
    asked: list[int] = []
    go = threading.Event()

    def still() -> Still:
        asked.append(1)
        go.wait(20)
        return Still(b"\xff\xd8\xff\xd9", rig.clock.boot_ns())

    rig.video.still = still  # type: ignore[method-assign]
    rig.runner.post(v.RecordPressed(rig.clock.boot_ns()))
    rig.see(20)
    for _ in range(1000):
        rig.runner._loop.put(lambda: rig.runner._mark(rig.clock.boot_ns(), still=True))
    rig.wait(lambda: bool(asked))
    rig.wait(rig.runner._loop._queue.empty)
    go.set()
    records = rig.stop()
    assert len(asked) <= 4
    assert len([r for r in records if r.kind == "marker"]) == 1000
    assert any(r.kind == "fault" and r.body["where"] == "still" for r in records)
