"""The campaign of power cuts: five hundred lives here, thousands by `scripts/powercut`; and that it can fail."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import firmware.books
import firmware.handin
import office.stores.local
import runtime.disk
from evidence import age, records
from firmware.capture import late, part, recovery, writer
from firmware.capture.cutter import Cutter
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.recovery import Recovered
from firmware.capture.sound_clock import SoundClock
from tests.powercut import campaign
from tests.powercut.campaign import FAILED, SITE, Campaign
from tests.powercut.report import Report

pytestmark = pytest.mark.long

SEED = 20261124
LIVES = 500
SHARDS = 4  # so that several processes can share them


@pytest.fixture(autouse=True)
def undisturbed() -> Iterator[None]:
    """What the programs log of their faults is expected here."""
    with campaign.quiet():
        yield


def run(seed: int, lives: int, numbers: range | None = None, handins: int | None = 24) -> Report:
    """A campaign over all of the script's recording and some (None: all) of its hand-in, the rest at random."""
    script = campaign.script(seed) if handins is None else campaign.sampled(seed, handins)
    report = Report(seed)
    for judged in Campaign(seed, lives, script).run(1, numbers):
        report.add(judged)
    return report


@pytest.mark.parametrize("shard", range(SHARDS))
def test_five_hundred_lives_are_accounted_for(shard: int) -> None:
    report = run(SEED, LIVES, range(shard, LIVES, SHARDS))
    assert report.held, f"{report.line()}\n{report.problems}"
    assert report.lives == LIVES // SHARDS
    assert report.cuts["camera"] > report.lives * 0.9
    assert min(report.cuts["dock"], report.cuts["office"]) > 0
    assert report.truncated["segments"] > 0
    assert report.lost("total", 1) > 0


def test_a_life_is_lived_again_by_its_number() -> None:
    judged = [Campaign(SEED, LIVES, ()).judge(number) for number in (3, 4, 3, 4)]
    told = [(one.cuts, one.losses, one.truncated) for one in judged]
    assert told[:2] == told[2:]
    assert told[0] != told[1]


@pytest.mark.slow
def test_two_thousand_lives_of_a_new_seed() -> None:
    seed = random.randrange(1 << 31)
    report = run(seed, 2000, handins=None)
    assert report.held, f"{report.line()}\n{report.problems}"


# --- The campaign can fail: each of these breaks the product on purpose, and an invariant must not hold


def _nothing(*_: Any, **__: Any) -> None:
    pass


def names_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runtime.disk, "sync_folder", _nothing)


def lines_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runtime.disk._PosixAppendFile, "sync", _nothing)


def fragments_are_told_before_they_are_durable(patch: pytest.MonkeyPatch) -> None:
    create = runtime.disk.PosixDisk.create

    def unsynced(disk: runtime.disk.PosixDisk, path: str) -> Any:
        file = create(disk, path)
        if path.startswith("segments/"):
            patch.setattr(file, "sync", _nothing, raising=False)
        return file

    patch.setattr(runtime.disk.PosixDisk, "create", unsynced)


def torn_tails_are_not_declared(patch: pytest.MonkeyPatch) -> None:
    recover = recovery.recover

    def forgetting(disk: runtime.disk.Disk) -> Recovered:
        found = recover(disk)
        found.torn.clear()
        return found

    patch.setattr(recovery, "recover", forgetting)


def torn_tails_are_cut_off(patch: pytest.MonkeyPatch) -> None:
    recover = recovery.recover

    def tidying(disk: runtime.disk.Disk) -> Recovered:
        found = recover(disk)
        for tail in found.torn:
            disk.truncate(records.journal_path(tail["file"]), tail["offset"])
        return found

    patch.setattr(recovery, "recover", tidying)


def late_records_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery._Books, "_nobody_closed", lambda *_: iter(()))


def unattested_tails_are_cut_off(patch: pytest.MonkeyPatch) -> None:
    def refused(segment: late.LateSegment) -> None:
        segment._disk.truncate(segment._path, segment._unfinished.attested_len)

    patch.setattr(late.LateSegment, "_settle", refused)


