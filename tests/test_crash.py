"""Crashes and refusals at every operation of the disk, and with power cuts behind them, twice over.

Nothing is lost that was said to be kept, and everything on the disk is explained. Power cuts by themselves, and how
much they cost, are in test_powercut.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import sys
from collections.abc import Callable

import pytest

from firmware.capture.state import Phase
from firmware.hal.ports import Still
from tests.camera_rig import (
    FRAGMENT,
    FRAME,
    MS,
    BootClock,
    Camera,
    Owner,
    World,
    kept_stills,
    lines,
    of_kind,
    verified,
)
from tests.memory_disk import MemoryDisk, PowerCut

pytestmark = pytest.mark.long

OFF_SECONDS = 7.0  # between a cut and the next start


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


class Life:
    """What one camera went through; `camera` is its present boot."""

    def __init__(self, owner: Owner, seed: int = 0, utc_error_ms: int | None = 400) -> None:
        self.owner = owner
        self.disk = MemoryDisk(seed)
        self.world = World(utc_error_ms=utc_error_ms)
        self.clock = BootClock(self.world)
        self.camera: Camera | None = None
        self.heads: list[tuple[int, str]] = []  # published before each cut
        self.delivered: list[int] = []  # world time up to which pictures were given before each cut
        self.stills: list[tuple[Camera, int, Still]] = []  # and when they were handed in, on the camera's clock

    def boot(self) -> Camera:
        self.camera = None
        self.camera = Camera(self.owner, self.disk, self.world, self.clock)
        return self.camera

    def record(self) -> None:
        """One boot: goes on with what was cut, or makes a recording of its own, and ends it."""
        camera = self.boot()
        camera.run(2.2)
        if camera.state.phase is Phase.ARMED:
            camera.press()
        camera.run(0.7)
        self.take_still(camera)
        camera.run(2.6)
        self.take_still(camera)
        camera.end()
        camera.run(0.5)
        camera.quit()

    def take_still(self, camera: Camera) -> None:
        self.stills.append((camera, camera.clock.boot_ns(), camera.take_still()))

    def until_cut(self, act: Callable[[], None]) -> bool:
        """Do `act`; whether the power was cut in it."""
        try:
            act()
        except PowerCut:
            return True
        return False

    def die(self, *, power: bool) -> None:
        """The power fails, or only the process dies; some time passes."""
        if self.camera is not None:
            self.heads.append(self.camera.journal.head())
            self.delivered.append(self.world.now_ns)
        if power:
            self.disk.lose_power()
            self.world.now_ns += int(OFF_SECONDS * 1e9)
            self.clock = BootClock(self.world)
            self.world.now_ns += 1_300 * MS  # the kernel starts
        else:
            self.disk.restart()
            self.world.now_ns += 900 * MS

    def check(self) -> None:
        """What holds after any life that ended with a clean boot."""
        report = verified(self.owner, self.disk)
        records = lines(self.disk)
        hashes = {record.seq: record.sha256 for record in records}
        for seq, sha256 in self.heads:
            assert seq < 0 or hashes[seq] == sha256, "a published record was lost"
        for recording in report.account.recordings.values():
            assert recording.ended is not None
            asked = [gap.seq for gap in recording.gaps if gap.body["after_part"] != gap.body["before_part"]]
            assert sorted(asked) == sorted(reason.body["gap_seq"] for reason in recording.reasons)
            for segment in recording.segments.values():
                assert segment.record is not None
                verdict = report.segments[recording.id, segment.index].verdict
                assert verdict == ("intact" if segment.record.body["closed"] else "truncated")
        self._check_stills()

    def _check_stills(self) -> None:
        """A still is in the fragment that was cut next; with the disk's refusal alone it may be lost, and is told."""
        kept, fragments = kept_stills(self.owner, self.disk), of_kind(self.disk, "fragment")
        listed = [record.body["sha256"] for record in of_kind(self.disk, "still")]
        assert len(set(listed)) == len(listed)
        assert set(listed) <= {hashlib.sha256(jpeg).hexdigest() for jpeg in kept}
        for camera, now, still in self.stills:
            later = any(f.boot == camera.boot and f.body["from_ns"] >= now for f in fragments)
            told = any(where == "still" for where, _ in camera.faults)
            assert kept.count(still.jpeg) == 1 or not later or told


