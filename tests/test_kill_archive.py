"""Dock and office killed (SIGKILL) at each change of what they hold: started again, everything converges.

The disk under the program kills it: just before an operation is done, or when it is done and the program does not know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from evidence import pki, records
from evidence.report import Report
from evidence.verify import Verifier
from hw_sim import forgetful_fs
from hw_sim.forgetful_fs import MountedDisk
from runtime.folder import DiskFolder
from tests.builders import present_agency
from tests.dock_programs import Programs

pytestmark = [
    pytest.mark.net,
    pytest.mark.fuse,
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse; run: modprobe fuse"),
]

Moment = Mapping[str, Any]
DATA = {"dock": "spool", "office": "office"}
SIZE = 1_500_000


def at(op: str, match: str, kill: str = "after", **more: Any) -> Moment:
    return {"op": op, "match": match, "kill": kill, "count": 1, **more}


DOCK = [
    at("create", "/BWC-0001/journal/*"),
    at("fsyncdir", "/BWC-0001/journal"),
    at("write", "/BWC-0001/journal/*"),
    at("fsync", "/BWC-0001/journal/*", "before"),
    at("fsync", "/BWC-0001/journal/*"),
    at("write", "/outbox.sqlite*", skip=2),
    at("fsync", "/outbox.sqlite*"),
    at("mkdir", "/partial/*"),
    at("write", "/partial/*.age", skip=3),
    at("fsync", "/partial/*.age", "before"),
    at("rename", "/partial/*.age", "before"),
    at("rename", "/partial/*.age"),
    at("fsyncdir", "/BWC-0001/segments/*"),
    at("rename", "/partial/*/draft"),
    at("mkdir", "/BWC-0001/receipts*"),
    at("fsync", "/partial/*/draft", "before"),
    at("rename", "/partial/*/draft", "before"),
    at("fsyncdir", "/BWC-0001/receipts/*"),
]
OFFICE = [
    at("write", "/store/*/journal/*"),
    at("fsync", "/store/*/journal/*"),
    at("write", "/catalogue.sqlite*", skip=2),
    at("fsync", "/catalogue.sqlite*"),
    at("create", "/staging/*"),
    at("write", "/staging/*", skip=3),
    at("fsync", "/staging/*", "before"),
    at("fsync", "/staging/*"),
    at("rename", "/staging/*", "before"),
    at("rename", "/staging/*"),
    at("fsyncdir", "/store/*/segments/*"),
    at("write", "/log/leaves.jsonl", "before"),
    at("write", "/log/leaves.jsonl"),
    at("fsync", "/log/leaves.jsonl"),
    at("rename", "/log/*"),
    at("write", "/store/*/receipts/*"),
    at("rename", "/store/*/receipts/*", "before"),
    at("rename", "/store/*/receipts/*"),
    at("fsyncdir", "/store/*/receipts/*"),
]


class Killed:
    """Both programs over disks that can kill them, and a camera that has ever more to hand in."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.disks: dict[str, MountedDisk] = {
            name: stack.enter_context(forgetful_fs.mount(folder / f"{data}.disk", folder / data))
            for name, data in DATA.items()
        }
        self.programs = Programs(folder, present_agency())
        stack.callback(self.programs.close)
        self.processes = {name: self.programs.start(name) for name in ("office", "dock")}
        self.programs.wait(lambda: self.programs.said("office", "ready") and self.programs.said("dock", "ready"))
        self.recording = self.programs.camera.folder.begin_recording()
        self.wanted = 0

    def hand_in(self) -> None:
        """The camera has one more segment; it is given up on a receipt."""
        self.programs.camera.folder.segment(self.recording, SIZE)
        self.wanted += 1

    def at(self, name: str, moment: Moment) -> None:
        """Kill it there, start it again, and let it finish."""
        self.disks[name].set_rules(moment)
        self.programs.camera.folder.rotate()  # there is a journal file, and a recording, of which nothing is there yet
        self.recording = self.programs.camera.folder.begin_recording()
        self.hand_in()
        process = self.processes[name]
        self.programs.wait(lambda: process.poll() is not None)
        assert process.returncode == -SIGKILL, moment
        self.disks[name].set_rules()
        self.processes[name] = self.programs.start(name)
        self.programs.wait(self.emptied)

    def emptied(self) -> bool:
        camera = self.programs.camera
        return len(camera.given) >= self.wanted and camera.state().segments == ()

    def check(self) -> None:
        """After the power of both is cut as well: no finding, and every receipt is for bytes that are there."""
        self.programs.wait(lambda: len(self.programs.camera.anchors) == 1)
        for process in self.processes.values():
            process.kill()
            process.wait()
        for disk in self.disks.values():
            disk.cut_power()
        camera = self.programs.camera
        device = camera.folder.device
        held = self.folder / "office.disk" / "store" / device
        for receipt in camera.given:
            data = (held / records.segment_path(receipt.recording, receipt.segment)).read_bytes()
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (receipt.sha256, receipt.size)
        assert len({(r.recording, r.segment) for r in camera.given}) == self.wanted
        for folder in (held, self.folder / "spool.disk" / device, camera.folder.disk.root):
            report = self._verify(folder)
            assert report.ok, (folder, report.findings)

    def _verify(self, folder: Path) -> Report:
        roots = pki.parse_certificates((self.folder / "roots.pem").read_bytes())
        certs = folder / "certs"
        if not certs.exists():  # beside a camera's own folder, and the office's, its certificate is put by others
            certs.mkdir()
            (certs / "signer.pem").write_bytes((self.folder / "signer.pem").read_bytes())
        return Verifier(DiskFolder(folder), roots).run()


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    with ExitStack() as stack:
        yield Killed(tmp_path, stack)


@pytest.mark.long
def test_dock_and_office_killed_in_the_narrowest_windows(killed: Killed) -> None:
    """The segment, or its receipt, is in its place and nothing says so yet."""
    killed.at("dock", at("rename", "/partial/*.age"))
    killed.at("office", at("rename", "/staging/*"))
    killed.at("office", at("rename", "/store/*/receipts/*"))
    killed.check()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "moments"), [("dock", DOCK), ("office", OFFICE)], ids=["dock", "office"])
def test_killed_at_each_change(killed: Killed, name: str, moments: list[Moment]) -> None:
    for moment in moments:
        killed.at(name, moment)
    killed.check()
