"""The journal on its disk: one chain over files, threads, torn lines and refusals."""

from __future__ import annotations

import errno
import threading

import pytest

from evidence import records
from evidence.journal import JournalReader
from firmware.capture import journal_writer
from tests.camera_rig import BootClock, Camera, Owner, World, lines, verified
from tests.memory_disk import MemoryDisk


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


def boot(owner: Owner, disk: MemoryDisk) -> Camera:
    world = World()
    return Camera(owner, disk, world, BootClock(world))


def refuse(disk: MemoryDisk, what: str, times: int = 1) -> None:
    left = [times]

    def before(_: int, operation: str) -> None:
        if operation.startswith(what) and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "refused")

    disk.before = before


def test_a_line_is_published_only_when_it_is_durable(owner: Owner) -> None:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    head, sizes = camera.journal.head(), camera.journal.published()
    refuse(disk, "sync journal")
    with pytest.raises(OSError, match="refused"):
        camera.journal.append("docked", {"docked": True})
    assert (camera.journal.head(), camera.journal.published()) == (head, sizes)
    seq = camera.journal.append("docked", {"docked": False})
    assert seq == head[0] + 2, "the next file's opening stands between"
    assert camera.journal.head()[0] == seq
    disk.lose_power()
    assert lines(disk)[-1].seq == seq
    verified(owner, disk)


@pytest.mark.parametrize("what", ["create journal", "append journal", "sync journal", "truncate journal"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_refusals_leave_one_chain(owner: Owner, what: str, times: int) -> None:
    disk = MemoryDisk(seed=times)
    camera = boot(owner, disk)
    if what.startswith(("create", "truncate")):
        refuse(disk, "append journal")
        with pytest.raises(OSError, match="refused"):
            camera.journal.append("docked", {"docked": True})
    refuse(disk, what, times)
    for _ in range(times + 1):
        try:
            camera.journal.append("docked", {"docked": True})
        except OSError:
            continue
    camera.journal.append("docked", {"docked": False})
    report = verified(owner, disk)
    assert report.account.last is not None
    assert report.account.last.body == {"docked": False}
    published = camera.journal.published()
    assert sum(published.values()) == sum(
        len(disk.files[records.journal_path(n)].content[:size]) for n, size in published.items()
    )


def test_a_disk_that_refuses_for_long_leaves_an_opening_that_can_declare_it_all(owner: Owner) -> None:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    refuse(disk, "sync journal", 1_000)
    for _ in range(200):
        with pytest.raises(OSError, match="refused"):
            camera.journal.append("docked", {"docked": True})
    assert len(journal_writer.files(disk)) < 64
    disk.lose_power()
    boot(owner, disk).quit()
    verified(owner, disk)


def test_files_are_of_bounded_size_and_open_with_a_summary(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "_ROOM", 10_000)
    disk = MemoryDisk()
    camera = boot(owner, disk)
    for _ in range(40):
        camera.journal.append("docked", {"docked": True})
    camera.quit()
    report = verified(owner, disk)
    assert len(camera.journal.published()) > 2
    assert [record.kind for record in lines(disk)].count("summary") == len(camera.journal.published()) - 1
    assert report.reader.head == camera.journal.head()


def test_many_threads_one_chain(owner: Owner) -> None:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    threads = [
        threading.Thread(target=lambda: [camera.journal.append("docked", {"docked": True}) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = JournalReader([owner.agency.root.certificate])
    for number, size in sorted(camera.journal.published().items()):
        reader.feed(number, bytes(disk.files[records.journal_path(number)].content[:size]))
    assert reader.head == camera.journal.head()


def test_a_published_size_ends_with_a_whole_line_over_boots(owner: Owner) -> None:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    refuse(disk, "append journal")
    with pytest.raises(OSError, match="refused"):
        camera.journal.append("alert", {"what": "x", "recording": None, "detail": "y" * 900})
    disk.lose_power()
    later = boot(owner, disk)
    for number, size in later.journal.published().items():
        content = bytes(disk.files[records.journal_path(number)].content)[:size]
        assert content == b"" or content.endswith(b"\n")


def test_a_closed_journal_goes_on_in_a_new_file(owner: Owner) -> None:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    camera.journal.close()
    camera.journal.append("docked", {"docked": True})
    assert disk.handles == 1
    camera.journal.close()
    assert disk.handles == 0
    verified(owner, disk)
