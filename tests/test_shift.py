"""Nine hours and ten minutes of one recording, on the simulated clock: a run with synthetic packets, not in real time.

The card is small; a dock takes segments over until the sixth hour, and again from half past seven on: it gives out
between. The battery is nearly empty in the end. From the eighth hour on the camera lies on a table for a while.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import itertools
import statistics
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from evidence.records import Record
from evidence.report import Report
from evidence.verify import Verifier
from firmware.hal.ports import Control
from tests.camera_rig import SECOND, Owner, lines
from tests.shift_rig import HOUR, Shift

pytestmark = pytest.mark.long

MINUTE = 60 * SECOND
END = 9 + 10 / 60
CAPACITY = 200 << 20
ROOM_AT = 7.5  # hours: receipts come again
STILL = (8.0, 8.6)
DRAW = 10.5  # percent an hour: low (20 %) at 7.62, critical (5 %) at 9.05


@dataclass
class Run:
    """What was said and recorded, and what the process's memory was at each hour."""

    shift: Shift
    records: list[Record]
    report: Report
    memory: dict[float, int]

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.records if record.kind == kind]

    def said(self, from_hours: float = 0, to_hours: float = END) -> list[str]:
        return [key for at, key in self.shift.said if from_hours <= at < to_hours]


@pytest.fixture(scope="module")
def run() -> Run:
    owner = Owner()
    shift = Shift(owner, CAPACITY, DRAW)
    memory: dict[float, int] = {}
    shift.at(10 / 3600, lambda: shift.press(Control.RECORD_PRESSED))
    shift.every(1 / 3, lambda: shift.receive(keep=5), until=6)
    shift.every(1 / 6, lambda: mark(shift), until=9)
    shift.every(0.25, lambda: memory.update({shift.now: own_memory(shift)}), until=9)
    for number in range(5):
        shift.at(ROOM_AT + number / 3, shift.receive)
    shift.when_said["ask_reason"] = lambda: answer(shift)
    for hours, lively in ((STILL[0], False), (STILL[1], True)):
        shift.at(hours, lambda lively=lively: setattr(shift, "lively", lively))  # type: ignore[misc]
    for seconds in (20, 18):
        shift.at(END - seconds / 3600, lambda: shift.press(Control.RECORD_HELD))
    # The disk in memory gives back at once what it frees, or nobody could tell its holes from a leak (malloc's
    # M_MMAP_THRESHOLD).
    ctypes.CDLL(None).mallopt(-3, 256 << 10)
    shift.begin()
    shift.run_until(END)
    shift.end()
    report = Verifier(shift.disk, [owner.agency.root.certificate], owner.identity).run()
    return Run(shift, lines(shift.disk), report, memory)


def mark(shift: Shift) -> None:
    """Who has forgotten the camera marks nothing."""
    if shift.lively:
        shift.press(Control.MARK_PRESSED)


def answer(shift: Shift) -> None:
    """The officer holds the marker button while speaking."""
    shift.press(Control.MARK_PRESSED)
    shift.at(shift.now + 3 / 3600, lambda: shift.press(Control.MARK_RELEASED))


