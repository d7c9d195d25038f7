"""Export: the copy proves itself to programs we did not write, plays, and is recorded before it is made."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from evidence import age, boxes, media_signing, mp4, records, revocation
from evidence.checkpoint import Proof
from evidence.documents import LogKey, Receipt
from evidence.note import read_verifier_key
from evidence.verify import Verifier
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from runtime.folder import DiskFolder
from tests.agency import NOW
from tests.evidence_media import media
from tests.footage import Camera
from tests.office_kit import ROOT, OfficeKit, running

pytestmark = pytest.mark.net
STILL = media().still


@dataclass
class Shelf:
    """An office that holds one recording of two parts, four segments, two stills, and one segment that never came."""

    office: OfficeKit
    camera: Camera
    recording: str
    partial: str
    identity: Path


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    office = OfficeKit(tmp_path_factory.mktemp("office"))
    identity = age.generate_identity()
    key = office.folder / "office.age"
    key.write_text(f"# public key: {age.recipient_of(identity)}\n{identity}\n")
    recovery = age.recipient_of(age.generate_identity())
    camera = Camera(office.agency, [age.recipient_of(identity), recovery])
    recording = camera.start()
    camera.line("notice", recording=recording, attempt=1, heard=True, score_permille=990, from_ns=1, to_ns=2)
    camera.film(recording, 1, 0, [0, 1, 2, 3])
    camera.film(recording, 1, 1, [4, 5], still=STILL)
    camera.boot()
    camera.start(recording, 2)
    camera.film(recording, 2, 2, [0, 1], still=STILL * 100)
    camera.gap(recording, 1)
    camera.cut_in_its_header(recording, 2, 3)
    camera.end(recording, 2, 4)
    partial = camera.start()
    camera.film(partial, 1, 0, [0])
    camera.film(partial, 1, 1, [1])
    with running(office):
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        for name, data in camera.segments.items():
            if name != (partial, 1):
                assert client.patch(client.segment(camera.device, name, data), 0, data).status == 204
    return Shelf(office, camera, recording, partial, key)


@pytest.fixture(scope="module")
def copy(shelf: Shelf) -> Path:
    folder, issuing = shelf.office.folder / "a copy", shelf.office.agency.issuing
    nobody = revocation.make_list(issuing.certificate, issuing.key, [], 1, NOW)
    (shelf.office.folder / "issuing.crl").write_bytes(nobody.public_bytes(serialization.Encoding.PEM))
    done = shelf.office.call(
        "export",
        shelf.recording,
        "--out",
        str(folder),
        "--identity",
        str(shelf.identity),
        "--by",
        "李四",
        "--reason",
        "案卷",
        "--by-part",
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_the_copy_is_what_the_camera_made(shelf: Shelf, copy: Path) -> None:
    for file, data in enumerate(shelf.camera.journal):
        assert (copy / records.journal_path(file)).read_bytes() == data
    wanted = {key: data for key, data in shelf.camera.segments.items() if key[0] == shelf.recording}
    assert {key: (copy / records.segment_path(*key)).read_bytes() for key in wanted} == wanted
    assert len(list((copy / "segments").rglob("*.age"))) == len(wanted)


def test_the_verifier_finds_nothing_against_the_recording(shelf: Shelf, copy: Path) -> None:
    identity = shelf.identity.read_text().splitlines()[1]
    report = Verifier(DiskFolder(copy), [shelf.office.agency.root.certificate], identity).run()
    verdicts = {key: verdict.verdict for key, verdict in report.segments.items() if key[0] == shelf.recording}
    assert verdicts == {(shelf.recording, index): "intact" for index in range(3)} | {(shelf.recording, 3): "truncated"}
    assert {key for key in report.receipts if key[0] == shelf.recording} == set(verdicts)
    assert len(report.revocations.lists) == 1, "the agency's list, which lay beside the signer's certificate"
    # The journal is whole, so it tells of the other recording, too, whose files are not here.
    assert [finding for finding in report.findings if shelf.partial not in finding.where] == []


def test_signatures_in_the_video_hold_in_each_parts_film(shelf: Shelf, copy: Path) -> None:
    """In one film of two boots they cannot: another key, and the numbers begin anew."""
    key_of = media_signing.chain_to([shelf.office.agency.root.certificate])
    found = {
        path.relative_to(copy).as_posix(): media_signing.check(media_signing.units(path.read_bytes()), key_of)
        for path in copy.rglob("*.mp4")
    }
    told = {name: (each.verdict, each.pictures, each.unsigned) for name, each in found.items()}
    assert told["parts/1.mp4"] == ("valid", 72, 0)
    assert told["parts/2.mp4"] == ("valid", 24, 0)
    assert told["recording.mp4"][0] == "invalid"


def test_stills_lie_beside_the_film(shelf: Shelf, copy: Path) -> None:
    told = json.loads((copy / "map.json").read_text())["stills"]
    written = [(copy / still["file"]).read_bytes() for still in told]
    assert [still["file"] for still in told] == [
        f"stills/{shelf.recording}/{name}.jpg" for name in ("00001-1", "00002-1")
    ]
    assert written == [STILL, STILL * 100]
    assert len(list((copy / "stills").rglob("*.jpg"))) == 2
    assert [still["sha256"] for still in told] == [hashlib.sha256(data).hexdigest() for data in written]
    lines = [json.loads(line) for line in (copy / "journal.jsonl").read_text().splitlines()]
    assert [lines[still["record"]]["body"]["at_ns"] for still in told] == [still["at_ns"] for still in told]
    film = (copy / "recording.mp4").read_bytes()
    assert mp4.STILL_UUID not in film
    assert list(boxes.stills(film)) == []


def test_age_opens_each_segment(shelf: Shelf, copy: Path) -> None:
    for path in sorted((copy / "segments").rglob("*.age"))[:3]:
        done = subprocess.run(["age", "-d", "-i", shelf.identity, path], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout[4:8] == b"ftyp"


def test_ffmpeg_plays_the_film_without_a_complaint(copy: Path) -> None:
    film = copy / "recording.mp4"
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-xerror", "-i", film, "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    # The signature behind a segment's last picture is told, and passed over.
    told = [line for line in done.stderr.splitlines() if "Late SEI" not in line and "upload a sample" not in line]
    assert (done.returncode, told) == (0, [])
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-count_frames",
        "-show_entries",
        "stream=codec_name,nb_read_frames",
        "-of",
        "json",
    ]
    told = json.loads(subprocess.run([*probe, film], capture_output=True, check=True).stdout)
    assert [(one["codec_name"], one["nb_read_frames"]) for one in told["streams"]] == [("h264", "96"), ("flac", "80")]


def test_the_map_leads_from_play_time_to_record_time(copy: Path) -> None:
    told = json.loads((copy / "map.json").read_text())
    assert [(part["play_from_us"], part["play_to_us"]) for part in told["parts"]] == [
        (0, 3_000_000),
        (3_000_000, 4_000_000),
    ]
    assert [part["to_ns"] - part["from_ns"] for part in told["parts"]] == [3_000_000_000, 1_000_000_000]
    assert told["parts"][0]["boot"] != told["parts"][1]["boot"]
    assert [gap["cause"] for gap in told["gaps"]] == ["power_cut"]


def test_the_readable_journal_has_every_record(shelf: Shelf, copy: Path) -> None:
    lines = [json.loads(line) for line in (copy / "journal.jsonl").read_text().splitlines()]
    written = b"".join(shelf.camera.journal).splitlines()
    assert [line["sha256"] for line in lines] == [records.line_sha256(line) for line in written]
    assert [line["seq"] for line in lines] == list(range(len(written)))


def test_the_log_proves_each_ingest_and_the_export(shelf: Shelf, copy: Path) -> None:
    told = LogKey.read((copy / "log" / "key.jws").read_bytes(), shelf.office.signer.key.public_key())
    origin, key = read_verifier_key(told.log_key)
    assert origin == "bodycam/AGENCY-1/OFFICE-1"
    for index in range(4):
        proof = Proof.read((copy / "log" / shelf.recording / f"{index:05d}.tlog-proof").read_bytes())
        proof.verify(origin, key)
        text = (copy / records.receipt_path(shelf.recording, index)).read_bytes()
        receipt = Receipt.read(text, shelf.office.signer.key.public_key())
        entry = json.loads(proof.entry)
        assert (receipt.leaf_index, receipt.sha256) == (proof.index, entry["sha256"])
        assert entry["dock"] == "DOCK-1"
    export = Proof.read((copy / "log" / "export.tlog-proof").read_bytes())
    export.verify(origin, key)
    entry = json.loads(export.entry)
    assert (entry["act"], entry["by"], entry["reason"], entry["decrypted"]) == ("export", "李四", "案卷", True)
    catalogue = Catalogue(Database(sqlite_url(shelf.office.data / "catalogue.sqlite")))
    assert export.index in [row["leaf_index"] for row in catalogue.table("exports")]
    catalogue.close()


def test_it_is_recorded_even_if_nothing_could_be_written(shelf: Shelf) -> None:
    blocked = shelf.office.folder / "blocked"
    blocked.write_text("a file, not a folder")
    before = len((shelf.office.data / "log" / "leaves.jsonl").read_bytes().splitlines())
    done = shelf.office.call("export", shelf.recording, "--out", str(blocked / "below"))
    assert done.returncode != 0
    leaves = (shelf.office.data / "log" / "leaves.jsonl").read_bytes().splitlines()
    assert [json.loads(leaf)["act"] for leaf in leaves[before:]] == ["export"]


def test_without_the_identity_nothing_can_be_watched(shelf: Shelf, tmp_path: Path) -> None:
    assert shelf.office.call("export", shelf.recording, "--out", str(tmp_path)).returncode == 0
    assert not (tmp_path / "recording.mp4").exists()
    assert not (tmp_path / "map.json").exists()
    assert (tmp_path / records.segment_path(shelf.recording, 0)).exists()


def test_what_is_missing_is_told(shelf: Shelf, tmp_path: Path) -> None:
    done = shelf.office.call("export", shelf.partial, "--out", str(tmp_path), "--identity", str(shelf.identity))
    assert done.returncode == 1
    assert "缺 missing 1" in done.stdout
    assert (tmp_path / "recording.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--out", "{folder}"], "folder-not-empty"),
        (["--out", "{folder}/new", "--identity", "{folder}/missing"], "identity"),
        (["--out", "{folder}/new", "--identity", "{folder}/office.toml"], "identity"),
    ],
)
def test_a_refused_export_says_why_in_one_line(shelf: Shelf, arguments: list[str], word: str) -> None:
    filled = [argument.format(folder=shelf.office.folder) for argument in arguments]
    done = shelf.office.call("export", shelf.recording, *filled)
    assert done.returncode not in (0, 1)
    assert len(done.stderr.splitlines()) == 1
    assert word in done.stderr
    assert "recording-unknown" in shelf.office.call("export", "00000000-1", *filled[:1], "{folder}/new").stderr


def test_the_export_names_the_command_that_verifies_it(shelf: Shelf, tmp_path: Path) -> None:
    done = shelf.office.call("export", shelf.recording, "--out", str(tmp_path / "a copy"))
    _, _, command = done.stdout.splitlines()[-1].rpartition(": ")
    bodycam, *arguments = [shelf.office.roots if word == "CA.pem" else word for word in shlex.split(command)]
    assert bodycam == "bodycam"
    verified = subprocess.run([sys.executable, "-m", "bodycam", *arguments], capture_output=True, check=False, cwd=ROOT)
    assert verified.returncode == 0, verified


def test_a_camera_that_claims_anothers_recording_keeps_nobody_from_exporting_it(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path)
    recipients = [age.recipient_of(age.generate_identity())]
    camera, rogue = (Camera(office.agency, recipients, name) for name in ("BWC-0001", "BWC-0666"))
    recording = camera.start()
    camera.noise(recording, 0, 100)
    rogue.start(recording)
    rogue.noise(recording, 0, 200)
    with running(office):
        client = office.client()
        for one in (rogue, camera):
            client.hand_in_journal(one.device, one.journal)
            data = one.segments[recording, 0]
            assert client.patch(client.segment(one.device, (recording, 0), data), 0, data).status == 204
    out = tmp_path / "copy"
    assert "add --device" in office.call("export", recording, "--out", str(out)).stderr
    done = office.call("export", recording, "--out", str(out), "--device", "BWC-0001")
    assert done.returncode == 0, done
    assert (out / records.segment_path(recording, 0)).read_bytes() == camera.segments[recording, 0]
    proof = Proof.read((out / "log" / recording / "00000.tlog-proof").read_bytes())
    assert json.loads(proof.entry)["device"] == "BWC-0001"


def test_the_list_tells_what_is_held(shelf: Shelf) -> None:
    first, second = json.loads(shelf.office.call("list", "--json").stdout)["recordings"]
    assert (first["recording"], first["held"], first["missing"], first["notice_heard"]) == (
        shelf.recording,
        4,
        [],
        True,
    )
    assert first["recorded_ms"] == 4000
    assert first["handed_in"] is not None
    gap = {"after_part": 1, "before_part": 2, "cause": "power_cut", "min_ms": 2000, "max_ms": None}
    assert first["gaps"] == [{**gap, "reason": "speech_followed"}]
    assert (second["recording"], second["missing"], second["handed_in"]) == (shelf.partial, [1], None)
    table = shelf.office.call("list").stdout.splitlines()
    assert len(table) == 3
    assert "断电 ≥2.0s" in table[1]
    assert "缺文件 missing 1" in table[2]
