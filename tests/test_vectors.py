"""The vectors of docs/spec/evidence.md: made again byte for byte, read by us and by programs we did not write."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, jose, mp4, office_log, pki, records, report, sealed, segment_check
from evidence.checkpoint import Proof
from evidence.documents import Configuration, LogKey, Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.fragment_check import PartClock
from evidence.note import read_verifier_key
from evidence.verify import Verifier
from runtime.folder import DiskFolder
from tests.evidence_builder import MemoryFolder
from tests.evidence_keys import sha256
from tests.pictures import verify
from tests.vectors import make

HERE = Path(__file__).parent / "vectors"


def load(name: str) -> Any:
    return json.loads((HERE / name).read_text(encoding="utf-8"))


KEYS = load("keys.json")
LINE = load("line.json")
ROOTS = pki.parse_certificates(KEYS["certificates"]["root"].encode())
OFFICE = KEYS["age"]["office"]["identity"]
RECOVERY = KEYS["age"]["recovery"]["identity"]
FOLDER = {path.relative_to(HERE / "folder").as_posix(): path.read_bytes() for path in (HERE / "folder").rglob("*.*")}
named = pytest.mark.parametrize


def names(cases: list[Any]) -> dict[str, Any]:
    return {"argvalues": cases, "ids": [case["name"] for case in cases]}


def run(*command: str, stdin: bytes = b"", cwd: Path | None = None) -> bytes:
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# --- made again ------------------------------------------------------------------------------------------------------


def test_vectors_are_made_again_byte_for_byte() -> None:
    made = make.vectors()
    stored = {path.relative_to(HERE).as_posix(): path for path in HERE.rglob("*.*") if "__pycache__" not in path.parts}
    assert {name for name in stored if not name.endswith(make.INPUTS)} == made.keys()
    assert [name for name, data in made.items() if stored[name].read_bytes() != data] == []
    assert sum(path.stat().st_size for path in stored.values() if path.suffix != ".py") < 620_000


# --- valid -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", [OFFICE, RECOVERY], ids=["office", "recovery"])
def test_age_file_opens(identity: str) -> None:
    short = load("age.json")[0]
    assert age.open_file(bytes.fromhex(short["file"]), identity).plain == bytes.fromhex(short["plain"])


def test_line_parses_and_verifies() -> None:
    record = records.parse(LINE["line"].encode())
    record.jws.verify(session_key())
    assert (record.sha256, record.kid, record.kind) == (LINE["line_sha256"], LINE["kid"], "marker")


def session_key() -> ec.EllipticCurvePublicKey:
    return ec.derive_private_key(int(LINE["d"], 16), ec.SECP256R1()).public_key()


@pytest.mark.parametrize("kind", ["assigned", "position"])
def test_sealed_body_opens_and_can_be_disclosed(kind: str) -> None:
    told = load("sealed.json")[kind]
    assert sealed.open_sealed(kind, told["record_body"], RECOVERY) == told["body"]
    assert sealed.check_plain(kind, told["plain"].encode(), told["record_body"]["sha256"]) == told["body"]


@pytest.mark.parametrize(
    ("name", "read"),
    [("receipt", Receipt.read), ("configuration", Configuration.read), ("time anchor", TimeAnchor.read)],
)
def test_document_reads(name: str, read: Callable[[str, ec.EllipticCurvePublicKey], Any]) -> None:
    signer = pki.parse_certificate(KEYS["certificates"]["signer"].encode())
    assert read(load("documents.json")[name]["text"], pki.public_key(signer)).device == "BWC-0001"


def test_the_logs_key_is_certified_and_proves_its_leaves() -> None:
    signer = pki.parse_certificate(KEYS["certificates"]["signer"].encode())
    told = load("log.json")
    origin, key = read_verifier_key(
        LogKey.read(load("documents.json")["log key"]["text"], pki.public_key(signer)).log_key
    )
    for leaf in told["leaves"]:
        proof = Proof.read(FOLDER[leaf["path"]])
        assert (proof.entry.decode(), proof.note.decode()) == (leaf["entry"], told["checkpoint"])
        assert proof.verify(origin, key).root.hex() == told["root"]


@pytest.mark.parametrize(("identity", "expected"), [(None, "report.json"), (OFFICE, "report-opened.json")])
def test_folder_verifies(identity: str | None, expected: str) -> None:
    found = Verifier(DiskFolder(HERE / "folder"), ROOTS, identity).run()
    assert found.ok
    assert report.to_json(found) == load(expected)


# --- invalid ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", **names(load("invalid-lines.json")))
def test_line_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(EvidenceError) as caught:
        records.parse(case["line"].encode()).jws.verify(session_key())
    assert caught.value.code == case["code"]


@pytest.mark.parametrize("case", **names([case for case in load("invalid-age.json") if "file" in case]))
def test_age_file_is_refused(case: dict[str, str]) -> None:
    data = bytes.fromhex(case["file"])
    if case["code"] == "age-chunk":
        assert not age.open_file(data, OFFICE).complete
    else:
        with pytest.raises(EvidenceError) as caught:
            age.open_file(data, OFFICE)
        assert caught.value.code == case["code"]
    with pytest.raises((pyrage.DecryptError, OSError)):
        pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(OFFICE)])


@pytest.mark.parametrize("case", **names(load("invalid-folders.json")))
def test_spoiled_folder_is_named(case: dict[str, Any]) -> None:
    files = dict(FOLDER)
    for step in case["steps"]:
        spoil(files, **step)
    found = Verifier(MemoryFolder(files), ROOTS, OFFICE if case["step"] == 12 else None).run()
    assert not found.ok
    expected = (case["step"], case["verdict"], case["attack"])
    assert expected in {(finding.step, finding.verdict, finding.attack) for finding in found.findings}


def test_a_session_that_is_certified_late_is_certified_from_its_first_line() -> None:
    lines = (HERE / "late.jws").read_bytes()
    unsigned = verify({records.journal_path(0): b"".join(lines.splitlines(keepends=True)[:-1])})
    certified = verify({records.journal_path(0): lines})
    assert [(finding.step, finding.verdict) for finding in unsigned.findings] == [(2, "unsigned")]
    assert certified.ok
    (session,) = certified.reader.sessions.values()
    assert (session.signed, session.key_store) == (True, "extractable")


def spoil(files: dict[str, bytes], do: str, path: str, **how: Any) -> None:
    data = bytearray(files.pop(path, b"") if do == "append" else files.pop(path))
    if do == "flip":
        data[how["offset"]] ^= 1 << how["bit"]
    elif do == "cut":
        del data[how["offset"] : how["offset"] + how["length"]]
    elif do == "swap":
        data, files[how["with"]] = bytearray(files[how["with"]]), bytes(data)
    elif do == "move":
        files[how["to"]] = bytes(data)
    elif do == "append":
        data += how["text"].encode()
    if do in ("flip", "cut", "swap", "append"):
        files[path] = bytes(data)


# --- programs we did not write ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["office", "recovery"])
def test_age_opens_what_we_wrote(who: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEYS["age"][who]["identity"] + "\n", encoding="ascii")
    short = load("age.json")[0]
    assert run("age", "-d", "-i", str(tmp_path / "key"), stdin=bytes.fromhex(short["file"])).hex() == short["plain"]
    closed = next(told for told in load("segments.json") if told["complete"])
    plain = run("age", "-d", "-i", str(tmp_path / "key"), str(HERE / "folder" / closed["path"]))
    assert sha256(plain) == closed["plain_sha256"]


def test_jose_verifies_lines_and_documents(tmp_path: Path) -> None:
    for number, (text, kid) in enumerate(
        [(LINE["line"], LINE["kid"]), (load("documents.json")["receipt"]["text"], KEYS["p256"]["signer"]["kid"])]
    ):
        d = next(told["d"] for told in KEYS["p256"].values() if told["kid"] == kid)
        point = ec.derive_private_key(int(d, 16), ec.SECP256R1()).public_key().public_numbers()
        jwk = {"kty": "EC", "crv": "P-256", "alg": "ES256"}
        jwk |= {name: jose.b64(value.to_bytes(32, "big")) for name, value in (("x", point.x), ("y", point.y))}
        (tmp_path / f"{number}.jwk").write_text(json.dumps(jwk), encoding="ascii")
        payload = run("jose", "jws", "ver", "-i-", "-k", str(tmp_path / f"{number}.jwk"), "-O-", stdin=text.encode())
        assert payload == jose.parse(text, jose.parse_json(jose.unb64(text.encode().split(b".")[0]))["typ"]).payload


def test_openssl_accepts_the_chain_of_each_session(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(FOLDER["certs/root.pem"])
    for name in ("journal/00000000.jws", "journal/00000001.jws"):
        chain = records.parse(FOLDER[name].partition(b"\n")[0]).body["chain"]
        leaf, *above = [pki.parse_certificate(jose.unb64(text.encode())) for text in chain]
        (tmp_path / "leaf.pem").write_bytes(pki.to_pem(leaf))
        (tmp_path / "above.pem").write_bytes(pki.to_pem(*above))
        said = run(
            *("openssl", "verify", "-x509_strict", "-attime", "1795500000", "-CAfile", "root.pem"),
            *("-untrusted", "above.pem", "leaf.pem"),
            cwd=tmp_path,
        )
        assert said == b"leaf.pem: OK\n"


def test_openssl_accepts_the_stamp_and_refuses_what_is_refused(tmp_path: Path) -> None:
    token, note = FOLDER[office_log.stamp_path(2)], FOLDER[office_log.checkpoint_path(2)]
    (tmp_path / "root.pem").write_bytes(FOLDER["certs/root.pem"])
    (tmp_path / "issuing.pem").write_text(KEYS["certificates"]["issuing"])
    good = tmp_path / "good", token, note
    spoilt = [
        (tmp_path / str(number), bytes(data), note)
        for number, data in enumerate(_flipped(token, place) for place in (token.index(b"20261124") + 7, -3))
    ]
    for path, response, stamped in (good, *spoilt, (tmp_path / "other", token, note + b"\n")):
        path.with_suffix(".tsr").write_bytes(response)
        path.with_suffix(".note").write_bytes(stamped)
        command = ["openssl", "ts", "-verify", "-in", f"{path.name}.tsr", "-data", f"{path.name}.note"]
        command += ["-CAfile", "root.pem", "-untrusted", "issuing.pem", "-attime", "1795500000"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) == (path == good[0])


def _flipped(data: bytes, place: int) -> bytearray:
    changed = bytearray(data)
    changed[place] ^= 1
    return changed


@pytest.mark.parametrize("told", load("segments.json"), ids=lambda told: told["path"][-13:])
def test_ffmpeg_plays_each_segment(told: dict[str, Any], tmp_path: Path) -> None:
    found = Verifier(DiskFolder(HERE / "folder"), ROOTS).run()
    recording = next(iter(found.account.recordings.values()))
    segment = recording.segments[int(told["path"][-13:-8])]
    clock = PartClock(recording.part_begins(segment.part), *found.account.utc_ahead_ms[segment.boot])
    plain = segment_check.open_segment(segment, FOLDER[told["path"]], OFFICE, clock)
    (tmp_path / "segment.mp4").write_bytes(plain)
    said = run(
        *("ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames"),
        *("-of", "compact=p=0", "segment.mp4"),
        cwd=tmp_path,
    )
    frames = sum(fragment["frames"] for fragment in told["fragments"])
    blocks = sum(fragment["samples"] for fragment in told["fragments"]) // mp4.BLOCK
    assert said.decode().split() == [
        f"codec_name=h264|nb_read_frames={frames}",
        f"codec_name=flac|nb_read_frames={blocks}",
    ]
    run("ffmpeg", "-v", "error", "-xerror", "-i", "segment.mp4", "-f", "null", "-", cwd=tmp_path)


def test_media_is_base64() -> None:
    assert all(base64.b64decode(text, validate=True) for text in load("media.json")["pictures"])
