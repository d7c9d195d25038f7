"""What a start finds: an empty disk, strangers' files, rot, long recordings, and how long a gap was."""

from __future__ import annotations

import contextlib
import time

import pytest

from evidence import records
from evidence.records import Stamp
from firmware.capture import recovery
from firmware.capture.recovery import Hole, Reach, gap_bounds
from firmware.capture.state import Phase
from tests.camera_rig import BootClock, Camera, Owner, World, lines, of_kind, verified
from tests.memory_disk import MemoryDisk, PowerCut


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


def boot(owner: Owner, disk: MemoryDisk, world: World | None = None) -> Camera:
    world = world or World()
    return Camera(owner, disk, world, BootClock(world))


def cut_recording(owner: Owner, seconds: float = 4) -> MemoryDisk:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    camera.press()
    camera.run(seconds)
    disk.lose_power()
    return disk


def test_an_empty_disk() -> None:
    found = recovery.recover(MemoryDisk())
    assert (found.seq, found.prev, found.next_file, found.torn) == (0, records.GENESIS, 0, [])
    assert found.recording is None


def test_what_lies_beside_the_evidence_is_no_journal(owner: Owner) -> None:
    disk = cut_recording(owner)
    for path in ("journal/notes.txt", "journal/00000000.jws.bak", "segments/lost+found/x"):
        disk.create(path).close()
    recording = lines(disk)[-1].body["recording"]
    disk.create(f"segments/{recording}/backup.age").close()
    found = recovery.recover(disk)
    assert found.next_file == 1
    assert found.recording is not None
    assert found.recording.id == recording


def test_a_disk_that_refused_a_hundred_starts_is_recorded_on_when_it_takes_data_again(owner: Owner) -> None:
    """Each start leaves a file that has no byte; an opening can declare no more than 64."""
    disk = cut_recording(owner)
    for _ in range(100):
        disk.create(records.journal_path(recovery.recover(disk).next_file)).close()
    camera = boot(owner, disk)
    camera.run(3)
    camera.end()
    camera.quit()
    assert of_kind(disk, "recording_ended")
    verified(owner, disk)


def test_an_ended_recording_is_left_alone(owner: Owner) -> None:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    camera.press()
    camera.run(3)
    camera.end()
    disk.lose_power()
    assert recovery.recover(disk).recording is None


def test_the_head_is_the_last_whole_line(owner: Owner) -> None:
    disk = cut_recording(owner)
    last = lines(disk)[-1]
    file = disk.files[records.journal_path(0)]
    whole = bytes(file.content)
    for torn in (b"x", b"\n", b"eyJhbGciOiJFUzI1NiJ9.e30.AA\n", bytes(4096), whole[-700:], whole[-300:-1] + b"\n"):
        file.content = bytearray(whole + torn)
        found = recovery.recover(disk)
        assert (found.seq, found.prev) == (last.seq + 1, last.sha256)
        assert found.torn[0]["offset"] == len(whole)
        assert found.torn[0]["length"] == len(torn)


def test_rot_in_the_middle_does_not_keep_a_camera_from_recording(owner: Owner) -> None:
    disk = cut_recording(owner)
    content = disk.files[records.journal_path(0)].content
    rows = bytes(content).split(b"\n")
    at = sum(len(row) + 1 for row in rows[:4]) + 200
    content[at] = ord("!")
    camera = boot(owner, disk)
    assert camera.state.phase is Phase.RECORDING


def test_what_was_cut_is_told(owner: Owner) -> None:
    disk = cut_recording(owner, 5.7)
    found = recovery.recover(disk).recording
    assert found is not None
    fragments = of_kind(disk, "fragment")
    assert found.reach.ns == max(f.body["to_ns"] for f in fragments)
    assert found.activity == "inspection"
    closed = {s.body["segment"] for s in of_kind(disk, "segment")}
    assert {u.segment for u in found.unfinished}.isdisjoint(closed)
    for unfinished in found.unfinished:
        mine = [f.body for f in fragments if f.body["segment"] == unfinished.segment]
        assert unfinished.fragments == len(mine)
        assert unfinished.frames == sum(f["frames"] for f in mine)
        assert unfinished.last == (mine[-1] if mine else None)


def test_a_start_after_a_long_recording_takes_little_more_than_reading(owner: Owner) -> None:
    """Only what nobody closed is parsed: against a full parse of the same journal, in the same run."""
    disk = MemoryDisk()
    camera = boot(owner, disk)
    camera.press()
    camera.run(180)
    disk.lose_power()
    begun = time.process_time()
    found = recovery.recover(disk)
    recovered = time.process_time() - begun
    begun = time.process_time()
    parsed = lines(disk)
    whole = time.process_time() - begun
    assert found.recording is not None
    assert len(parsed) > 400
    assert recovered < whole / 2


NOW = Stamp(20_000_000_000, 1_000_000, "rtc", 300)


def reach(kernel: str, utc_ms: int = 980_000, error_ms: int | None = 200) -> Reach:
    return Reach(1, 9_000_000_000, utc_ms, error_ms, kernel)


