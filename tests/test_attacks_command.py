"""`bodycam verify` as an auditor runs it: on a dock's spool, on tampered copies, beside a head that he holds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bodycam import findings, verify
from evidence import age, pki, records
from evidence.finding import Attack
from evidence.pki import Role
from firmware.capture.journal_writer import files
from runtime.disk import PosixDisk
from tests import test_attacks_on_files, test_attacks_on_office, test_attacks_on_records
from tests.attacked import encrypted
from tests.builders import present_agency
from tests.camera_rig import DEVICE, STARTED_MS, BootClock, Camera, Owner, World
from tests.dock_site import Site
from tests.memory_disk import MemoryDisk

ROOT = Path(__file__).parents[1]
SPECIFICATION = (ROOT / "docs" / "spec" / "evidence.md").read_text(encoding="utf-8")

# --- The closed list -------------------------------------------------------------------------------------------------


def test_each_attack_is_in_the_specification_and_has_words_for_people() -> None:
    rows = SPECIFICATION.partition("### 7.5 Attacks")[2].partition("## 8.")[0].splitlines()
    assert [row.split("`")[1] for row in rows if row.startswith("| `") and "` |" in row][1:] == list(Attack)
    assert findings.ATTACKS.keys() == set(Attack)


def test_each_attack_is_shown() -> None:
    tables = (
        test_attacks_on_files.FILES,
        test_attacks_on_records.WITHOUT_A_KEY,
        test_attacks_on_records.WITH_A_KEY,
        test_attacks_on_office.OFFICE,
    )
    named = {word for table in tables for attack in table.values() for word in attack.named.split()}
    named |= {word for attack in test_attacks_on_files.FILES.values() for word in (attack.opened or "").split()}
    assert set(Attack) - named == set()


# --- The camera's own program, a power cut, and an attacker -----------------------------------------------------------


class Case:
    """Footage that the real writer made: a power cut in its third segment, then it went on."""

    def __init__(self, tmp: Path) -> None:
        self.owner, disk, world = Owner(), MemoryDisk(seed=4), World()
        camera = Camera(self.owner, disk, world, BootClock(world))
        camera.press()
        camera.run(5.2)
        disk.lose_power()
        disk.restart()
        camera = Camera(self.owner, disk, world, BootClock(world))
        camera.run(3)
        camera.end()
        camera.quit()
        self.folder, self.trust, self.key = tmp / "folder", tmp / "trust.pem", tmp / "office.key"
        for name in disk.names():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(disk.read(name))
        self.trust.write_bytes(pki.to_pem(self.owner.agency.root.certificate))
        self.key.write_text(self.owner.identity + "\n")

    def verify(self, *more: str) -> tuple[int, str]:
        return run(self.folder, self.trust, *more)

    def report(self, *more: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.verify("--json", *more)[1])
        return told


def run(folder: Path, trust: Path, *more: str) -> tuple[int, str]:
    """The command; its status and what it wrote."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = verify.main([str(folder), "--trust", str(trust), *more])
    return status, out.getvalue()


def run_apart(folder: Path, trust: Path, *more: str) -> tuple[int, str]:
    """As `run`, in a process of its own, as an auditor starts it."""
    command = [sys.executable, "-m", "bodycam", "verify", str(folder), "--trust", str(trust), *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=60)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_loss_of_power_is_told_from_somebody_who_cut_the_same_file(tmp_path: Path) -> None:
    case = Case(tmp_path)
    told = case.report("--identity", str(case.key))
    [recording] = told["recordings"]
    cuts = [(segment["verdict"], segment["cut_by"]) for segment in recording["segments"]]
    assert told["ok"]
    assert cuts.count(("truncated", "power_cut")) == 1
    assert {cause for verdict, cause in cuts if verdict == "intact"} == {None}
    cut = cuts.index(("truncated", "power_cut"))
    assert "1 个分段因中断，有签名记录说明" in case.verify()[1]

    path = case.folder / records.segment_path(recording["recording"], cut)
    data = path.read_bytes()
    path.write_bytes(data[: age.parse_header(data).size + age.CIPHER_CHUNK])  # as if the power had gone earlier
    told = case.report()
    [finding] = told["findings"]
    assert (finding["step"], finding["attack"], finding["segment"]) == (9, "cut-short", cut)
    assert told["recordings"][0]["segments"][cut]["cut_by"] == "tampering"
    status, said = case.verify()
    assert status == 1
    place = said.partition("[cut-short]\n")[2].splitlines()[0]
    assert f"录像 recording {recording['recording']}，分段 segment {cut:05d}，片中 in the film 0:00:0" in place
    assert f"自称 claimed {finding['footage']['claimed_from']}–{finding['footage']['claimed_to']}" in place
    assert "已签名的末尾被截去，断电不会造成 its signed end was cut off" in said


