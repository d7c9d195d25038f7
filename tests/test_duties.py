"""Deadlines out of what the office holds: its ledger of issues and the cameras' own journals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from evidence import records, shape
from evidence.documents import Receipt
from office.archive import Archive
from office.config import OfficeConfig
from office.deadlines import Deadline, State, end_of_day
from office.desk import messages
from office.duties import deadlines, describe, table
from office.errors import OfficeError
from runtime.config import ConfigError, load
from tests.agency import Agency
from tests.builders import RECIPIENTS
from tests.footage import Camera
from tests.office_kit import OfficeKit

COUNTY = ZoneInfo("Asia/Shanghai")
HOUR = timedelta(hours=1)


class Unit:
    """An office whose catalogue is filled by hand, and one camera. Times are hours before now."""

    def __init__(self, folder: Path, agency: Agency, database: str | None) -> None:
        self.kit = OfficeKit(folder, agency, database=database)
        self.now = datetime.now(UTC)
        self.archive = Archive(load(self.kit.config, OfficeConfig))
        self.camera = Camera(agency, RECIPIENTS)
        self.taken = 0

    @property
    def device(self) -> str:
        return self.camera.device

    def at(self, hours: float) -> datetime:
        return self.now - hours * HOUR

    def clock(self, hours: float) -> None:
        """Set the camera's claim of the time."""
        self.camera.utc_ms = int(self.at(hours).timestamp() * 1000) - self.camera.now_ns // 1_000_000

    def tell(self, hours: float, kind: str, **body: Any) -> None:
        self.clock(hours)
        self.camera.line(kind, **body)

    def beat(self, hours: float) -> None:
        self.tell(hours, "heartbeat", free_bytes=1, figures={})

    def hand_in(self) -> None:
        """Let the office take in what the camera has recorded since."""
        lines = [line for file in self.camera.journal for line in file.splitlines()][self.taken :]
        self.taken += len(lines)
        self.archive.catalogue.add_records(self.device, [(records.parse(line), True) for line in lines], "DOCK-1")

    def record(self, hours: float, *, ended: bool = True) -> str:
        """A recording of one segment that ended then."""
        self.clock(hours)
        recording = self.camera.start()
        self.camera.noise(recording, 0, 10)
        if ended:
            self.camera.end(recording, 1, 1)
        return recording

    def receive(self, recording: str, hours: float) -> None:
        received = shape.utc_text(int(self.at(hours).timestamp() * 1000))
        self.archive.catalogue.add_receipt(
            Receipt("OFFICE-1", self.device, recording, 0, "0" * 64, 10, received, received, 0)
        )

    def issue(self, begin: float, end: float, **more: Any) -> None:
        self.archive.ledger.issue(self.device, "012345", self.at(end), "keeper", at=self.at(begin), **more)

    def found(self, at: datetime | None = None, *, done: bool = False) -> list[Deadline]:
        since = self.at(1000) if done else None
        return deadlines(self.archive.catalogue, at or self.now, COUNTY, 4 * HOUR, done_since=since)

    def states(self, at: datetime | None = None, *, done: bool = False) -> list[State]:
        return [one.state for one in self.found(at, done=done)]


@pytest.fixture
def unit(tmp_path: Path, agency: Agency, database: str | None) -> Iterator[Unit]:
    unit = Unit(tmp_path, agency, database)
    yield unit
    with contextlib.suppress(Exception):
        unit.archive.close()


def near(one: datetime | None, other: datetime) -> bool:
    return one is not None and abs(one - other) < timedelta(seconds=2)


def test_a_camera_that_never_docks_is_seen_by_the_ledger(unit: Unit) -> None:
    unit.issue(9, 1, dock="DOCK-7")
    (one,) = unit.found()
    assert (one.duty.recording, one.duty.officer, one.duty.dock) == (None, "012345", "DOCK-7")
    assert one.due == end_of_day(unit.at(1), COUNTY)
    assert unit.states(one.due) == [State.OVERDUE]
    assert unit.states(one.due - 4 * HOUR) == [State.WARNING]
    assert {topic.rpartition("/deadline/")[0] for topic in messages(unit.found())} == {
        "bodycam/v1", "bodycam/v1/to/dock/DOCK-7",
    }  # fmt: skip