def operations_of(owner: Owner) -> int:
    life = Life(owner)
    life.record()
    return life.disk.operations


def test_a_whole_recording_leaves_nothing_to_explain(owner: Owner) -> None:
    life = Life(owner)
    life.record()
    life.check()
    assert of_kind(life.disk, "gap") == []
    assert life.disk.handles == 0


@pytest.mark.slow
@pytest.mark.parametrize("power", [True, False], ids=["power", "process"])
def test_cut_at_every_operation(owner: Owner, power: bool) -> None:
    for number in range(1, operations_of(owner) + 1):
        life = Life(owner, seed=number)
        life.disk.cut_at(number)
        assert life.until_cut(life.record)
        open_before = _open_recording(life)
        life.die(power=power)
        life.record()
        life.check()
        _check_gap(life, open_before, "power_cut" if power else "crash")


def _open_recording(life: Life) -> str | None:
    """The recording whose beginning is published and whose end is not, as the process saw it when it died."""
    camera = life.camera
    if camera is None:
        return None
    head = camera.journal.head()[0]
    published = [record for record in lines_up_to(life.disk, head) if record[1].startswith("recording_")]
    return published[-1][2] if published and published[-1][1] == "recording_started" else None


def _ended_at_the_cut(life: Life, recording: str) -> bool:
    """The line that ends it was written, and became durable, though the process did not live to know it."""
    return any(r.body["recording"] == recording and r.body["parts"] == 1 for r in of_kind(life.disk, "recording_ended"))


def lines_up_to(disk: MemoryDisk, head: int) -> list[tuple[int, str, str]]:
    found = [record for record in lines(disk) if record.seq <= head]
    return [(record.seq, record.kind, record.body.get("recording", "")) for record in found]


def _check_gap(life: Life, recording: str | None, cause: str) -> None:
    """The recording that was cut went on by itself, and its gap has the true cause and holds the true length."""
    gaps = [gap for gap in of_kind(life.disk, "gap") if gap.body["after_part"] != gap.body["before_part"]]
    if recording is None:
        # Its beginning may have become durable without anybody knowing; then it goes on as well.
        assert len(gaps) <= 1
    elif not _ended_at_the_cut(life, recording):
        assert [gap.body["recording"] for gap in gaps] == [recording]
    for gap in gaps:
        body = gap.body
        assert body["cause"] == cause
        assert body["same_clock"] == (cause == "crash")
        fragments = [f.body for f in of_kind(life.disk, "fragment") if f.body["recording"] == body["recording"]]
        attested = [f["to_ns"] for f in fragments if f["part"] == 1]
        if attested:
            assert body["last_ns"] == max(attested)
            # Before the cut the boot clock was the world's.
            assert life.delivered[0] - max(attested) <= FRAGMENT + FRAME
        on_ns = life.clock._on_ns
        true_ms = (on_ns + body["first_ns"] - body["last_ns"]) // MS
        assert body["min_ms"] - 1 <= true_ms
        assert body["max_ms"] is not None
        assert true_ms <= body["max_ms"] + 1


@pytest.mark.slow
@pytest.mark.parametrize("clean", [True, False], ids=["then power", "then process"])
def test_cut_again_while_it_recovers(owner: Owner, clean: bool) -> None:
    """Cut in a recording, start, cut again at each operation of the second boot; the third accounts for both."""
    seed = 0
    for first in (31, 58):
        life = Life(owner)
        life.disk.cut_at(first)
        assert life.until_cut(life.record)
        life.die(power=True)
        before = life.disk.operations
        life.record()
        for second in range(1, life.disk.operations - before + 1):
            seed += 1
            life = Life(owner, seed=seed)
            life.disk.cut_at(first)
            assert life.until_cut(life.record)
            life.die(power=seed % 3 != 0)
            life.disk.cut_at(life.disk.operations + second)
            life.until_cut(life.record)
            life.die(power=clean)
            life.record()
            life.check()


