"""The runner with its threads: whatever fails beneath it, it goes on, tells the journal, and stops clean.

The drivers are replaced at their ports, since the faults wanted here are of no simulated library; time is real.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from evidence import sealed
from evidence.records import ACTIVITIES, GROUNDS, Record
from firmware import runner
from firmware.capture import panel, parts, recorder, talk
from firmware.capture import vocabulary as v
from firmware.capture.state import Phase
from firmware.dock_port import DockPort
from firmware.hal.ports import Control, DriverError, Frame, Lamps, SoundBlock, SourceFault
from firmware.voice.prompts import load
from tests.camera_rig import Owner, lines
from tests.runner_rig import Loudspeaker, Rig

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def owner() -> Owner:
    return Owner()


@pytest.fixture
def rig(owner: Owner) -> Iterator[Rig]:
    rig = Rig(owner)
    yield rig
    if rig.thread.is_alive():
        rig.runner.post(v.Quit())
        rig.thread.join(20)


def of(records: list[Record], kind: str) -> list[Mapping[str, Any]]:
    return [record.body for record in records if record.kind == kind]


def record(rig: Rig) -> None:
    rig.see(3)
    rig.panel.press(Control.RECORD_PRESSED, rig.clock.boot_ns())
    rig.see(7)
    rig.wait(lambda: bool(of(lines(rig.disk), "fragment")))


def test_a_recording_through_all_threads(rig: Rig) -> None:
    rig.start()
    record(rig)
    for _ in range(2):
        rig.panel.press(Control.RECORD_HELD, rig.clock.boot_ns())
    rig.wait(lambda: rig.phase() is Phase.ARMED)
    told = rig.stop()
    assert [r.kind for r in told if r.kind.startswith("recording")] == ["recording_started", "recording_ended"]
    assert told[-1].kind == "shutdown"
    (assigned,) = of(told, "assigned")
    assert sealed.open_sealed("assigned", assigned, rig.owner.identity)["officer_number"] == "000042"
    assert rig.video.stopped == 1


@pytest.mark.parametrize("error", [DriverError("test", "no loudspeaker"), ValueError("a bug in a driver")])
def test_a_dead_loudspeaker_does_not_end_the_dialogue(rig: Rig, error: Exception) -> None:
    rig.loudspeaker.broken = error
    rig.start()
    record(rig)
    rig.wait(lambda: rig.runner._state.awaited_ns is not None)  # the notice was "said", and is looked for
    rig.wait(lambda: any(fault["where"] == "speaker" for fault in of(lines(rig.disk), "fault")))  # told just after it
    rig.stop()


def test_an_exception_in_the_loop_or_in_a_timer_ends_nothing(rig: Rig) -> None:
    rig.start()

    def burst() -> None:
        raise KeyError("a bug")

    rig.runner._loop.put(burst)
    rig.runner._loop.put(lambda: rig.runner._loop.after(0, burst))
    rig.panel.broken = True
    record(rig)
    rig.panel.broken = False
    faults = [fault["what"] for fault in of(rig.stop(), "fault")]
    assert any("function: KeyError" in what for what in faults)
    assert any("timer: KeyError" in what for what in faults)
    assert any("Show: OSError" in what for what in faults)


def test_a_frame_that_cannot_be_parsed_costs_that_frame(rig: Rig) -> None:
    rig.start()
    record(rig)
    for _ in range(20):
        rig.video.put(Frame(b"rubbish", rig.clock.boot_ns(), keyframe=False))
    rig.see(4)
    told = rig.stop()
    assert sum(body["frames"] for body in of(told, "fragment")) == rig.frames
    assert len([f for f in of(told, "fault") if "h264" in f["what"] or "picture" in f["what"]]) == 1, "told once"


def test_no_camera_at_the_start_and_sound_is_recorded(rig: Rig) -> None:
    rig.video.broken = DriverError("picamera2", "no camera number 0; check its cable")
    rig.start()
    rig.wait(lambda: not rig.runner._state.picture)
    rig.panel.press(Control.RECORD_PRESSED, rig.clock.boot_ns())
    rig.wait(lambda: rig.phase() is Phase.DEGRADED)
    begun = rig.clock.boot_ns()
    for number in range(80):
        rig.microphone.put(SoundBlock(bytes(4_800), begun + number * 50_000_000))
    rig.wait(lambda: bool(of(lines(rig.disk), "fragment")))
    assert rig.panel.lamps.yellow == "on"
    told = rig.stop()
    assert any("check its cable" in fault["what"] for fault in of(told, "fault"))
    assert sum(body["samples"] for body in of(told, "fragment")) == 80 * 2_400


def test_each_driver_fault_is_in_the_journal(rig: Rig) -> None:
    rig.start()
    record(rig)
    rig.video.fault(SourceFault("overlay_failed", "ValueError: x"))
    rig.video.fault(SourceFault("camera_stall", "nothing for a second"))
    rig.microphone.fault(SourceFault("microphone_lost", "no callback"))
    rig.wait(lambda: rig.phase() is Phase.INTERRUPTED)
    rig.frames = 20
    rig.see(2)
    rig.wait(lambda: rig.phase() is Phase.DEGRADED)
    told = rig.stop()
    wheres = [fault["where"] for fault in of(told, "fault")]
    assert [w for w in wheres if w in ("overlay_failed", "camera_stall", "microphone_lost")] == [
        "overlay_failed", "camera_stall", "microphone_lost",
    ]  # fmt: skip
    (gap,) = of(told, "gap")
    assert gap["cause"] == "microphone_lost"


def test_a_disk_that_refuses_everything_for_a_while_makes_no_storm(rig: Rig) -> None:
    """A fault is a record too: while records are refused, telling so must not make more of them."""
    rig.start()
    record(rig)
    refused = []

    def before(_: int, operation: str) -> None:
        if not operation.startswith("read"):
            refused.append(operation)
            raise OSError(5, "Input/output error")

    rig.disk.before = before
    rig.panel.press(Control.MARK_PRESSED, rig.clock.boot_ns())
    rig.wait(lambda: bool(refused))
    rig.see(3)
    for _ in range(100):  # turns of the loop, in each of which a storm would have grown
        turned = threading.Event()
        rig.runner._loop.put(turned.set)
        assert turned.wait(10)
    assert len(refused) < 40
    rig.disk.before = lambda _number, _operation: None
    told = rig.stop()
    assert len(of(told, "marker")) == 1
    assert of(told, "recording_ended")


def test_a_disk_too_slow_for_sound_alone_is_an_interruption(rig: Rig) -> None:
    rig.video.broken = DriverError("picamera2", "no camera number 0; check its cable")
    rig.start()
    rig.wait(lambda: not rig.runner._state.picture)
    rig.panel.press(Control.RECORD_PRESSED, rig.clock.boot_ns())
    rig.wait(lambda: rig.phase() is Phase.DEGRADED)
    quick = threading.Event()

    def before(_: int, operation: str) -> None:
        if "segments" in operation:
            assert quick.wait(20)

    rig.disk.before = before
    begun = rig.clock.boot_ns()
    for number in range(300):
        rig.microphone.put(SoundBlock(bytes(4_800), begun + number * 50_000_000))
    rig.wait(lambda: rig.phase() is Phase.INTERRUPTED)
    quick.set()
    told = rig.stop()
    assert [alert["what"] for alert in of(told, "alert")] == ["slow_storage"]
    samples = sum(body["samples"] for body in of(told, "fragment"))
    assert 10 * 48_000 <= samples < 14 * 48_000, "what waits is kept, and bounded"


def test_the_first_refusal_after_power_on_is_tried_again_at_once(rig: Rig) -> None:
    rig.start()
    record(rig)
    rig.runner.post(v.StorageFailed("storage_failing"))
    rig.wait(lambda: rig.phase() is Phase.INTERRUPTED)
    began = time.monotonic()
    rig.wait(lambda: rig.phase() is not Phase.INTERRUPTED)
    assert time.monotonic() - began < 3.5  # 2 s for the first, 4 s for one that comes again
    rig.stop()


class _LateAddress(DockPort):
    """The dock link gets its address a moment after the contact has closed."""

    def __init__(self) -> None:
        self.tries = 0
        self.open = threading.Event()
        self._wanted = ("192.0.2.1", 8443)
        self._server = None
        self._thread = None

    def start(self) -> None:
        self.tries += 1
        if self.tries < 3:
            raise OSError(99, "Cannot assign requested address")
        self.open.set()


def test_the_dock_port_opens_when_its_link_is_there(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware.docking._AGAIN_SECONDS", 0.01)
    port = _LateAddress()
    rig = Rig(owner, port)
    rig.start()
    rig.panel.press(Control.DOCKED, rig.clock.boot_ns())
    assert port.open.wait(10)
    told = rig.stop()
    assert port.tries == 3
    assert len([f for f in of(told, "fault") if f["where"] == "dock port"]) == 1
    assert [body["docked"] for body in of(told, "docked")] == [True, False]


def test_what_cannot_be_stopped_does_not_keep_the_rest_running(rig: Rig) -> None:
    rig.start()
    record(rig)
    rig.video.broken = RuntimeError("it hangs")
    assert rig.stop()[-1].kind == "shutdown"
    assert rig.microphone.stopped == 1


def test_a_camera_that_hangs_as_it_is_stopped_does_not_keep_the_rest_running(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_good = threading.Event()
    monkeypatch.setattr("firmware.worker._PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(rig.video, "stop", for_good.wait)
    rig.start()
    record(rig)
    assert rig.stop()[-1].kind == "shutdown"
    assert rig.microphone.stopped == 1
    for_good.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_no_thread_dies_silently(rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # put back what the runner replaces

    def die() -> None:
        raise KeyError("frame")

    rig.start()
    dying = threading.Thread(target=die, name="library")
    dying.start()
    dying.join()
    told = [(fault["where"], fault["what"]) for fault in of(rig.stop(), "fault")]
    assert ("thread", "library: KeyError: 'frame'") in told
    assert "thread died" in caplog.text


def test_the_cameras_own_voice_is_no_sound_around_it(owner: Owner) -> None:
    class Slow(Loudspeaker):
        """Plays until it is told to end."""

        def __init__(self) -> None:
            super().__init__()
            self.go_on = threading.Event()

        def play(self, pcm: bytes, rate: int) -> None:
            super().play(pcm, rate)
            self.go_on.wait(10)

    loudspeaker = Slow()
    rig = Rig(owner, loudspeaker=loudspeaker)
    around, loud = rig.runner._watch._surroundings, SoundBlock(b"\x00\x40" * 2_400, rig.clock.boot_ns())
    rig.start()
    rig.speaker.say(rig.prompts["lens_blocked"])
    loudspeaker.said.get(timeout=10)
    rig.microphone.put(loud)
    taken = threading.Event()
    rig.runner._loop.put(taken.set)
    assert taken.wait(10)
    while_speaking = around.loudness_dbfs(rig.clock.boot_ns())
    loudspeaker.go_on.set()
    rig.wait(lambda: rig.speaker.speaking_since_ns is None)
    rig.microphone.put(loud)
    rig.wait(lambda: around.loudness_dbfs(rig.clock.boot_ns()) is not None)
    rig.stop()
    assert while_speaking is None


def test_every_prompt_that_the_recorder_says_is_there() -> None:
    modules = (recorder, panel, parts, talk)
    sources = [Path(module.__file__ or "").read_text("utf-8") for module in modules]
    said = {match for source in sources for match in re.findall(r'Say\((?:.*? else )?"([a-z_]+)"', source)}
    said |= {f"ground_{ground}" for ground in GROUNDS} | {f"activity_{kind}" for kind in ACTIVITIES}
    said |= {"reason_missing", "reason_kept", "camera_fault", "microphone_fault", "self_check_passed", "quiet_on"}
    said |= {"choose_activity", "key_fault", "storage_low", "clock_untrusted"}
    assert len(said) > 35
    assert said <= load().keys()


def test_it_blinks_and_buzzes_to_be_found_and_never_in_red_while_it_records(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_FIND_TIMES", 3)
    monkeypatch.setattr(runner, "_FIND_SECONDS", 0.1)
    shown: list[Lamps] = []
    show = rig.panel.show

    def see(lamps: Lamps) -> None:
        shown.append(lamps)
        show(lamps)

    monkeypatch.setattr(rig.panel, "show", see)
    rig.start()
    before, all_of_them = rig.panel.lamps, Lamps("blinking", "blinking", "blinking")

    def find() -> None:
        rig.panel.buzzes.clear()
        rig.runner.find()
        rig.wait(lambda: rig.panel.buzzes.count(runner._BUZZ_SECONDS) == 3)
        rig.wait(lambda: shown[-1] != all_of_them)

    find()
    assert shown.count(all_of_them) == 3
    assert rig.panel.lamps == before
    record(rig)
    find()
    assert shown.count(all_of_them) == 3
    assert rig.panel.lamps.red != "off"
    rig.stop()
