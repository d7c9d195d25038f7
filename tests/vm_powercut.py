"""Power cuts of a real kernel and disk (`hw_sim.guest`): QEMU killed while the unchanged camera writes to ext4 in it.

Every second disk has a write cache of its own, which forgets what the kernel did not flush (`hw_sim.forgetful_fs` under
the disk's file). `run(count, seed)` is what `scripts/powercut --vm` calls.
"""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from evidence import records
from hw_sim import forgetful_fs, guest
from hw_sim.forgetful_fs import MountedDisk
from hw_sim.guest import Guest, GuestError, Kernel
from runtime.disk import PosixDisk
from tests import invariants, vm_camera
from tests.camera_rig import FRAGMENT, FRAME, MS, SECOND, Owner
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
        return f"{self.count} cuts of a virtual machine, {self.records} confirmed records all there, at most {lost:.2f} s lost"


class Machine:
    """One disk through its cuts."""

    def __init__(self, kernel: Kernel, folder: Path, seed: int, *, cached: bool) -> None:
        self.kernel, self.folder, self.chance, self.cached = kernel, folder, random.Random(seed), cached
        self.owner = Owner()
        folder.mkdir()
        vm_camera.bring(self.owner, folder / "keys")
        (folder / "disk").mkdir()
        self.image = folder / "disk" / "card.img"
        guest.make_disk(self.image, DISK_MEGABYTES)
        self.boots = 0
        self.now_ns = 0
        self.confirmed: dict[int, str] = {}
        self.before: invariants.Snapshot = {}

    def cut(self, cuts: Cuts) -> None:
        """Boot, record, and take the power away at some moment; then see what is left."""
        with ExitStack() as stack:
            disk, image = self._disk(stack)
            machine = stack.enter_context(guest.running(self.kernel, image, self._script(str(self.chance.getrandbits(32))), self._log))
            given = self._listen(machine)
            if disk is not None:
                disk.cut_power(self.chance.choice(["none", "bytes", "sectors"]), self.chance.getrandbits(16))
            given = self._take(machine.kill(), given)
        now = self._taken_out()
        self._check(now)
        cuts.count += 1
        cuts.records += len(self.confirmed)
        attested = max((r.body["to_ns"] for r in self._lines() if r.kind == "fragment" and r.boot == self._boot()), default=None)
        if attested is not None and self._recording():
            cuts.lost_ns.append(max(0, given - self.began_ns - attested))
            assert cuts.lost_ns[-1] <= FRAGMENT + FRAME, "more was lost than the specification allows"
        self.before, self.now_ns = now, given + OFF_NS