def a_crash_is_always_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(firmware.books.Books, "_why", lambda *_: "crash")


def fragments_are_long(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(part, "Cutter", lambda start, fragment, *rest: Cutter(start, 3 * fragment, *rest))


def the_writer_dawdles(patch: pytest.MonkeyPatch) -> None:
    """It begins a fragment only when the next one is there."""
    once = writer.Writer.work_once

    def later(self: writer.Writer) -> bool:
        live = [job for job in self._live if isinstance(job, writer.WriteFragment)]
        return False if len(live) == 1 else once(self)

    patch.setattr(writer.Writer, "work_once", later)


def segments_go_and_nobody_says_so(patch: pytest.MonkeyPatch) -> None:
    def release(self: firmware.handin.HandIn, key: tuple[str, int]) -> None:
        self._released.add(key)
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(records.segment_path(*key))

    patch.setattr(firmware.handin.HandIn, "_release", release)


def receipts_are_not_kept(patch: pytest.MonkeyPatch) -> None:
    append = JournalWriter.append

    def forgetful(self: JournalWriter, kind: str, body: Any) -> int:
        return -1 if kind == "receipt" else append(self, kind, body)

    patch.setattr(JournalWriter, "append", forgetful)


def the_last_line_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    last_line = recovery._last_line

    def forgetful(data: bytes) -> Any:
        good, _ = last_line(data)
        return last_line(data[: good - 1])

    patch.setattr(recovery, "_last_line", forgetful)


def nothing_is_encrypted(patch: pytest.MonkeyPatch) -> None:
    seal = age.Encryptor.seal

    def leaking(self: age.Encryptor, data: Any) -> Any:
        sealed = bytes(seal(self, data))
        return bytes(data)[: len(sealed)].ljust(len(sealed), b"\0")

    patch.setattr(age.Encryptor, "seal", leaking)


def stills_are_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(part.Part, "still", _nothing)


def sound_runs_backwards(patch: pytest.MonkeyPatch) -> None:
    place = SoundClock.place
    patch.setattr(SoundClock, "place", lambda self, ns: (place(self, ns)[0] % 48_000, 2_400))


def receipts_come_before_the_store_is_durable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(office.stores.local, "sync_folder", _nothing)


MUTATIONS: list[tuple[Callable[[pytest.MonkeyPatch], None], set[int]]] = [
    (names_are_not_synced, {2}),
    (lines_are_not_synced, {2}),
    (fragments_are_told_before_they_are_durable, {1, 3}),
    (torn_tails_are_not_declared, {1, 7}),
    (torn_tails_are_cut_off, {4}),
    (late_records_are_forgotten, {1, 6}),
    (unattested_tails_are_cut_off, {4}),
    (a_crash_is_always_told, {9}),
    (fragments_are_long, {10}),
    (the_writer_dawdles, {10}),
    (segments_go_and_nobody_says_so, {3, 4}),
    (receipts_are_not_kept, {11}),
    (the_last_line_is_forgotten, {2, 5}),
    (nothing_is_encrypted, {3, 14}),
    (stills_are_dropped, {15}),
    (sound_runs_backwards, {13}),
    (receipts_come_before_the_store_is_durable, {SITE}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "caught"), MUTATIONS, ids=lambda one: getattr(one, "__name__", ""))
def test_what_is_broken_is_noticed(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None], caught: set[int]
) -> None:
    script = campaign.script(SEED)
    broken(monkeypatch)
    report = Report(SEED)
    whole = Campaign(SEED, len(script) + 48, script)
    for judged in whole.run(1, [*range(0, len(script), 6), *range(len(script), whole.count)]):
        report.add(judged)
    assert not report.held
    assert caught <= report.broken.keys(), f"{report.line()}\n{report.broken}\n{report.problems[:5]}"
    assert FAILED not in report.broken or len(report.broken) > 1