def test_a_docking_after_the_use_ends_it_by_the_cameras_own_word(unit: Unit) -> None:
    unit.issue(9, 1)
    unit.tell(0.5, "docked", docked=True)
    unit.hand_in()
    assert unit.states() == []
    (done,) = unit.found(done=True)
    assert near(done.duty.met, unit.at(0.5)), "not when the journal came, which a spool may have held"


def test_a_camera_docked_early_is_done_when_its_use_is_over(unit: Unit) -> None:
    unit.issue(9, 1)
    unit.tell(2, "docked", docked=True)
    unit.beat(1.5)
    unit.hand_in()
    assert len(unit.states()) == 1
    unit.beat(0.9)
    unit.hand_in()
    assert unit.states() == []


def test_a_docking_at_noon_ends_nothing(unit: Unit) -> None:
    unit.issue(9, 1)
    unit.tell(5, "docked", docked=True)
    unit.tell(4.9, "docked", docked=False)
    unit.beat(0.5)  # told by whom? handed in later, from another dock
    unit.hand_in()
    assert len(unit.states()) == 1


def test_a_clock_that_runs_ahead_ends_nothing_early(unit: Unit) -> None:
    unit.issue(9, -8)
    unit.tell(-24 * 365, "docked", docked=True)
    unit.hand_in()
    assert len(unit.states()) == 1


def test_a_return_entered_afterwards_counts_from_the_docking(unit: Unit) -> None:
    unit.issue(9, -2)
    unit.tell(3, "docked", docked=True)
    unit.beat(0.1)
    unit.hand_in()
    assert len(unit.states()) == 1, "its use goes on, for all that is known"
    unit.archive.ledger.give_back(unit.device, "keeper", at=unit.at(2.5))
    (done,) = unit.found(done=True)
    assert near(done.duty.met, unit.at(2.5))


def test_the_next_issue_ends_the_use_before(unit: Unit) -> None:
    unit.issue(9, -3)
    unit.issue(2, -4)
    begins = [one.duty.begins for one in unit.found()]
    assert near(min(begins), unit.at(2))
    assert near(max(begins), unit.at(-4))


def test_a_recording_is_due_until_all_of_it_is_held(unit: Unit) -> None:
    recording = unit.record(3)
    unit.hand_in()
    (one,), due = unit.found(), end_of_day(unit.at(3), COUNTY)
    assert (one.duty.recording, one.due) == (recording, due)
    assert unit.states(due) == [State.OVERDUE]
    unit.receive(recording, 2)
    assert unit.states(due) == []
    assert unit.states(due, done=True) == [State.MET if unit.at(2) < due else State.LATE]


def test_a_recording_handed_in_on_the_next_day_is_called_late(unit: Unit) -> None:
    recording = unit.record(30)
    unit.hand_in()
    unit.receive(recording, 1)
    assert unit.states(done=True) == [State.LATE]


def test_a_recording_that_goes_on_is_not_done(unit: Unit) -> None:
    recording = unit.record(30, ended=False)
    unit.hand_in()
    unit.receive(recording, 29)
    assert unit.states() == [State.OVERDUE]


def test_footage_of_2099_is_due_today(unit: Unit) -> None:
    unit.record(-24 * 365 * 70)
    unit.hand_in()
    (one,) = unit.found()
    assert one.due == end_of_day(datetime.now(UTC), COUNTY)


