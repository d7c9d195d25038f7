"""Stills on their way into a segment: each in the fragment that is cut next, or told to be lost."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from evidence import age, mp4
from firmware.capture.part import Format, Part
from firmware.capture.writer import Job, WriteFragment
from firmware.hal.ports import Frame, Still
from tests.camera_rig import (
    BLOCK,
    FRAGMENT,
    FRAME,
    MS,
    SECOND,
    SEGMENT,
    BootClock,
    Camera,
    Owner,
    World,
    kept_stills,
    lines,
    of_kind,
    picture,
    verified,
)
from tests.memory_disk import MemoryDisk

MIB = 1 << 20


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


def recording(owner: Owner, **options: Any) -> Camera:
    """A camera that records since a second."""
    world = World()
    camera = Camera(owner, MemoryDisk(), world, BootClock(world), **options)
    camera.run(2.2)
    camera.press()
    camera.run(1)
    return camera


def end(camera: Camera) -> None:
    camera.end()
    camera.quit()


def disk_of(camera: Camera) -> MemoryDisk:
    assert isinstance(camera.disk, MemoryDisk)
    return camera.disk


def test_a_still_lies_in_the_fragment_that_is_cut_next(owner: Owner) -> None:
    camera = recording(owner)
    disk = disk_of(camera)
    still = camera.take_still()
    now = camera.clock.boot_ns()
    camera.run(2)
    end(camera)
    assert kept_stills(owner, disk) == [still.jpeg]
    (record,) = of_kind(disk, "still")
    before = next(line for line in lines(disk) if line.seq == record.seq - 1)
    assert before.kind == "fragment"
    assert before.body["from_ns"] <= now <= before.body["to_ns"] + FRAME
    assert before.body["plain_offset"] + mp4.STILL_HEAD == record.body["plain_offset"]
    assert record.body["at_ns"] == still.boot_ns
    found = verified(owner, disk)
    assert [one.seq for one in found.account.recordings[record.body["recording"]].stills] == [record.seq]
    assert [note for note in found.notes if note.verdict == "unlisted"] == []


@pytest.mark.parametrize("size", [5, 60_000, 64_800, *range(65_300, 65_320), 131_072, mp4.STILL_LIMIT])
def test_the_fragment_is_filled_up_to_the_chunk(owner: Owner, size: int) -> None:
    camera = recording(owner)
    still = camera.take_still(size)
    camera.run(1)
    end(camera)
    assert kept_stills(owner, disk_of(camera)) == [still.jpeg]
    assert all(f.body["plain_offset"] % age.CHUNK == f.body["plain_len"] % age.CHUNK == 0
               for f in of_kind(disk_of(camera), "fragment"))  # fmt: skip
    verified(owner, disk_of(camera))


def test_several_wait_in_turn_so_that_no_fragment_has_to_wait_for_all(owner: Owner) -> None:
    camera = recording(owner)
    stills = [camera.take_still() for _ in range(3)]
    camera.run(2)
    end(camera)
    assert kept_stills(owner, disk_of(camera)) == [still.jpeg for still in stills]
    carrying = [line.seq - 1 for line in of_kind(disk_of(camera), "still")]
    assert {line.seq for line in of_kind(disk_of(camera), "fragment")} > set(carrying)
    assert camera.faults == []


def test_all_that_wait_get_into_the_last_fragment(owner: Owner) -> None:
    camera = recording(owner)
    stills = [camera.take_still() for _ in range(3)]
    end(camera)
    assert kept_stills(owner, disk_of(camera)) == [still.jpeg for still in stills]
    assert len(of_kind(disk_of(camera), "still")) == 3
    verified(owner, disk_of(camera))


@pytest.mark.parametrize("after_ms", range(0, 1_100, 100))
@pytest.mark.parametrize("picture_lost", [False, True], ids=["picture", "sound alone"])
def test_a_recording_that_ends_at_once_keeps_it(owner: Owner, after_ms: int, picture_lost: bool) -> None:
    """Whenever it comes, just after a cut too, and where there is sound alone."""
    camera = recording(owner)
    camera.picture = not picture_lost
    camera.run(2 + after_ms / 1000)
    still = camera.take_still()
    end(camera)
    assert kept_stills(owner, disk_of(camera)) == [still.jpeg]
    assert camera.faults == []
    verified(owner, disk_of(camera))


def test_a_still_while_there_is_sound_alone(owner: Owner) -> None:
    camera = recording(owner)
    camera.picture = False
    camera.run(2)
    still = camera.take_still()
    camera.run(2)
    end(camera)
    assert kept_stills(owner, disk_of(camera)) == [still.jpeg]
    seq = of_kind(disk_of(camera), "still")[0].seq
    assert next(line for line in lines(disk_of(camera)) if line.seq == seq - 1).body["frames"] == 0
    verified(owner, disk_of(camera))


def test_an_encoder_that_changes_does_not_lose_it(owner: Owner) -> None:
    camera = recording(owner)
    still = camera.take_still()
    camera.sps = camera.sps[:-1] + b"\x5a"
    camera.run(2)
    end(camera)
    assert kept_stills(owner, disk_of(camera)) == [still.jpeg]
    assert of_kind(disk_of(camera), "gap")[0].body["cause"] == "encoder_changed"
    verified(owner, disk_of(camera))


# --- Not kept, and told ----------------------------------------------------------------------------------------------


def not_kept(camera: Camera) -> list[str]:
    return [what for where, what in camera.faults if where == "still"]


def test_nothing_is_recorded_any_more(owner: Owner) -> None:
    camera = recording(owner)
    camera.end()
    camera.media.still(Still(b"late", camera.clock.boot_ns()))
    camera.quit()
    assert not_kept(camera) == ["not kept: nothing is recorded any more"]


def test_a_picture_from_before_the_press_is_not_the_recordings(owner: Owner) -> None:
    camera = recording(owner)
    camera.media.still(Still(b"early", camera.clock.boot_ns() - 2 * SECOND))
    assert not_kept(camera) == ["not kept: it was taken before the recording began"]


def test_a_part_that_never_got_a_picture(owner: Owner) -> None:
    world = World()
    camera = Camera(owner, MemoryDisk(), world, BootClock(world), sound=False)
    camera.picture = False
    camera.press()
    camera.media.still(Still(b"none", camera.clock.boot_ns()))
    end(camera)
    assert not_kept(camera) == ["not kept: neither picture nor sound came for the part"]
    assert of_kind(disk_of(camera), "recording_started") == []


def test_memory_is_bounded_however_often_the_button_is_pressed(owner: Owner) -> None:
    camera = recording(owner)
    for _ in range(3):
        camera.deliver()  # the writer does nothing
    stills = [Still(bytes(3 * MIB), camera.clock.boot_ns()) for _ in range(6)]
    for still in stills[:3]:
        camera.media.still(still)
    for _ in range(20):
        camera.deliver()
    for still in stills[3:]:
        camera.media.still(still)
    assert sum(len(still.jpeg) for still in camera.writer.stills()) == 6 * MIB
    assert not_kept(camera) == ["not kept: those before it still wait for the disk"] * 4
    camera.settle()
    camera.media.still(stills[0])
    camera.media.still(Still(bytes(mp4.STILL_LIMIT + 1), camera.clock.boot_ns()))
    end(camera)
    assert len(kept_stills(owner, disk_of(camera))) == 3
    assert "4194305 bytes" in not_kept(camera)[-1]


@pytest.mark.parametrize("what", ["append segments/", "sync segments/", "append journal/"])
def test_a_disk_that_refuses_the_fragment(owner: Owner, what: str) -> None:
    """The gap says what became of picture and sound; that a still was lost with them is told as well."""
    camera = recording(owner)
    disk = disk_of(camera)
    camera.take_still()
    while not camera.writer.stills():
        camera.deliver()
    refused = 0

    def before(_number: int, operation: str) -> None:
        nonlocal refused
        if operation.startswith(what) and refused < 1 and camera.writer.stills() == []:
            refused += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.before = before
    camera.settle()
    camera.try_storage()
    camera.run(1)
    end(camera)
    assert refused
    assert not_kept(camera) == ["1 lost: the disk did not take the fragment that carries it"]
    assert kept_stills(owner, disk) == [] == of_kind(disk, "still")
    verified(owner, disk)


def test_a_disk_that_refuses_only_the_record_of_a_still(owner: Owner) -> None:
    """It waits, as every record does; the fragment is safe."""
    camera = recording(owner)
    disk = disk_of(camera)
    still = camera.take_still()
    refused = False

    def before(_number: int, operation: str) -> None:
        nonlocal refused
        attested = [line.seq for line in lines(disk) if line.kind == "fragment"]
        if not refused and operation.startswith("append journal/") and len(attested) == expected:
            refused = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    camera.run(0.1)
    while not camera.writer.stills():
        camera.deliver()
    queued = sum(isinstance(job, WriteFragment) for job in camera.writer._live)
    expected = len(of_kind(disk, "fragment")) + queued
    disk.before = before
    camera.settle()
    assert refused
    camera.writer.retry()
    camera.try_storage()
    camera.run(1)
    end(camera)
    assert kept_stills(owner, disk) == [still.jpeg]
    assert len(of_kind(disk, "still")) == 1
    verified(owner, disk)


# --- A part alone ----------------------------------------------------------------------------------------------------


def carried(jobs: list[Job]) -> list[list[bytes]]:
    return [[still.jpeg for still in job.stills] for job in jobs if isinstance(job, WriteFragment)]


def test_one_fragment_carries_one_still_and_the_last_all() -> None:
    part = Part("9f9f9f9f-1", 1, 0, Format(640, 480, FRAME, FRAGMENT, SEGMENT, None), lambda ns: ns // MS)
    for name in (b"a", b"b", b"c", b"d"):
        part.still(Still(name, 0))
    jobs = [job for n in range(12) for job in part.picture(Frame(picture(n, key=n % 10 == 0), n * FRAME, n % 10 == 0))]
    assert carried(jobs) == [[b"a"], [b"b"]]
    assert carried(part.finish()) == [[b"c", b"d"]]
    assert part.stills == []


def test_sound_alone_always_leaves_something_for_a_last_fragment() -> None:
    for blocks in range(1, 120):
        part = Part("9f9f9f9f-1", 1, 0, Format(640, 480, FRAME, FRAGMENT, SEGMENT, bytes(34)), lambda ns: ns // MS)
        jobs = [job for n in range(blocks) for job in part.sound(b"s", n * BLOCK)]
        part.still(Still(b"a", 0))
        last = part.finish()
        if part.start_ns is not None:
            assert [jpeg for stills in carried(last) for jpeg in stills] == [b"a"]
            written = [job.fragment for job in [*jobs, *last] if isinstance(job, WriteFragment)]
            assert all(fragment.samples for fragment in written)
            assert sum(fragment.samples for fragment in written) == blocks * 2_400


def test_a_still_takes_one_sync_more(owner: Owner) -> None:
    def syncs(stills: int) -> int:
        camera = recording(owner)
        counted = 0

        def before(_number: int, operation: str) -> None:
            nonlocal counted
            counted += operation.startswith("sync")

        for _ in range(stills):
            camera.media.still(Still(b"x", camera.clock.boot_ns()))
        disk_of(camera).before = before
        camera.run(1)
        return counted

    assert syncs(1) == syncs(0) + 1
