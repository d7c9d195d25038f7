"""The dock's program as it runs: its own process, the real office with its broker in another, a real dock port."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence import pki, records
from evidence.verify import Verifier
from runtime.folder import DiskFolder
from runtime.outbox import waiting
from syncd import status
from syncd.status import BayStatus, DockStatus
from tests.builders import present_agency
from tests.dock_programs import Programs

pytestmark = pytest.mark.net


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path, present_agency())
    yield programs
    programs.close()


def test_a_camera_is_emptied_into_the_real_office(programs: Programs) -> None:
    camera, tmp = programs.camera, programs.tmp
    recording = camera.folder.begin_recording()
    keys = [camera.folder.segment(recording, size) for size in (3_000_000, 100)]
    dock = programs.start("dock")
    # The office is not there yet: what can be spooled is.
    programs.wait(lambda: all((tmp / "spool/BWC-0001" / records.segment_path(*key)).exists() for key in keys))
    assert camera.given == []
    programs.wait(lambda: shown(programs).bays[0].state == "waiting")
    said = told(programs)
    assert "等候 waiting" in said
    assert "office-lost" in said
    assert "BWC-0001: 2 段待送" in said
    assert "消息 messages: 0 " not in said, "no event waits"
    programs.start("office")
    programs.wait(lambda: len(camera.given) == 2 and len(camera.anchors) == 1)
    programs.wait(lambda: shown(programs).bays[0].lamp == "green")
    assert shown(programs).bays[0].percent == 100
    assert "交清" in listens(programs, "screen", "/bays")
    assert "bodycam_dock_segments_total 2" in listens(programs, "metrics", "/metrics")
    programs.wait(lambda: outbox_empty(programs) and shown(programs).broker_trouble is None)
    examined = subprocess.run(programs.command("dock", "doctor"), capture_output=True, text=True, check=False)
    assert examined.returncode == os.EX_OK, examined.stdout
    for line in ("[office]", "[clock]", "[broker]", "[dock]", "[spool]"):
        assert line in examined.stdout
    assert [(receipt.recording, receipt.segment) for receipt in camera.given] == keys
    programs.wait(lambda: outbox_empty(programs))
    dock.send_signal(signal.SIGTERM)
    assert dock.wait(20) == os.EX_OK
    programs.wait(lambda: not shown(programs).fresh())
    assert "未运行 not running" in told(programs)
    roots = pki.parse_certificates((tmp / "roots.pem").read_bytes())
    report = Verifier(DiskFolder(tmp / "spool/BWC-0001"), roots).run()
    assert report.ok, report.findings
    assert {verdict.verdict for verdict in report.segments.values()} == {"intact"}
    assert set(report.receipts) == set(keys)


def shown(programs: Programs) -> DockStatus:
    """What the dock told last; before that, an empty one."""
    return status.read(programs.tmp / "spool") or DockStatus("", 0, 0.0, bays=(BayStatus("1"),))


def told(programs: Programs) -> str:
    return subprocess.run(programs.command("dock", "status"), capture_output=True, text=True, check=True).stdout


def listens(programs: Programs, what: str, path: str) -> str:
    """Ask where the dock's log says that it listens."""
    found = re.search(rf"{what}: listening address=127.0.0.1 port=(\d+)", (programs.tmp / "dock.log").read_text())
    assert found
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=5)) as link:
        link.request("GET", path)
        return link.getresponse().read().decode()


def outbox_empty(programs: Programs) -> bool:
    return waiting(programs.tmp / "spool" / "outbox.sqlite") == 0


def test_a_dock_killed_again_and_again_still_empties_the_camera(programs: Programs) -> None:
    camera = programs.camera
    recording = camera.folder.begin_recording()
    for size in (9_000_000, 4_000_000, 100):
        camera.folder.segment(recording, size)
    programs.start("office")
    programs.wait(lambda: programs.said("office", "ready"))
    for _ in range(3):
        dock = programs.start("dock")
        held = len(camera.given)
        programs.wait(lambda held=held: len(camera.given) > held)  # type: ignore[misc]
        dock.kill()
        dock.wait()
    programs.start("dock")
    programs.wait(lambda: len(camera.given) == 3 and len(camera.anchors) == 1)
    assert camera.state().segments == ()


@pytest.mark.parametrize(
    ("change", "status", "advice"),
    [
        (("dock.pem", "office.pem"), os.EX_NOINPUT, "provision"),
        (("poll_seconds", "pole_seconds"), os.EX_CONFIG, "pole_seconds"),
        (('signers = "signer.pem"', 'signers = "roots.pem"'), os.EX_NOPERM, "no signer"),
        (('roots = "roots.pem"', 'roots = "none.pem"'), os.EX_NOINPUT, "none.pem"),
    ],
)
def test_what_is_wrong_is_one_line(programs: Programs, change: tuple[str, str], status: int, advice: str) -> None:
    path = programs.tmp / "dock.toml"
    path.write_text(path.read_text().replace(*change))
    done = subprocess.run(programs.command("dock", "run"), capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == status
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("bodycam dock:")]
    assert advice in line
