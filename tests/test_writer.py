"""The writer: order, threads, refusals. What cuts do to it is in test_crash."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence.mp4 import Run as Samples
from evidence.mp4 import Sample
from evidence.verify import Verifier
from firmware.capture.cutter import Fragment
from firmware.capture.writer import Place, Run, WriteFragment
from runtime.disk import PosixDisk
from runtime.folder import DiskFolder
from tests.camera_rig import BootClock, Camera, Owner, World, of_kind, verified
from tests.memory_disk import MemoryDisk


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


def camera(owner: Owner, disk: MemoryDisk | None = None, **options: object) -> Camera:
    world = World()
    return Camera(owner, disk or MemoryDisk(), world, BootClock(world), **options)  # type: ignore[arg-type]


def fragment(number: int) -> WriteFragment:
    video = Samples(0, [Sample((b"x",), 40_000)])
    cut = Fragment(
        opens_segment=False,
        video=video,
        sound=None,
        from_ns=number * 500_000_000,
        to_ns=(number + 1) * 500_000_000,
        drops=0,
    )
    return WriteFragment(Place("9f9f9f9f-1", 1, 0, number), cut, 0, b"init" * 16_384)


def test_the_ring_waits_for_live_and_is_hurried_before_the_end(owner: Owner) -> None:
    one = camera(owner)
    order: list[str] = []

    def note(name: str) -> Run:
        return Run(lambda: order.append(name))

    one.writer.submit(note("ring 1"), note("ring 2"), later=True)
    one.writer.submit(note("live 1"), note("live 2"))
    for _ in range(3):
        one.writer.work_once()
    one.writer.submit(note("live 3"))
    one.writer.hurry()
    one.writer.submit(note("end"))
    while one.writer.work_once():
        pass
    assert order == ["live 1", "live 2", "ring 1", "live 3", "ring 2", "end"]


def test_the_backlog_is_recorded_time_and_counts_live_only(owner: Owner) -> None:
    one = camera(owner)
    one.writer.submit(fragment(0), fragment(1), fragment(2))
    one.writer.submit(fragment(3), later=True)
    assert one.writer.backlog_ns() == 1_500_000_000


def test_a_refused_record_waits_and_keeps_its_place(owner: Owner) -> None:
    one = camera(owner)
    refusing = True
    order: list[str] = []

    def record(name: str) -> Callable[[], None]:
        def write() -> None:
            if refusing:
                raise OSError(errno.EIO, "no")
            order.append(name)

        return write

    one.writer.submit(Run(record("first")), Run(record("second")))
    one.settle()
    assert order == []
    assert len(one.faults) == 1, "told once, however many wait: telling is a record too"
    refusing = False
    one.writer.retry()
    assert order == ["first", "second"]


def test_a_record_that_cannot_be_written_does_not_hold_up_the_others(owner: Owner) -> None:
    disk = MemoryDisk()
    one = camera(owner, disk)
    one.books.record("alert", {"what": 1})
    one.books.record("armed", {"ring_seconds": 7})
    one.settle()
    assert of_kind(disk, "armed")[-1].body == {"ring_seconds": 7}
    assert one.faults[0][0] == "journal"


def test_a_part_that_cannot_be_built_ends_and_the_thread_lives(owner: Owner) -> None:
    disk = MemoryDisk()
    one = camera(owner, disk)
    bad = fragment(0)
    one.writer.submit(WriteFragment(bad.place, bad.fragment, 0, b"not whole chunks"))
    one.settle()
    assert one.failures == ["unknown"]
    one.press()
    one.run(2)
    one.end()
    one.quit()
    assert of_kind(disk, "recording_ended")


def test_nothing_of_a_failed_part_is_written_any_more(owner: Owner) -> None:
    """Not even in the segment after the one that failed: that would be a hole inside a part."""
    disk = MemoryDisk()
    one = camera(owner, disk)
    one.run(1)
    one.press()
    one.run(1)
    for _ in range(40):
        one.deliver()  # queued, two segments ahead of the disk

    def refuse(_: int, operation: str) -> None:
        if operation.startswith("append segments"):
            disk.before = lambda _number, _operation: None
            raise OSError(errno.EIO, "once")

    disk.before = refuse
    one.settle()
    one.try_storage()
    one.run(2)
    one.end()
    one.quit()
    report = verified(owner, disk)
    (recording,) = report.account.recordings.values()
    assert len(recording.parts) == 2
    (gap,) = recording.gaps
    assert gap.body["cause"] == "storage_failing"
    assert gap.body["min_ms"] >= 4_000, "from the last attested fragment on, not from the last queued one"


def test_a_full_card_gives_up_segments_with_receipts_first(owner: Owner) -> None:
    disk = MemoryDisk(capacity=3 << 20)
    released: list[bool] = []

    def make_room() -> bool:
        if len(released) == 4:
            return False
        released.append(True)
        disk.capacity += 200 << 10
        return True

    one = camera(owner, disk, make_room=make_room, reserve_bytes=1 << 20)
    one.press()
    one.run(60)
    assert len(released) == 4
    assert one.failures == ["storage_full"]
    disk.capacity += 8 << 20
    one.try_storage()
    one.run(3)
    one.end()
    one.quit()
    (recording,) = verified(owner, disk).account.recordings.values()
    assert [gap.body["cause"] for gap in recording.gaps] == ["storage_full"]
    assert disk.free() >= 1 << 20, "the reserve is the journal's"


def test_in_its_own_thread_on_a_real_disk(owner: Owner, tmp_path: Path) -> None:
    """Thread, waiting, draining and stopping; the journal is written to from two threads at once."""
    disk = PosixDisk(tmp_path / "数据 data")
    world = World()
    one = Camera(owner, disk, world, BootClock(world))
    one.writer.start()
    one.settle = lambda: None  # type: ignore[method-assign]  # the thread does the work
    one.press()

    def other() -> None:
        for _ in range(200):
            one.journal.append("docked", {"docked": False})

    thread = threading.Thread(target=other)
    thread.start()
    one.run(6)
    thread.join()
    written = threading.Event()
    one.writer.submit(Run(written.set))
    assert written.wait(10)
    one.end()
    one.writer.submit(Run(lambda: one.journal.append("shutdown", {"clean": True})))
    one.writer.stop()
    report = Verifier(DiskFolder(disk.root), [owner.agency.root.certificate], owner.identity).run()
    assert report.ok, report.findings
    (recording,) = report.account.recordings.values()
    assert recording.total("frames") == 60
    assert recording.ended is not None


def test_a_refused_record_is_tried_again_by_the_thread_itself(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware.capture.writer._RETRY_SECONDS", (0.01, 0.01))
    one = camera(owner)
    tries = []
    written = threading.Event()

    def write() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError(errno.EIO, "no")
        written.set()

    one.writer.start()
    one.writer.submit(Run(write))
    assert written.wait(5)
    one.writer.stop()


def test_a_disk_that_refuses_for_long_is_asked_ever_later(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try may cost a journal file, and an opening can declare only so many."""
    monkeypatch.setattr("firmware.capture.writer._RETRY_SECONDS", (0.001, 10.0))
    one = camera(owner)
    tries: list[float] = []
    enough, written = threading.Event(), threading.Event()

    def write() -> None:
        tries.append(time.monotonic())
        if len(tries) < 8:
            raise OSError(errno.EIO, "no")
        enough.set()

    one.writer.start()
    one.writer.submit(Run(write))
    assert enough.wait(10)
    assert tries[-1] - tries[-2] > 4 * (tries[2] - tries[1])
    one.writer.submit(Run(written.set))
    assert written.wait(5), "once it takes records again they do not wait"
    one.writer.stop()


def test_sound_alone_is_recorded(owner: Owner) -> None:
    disk = MemoryDisk()
    one = camera(owner, disk)
    one.picture = False
    one.press()
    one.run(6)
    one.end()
    one.quit()
    (recording,) = verified(owner, disk).account.recordings.values()
    assert recording.total("frames") == 0
    assert recording.total("samples") == 6 * 48_000
