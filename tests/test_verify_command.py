"""`bodycam verify` as a user runs it: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bodycam import verify
from evidence import pki
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY, Agency, identity, sha256
from tests.evidence_media import media


class Given:
    """A folder on disk, a root and a key beside it."""

    def __init__(self, tmp_path: Path) -> None:
        camera = Camera()
        camera.boot()
        camera.anchor()
        camera.record("HTM")
        self.recording = camera.recording
        self.folder, self.root, self.key = tmp_path / "a folder", tmp_path / "root.pem", tmp_path / "office.age"
        for name, data in camera.files.items():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        self.root.write_bytes(pki.to_pem(AGENCY.root))
        self.key.write_text(f"# public key: …\n{identity('office')}\n", encoding="utf-8")

    def run(self, *more: object, folder: Path | None = None, trust: Path | None = None) -> int:
        return verify.main([str(folder or self.folder), "--trust", str(trust or self.root), *map(str, more)])

    def segment(self, number: int) -> Path:
        return self.folder / "segments" / self.recording / f"{number:05d}.mp4.age"


@pytest.fixture
def given(tmp_path: Path) -> Given:
    return Given(tmp_path)


def test_says_what_is_proven_and_what_is_not(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    assert given.run() == 0
    told = capsys.readouterr().out
    assert told.startswith("BWC-0001：未发现问题 nothing found wrong")
    for word in (
        given.recording,
        "有证书 certified",
        "文件，可导出",
        "power_cut",
        "完整 intact",
        "截断 truncated",
        "有回执",
    ):
        assert word in told
    assert "问题 findings" not in told
    assert "步骤 step 11 尾部 tail  无从查证 unaccounted" in told


def test_names_step_verdict_and_place(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(given.segment(2).read_bytes())
    data[100_000] ^= 1
    given.segment(2).write_bytes(data)
    given.segment(0).unlink()
    (given.segment(0).parent / "extra").write_bytes(b"")
    assert given.run() == 1
    told = capsys.readouterr().out
    assert told.startswith("BWC-0001：发现 2 处问题")
    assert f"步骤 step 9 字节 bytes  篡改 altered  segments/{given.recording}/00002.mp4.age：" in told
    assert f"步骤 step 13 外来 strangers  外来 foreign  segments/{given.recording}/extra：" in told
    assert "已交档案库 released" in told


def test_a_segment_taken_out_of_a_copy_is_excused_by_no_receipt(
    given: Given, capsys: pytest.CaptureFixture[str]
) -> None:
    assert given.run("--whole") == 0
    given.segment(0).unlink()
    assert given.run() == 0  # a camera's card, a dock's spool: it was handed in
    assert given.run("--whole", "--json") == 1
    told = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert [finding["verdict"] for finding in told["findings"]] == ["missing"]


def test_output_for_programs(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    assert given.run("--json", "--identity", given.key, "--recording", given.recording) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["decrypted"], told["device"]) == (True, True, "BWC-0001")
    assert [segment["verdict"] for segment in told["recordings"][0]["segments"]] == ["intact", "truncated", "intact"]


def test_stills_are_listed_for_people(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    assert given.run() == 0
    told = capsys.readouterr().out
    assert "  快照 stills：1\n    00002  2026-11-24T06:00:" in told
    assert f"{len(media().still)} B  {sha256(media().still)}" in told
    assert "无记录 unlisted" not in told


def test_another_agencys_root(given: Given, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(pki.to_pem(Agency("another").root))
    assert given.run(trust=other) == 1


def assert_one_line(captured: str, *words: str) -> None:
    assert captured.count("\n") == 1
    assert captured.startswith("bodycam verify: ")
    for word in words:
        assert word in captured


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        ([], os.EX_USAGE, "PATH"),
        (["{folder}"], os.EX_USAGE, "--trust"),
        (["{folder}", "--trust", "{root}", "--deep"], os.EX_USAGE, "--deep"),
        (["{folder}", "--trust", "{root}", "--recording", "00000000-1"], os.EX_USAGE, "00000000-1"),
        (["{folder}/none", "--trust", "{root}"], os.EX_NOINPUT, "none"),
        (["{folder}", "--trust", "{root}.none"], os.EX_NOINPUT, "root.pem.none"),
        (["{folder}", "--trust", "{key}"], os.EX_NOINPUT, "office.age"),
        (["{folder}", "--trust", "{folder}/certs/signer.pem"], os.EX_NOINPUT, "root"),
        (["{folder}", "--trust", "{root}", "--identity", "{root}"], os.EX_NOINPUT, "AGE-SECRET-KEY-1"),
        (["{folder}", "--trust", "{root}", "--identity", "{folder}"], os.EX_NOINPUT, "folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    given: Given, arguments: list[str], status: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"folder": given.folder, "root": given.root, "key": given.key}
    assert verify.main([argument.format(**names) for argument in arguments]) == status
    assert_one_line(capsys.readouterr().err, word)


def test_a_file_that_cannot_be_read(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    """A disk that answers with an error, or a folder where a file should be."""
    given.segment(2).unlink()
    given.segment(2).symlink_to("/proc/self/mem")
    assert given.run() == os.EX_NOINPUT
    assert_one_line(capsys.readouterr().err, "00002.mp4.age")
