"""The real dock and the real office, each its own process: camera emptied, receipts back, events acknowledged."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence import pki, records
from evidence.certificate import Role
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from tests.dock_camera import DockedCamera
from tests.office_kit import ROOT, OfficeKit, running, wait_for

pytestmark = pytest.mark.net


@contextlib.contextmanager
def _dock(office: OfficeKit, camera_port: int) -> Iterator[Path]:
    """Run a dock with one bay; its log."""
    folder = office.folder / "dock"
    folder.mkdir(exist_ok=True)
    chain, key = office.agency.issue(Role.DOCK, "DOCK-1").write(folder, "dock")
    (folder / "signers.pem").write_bytes(pki.to_pem(office.signer.certificate, *office.signer.above))
    settings = {
        "certificate": chain, "key": key, "roots": office.roots, "signers": folder / "signers.pem",
        "spool": folder / "spool", "office": f"127.0.0.1:{office.port}", "broker": f"127.0.0.1:{office.broker_port}",
    }  # fmt: skip
    lines = [f"{name} = {json.dumps(str(value))}" for name, value in settings.items()]
    lines += ["poll_seconds = 0.1", "retry_seconds = 0.1", "[[bays]]", f'camera = "127.0.0.1:{camera_port}"']
    (folder / "dock.toml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "bodycam", "dock", "run", "--config", str(folder / "dock.toml")]
    with (folder / "dock.log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        yield folder / "dock.log"
    finally:
        process.terminate()
        process.wait(20)


def test_a_docked_camera_is_emptied(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path)
    camera = DockedCamera(tmp_path / "camera", office.agency, office.signer.certificate)
    recording = camera.folder.begin_recording()
    keys = [camera.folder.segment(recording, size) for size in (200_000, 3_000_000, 1)]
    made = {key: camera.folder.disk.read(records.segment_path(*key)) for key in keys}
    camera.port.start()
    with contextlib.ExitStack() as stack:
        stack.callback(camera.port.stop)
        stack.enter_context(running(office))
        stack.enter_context(_dock(office, camera.port.address[1]))
        wait_for(lambda: len(camera.given) == len(keys) and camera.anchors)
        for key, data in made.items():
            assert (office.data / "store" / "BWC-0001" / records.segment_path(*key)).read_bytes() == data
        office.kill()  # and the rest of the journal comes in afterwards
        office.config.write_text(office.config.read_text().replace("port = 0", f"port = {office.port}", 1))
        last = camera.folder.line("shutdown", {"clean": True})
        office.start()
        journal = office.data / "store" / "BWC-0001" / records.journal_path(0)
        wait_for(lambda: last.sha256 in _line_hashes(journal))
        wait_for(lambda: last.sha256 in _event_ids(office))
    assert journal.read_bytes() == camera.folder.disk.read(records.journal_path(0))


def _line_hashes(journal: Path) -> set[str]:
    return {records.line_sha256(line) for line in journal.read_bytes().splitlines()}


def _event_ids(office: OfficeKit) -> set[str]:
    catalogue = Catalogue(Database(sqlite_url(office.data / "catalogue.sqlite")))
    try:
        return {row["id"] for row in catalogue.table("events")}
    finally:
        catalogue.close()
