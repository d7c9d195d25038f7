"""A small fleet at the end of a shift: real docks, a real office, light cameras with true evidence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.net, pytest.mark.slow]


def test_a_small_fleet_comes_in_and_verifies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bodycam", "sim", "fleet", "--cameras", "3", "--docks", "2", "--hours", "0.02"]
    out = tmp_path / "report.json"
    done = subprocess.run(
        [*command, "--folder", str(tmp_path), "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(out.read_text())
    assert facts["ok"]
    assert facts["verified"]
    assert facts["segments"] == facts["stored"] == facts["receipts"] == 3 * 2
    assert facts["programs"].keys() == {"office", "DOCK-1", "DOCK-2", "cameras of DOCK-1", "cameras of DOCK-2"}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_fleet_that_finds_no_room_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bodycam", "sim", "fleet", "--cameras", "20", "--hours", "100000"]
    done = subprocess.run([*command, "--folder", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "GB are needed" in done.stderr
