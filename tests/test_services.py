"""The units that ship: taken by systemd, and closed as far as each program allows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from provisioning import service_files
from provisioning.main import main as provision

KINDS = ("camera", "dock", "office")
_OPEN = {"camera": 5.0, "dock": 4.0, "office": 3.5}  # of ten, as `systemd-analyze security` counts


def written(tmp: Path, kind: str) -> Path:
    folder, out = tmp / "device", tmp / "etc"
    folder.mkdir()
    assert provision(["services", kind, "--dir", str(folder), "--out", str(out)]) == 0
    return out / f"systemd/system/bodycam-{kind}.service"


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_is_watched_begins_again_and_may_write_its_folder_alone(tmp_path: Path, kind: str) -> None:
    lines = written(tmp_path, kind).read_text(encoding="utf-8").splitlines()
    assert {
        "Type=notify", "WatchdogSec=30", "Restart=always", "User=bodycam", "NoNewPrivileges=yes",
        "ProtectSystem=strict", f"ReadWritePaths={tmp_path / 'device'}",
    } <= set(lines)  # fmt: skip
    assert not [line for line in lines if re.search("@[A-Z]+@", line)]
    assert [line for line in lines if line.startswith("AmbientCapabilities")] == (
        ["AmbientCapabilities=CAP_NET_ADMIN"] if kind == "dock" else []
    )


def test_a_camera_has_the_address_where_docks_look(tmp_path: Path) -> None:
    written(tmp_path, "camera")
    text = (tmp_path / "etc/systemd/network/80-bodycam-usb.network").read_text(encoding="utf-8")
    assert "Name=usb0\n" in text
    assert "Address=fe80::1/64\n" in text


def test_a_folder_that_a_unit_cannot_name_is_refused(tmp_path: Path) -> None:
    for folder in (str(Path("/home") / "dock"), "/srv/a dock", "/srv/%h"):
        assert provision(["services", "dock", "--dir", folder, "--out", str(tmp_path)]) == 64
    assert list(tmp_path.iterdir()) == []


def test_a_program_in_a_folder_with_odd_letters_is_named_as_systemd_reads_it() -> None:
    assert service_files.quoted('/opt/a "b" 5%/$py') == r'"/opt/a \"b\" 5%%/$$py"'


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
@pytest.mark.parametrize("kind", KINDS)
def test_systemd_takes_it_and_finds_it_closed(tmp_path: Path, kind: str) -> None:
    unit = written(tmp_path, kind)
    taken = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert f"bodycam-{kind}" not in taken.stderr, taken.stderr
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
    assert level, judged.stderr
    assert float(level[1]) <= _OPEN[kind], judged.stdout
