"""Fair shares of the line to the office, and what goes first."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence.pki import Role
from evidence.records import Record, Stamp
from syncd.errors import Stopped
from syncd.link import Blocks
from syncd.shares import Share, Shares
from syncd.urgency import Agenda, Holds, Urgency
from tests.builders import present_agency
from tests.dock_site import MIB, Site

HOUR_MS = 3600 * 1000
NOW_MS = 1_795_500_000_000


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


class Line:
    """A line on which one block is under way at a time, between bays that always have another one to send."""

    def __init__(self) -> None:
        self.shares = Shares(1)
        self.sent: Counter[int] = Counter()  # bytes, by number of the bay
        self._bays: list[tuple[Share, int, int]] = []
        self._queued: set[int] = set()
        self.shares.ask(self.shares.join(), 0)  # the line is busy until `serve`

    def add(self, size: int = MIB, weight: int = 1) -> None:
        """Another bay comes, with blocks of this size."""
        self._bays.append((self.shares.join(), size, weight))
        self._ask(len(self._bays) - 1)

    def serve(self, blocks: int) -> Line:
        """Let so many blocks go."""
        for _ in range(blocks):
            self.shares.give_back()
            (number,) = [number for number in self._queued if self._bays[number][0].turned.is_set()]
            self._queued.remove(number)
            self.sent[number] += self._bays[number][1]
            self._ask(number)
        return self

    def idle(self, number: int) -> None:
        """That bay has nothing more to send."""
        assert self.shares.leave(self._bays[number][0])
        self._queued.remove(number)

    def go_on(self, number: int) -> None:
        """That bay has something to send again."""
        self._ask(number)

    def _ask(self, number: int) -> None:
        share, size, weight = self._bays[number]
        self.shares.ask(share, size / weight)
        self._queued.add(number)


def line(*bays: tuple[int, int]) -> Line:
    """A line with bays of these block sizes and weights."""
    made = Line()
    for size, weight in bays:
        made.add(size, weight)
    return made


def test_all_get_the_same() -> None:
    assert line(*[(MIB, 1)] * 20).serve(200).sent == Counter(dict.fromkeys(range(20), 10 * MIB))


def test_large_blocks_do_not_buy_more() -> None:
    sent = line((MIB, 1), (MIB // 10, 1)).serve(1000).sent
    assert sent[0] == pytest.approx(sent[1], rel=0.02)


def test_urgent_footage_gets_more_and_never_all() -> None:
    sent = line((MIB, 4), (MIB, 1), (MIB, 1)).serve(600).sent
    assert sent[0] == pytest.approx(4 * sent[1], rel=0.02)
    assert sent[1] == sent[2] > 0


def test_who_comes_late_has_no_claim() -> None:
    both = line((MIB, 1)).serve(100)
    both.add()
    both.sent.clear()
    assert both.serve(20).sent == {0: 10 * MIB, 1: 10 * MIB}


def test_who_was_idle_can_claim_little() -> None:
    both = line((MIB, 1))
    both.add()
    assert both.serve(20).sent == {0: 10 * MIB, 1: 10 * MIB}
    both.idle(1)
    both.serve(100)
    both.sent.clear()
    both.go_on(1)
    sent = both.serve(40).sent
    assert sent[1] - sent[0] <= 5 * MIB
    assert sent[1] > sent[0]


def test_whoever_waits_can_be_called_off() -> None:
    shares = Shares(1)
    first, second, third = shares.join(), shares.join(), shares.join()
    ended: list[str] = []

    def wait() -> None:
        with pytest.raises(Stopped), second.turn(MIB):
            ended.append("had its turn")
        ended.append("called off")

    with first.turn(MIB):
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: second in shares._waiting)
        second.cut(Stopped)
        thread.join(10)
        assert ended == ["called off"]
        with pytest.raises(Stopped), second.turn(MIB):
            pass
    with third.turn(MIB):  # the line is free: nothing was lost on the way
        pass


# --- what goes first


def closed(seq: int, recording: str, *, hours_ago: float = 1, source: str = "dock") -> Record:
    stamp = Stamp(seq, NOW_MS - int(hours_ago * HOUR_MS), source, 100)
    return Record("BWC-0001", seq, "", "", stamp, "segment", {"recording": recording, "segment": seq}, "", None)  # type: ignore[arg-type]


def test_urgency() -> None:
    holds = Holds()
    agenda = Agenda(holds)
    agenda.note(Record("BWC-0001", 9, "", "", Stamp(9, NOW_MS, "dock", 1), "marker", {"recording": "b-1"}, "", None))  # type: ignore[arg-type]
    holds.add("BWC-0001", "c-1")
    holds.add("BWC-0002", "a-1")  # of another camera
    assert agenda.urgency(closed(1, "a-1"), NOW_MS) is Urgency.ROUTINE
    assert agenda.urgency(closed(1, "b-1"), NOW_MS) is Urgency.MARKED
    assert agenda.urgency(closed(1, "c-1"), NOW_MS) is Urgency.HELD
    assert agenda.urgency(closed(1, "a-1", hours_ago=17.9), NOW_MS) is Urgency.ROUTINE
    assert agenda.urgency(closed(1, "a-1", hours_ago=18), NOW_MS) is Urgency.DUE
    assert agenda.urgency(closed(1, "a-1", hours_ago=999), NOW_MS) is Urgency.DUE
    assert agenda.urgency(closed(1, "a-1", source="none"), NOW_MS) is Urgency.DUE
    holds.remove("BWC-0001", "c-1")
    assert agenda.urgency(closed(1, "c-1"), NOW_MS) is Urgency.ROUTINE


def test_a_hold_counts_from_the_next_segment_on() -> None:
    holds = Holds()
    agenda = Agenda(holds)
    records = [closed(seq, recording, hours_ago=0) for seq, recording in enumerate(["a-1", "a-1", "b-1", "b-1"])]
    order = agenda.order(records, lambda record: record)
    assert next(order).seq == 0
    holds.add("BWC-0001", "b-1")
    assert [record.seq for record in order] == [2, 3, 1]


@pytest.mark.net
def test_marked_recordings_leave_the_camera_first(tmp_path: Path) -> None:
    agency = present_agency()
    site = Site(tmp_path, agency, agency.issue(Role.SIGNER, "OFFICE-1"))
    try:
        first, second = site.record(100, 100), site.record(100, 100)
        third = site.record(100)
        site.camera.folder.line("marker", {"recording": second[0][0], "at_ns": 5})
        site.handins.dock.holds.add("BWC-0001", third[0][0])
        site.until(site.done)
        assert [(r.recording, r.segment) for r in site.camera.given] == [*third, *second, *first]
    finally:
        site.close()


@pytest.mark.net
def test_the_spool_makes_way_for_a_camera_that_comes(tmp_path: Path) -> None:
    """What is being drained of a camera is left where it is as the camera comes, and goes on from there."""
    agency = present_agency()
    site = Site(tmp_path, agency, agency.issue(Role.SIGNER, "OFFICE-1"))
    try:
        site.office.stop()
        (key,) = site.record(6 * MIB)
        site.until(lambda: site.spool.device("BWC-0001").holds(key))
        site.office.start()
        handin = site.handins.of("BWC-0001")
        office = site.dial_office()
        complete, brought = office.uploads.complete, []

        def bring(upload: str, offset: int, size: int, blocks: Blocks) -> None:
            def counted() -> Blocks:
                for block in blocks:
                    brought.append(len(block))
                    assert handin._wanted.wait(10)
                    yield block

            complete(upload, offset, size, counted())

        office.uploads.complete = bring  # type: ignore[method-assign]
        thread = threading.Thread(target=handin.drain, args=[office])
        until(lambda: site.retries.ready("office", time.monotonic()))
        thread.start()
        until(lambda: bool(brought))
        site.until(site.done)
        thread.join(10)
        assert not thread.is_alive()
        assert 1 <= len(brought) <= 3  # of 12 blocks: the one under way, and those that were read ahead
        assert len(site.camera.given) == 1
        assert site.office.sent - len(site.office.stored["BWC-0001", *key]) < 1.5 * MIB
        office.close()
    finally:
        site.close()
