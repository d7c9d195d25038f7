"""What the dock shows of its bays: over real links to a real port, and each state by itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence import records
from syncd import status
from syncd.bay import Bay, HandIns
from syncd.board import Board, Rate, Seat, WatchedCamera, WatchedEvents
from syncd.camera import CameraState, Listed
from syncd.status import BayStatus, DockStatus, SpoolStatus, Waiting
from syncd.urgency import due_ms
from syncd.words import REASONS, STATES, WAITING
from tests.agency import Agency, Holder
from tests.dock_site import MIB, PATIENCE, Site


class Shown(Site):
    """A site whose bay, number 7, is shown."""

    def start_dock(self, *, spool_bytes: int = 1024 * MIB, keep: bool = False) -> None:
        super().start_dock(spool_bytes=spool_bytes, keep=keep)
        self.board = Board(["7"])
        events = WatchedEvents(self.told, "DOCK-1").watch(self.board)  # type: ignore[arg-type]
        self.handins = HandIns(dataclasses.replace(self.handins.dock, events=events))
        seat = self.board.seat("7", contact=False)
        camera = WatchedCamera(self.camera.port.address, self.context, PATIENCE).watch(self.board, seat)
        self.bay = Bay(self.handins, camera, self.dial_office())

    def shows(self) -> BayStatus:
        return self.board.bays(self._due)[0]

    def _due(self, device: str, key: tuple[str, int]) -> int | None:
        record = self.handins.of(device).known(key)
        return due_ms(record) if record else None


@pytest.fixture
def site(tmp_path: Path, agency: Agency, signer: Holder) -> Iterator[Shown]:
    site = Shown(tmp_path, agency, signer)
    yield site
    site.close()


@pytest.mark.net
def test_a_camera_comes_is_emptied_and_goes(site: Shown) -> None:
    assert site.shows() == BayStatus("7")
    keys = site.record(3 * MIB, 100)
    seen: list[BayStatus] = []
    site.office.faults.append(lambda method, _: seen.append(site.shows()) if method == "PATCH" else None)
    site.until(site.done)
    total = sum(site.camera.folder.sizes.get(key, 0) for key in keys) or seen[-1].bytes_total
    assert {one.state for one in seen} == {"handing_in"}
    assert {one.camera for one in seen} == {"BWC-0001"}
    assert all((one.due_ms is None) == (one.segments_done == one.segments_total) for one in seen)
    assert seen[0].left_seconds is None, "only the journal has moved"
    assert [one.percent for one in seen] == sorted(one.percent for one in seen)
    assert 0 < seen[-1].percent <= 100
    end = site.shows()
    assert (end.state, end.lamp, end.percent, end.segments_done, end.due_ms) == ("done", "green", 100, 2, None)
    assert (end.bytes_total, site.board.segments) == (total, 2)
    assert site.board.read_bytes >= total
    site.camera.port.stop()
    site.bay.work()
    assert site.shows() == BayStatus("7")


@pytest.mark.net
def test_one_that_is_pulled_out_too_early_is_asked_for_until_it_is_back(site: Shown) -> None:
    site.record(8 * MIB)
    address = site.camera.port.address
    moved = site.board.moved

    def pull(seat: Seat, size: int, key: tuple[str, int] | None = None, end: int = 0) -> None:
        moved(seat, size, key, end)
        if end > 2 * MIB and site.camera.port._server:
            site.camera.port._server.cut_all()
            site.camera.port.stop()

    site.board.moved = pull  # type: ignore[method-assign]
    for _ in range(3):
        site.bay.work()
    gone = site.shows()
    assert (gone.state, gone.lamp, gone.code, gone.camera) == ("fault", "red", "camera-lost", "BWC-0001")
    assert 0 < gone.percent < 100
    site.board.moved = moved  # type: ignore[method-assign]
    site.camera.port._wanted = address  # the same place
    site.camera.port.start()
    site.until(lambda: site.shows().lamp == "green")


@pytest.mark.net
def test_an_office_that_is_away_is_waited_for_and_no_fault_of_the_bay(site: Shown) -> None:
    site.record(100)
    site.office.stop()
    site.until(lambda: site.shows().percent == 100)
    site.board._now = lambda: 1e12  # nothing has moved for long
    waits = site.shows()
    assert (waits.state, waits.lamp, waits.code) == ("waiting", "amber", "office-lost")
    assert SpoolStatus.of(site.spool).waiting[0].camera == "BWC-0001"
    site.office.start()
    site.until(lambda: site.shows().state == "done")
    assert site.board.office_code is None
    assert SpoolStatus.of(site.spool).waiting == ()


@pytest.mark.net
def test_altered_footage_is_red_while_the_rest_goes_on(site: Shown) -> None:
    bad, _good = site.record(2 * MIB, 2 * MIB)
    path = site.camera.folder.disk.root / records.segment_path(*bad)
    data = bytearray(path.read_bytes())
    data[MIB] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    site.until(lambda: len(site.camera.given) == 1)
    shown = site.shows()
    # The dock finds it out; or the office, if it holds the beginning from an earlier attempt.
    assert (shown.state, shown.lamp) == ("fault", "red")
    assert shown.code in {"hash-mismatch", "office-refused"}
    assert shown.segments_done == 1


# --- each state by itself

KEY = ("9f9f9f9f-1", 0)


class Told:
    """A board with one bay, a clock that the test moves, and a camera with one segment of 1,000 bytes."""

    def __init__(self, *, contact: bool) -> None:
        self.at = 0.0
        self.board = Board(["1"], lambda: self.at)
        self.seat = self.board.seat("1", contact=contact)

    def come(self) -> None:
        self.board.entered(self.seat, "BWC-0001")
        state = CameraState("BWC-0001", "9f" * 16, None, (1, ""), (), (Listed(*KEY, 1000),))
        self.board.listed(self.seat, state)

    def fault(self, code: str, **facts: Any) -> None:
        self.board.told("BWC-0001", "fault", {"code": code, **facts})

    def says(self) -> tuple[str, str, str | None]:
        (bay,) = self.board.bays()
        return bay.state, bay.lamp, bay.code


def test_contact_without_a_camera() -> None:
    told = Told(contact=True)
    assert told.says() == ("connecting", "amber", None)
    told.at = 20.0
    assert told.says() == ("fault", "red", "camera-silent")
    told.board.left(told.seat, ended=True)
    assert told.says() == ("empty", "off", None)


def test_a_stranger_is_red_until_it_is_taken_out() -> None:
    told = Told(contact=True)
    told.board.left(told.seat, "camera-identity")
    assert told.says() == ("fault", "red", "camera-identity")
    told.seat = told.board.seat("1", contact=True)
    assert told.says()[0] == "connecting"


def test_a_camera_that_moved_to_another_bay_is_not_missed_in_the_first() -> None:
    told = Told(contact=False)
    told.come()
    told.board.left(told.seat, "camera-lost")
    assert told.says() == ("fault", "red", "camera-lost")
    told.board.entered(told.board.seat("2", contact=True), "BWC-0001")
    assert [bay.state for bay in told.board.bays()] == ["empty", "handing_in"]


def test_a_full_spool_waits_and_a_refused_receipt_does_not() -> None:
    told = Told(contact=False)
    told.come()
    assert told.says() == ("handing_in", "amber", None)
    told.fault("spool-full", where="9f9f9f9f-1/0")
    assert told.says() == ("waiting", "amber", "spool-full")
    told.fault("camera-refused", where="9f9f9f9f-1/0")
    assert told.says() == ("fault", "red", "camera-refused")
    told.board.told("BWC-0001", "receipt", {"recording": KEY[0], "segment": KEY[1]})
    assert told.says() == ("handing_in", "amber", None)


def test_an_office_that_is_not_ours_is_red_and_one_that_is_away_is_not() -> None:
    told = Told(contact=False)
    told.come()
    told.fault("office-identity")
    assert told.says() == ("fault", "red", "office-identity")
    told.fault("office-lost")
    assert told.says() == ("waiting", "amber", "office-lost")
    told.board.told("BWC-0002", "progress", {"recording": "9f9f9f9f-9", "segment": 0})
    assert told.says() == ("handing_in", "amber", None)


def test_a_camera_that_may_not_be_issued_yet_is_not_green() -> None:
    told = Told(contact=False)
    told.come()
    told.board.told("BWC-0001", "done", {})
    assert told.says() == ("done", "green", None)
    (bay,) = told.board.bays(objections=lambda device: [f"not-charged-{device}"])
    assert (bay.lamp, bay.code) == ("amber", "not-charged-BWC-0001")


def test_what_is_recorded_after_the_hand_in_is_not_taken_for_handed_in() -> None:
    told = Told(contact=False)
    told.come()
    told.board.told("BWC-0001", "done", {})
    state = CameraState("BWC-0001", "9f" * 16, None, (1, ""), (), (Listed(KEY[0], 1, 500),))
    told.board.listed(told.seat, state)
    assert told.says()[0] == "handing_in"
    assert told.board.bays()[0].percent == 66


def test_rate_and_time_left() -> None:
    told = Told(contact=False)
    told.come()
    for second in range(5):
        told.at = second + 0.5
        told.board.moved(told.seat, 100, KEY, 100 * (second + 1))
    told.at = 5.0
    (bay,) = told.board.bays()
    assert (bay.bytes_per_second, bay.left_seconds, bay.percent) == (100, 5, 50)
    told.at = 9.0  # nothing has come for a while: nobody knows how long it will take
    assert told.board.bays()[0].left_seconds is None
    rate = Rate()
    for second in range(1000):
        rate.add(7, float(second))
    assert rate.per_second(1000.0) == 7


# --- the file, and the words


def test_the_file_is_read_back_as_it_was_told(tmp_path: Path) -> None:
    bay = BayStatus("1", "fault", "red", "BWC-0001", 10, 5, 2, 1, 7, 1, 99, "hash-mismatch")
    told = DockStatus(
        "DOCK-1", 1, 100.0, "0.1", (bay,), SpoolStatus(1, 2, 3, (Waiting("BWC-0002", 1, 1),)), faults={"x": 1}
    )
    assert status.read(tmp_path) is None
    status.write(tmp_path, told)
    assert status.read(tmp_path) == told
    assert told.fresh(104.0)
    assert not told.fresh(106.0)
    assert not told.fresh(10.0), "another power-on"
    for damage in ("", "{", '{"bays": 1}', '{"unknown": 1}', "[]"):
        (tmp_path / "status.json").write_text(damage)
        assert status.read(tmp_path) is None


def test_every_code_that_a_dock_tells_has_words_that_fit_a_bay() -> None:
    text = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text("utf-8")
    table = text[text.index("### What the dock tells") :].partition("Only in the log")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    codes = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row)}
    assert len(codes) > 20
    assert codes <= REASONS.keys()
    assert codes >= WAITING
    assert all(len(words.zh) <= 9 and len(words.en) <= 32 for words in REASONS.values())
    assert all(len(words.zh) == 2 for words in STATES.values())