def test_swapped_sound_is_told_from_swapped_pictures_by_the_signatures_inside_the_video(tmp_path: Path) -> None:
    """Somebody with the office's identity, on footage of the camera's own program: one fragment has another sound."""
    case = Case(tmp_path)
    recording = case.report()["recordings"][0]["recording"]
    path = case.folder / records.segment_path(recording, 1)
    plain = age.open_file(path.read_bytes(), case.owner.identity).plain
    forged = test_attacks_on_files.other_sound(plain, 2)
    path.write_bytes(encrypted(forged, [age.recipient_of(case.owner.identity)]))
    assert [finding["attack"] for finding in case.report()["findings"]] == ["exchanged"]
    [finding] = case.report("--identity", str(case.key))["findings"]
    assert (finding["attack"], finding["segment"]) == ("swapped-sound", 1)
    span = finding["footage"]["to_ms"] - finding["footage"]["from_ms"]
    assert span == 2_000 - 2 * 500  # the segment has two seconds; its first two fragments are as they were


def test_a_journal_cut_back_is_shown_by_the_head_that_the_command_printed_before(tmp_path: Path) -> None:
    case = Case(tmp_path)
    head = next(line for line in case.verify()[1].splitlines() if line.startswith("末端 head：")).partition("：")[2]
    assert case.verify("--head", head)[0] == 0
    journal = case.folder / records.journal_path(1)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))  # the last record alone: nobody would miss it
    assert case.verify()[0] == 0
    status, said = case.verify("--head", head)
    assert status == 1
    assert "此处没有，末尾被删除 not here: the end was deleted" in said
    assert "被删除 deleted [deleted]" in said
    assert case.report("--head", head)["heads"][0]["found"] == "deleted"
    other = "3:" + "ab" * 32
    assert [finding["attack"] for finding in case.report("--head", other)["findings"]] == ["fork"]


@pytest.mark.parametrize("head", ["", "5", "5:abc", "-1:" + "0" * 64, "1:" + "0" * 64 + "\n"])
def test_a_head_that_is_none(head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trust.pem").write_bytes(pki.to_pem(present_agency().root.certificate))
    assert verify.main([str(tmp_path), "--trust", str(tmp_path / "trust.pem"), f"--head={head}"]) == os.EX_USAGE
    assert "SEQ:SHA256" in capsys.readouterr().err


# --- A dock's spool --------------------------------------------------------------------------------------------------


class Recorded:
    """What a dock port tells of a camera that the real program recorded with: the dock's side of `CameraFolder`."""

    def __init__(self, camera: Camera, disk: PosixDisk) -> None:
        self.device, self.disk, self._camera = DEVICE, disk, camera
        told = (record for file in files(disk) for record in _records(disk, file) if record.kind == "segment")
        keys = [(str(record.body["recording"]), int(record.body["segment"])) for record in told]
        self.sizes = {key: disk.size(records.segment_path(*key)) for key in keys}

    @property
    def file(self) -> int:
        return max(files(self.disk))

    @property
    def head(self) -> tuple[int, str]:
        return self._camera.journal.head()

    def line(self, kind: str, body: dict[str, Any]) -> None:
        self._camera.journal.append(kind, body)

    def release(self, key: tuple[str, int], receipt: str) -> None:
        self.line("receipt", {"receipt": receipt})
        digest = records.line_sha256(receipt.encode())
        self.line("released", {"recording": key[0], "segment": key[1], "receipt_sha256": digest})
        del self.sizes[key]
        self.disk.remove(records.segment_path(*key))


def _records(disk: PosixDisk, file: int) -> Iterator[records.Record]:
    return (records.parse(line) for line in disk.read(records.journal_path(file)).splitlines())


@pytest.mark.net
def test_an_auditor_without_any_secret_verifies_a_docks_spool(tmp_path: Path) -> None:
    """Recorded by the camera's program, pulled by the real dock over TLS, verified by the real command."""
    agency = present_agency()
    owner, world = Owner(agency), World(utc_off_ms=int(time.time() * 1000) - 600_000 - STARTED_MS)
    disk = PosixDisk(tmp_path / "recorded")
    camera = Camera(owner, disk, world, BootClock(world))
    camera.press()
    camera.run(5)
    camera.end()
    site = Site(tmp_path, agency, agency.issue(Role.SIGNER, "OFFICE-1"))
    try:
        site.camera.port.stop()
        site.camera.folder = Recorded(camera, disk)  # type: ignore[assignment]
        site.camera.port._disk = disk
        site.camera.port.start()
        site.start_dock(keep=True)
        site.until(site.done)
    finally:
        site.close()
    spool, trust, key = tmp_path / "spool" / DEVICE, tmp_path / "roots.pem", tmp_path / "office.key"
    status, text = run_apart(spool, trust, "--json")
    told = json.loads(text)
    [recording] = told["recordings"]
    assert (status, told["findings"], told["decrypted"]) == (0, [], False)
    assert [segment["verdict"] for segment in recording["segments"]] == ["intact"] * 3
    assert recording["ended"]
    assert recording["time"]["claimed"] is not None
    assert recording["time"]["not_after"] is not None  # the office's word: its receipts, its anchor

    key.write_text(owner.identity + "\n")
    assert json.loads(run(spool, trust, "--json", "--identity", str(key))[1])["decrypted"]
    head = f"{told['head']['seq']}:{told['head']['sha256']}"
    assert run(spool, trust, "--head", head, "--identity", str(key))[0] == 0
    segment = spool / records.segment_path(recording["recording"], 1)
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    status, said = run(spool, trust)
    assert status == 1
    assert "签名之后被改动 changed after it was signed [edited]" in said
