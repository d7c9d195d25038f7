"""Attacks on an evidence folder as it lies on a disk: what is no file, what has no end, names that are anybody's."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bodycam import verify
from evidence import pki, records
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY, identity
from tests.pictures import JOURNAL, camera


class Disk:
    """A folder that an attacker without any key can write to, and the verifier's answer."""

    def __init__(self, tmp_path: Path, made: Camera) -> None:
        self.made, self.folder, self._root = made, tmp_path / "folder", tmp_path / "root.pem"
        for name, data in made.files.items():
            self.write(name, data)
        self._root.write_bytes(pki.to_pem(AGENCY.root))
        self._key = tmp_path / "office.age"
        self._key.write_text(identity("office"), encoding="utf-8")

    def write(self, name: str, data: bytes) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def segment(self, number: int) -> Path:
        return self.folder / records.segment_path(self.made.recording, number)

    def verify(self, *more: str) -> int:
        return verify.main([str(self.folder), "--trust", str(self._root), *more])

    def verify_inside(self) -> int:
        return self.verify("--identity", str(self._key))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path, camera("HSS"))


def pipe(disk: Disk) -> None:
    os.mkfifo(disk.folder / "segments/pipe")


def link_to_nothing(disk: Disk) -> None:
    (disk.folder / "segments/link").symlink_to("nowhere")


def link_to_itself(disk: Disk) -> None:
    (disk.folder / "segments/link").symlink_to("link")


def link_to_a_folder_of_strangers(disk: Disk) -> None:
    disk.write("beside/00000.mp4.age", b"stranger")
    (disk.folder / "segments/link").symlink_to("../beside")


def link_to_a_device(disk: Disk) -> None:
    (disk.folder / "certs/zero.jws").symlink_to("/dev/zero")


def a_file_in_the_place_of_a_folder(disk: Disk) -> None:
    (disk.folder / "receipts").rename(disk.folder / "beside")
    disk.write("receipts", b"")


@pytest.mark.parametrize(
    "attack",
    [
        pipe, link_to_nothing, link_to_itself, link_to_a_folder_of_strangers, link_to_a_device,
        a_file_in_the_place_of_a_folder,
    ],
)  # fmt: skip
def test_what_is_no_file_is_foreign(
    disk: Disk, attack: Callable[[Disk], None], capsys: pytest.CaptureFixture[str]
) -> None:
    attack(disk)
    assert disk.verify("--json") == 1
    assert {(found["step"], found["verdict"]) for found in json.loads(capsys.readouterr().out)["findings"]} <= {
        (13, "foreign"),
        (10, "missing"),
    }


@pytest.mark.parametrize("name", ["segment", JOURNAL.replace("0.jws", "1.jws"), "certs/a.pem"])
def test_a_pipe_in_the_place_of_a_file_does_not_hold_the_verifier_up(
    disk: Disk, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = disk.segment(1) if name == "segment" else disk.folder / name
    target.unlink(missing_ok=True)
    os.mkfifo(target)
    assert disk.verify() == os.EX_NOINPUT
    assert target.name in capsys.readouterr().err


def test_a_file_that_was_made_longer_than_anybody_reads(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    os.truncate(disk.segment(1), 1 << 42)
    assert disk.verify() == 1
    assert "00001.mp4.age" in capsys.readouterr().out


def test_the_open_end_of_a_file_is_not_read(tmp_path: Path) -> None:
    """Nobody attested what follows the last record of a segment that was not closed: a tebibyte of it is no reason."""
    made = Camera()
    made.boot()
    made.start()
    made.segment(cut=True)
    disk = Disk(tmp_path, made)
    os.truncate(disk.segment(0), 1 << 40)
    assert (disk.verify(), disk.verify_inside()) == (0, 0)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"\x1b[2J\x1b]0;fine\x07", "\u202efdp".encode(), "a\n未发现问题".encode()]
)
@pytest.mark.parametrize("output", [[], ["--json"]])
def test_names_cannot_speak_to_a_terminal(
    disk: Disk, name: bytes, output: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk.folder / "segments" / os.fsdecode(name)).write_bytes(b"")
    (disk.folder / "certs" / os.fsdecode(name + b".pem")).write_bytes(b"")
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="utf-8", errors="strict")
    monkeypatch.setattr(sys, "stdout", out)
    assert disk.verify(*output) == 1
    out.flush()
    told = raw.getvalue().decode()
    assert all(letter.isprintable() for letter in told.replace("\n", ""))
    assert not any(line.startswith("未发现问题") for line in told.splitlines())


def test_findings_are_told_to_a_terminal_without_chinese(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert disk.verify() == 0


def test_a_segment_taken_out_of_an_export_is_said_at_the_top(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    """Its receipt explains why it may be absent, not that nobody wanted it to be seen."""
    disk.segment(0).unlink()
    assert disk.verify() == 0
    assert "1 of 3 segments are not here" in capsys.readouterr().out.splitlines()[1]


def test_a_journal_rolled_back_into_a_recording_is_said_at_the_top(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = camera("SS")
    lines = made.files[JOURNAL].splitlines(keepends=True)
    last = next(n for n, r in enumerate(made.records) if r.kind == "segment")
    made.files[JOURNAL] = b"".join(lines[: last + 1])
    del made.files[records.segment_path(made.recording, 1)]
    assert Disk(tmp_path, made).verify() == 0
    assert f"not ended where the records end：{made.recording}" in capsys.readouterr().out.splitlines()[1]
