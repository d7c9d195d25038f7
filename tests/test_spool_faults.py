"""A dock whose disk fails: the camera is emptied all the same, and the spool verifies.

Seeded; to repeat a life: DISK_SEED=<seed>.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from evidence.pki import Role
from evidence.verify import Verifier
from hw_sim import forgetful_fs
from runtime.disk import sync_folder
from runtime.folder import DiskFolder
from tests.agency import Agency, Holder
from tests.dock_site import MIB, Site
from tests.misfortune import READ_ONLY, Rules, by_chance, fails

pytestmark = [
    pytest.mark.net,
    pytest.mark.fuse,
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse; run: modprobe fuse"),
]
SPOOL = ("/BWC-0001/journal*", "/BWC-0001/segments*", "/BWC-0001/receipts*", "/BWC-0001/certs*", "/partial*", "*")


class Spooled:
    """A dock whose spool lies on a disk with faults, an office that is there now and then, and a camera to empty."""

    def __init__(self, folder: Path, agency: Agency, signer: Holder) -> None:
        self.store, self.point = folder / "disk", folder / "spool"
        self.folder, self.agency, self.signer = folder, agency, signer
        with forgetful_fs.mount(self.store, self.point) as disk:
            self.site = Site(folder, agency, signer)
            disk.shut_down()
        self.keys = self.site.record(3 * MIB, 100, 2 * MIB)

    def life(self, rules: Rules, *, looks: int = 6, away: bool = False, cut: str = "none", seed: int = 0) -> None:
        """A dock's process on a good disk, which then fails; in the end the power is cut."""
        with forgetful_fs.mount(self.store, self.point) as disk:
            if away:
                self.site.office.stop()
            try:
                self.site.start_dock(keep=True)
                disk.set_rules(*rules)
                self._look(looks)
                disk.set_rules()
                self._look(looks)
            finally:
                if away:
                    self.site.office.start()
            disk.cut_power(cut, seed)  # type: ignore[arg-type]
            self.site.bay.close()
            self.site.drain.close()

    def finish(self) -> None:
        """On a good disk all comes in, and the spool verifies after one more power cut."""
        with forgetful_fs.mount(self.store, self.point) as disk:
            self.site.start_dock(keep=True)
            self._look(12)
            assert self.site.done(), self.site.told.handin()[-4:]
            assert len(self.site.office.stored) == len(self.keys)
            assert {(receipt.recording, receipt.segment) for receipt in self.site.camera.given} == set(self.keys)
            disk.cut_power()
            self.site.bay.close()
            self.site.drain.close()
        found = Verifier(DiskFolder(self.store / "BWC-0001"), [self.agency.root.certificate]).run()
        assert found.ok, found.findings
        assert {str(verdict.verdict) for verdict in found.segments.values()} <= {"intact"}

    def _look(self, looks: int) -> None:
        for number in range(looks):
            with suppress(OSError):  # `bay.repeat` survives it, and tells
                (self.site.drain if number % 3 == 2 else self.site.bay).work()
            time.sleep(0.002)  # longer than any back-off here


@pytest.fixture
def spooled(tmp_path: Path, agency: Agency) -> Iterator[Spooled]:
    spooled = Spooled(tmp_path, agency, agency.issue(Role.SIGNER, "OFFICE-1"))
    yield spooled
    spooled.site.close()


@pytest.mark.parametrize("away", [False, True], ids=["the office is there", "the office is away"])
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([fails("fsync", "/partial/*", count=1)], id="a segment"),
        pytest.param([fails("fsync", "/BWC-0001/journal/*", count=1)], id="the journal", marks=pytest.mark.slow),
        pytest.param([fails("fsyncdir", "/BWC-0001*", count=2)], id="names", marks=pytest.mark.slow),
        pytest.param(READ_ONLY, id="read-only", marks=pytest.mark.slow),
    ],
)
def test_a_dock_whose_disk_failed_still_empties_the_camera(spooled: Spooled, rules: Rules, away: bool) -> None:
    spooled.life(rules, away=away)
    spooled.finish()


def test_lines_that_a_killed_dock_left_in_memory_do_not_vanish_with_the_next_cut(spooled: Spooled) -> None:
    folder = spooled.site.camera.folder
    journal = folder.disk.root / "journal" / "00000000.jws"
    with forgetful_fs.mount(spooled.store, spooled.point) as disk:
        copy = spooled.point / folder.device / "journal" / journal.name
        copy.parent.mkdir(parents=True)
        for path in (copy.parent, copy.parent.parent, spooled.point):
            sync_folder(path)
        copy.touch()
        sync_folder(copy.parent)
        copy.write_bytes(journal.read_bytes())  # and the dock is killed before it syncs
        folder.rotate()
        spooled.site.start_dock(keep=True)
        spooled._look(3)
        spooled.site.bay.close()
        spooled.site.drain.close()
        disk.cut_power()
    held = spooled.store / folder.device / "journal" / journal.name
    assert held.read_bytes() == journal.read_bytes()
    spooled.finish()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_a_random_life_of_a_dock(spooled: Spooled, number: int) -> None:
    seed = int(os.environ.get("DISK_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed + number)
    try:
        for _ in range(4):
            rules = by_chance(chance, SPOOL)
            spooled.life(
                rules,
                looks=chance.randint(1, 6),
                away=chance.random() < 0.5,
                cut=chance.choice(["none", "bytes", "sectors"]),
                seed=chance.randrange(99),
            )
        spooled.finish()
    except BaseException:
        sys.stderr.write(f"to repeat it: DISK_SEED={seed} and the life of number {number}\n")
        raise
