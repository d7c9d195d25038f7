"""The demonstration as a user runs it: it holds, it fails when it must, and it says why in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.sound, pytest.mark.net, pytest.mark.fuse]


def demo(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bodycam", "sim", "demo", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=240, env={**os.environ, **(env or {})}
    )


def left_behind(folder: Path) -> list[str]:
    """Command lines of processes that still work in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run over the drawn scene, the room as loud as the notice, the sound card's clock 100 ppm fast."""
    out = tmp_path_factory.mktemp("demo") / "with a space"
    return demo("--drawn", "--snr", "0", "--ppm", "100", "--seconds", "30", "--out", str(out)), out


def test_every_check_holds_in_a_loud_room_with_a_fast_sound_card(
    noisy: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, out = noisy
    assert done.returncode == 0, done.stderr + done.stdout
    facts = report(out)
    assert facts["ok"]
    assert all(check["ok"] for check in facts["checks"]), facts["checks"]
    assert {"frames", "pictures", "notice", "age", "jose", "openssl", "ffmpeg"} <= {c["name"] for c in facts["checks"]}
    assert facts["simulated"]
    assert [gap["cause"] for gap in facts["gaps"]] == ["power_cut"]
    assert facts["frames"]["decoded"] == facts["frames"]["encoded"] > 25 * 25
    assert facts["receipts"] == facts["segments"]
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text("utf-8").splitlines()]
    started = [line["body"] for line in lines if line["kind"] == "recording_started"]
    assert [body["activity"] for body in started] == ["inspection", "inspection"]  # rule 5, over the power cut


def test_nothing_outlives_the_demonstration(noisy: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, out = noisy
    assert left_behind(out) == []


def test_the_export_can_be_verified_and_played_by_others(noisy: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, out = noisy
    command = ["ffmpeg", "-v", "error", "-i", str(out / "recording.mp4"), "-f", "null", "-"]
    played = subprocess.run(command, capture_output=True, check=False)
    assert (played.returncode, played.stderr) == (0, b"")
    command = [sys.executable, "-m", "bodycam", "verify", str(out / "export"), "--trust", str(out / "trust.pem")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_journal_line_less_is_named_by_the_verifier(
    noisy: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path
) -> None:
    _, out = noisy
    forged = tmp_path / "forged"
    shutil.copytree(out / "export", forged)
    journal = forged / "journal" / "00000000.jws"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.chmod(0o600)
    journal.write_bytes(b"".join(lines[:5] + lines[6:]))
    command = [sys.executable, "-m", "bodycam", "verify", str(forged), "--trust", str(out / "trust.pem"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert any(finding["step"] == 4 for finding in json.loads(done.stdout)["findings"])


@pytest.mark.slow
def test_a_broken_loudspeaker_is_reported_as_a_fault_and_the_evidence_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = demo("--mute", "--out", str(out))
    assert done.returncode != 0
    assert "check the loudspeaker" in done.stderr
    assert "00000000.jws" in done.stderr
    assert left_behind(out) == []


@pytest.mark.slow
def test_a_full_card_is_told_and_keeps_what_it_holds(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = demo("--card-mb", "37", "--out", str(out))
    assert done.returncode != 0
    assert "storage_full" in done.stderr
    assert list((out / "work" / "card" / "segments").rglob("*.age"))


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--video", "no-such-file.mp4"], 66, "no-such-file.mp4 does not exist"),
        (["--speech", "no-such-file.wav"], 66, "no-such-file.wav does not exist"),
        (["--out", "{full}"], 73, "is not an empty folder"),
        (["--seconds", "5"], 2, "at least 20"),
    ],
)
def test_a_wrong_call_is_one_clear_line(tmp_path: Path, arguments: list[str], status: int, says: str) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    done = demo(*(argument.format(full=full) for argument in arguments))
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_video_is_told_and_nothing_half_made_stays(tmp_path: Path) -> None:
    video = tmp_path / "notes.mp4"
    video.write_text("not a video")
    out = tmp_path / "out"
    done = demo("--video", str(video), "--out", str(out))
    assert done.returncode != 0
    assert "notes.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_a_missing_program_is_named_before_anything_starts(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("setpriv", "ffmpeg", "age", "jose", "openssl", "pulseaudio"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    done = demo("--out", str(tmp_path / "out"), env={"PATH": str(tools)})
    assert done.returncode == 69
    assert "mosquitto is not installed; run scripts/setup demo" in done.stderr
    assert not (tmp_path / "out").exists()