def own_memory(shift: Shift) -> int:
    """Resident bytes, less the disk that is in memory here."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    return resident - sum(sys.getsizeof(file.content) for file in shift.disk.files.values())


def test_the_evidence_holds(run: Run) -> None:
    assert run.report.ok, run.report.findings[:5]
    (recording,) = run.report.account.recordings.values()
    assert recording.ended is not None
    assert len(recording.parts) == 2
    assert run.records[-1].kind == "shutdown"
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("writer", "speaker", "notice")]


def test_every_minute_has_its_heartbeat(run: Run) -> None:
    beats = [record.clock.boot_ns for record in run.of("heartbeat")]
    assert beats == [minute * MINUTE for minute in range(1, len(beats) + 1)]
    assert len(beats) == 549, "the shift ends with the 550th minute"


def test_the_journal_goes_on_in_a_second_file(run: Run) -> None:
    disk = run.shift.disk
    sizes = [disk.size(f"journal/{name}") for name in disk.list("journal")]
    assert len(sizes) == 2
    assert 15 << 20 < sizes[0] <= 16 << 20
    (summary,) = run.of("summary")
    assert summary.body["file"] == 1
    assert [record.seq for record in run.records] == list(range(len(run.records)))


def test_segments_are_given_up_for_room_and_none_without_a_receipt(run: Run) -> None:
    received: set[str] = set()
    for record in run.records:
        if record.kind == "receipt":
            received.add(hashlib.sha256(record.body["receipt"].encode()).hexdigest())
        elif record.kind == "released":
            assert record.body["receipt_sha256"] in received
    assert len(run.of("released")) > 200
    held = Counter(verdict.verdict for verdict in run.report.segments.values())
    assert held.keys() <= {"intact", "released", "truncated"}
    cut = [record for record in run.of("segment") if not record.body["closed"]]
    assert len(cut) == 1, "where the card gave out"


def test_a_full_card_stops_loudly_and_goes_on_when_there_is_room(run: Run) -> None:
    (gap,) = run.of("gap")
    assert gap.body["cause"] == "storage_full"
    assert gap.body["min_ms"] == gap.body["max_ms"]
    assert ROOM_AT * HOUR <= gap.body["first_ns"] < (ROOM_AT + 1 / 60) * HOUR
    stopped = gap.body["last_ns"] / HOUR
    assert 6.5 < stopped < ROOM_AT
    loud = run.said(stopped, stopped + 1 / 60)
    assert {"storage_low", "cannot_continue"} <= set(loud), loud
    assert "storage_full" in {record.body["what"] for record in run.of("alert")}
    after = [key for key in run.said(ROOM_AT, ROOM_AT + 2 / 60) if key in ("notice", "ask_reason", "reason_kept")]
    assert after == ["notice", "ask_reason", "reason_kept"]
    (reason,) = run.of("gap_reason")
    assert reason.body["basis"] == "button_held"


def test_a_falling_battery_is_told_once_when_low_and_once_when_critical(run: Run) -> None:
    for what, percent in (("battery_warning", 20), ("battery_low", 5)):
        (alert,) = [record for record in run.of("alert") if record.body["what"] == what]
        assert alert.clock.boot_ns / HOUR == pytest.approx((100 - percent) / DRAW, abs=1 / 60)
        assert alert.body["recording"], "recording goes on"
    assert run.said().count("battery_warning") == run.said().count("battery_low") == 1
    figures = [record.body["figures"] for record in run.of("heartbeat")]
    percents = [told["battery_percent"] for told in figures]
    assert percents == sorted(percents, reverse=True)
    left = [(told["battery_percent"] - 5) / DRAW * 60 - told["battery_minutes"] for told in figures[30:]]
    assert max(map(abs, left)) < 10, "minutes, as predicted from the draw that was seen"


def test_a_forgotten_camera_and_nine_hours_are_told(run: Run) -> None:
    keys = ("forgotten_stop", "shift_long", "not_recording", "hand_in_overdue")
    told = [(at, key) for at, key in run.shift.said if key in keys]
    assert [key for _, key in told] == ["forgotten_stop", "forgotten_stop", "shift_long"]
    for (at, _), wanted in zip(told, (STILL[0] + 20 / 60, STILL[0] + 30 / 60, 9 + 10 / 3600), strict=True):
        assert wanted <= at <= wanted + 3 / 60


def test_each_part_begins_with_the_notice_and_the_microphone_heard_it(run: Run) -> None:
    notices = run.of("notice")
    assert [(notice.body["attempt"], notice.body["heard"]) for notice in notices] == [(1, True), (1, True)]


def test_nothing_is_lost_but_the_gap(run: Run) -> None:
    fragments = run.of("fragment")
    for before, after in itertools.pairwise(sorted(fragments, key=lambda record: record.body["from_ns"])):
        same_part = before.body["part"] == after.body["part"]
        assert not same_part or before.body["to_ns"] == after.body["from_ns"]
    (gap,) = run.of("gap")
    first = min(fragment.body["from_ns"] for fragment in fragments)
    last = max(fragment.body["to_ns"] for fragment in fragments)
    recorded = last - first - (gap.body["first_ns"] - gap.body["last_ns"])
    assert sum(fragment.body["frames"] for fragment in fragments) == recorded // (SECOND // 2)
    assert sum(fragment.body["drops"] for fragment in fragments) == 0


def test_memory_is_flat(run: Run) -> None:
    """From the second hour on, when the card was full for the first time."""
    early = statistics.median(memory for hours, memory in run.memory.items() if 1.5 < hours < 4)
    late = statistics.median(memory for hours, memory in run.memory.items() if hours > 6.5)
    assert late - early < 12 << 20, {hours: memory >> 20 for hours, memory in run.memory.items()}