@pytest.mark.parametrize(
    ("cut", "now", "expected"),
    [
        (reach("a"), NOW, (6_000, 6_000)),  # the boot clock ran on: exact
        (reach("b"), NOW, (15_000, 15_500)),  # 15 s by UTC, ± 0.5 s; at least 15 s since power-on
        (reach("b", error_ms=None), NOW, (15_000, None)),  # an unbounded clock bounds nothing
        (reach("b"), Stamp(20_000_000_000, 0, "none", None), (15_000, None)),
        (reach("b", utc_ms=2_000_000), NOW, (15_000, None)),  # the clock was set back: it bounds nothing
        (reach("b", utc_ms=900_000), NOW, (94_500, 95_500)),
    ],
)
def test_bounds_of_a_gap(cut: Reach, now: Stamp, expected: tuple[int, int | None]) -> None:
    assert gap_bounds(cut, 15_000_000_000, now, "a") == expected


def test_holes_of_a_ring_that_was_not_written() -> None:
    spans = {0: (10, 20), 1: (20, 30), 4: (50, 60), 5: (60, 70)}
    assert list(recovery.holes(1, spans, 10)) == [Hole(1, 30, 50)]
    assert list(recovery.holes(1, {4: (50, 60)}, 10)) == [Hole(1, 10, 50)]
    assert list(recovery.holes(1, {}, 10)) == []
    assert list(recovery.holes(2, {0: (0, 5)}, None)) == []


def test_a_gap_that_was_not_told_keeps_its_own_cause(owner: Owner) -> None:
    """The power was cut, the next boot crashed before it could say so: neither gap has the other's cause."""
    disk = cut_recording(owner)
    world = World()
    world.now_ns += 30_000_000_000
    clock = BootClock(world)
    appended = 0

    def crash(_number: int, operation: str) -> None:
        nonlocal appended
        appended += operation.startswith("append journal")
        if appended == 3:  # after boot and recording_started
            raise PowerCut(operation)

    disk.before = crash
    with pytest.raises(PowerCut):
        Camera(owner, disk, world, clock).run(2)
    assert of_kind(disk, "gap") == []
    disk.restart()
    camera = Camera(owner, disk, world, clock)
    camera.run(2)
    camera.end()
    camera.quit()
    verified(owner, disk)
    gaps = [gap.body for gap in of_kind(disk, "gap")]
    assert [(gap["after_part"], gap["cause"], gap["same_clock"]) for gap in gaps] == [
        (1, "power_cut", False),
        (2, "crash", True),
    ]


def test_a_gap_within_one_boot_that_was_not_told_has_an_unknown_cause(owner: Owner) -> None:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    camera.press()
    camera.run(1.5)

    def cut(_number: int, operation: str) -> None:
        if of_kind(disk, "recording_started")[-1].body["part"] == 2 and operation.startswith("append journal"):
            raise PowerCut(operation)

    disk.before = cut
    camera.sps = camera.sps[:-1] + b"\x59"
    with pytest.raises(PowerCut):
        camera.run(2)
    disk.lose_power()
    camera = boot(owner, disk)
    camera.run(2)
    camera.end()
    camera.quit()
    verified(owner, disk)
    assert [gap.body["cause"] for gap in of_kind(disk, "gap")] == ["unknown", "power_cut"]


@pytest.mark.parametrize("lines_written", range(1, 9))
def test_an_end_that_is_cut_is_ended_by_the_next_start(owner: Owner, lines_written: int) -> None:
    """No part had gone on when the officer ended it; the crash comes after each line of its end in turn."""
    disk = cut_recording(owner)
    world = World()
    world.now_ns += 30_000_000_000
    clock = BootClock(world)
    camera = Camera(owner, disk, world, clock)
    camera.picture = camera.sound = False
    camera.run(1)
    written = len(lines(disk))

    def crash(_number: int, operation: str) -> None:
        if operation.startswith("append journal") and len(lines(disk)) == written + lines_written:
            raise PowerCut(operation)

    disk.before = crash
    with contextlib.suppress(PowerCut):
        camera.end()
    told = [gap for gap in of_kind(disk, "gap") if gap.body["before_part"] is None]
    disk.restart()
    camera = Camera(owner, disk, world, clock)
    camera.run(2)
    if camera.state.phase is not Phase.ARMED:
        assert not told
        camera.end()
    camera.quit()
    (recording,) = verified(owner, disk).account.recordings.values()
    assert recording.ended is not None
    assert len(of_kind(disk, "recording_ended")) == 1
    gaps = [gap.body["before_part"] for gap in of_kind(disk, "gap") if gap.body["before_part"] != 1]
    assert gaps == ([None] if told or recording.ended.body["parts"] == 1 else [2])


def test_no_picture_after_the_cut_and_the_end(owner: Owner) -> None:
    """The recording is taken up, nothing comes, and it is ended: its gap stays open and its books are closed."""
    disk = cut_recording(owner)
    camera = boot(owner, disk)
    camera.picture = camera.sound = False
    camera.run(2)
    camera.end()
    camera.quit()
    (recording,) = verified(owner, disk).account.recordings.values()
    assert recording.ended is not None
    (gap,) = recording.gaps
    assert (gap.body["before_part"], gap.body["first_ns"], gap.body["max_ms"]) == (None, None, None)
    assert gap.body["cause"] == "power_cut"


def test_a_recording_that_never_had_a_picture_is_none(owner: Owner) -> None:
    disk = MemoryDisk()
    camera = boot(owner, disk)
    camera.picture = camera.sound = False
    camera.press()
    camera.run(2)
    camera.end()
    camera.quit()
    assert verified(owner, disk).account.recordings == {}