@pytest.mark.slow
def test_a_crash_and_then_a_power_cut_loses_no_record(owner: Owner) -> None:
    """A killed process leaves lines that are readable and not durable; what is built on them must not hang in the air.

    The power fails at each operation of the boot after the crash.
    """
    for first in range(20, 60, 3):
        for second in (3, 4, 5, 6, 8, 12, 18):
            life = Life(owner, seed=first * second)
            life.disk.cut_at(first)
            assert life.until_cut(life.record)
            life.die(power=False)
            life.disk.cut_at(life.disk.operations + second)
            life.until_cut(life.record)
            life.die(power=True)
            life.record()
            life.check()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_refused_at_every_operation(owner: Owner, error: int) -> None:
    """The disk refuses once: the recording goes on after a gap of the right cause, or was not touched at all."""
    for number in range(4, operations_of(owner) + 1):
        life = Life(owner, seed=number)
        refused = _refuse(life.disk, number, 1, error)
        _record_on(life)
        life.check()
        assert refused
        causes = {gap.body["cause"] for gap in of_kind(life.disk, "gap")}
        assert causes <= {"storage_full" if error == errno.ENOSPC else "storage_failing"}
        if any("segments/" in what for what in refused if not what.startswith("read")):
            assert of_kind(life.disk, "gap") or of_kind(life.disk, "recording_ended")


def test_refused_and_then_cut(owner: Owner) -> None:
    """A sync that failed has lost its bytes for good; the power cut that follows shows it."""
    for number in range(4, operations_of(owner), 2):
        life = Life(owner, seed=number)
        _refuse(life.disk, number, 3, errno.EIO)
        refuse = life.disk.before
        at = number + 9

        def before(now: int, operation: str, at: int = at, refuse: Callable[[int, str], None] = refuse) -> None:
            if now >= at:
                raise PowerCut(operation)
            refuse(now, operation)

        life.disk.before = before
        life.until_cut(lambda life=life: _record_on(life))  # type: ignore[misc]
        life.die(power=True)
        life.record()
        life.check()


def _record_on(life: Life) -> None:
    """Like `record`, with the retries that the runner makes while the disk refuses."""
    try:
        camera = life.boot()
    except OSError:
        life.die(power=bool(life.disk.doomed))
        life.record()
        return
    camera.run(2.2)
    camera.press()
    for number in range(8):
        if number in (1, 5):
            life.take_still(camera)
        camera.run(0.4)
        if camera.state.phase is Phase.INTERRUPTED:
            camera.try_storage()
    camera.end()
    camera.run(0.5)
    camera.quit()


def _refuse(disk: MemoryDisk, number: int, times: int, error: int) -> list[str]:
    refused: list[str] = []

    def before(now: int, operation: str) -> None:
        if number <= now < number + times:
            refused.append(operation)
            raise OSError(error, os.strerror(error))

    disk.before = before
    return refused


@pytest.mark.slow
def test_random_lives(owner: Owner) -> None:
    """Two hundred lives of cuts, crashes and refusals at random moments; the seed is in the failure."""
    start = int(os.environ.get("CRASH_SEED", random.randrange(1 << 32)))
    for seed in range(start, start + 200):
        try:
            _random_life(owner, seed)
        except BaseException:
            sys.stderr.write(f"to repeat it: CRASH_SEED={seed}\n")
            raise


def _random_life(owner: Owner, seed: int) -> None:
    chance = random.Random(seed)
    life = Life(owner, seed, utc_error_ms=chance.choice([None, 0, 400]))
    for _ in range(chance.randint(1, 4)):
        _disturb(life, chance)
        life.until_cut(lambda: _record_on(life))
        # Not covered: a sync fails, the process dies before it has said so, and then the power fails.
        life.die(power=bool(life.disk.doomed) or chance.random() < 0.6)
    life.record()
    life.check()


def _disturb(life: Life, chance: random.Random) -> None:
    cut = life.disk.operations + chance.randint(1, 110)
    refuse = range(0)
    if chance.random() < 0.4:
        start = life.disk.operations + chance.randint(4, 90)
        refuse = range(start, start + chance.randint(1, 12))
    error = chance.choice([errno.EIO, errno.ENOSPC])

    def before(now: int, operation: str) -> None:
        if now >= cut:
            raise PowerCut(operation)
        if now in refuse:
            raise OSError(error, os.strerror(error))

    life.disk.before = before
