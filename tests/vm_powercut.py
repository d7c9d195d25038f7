"""Power cuts of a real kernel and disk (`hw_sim.guest`): QEMU killed while the unchanged camera writes to ext4 in it.

Every second disk has a write cache of its own, which forgets what the kernel did not flush (`hw_sim.forgetful_fs` under
the disk's file). `run(count, seed)` is what `scripts/powercut --vm` calls.
"""

from __future__ import annotations

import os
import random
import shlex
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hw_sim import forgetful_fs, guest
from hw_sim.forgetful_fs import MountedDisk
from hw_sim.guest import Guest, GuestError, Kernel
from runtime.disk import PosixDisk
from tests import invariants, vm_camera
from tests.camera_rig import FRAGMENT, FRAME, SECOND, Owner
from tests.card_rig import lines, report, signer_file

ROOT = Path(__file__).resolve().parent.parent
DISK_MEGABYTES = 48
LIFE = 5  # cuts of one disk
OFF_NS = 3 * SECOND
_RUN_SECONDS = (0.2, 5.0)  # from the first durable line on


def cache() -> Path:
    """Where the kernel is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bodycam-guest"


@dataclass
class Cuts:
    """What came of them."""

    count: int = 0
    records: int = 0  # confirmed before a cut and found after it
    lost_ns: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        lost = max(self.lost_ns, default=0) / SECOND
        found = f"{self.records} confirmed records all there"
        return f"{self.count} cuts of a virtual machine, {found}, at most {lost:.2f} s lost"


class Machine:
    """One disk through its cuts."""

    def __init__(self, kernel: Kernel, folder: Path, seed: int, *, cached: bool, syncs: bool = True) -> None:
        """`cached`: the disk has a write cache; `syncs` false: the camera says that it syncs, and does not."""
        self.kernel, self.folder, self.chance, self.cached = kernel, folder, random.Random(seed), cached
        self.syncs = syncs
        self.owner = Owner()
        folder.mkdir(parents=True)
        vm_camera.bring(self.owner, folder / "keys")
        (folder / "disk").mkdir()
        self.image = folder / "disk" / "card.img"
        guest.make_disk(self.image, DISK_MEGABYTES)
        self.boots = 0
        self.now_ns = self.given_ns = 0
        self.confirmed: dict[int, str] = {}
        self.snapshots: list[invariants.Snapshot] = []

    def cut(self, cuts: Cuts) -> None:
        """Boot, record, and take the power away at some moment; then see what is left."""
        with ExitStack() as stack:
            disk = self._disk(stack)
            machine = stack.enter_context(self._boot(str(self.chance.getrandbits(32)), disk))
            self._hear(next(machine.told()))
            for line in machine.tells_within(self.chance.uniform(*_RUN_SECONDS)):
                self._hear(line)
            # The machine first: one that ran on without its disk would be given pictures that no cut has taken.
            for line in machine.kill():
                self._hear(line)
            if disk is not None:
                disk.cut_power(self.chance.choice(["none", "bytes", "sectors"]), self.chance.getrandbits(16))
        folder = self._take_out()
        self._hold_to_its_word(folder)
        cuts.count += 1
        cuts.records += len(self.confirmed)
        cuts.lost_ns += self._lost(folder)
        self.now_ns = self.given_ns + OFF_NS

    def finish(self) -> None:
        """Boot once more, end what is open, switch off in order: the invariants of section 11 hold."""
        with ExitStack() as stack:
            machine = stack.enter_context(self._boot("finish", self._disk(stack)))
            told = list(machine.told())
            if "finished" not in told:
                raise GuestError(f"the camera did not come up; see {self._log}")
            for line in told:
                self._hear(line)
        folder = self._take_out()
        self._hold_to_its_word(folder)
        signer_file(self.owner, folder)
        found = report(self.owner, folder)
        invariants.no_finding(found)
        invariants.books_are_closed(found)
        gaps = [gap for recording in found.account.recordings.values() for gap in recording.gaps]
        assert {gap.body["cause"] for gap in gaps} <= {"power_cut"}

    @property
    def _log(self) -> Path:
        return self.folder / "console.log"

    def _disk(self, stack: ExitStack) -> MountedDisk | None:
        """The disk's write cache, if it has one."""
        if not self.cached:
            return None
        return stack.enter_context(forgetful_fs.mount(self.image.parent, self.folder / "mounted"))

    def _boot(self, seed: str, disk: MountedDisk | None) -> AbstractContextManager[Guest]:
        script = self.folder / "script"
        program = [sys.executable, "-m", "tests.vm_camera", str(self.folder / "keys"), "/mnt/data", str(self.now_ns)]
        script.write_text(
            f"cd {shlex.quote(str(ROOT))}\n"
            f"export PYTHONPATH={shlex.quote(str(ROOT))} PYTHONDONTWRITEBYTECODE=1 SYNCS={int(self.syncs)}\n"
            f"{shlex.join([*program, seed])}\n"
        )
        self.given_ns = self.now_ns
        image = disk.point / self.image.name if disk else self.image
        return guest.running(self.kernel, image, script, self._log)

    def _hear(self, line: str) -> None:
        what, *told = line.split()
        if what == "durable":
            self.confirmed[int(told[0])] = told[1]
        elif what == "given":
            self.given_ns = int(told[0])

    def _take_out(self) -> Path:
        self.boots += 1
        out = self.folder / f"out{self.boots}"
        guest.take_out(self.image, "/data", out)
        return out / "data"

    def _hold_to_its_word(self, folder: Path) -> None:
        """What was confirmed is there, and nothing that was there is changed."""
        now = invariants.snapshot(folder)
        held = {record.seq: record.sha256 for record in lines(PosixDisk(folder))}
        for seq, sha256 in self.confirmed.items():
            assert held.get(seq) == sha256, f"record {seq} was confirmed and is gone"
        for before in self.snapshots:
            invariants.nothing_changed(before, now)
        self.snapshots.append(now)

    def _lost(self, folder: Path) -> list[int]:
        """Nanoseconds that were given to the camera and are not attested, if it was recording."""
        told = lines(PosixDisk(folder))
        mine = [record for record in told if record.boot == told[-1].boot]
        part = [record for record in mine if record.kind == "recording_started"][-1:]
        if not part or any(record.kind == "recording_ended" and record.seq > part[0].seq for record in mine):
            return []
        ends = [record.body["to_ns"] for record in mine if record.kind == "fragment" and record.seq > part[0].seq]
        if not ends:
            return []
        lost = self.given_ns - self.now_ns - max(ends)
        assert lost <= FRAGMENT + FRAME, f"{lost / SECOND:.3f} s are lost"
        return [max(0, lost)]


def run(count: int, seed: int) -> int:
    """Cut the power of virtual machines so often; one line, and 0 only if all held."""
    cuts = Cuts()
    try:
        kernel = guest.kernel(cache())
        with tempfile.TemporaryDirectory(prefix="bodycam-vm-") as folder:
            for number in range(-(-count // LIFE)):
                machine = Machine(kernel, Path(folder) / str(number), seed + number, cached=number % 2 == 1)
                for _ in range(min(LIFE, count - cuts.count)):
                    machine.cut(cuts)
                machine.finish()
    except GuestError as error:
        sys.stderr.write(f"powercut --vm: {error}\n")
        return os.EX_UNAVAILABLE
    except AssertionError as error:
        sys.stderr.write(f"powercut --vm: seed {seed}, after {cuts.count} cuts: {error}\n")
        return 1
    sys.stdout.write(f"{cuts}, seed {seed}\n")
    return 0


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)))