def test_remote_work_and_the_return(unit: Unit) -> None:
    unit.issue(60, 50)
    unit.archive.ledger.declare_remote(unit.device, "边远乡镇", "head", since=unit.at(59), until=unit.at(-1))
    unit.record(55)
    unit.hand_in()
    assert unit.states() == [State.AWAY, State.AWAY]
    assert unit.states(unit.at(-1)) == [State.WARNING, State.WARNING], "the return that was expected is not entered"
    unit.archive.ledger.came_back(unit.device, "head", at=unit.at(20))
    assert {one.due for one in unit.found()} == {unit.found()[0].due}
    assert near(unit.found()[0].due, unit.at(-4))
    assert unit.states(unit.at(-4.01)) == [State.OVERDUE] * 2
    text = table(unit.found(), COUNTY)
    assert "边远乡镇" in text
    assert "事后申报" in text, "it was declared long after it began, and the list says so"


def test_a_night_shift_is_one_day(unit: Unit) -> None:
    """Made before midnight in a shift that ends after it: due with the shift."""
    midnight = end_of_day(unit.now, COUNTY) - timedelta(days=1)
    hours = (unit.now - midnight) / HOUR
    unit.issue(hours + 4, hours - 4)
    unit.record(hours + 1)
    unit.hand_in()
    assert {one.due for one in unit.found(unit.at(hours))} == {midnight + timedelta(days=1)}


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda unit: unit.issue(1, 2), "shift-length"),
        (lambda unit: unit.issue(1, -24), "shift-length"),
        (lambda unit: unit.issue(-1, -2), "in-the-future"),
        (lambda unit: unit.archive.ledger.give_back(unit.device, "keeper"), "not-issued"),
        (lambda unit: unit.archive.ledger.came_back(unit.device, "keeper"), "not-remote"),
        (lambda unit: unit.archive.ledger.declare_remote(unit.device, " ", "keeper"), "reason"),
        (lambda unit: [unit.archive.ledger.declare_remote(unit.device, "x", "keeper") for _ in range(2)],
         "already-remote"),
    ],
)  # fmt: skip
def test_what_cannot_be_entered(unit: Unit, act: Any, code: str) -> None:
    with pytest.raises(OfficeError) as refused:
        act(unit)
    assert refused.value.code == code


def test_the_ledger_is_made_again_from_the_log(unit: Unit) -> None:
    """A catalogue that was moved away, or changed by hand, says nothing that the log does not."""
    unit.issue(30, 20)
    unit.issue(9, 1)
    unit.archive.ledger.declare_remote(unit.device, "边远乡镇", "head", since=unit.at(29))
    unit.archive.ledger.came_back(unit.device, "head", at=unit.at(22))
    unit.tell(0.5, "docked", docked=True)
    unit.hand_in()
    before = [describe(one) for one in unit.found(done=True)]
    tables = [unit.archive.catalogue.table(name) for name in ("loans", "remotes")]
    unit.archive.close()
    for path in unit.kit.data.glob("catalogue.sqlite*"):
        path.unlink()
    unit.archive = Archive(load(unit.kit.config, OfficeConfig))
    for _ in range(2):
        unit.archive.book.catch_up()
    unit.taken = 0
    unit.hand_in()
    assert [describe(one) for one in unit.found(done=True)] == before
    assert [unit.archive.catalogue.table(name) for name in ("loans", "remotes")] == tables


def test_the_keepers_commands(unit: Unit) -> None:
    kit = unit.kit

    def call(*arguments: str, status: int = 0) -> str:
        done = kit.call(*arguments)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    unit.archive.ledger.issue("BWC-0002", "000007", unit.at(48), "keeper", at=unit.at(56))
    call("issue", "BWC-0003", "--officer", "012345", "--shift-end", "23:59", "--dock", "DOCK-1")
    call("remote", "BWC-0003", "--reason", "联合执法")
    said = call("deadlines", status=1).splitlines()
    assert said[0].startswith("状态 state")
    assert [line.split()[0] for line in said[1:]] == ["已逾期", "异地未返"]
    assert "联合执法" in said[2]


def test_a_zone_that_is_none_is_a_line_of_advice(unit: Unit) -> None:
    unit.kit.config.write_text('time_zone = "Asia/Chengde"\n' + unit.kit.config.read_text())
    with pytest.raises(ConfigError, match=r"Asia/Chengde.*install tzdata"):
        load(unit.kit.config, OfficeConfig)
