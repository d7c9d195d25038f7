"""Handing in to a running office: real process, real mutual TLS, real certificates, real cuts and kills."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence import age, pki, records
from evidence.certificate import Role
from evidence.checkpoint import Proof
from evidence.documents import LogKey, Receipt, TimeAnchor
from evidence.note import read_verifier_key
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from tests.agency import Agency
from tests.footage import Camera
from tests.office_kit import BODY, TUS, Client, OfficeKit, free_port, running, wait_for

pytestmark = pytest.mark.net
MIB = 1024 * 1024
RECIPIENTS = [age.recipient_of(age.generate_identity())]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeKit]:
    with running(OfficeKit(tmp_path_factory.mktemp("office"))) as kit:
        yield kit


_devices = iter(range(1, 1000))


def _camera(office: OfficeKit, *, signed: bool = True) -> Camera:
    return Camera(office.agency, RECIPIENTS, f"BWC-{next(_devices):04}", signed=signed)


def _with_segment(office: OfficeKit, size: int) -> tuple[Camera, tuple[str, int], bytes]:
    camera = _camera(office)
    recording = camera.start()
    return camera, (recording, 0), camera.noise(recording, 0, size)


def _receipt(client: Client, camera: Camera, key: tuple[str, int]) -> bytes:
    answer = client.request("GET", f"/v1/receipts/{camera.device}/{key[0]}/{key[1]}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/jose")
    return answer.body


def _stored(office: OfficeKit, camera: Camera, key: tuple[str, int]) -> Path:
    return office.data / "store" / camera.device / records.segment_path(*key)


def test_a_segment_comes_in_and_is_acknowledged(office: OfficeKit) -> None:
    camera, key, data = _with_segment(office, 3 * MIB + 17)
    client = office.client()
    client.hand_in_journal(camera.device, camera.journal)
    path = client.segment(camera.device, key, data)
    assert client.request("GET", f"/v1/receipts/{camera.device}/{key[0]}/0").code == "receipt-unknown"
    for start in range(0, len(data), MIB):
        answer = client.patch(path, start, data[start : start + MIB])
        assert (answer.status, answer.headers["upload-offset"]) == (204, str(min(start + MIB, len(data))))
    text = _receipt(client, camera, key)
    receipt = Receipt.read(text, office.signer.key.public_key())
    assert (receipt.device, receipt.recording, receipt.size) == (camera.device, key[0], len(data))
    assert receipt.sha256 == hashlib.sha256(data).hexdigest()
    stored = _stored(office, camera, key)
    assert stored.read_bytes() == data
    assert stored.stat().st_mode & 0o777 == 0o440
    # Asked again, the same receipt; created and patched again, nothing new.
    assert client.segment(camera.device, key, data) == path
    assert client.offset(path) == len(data)
    assert client.patch(path, len(data), b"").status == 204
    assert _receipt(client, camera, key) == text
    leaves = (office.data / "log" / "leaves.jsonl").read_bytes().splitlines()
    assert json.loads(leaves[receipt.leaf_index])["sha256"] == receipt.sha256
    told = [leaf["act"] for leaf in map(json.loads, leaves) if leaf["device"] == camera.device]
    assert told == ["head", "ingest"]


def test_a_cut_upload_goes_on_where_it_was_durable(office: OfficeKit) -> None:
    camera, key, data = _with_segment(office, 4 * MIB)
    client = office.client()
    client.hand_in_journal(camera.device, camera.journal)
    path = client.segment(camera.device, key, data)
    staged = office.data / "staging" / f"{camera.device}.{key[0]}.0.part"
    offset = 0
    for part in (MIB + 7, 2 * MIB + 99):
        client.cut_patch(path, offset, data[offset : offset + part], len(data) - offset)
        wait_for(lambda floor=offset + part - MIB: staged.stat().st_size >= floor)
        found = client.offset(path)
        assert offset + part - MIB <= found <= offset + part
        offset = found
    assert client.patch(path, offset + 1, data[offset + 1 :]).code == "offset-mismatch"
    assert client.patch(path, offset, data[offset:]).status == 204
    assert _stored(office, camera, key).read_bytes() == data


def test_a_dead_link_does_not_block_the_next_one(office: OfficeKit) -> None:
    camera, key, data = _with_segment(office, 2 * MIB)
    client = office.client()
    client.hand_in_journal(camera.device, camera.journal)
    path = client.segment(camera.device, key, data)
    with client.context.wrap_socket(socket.create_connection(("127.0.0.1", office.port), timeout=20)) as silent:
        head = f"PATCH {path} HTTP/1.1\r\nHost: office\r\nUpload-Offset: 0\r\nContent-Length: {len(data)}\r\n"
        silent.sendall((head + "".join(f"{n}: {v}\r\n" for n, v in BODY.items()) + "\r\n").encode() + data[: MIB + 5])
        staged = office.data / "staging" / f"{camera.device}.{key[0]}.0.part"
        wait_for(lambda: staged.stat().st_size >= MIB)
        offset = client.offset(path)  # while the other still holds the upload
        assert client.patch(path, offset, data[offset:]).status == 204
    assert _stored(office, camera, key).read_bytes() == data


def test_wrong_bytes_are_thrown_away_and_may_come_again(office: OfficeKit) -> None:
    camera, key, data = _with_segment(office, MIB)
    client = office.client()
    client.hand_in_journal(camera.device, camera.journal)
    path = client.segment(camera.device, key, data)
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    answer = client.patch(path, 0, wrong)
    assert (answer.status, answer.code) == (460, "hash-mismatch")
    assert client.request("GET", f"/v1/receipts/{camera.device}/{key[0]}/0").status == 404
    assert client.segment(camera.device, key, data) == path
    assert client.offset(path) == 0
    assert client.patch(path, 0, data).status == 204
    assert _stored(office, camera, key).read_bytes() == data


def test_a_segment_needs_its_record_first(office: OfficeKit) -> None:
    camera, key, data = _with_segment(office, 1000)
    client = office.client()
    names = {"kind": "segment", "device": camera.device, "recording": key[0], "segment": "0"}
    assert client.create(len(data), **names).code == "segment-unknown"
    client.hand_in_journal(camera.device, camera.journal)
    assert client.create(len(data) + 1, **names).code == "segment-unknown"
    path = client.segment(camera.device, key, data)
    assert client.patch(path, 0, data + b"more").code == "too-long"
    assert client.request("DELETE", path, TUS).status == 403
    assert client.request("HEAD", path.replace(key[0], "0123abcd-1"), TUS).status in (404, 409)
    assert client.request("HEAD", "/v1/uploads/BWC-0001/nonsense/7", TUS).status == 404
    assert client.request("PATCH", path, {**BODY, "Upload-Offset": "0", "Tus-Resumable": "2"}, b"").status == 412
    assert client.request("GET", "/v1/nothing").code == "unknown-address"


def test_a_journal_grows_over_many_handins(office: OfficeKit) -> None:
    camera = _camera(office)
    client = office.client()
    client.hand_in_journal(camera.device, camera.journal)
    recording = camera.start()
    camera.noise(recording, 0, 100)
    client.hand_in_journal(camera.device, camera.journal)
    camera.boot()
    camera.line("shutdown", clean=True)
    client.hand_in_journal(camera.device, camera.journal)
    for file, data in enumerate(camera.journal):
        assert (office.data / "store" / camera.device / records.journal_path(file)).read_bytes() == data


def test_nothing_of_a_bad_line_is_kept(office: OfficeKit) -> None:
    camera = _camera(office)
    client = office.client()
    good = len(camera.journal[0])
    camera.line("armed", ring_seconds=30)
    camera.line("armed", ring_seconds=31)
    whole = camera.journal[0]
    path = f"/v1/uploads/{camera.device}/journal/0"
    flipped = bytearray(whole)
    flipped[good + 40] ^= 1
    answer = client.patch(path, 0, bytes(flipped))
    assert 400 <= answer.status < 500, answer
    assert client.offset(path) == good
    lines = whole[good:].splitlines(keepends=True)
    assert client.patch(path, good, lines[0][:-5]).headers["upload-offset"] == str(good)  # a line that does not end
    assert client.patch(path, good, lines[0] + lines[1]).status == 204
    assert client.offset(path) == len(whole)


def test_a_fork_is_kept_beside_and_named(office: OfficeKit) -> None:
    camera = _camera(office)
    camera.line("armed", ring_seconds=30)
    client = office.client()
    client.hand_in_journal(camera.device, camera.journal)
    held = camera.journal[0]
    fork = held.splitlines(keepends=True)[-1]  # the same place in the chain, told again
    for _ in range(2):
        answer = client.patch(f"/v1/uploads/{camera.device}/journal/0", len(held), fork)
        assert (answer.status, answer.code) == (409, "fork")
    kept = list((office.data / "quarantine" / camera.device).iterdir())
    assert [path.read_bytes() for path in kept] == [fork]
    assert client.offset(f"/v1/uploads/{camera.device}/journal/0") == len(held)
    catalogue = Catalogue(Database(sqlite_url(office.data / "catalogue.sqlite")))
    assert [row["device"] for row in catalogue.table("forks") if row["device"] == camera.device] == [camera.device]
    catalogue.close()


def test_an_unsigned_camera_is_taken_in_and_named(office: OfficeKit) -> None:
    camera = _camera(office, signed=False)
    recording = camera.start()
    data = camera.noise(recording, 0, 1000)
    client = office.client()
    client.hand_in_journal(camera.device, camera.journal)
    assert client.patch(client.segment(camera.device, (recording, 0), data), 0, data).status == 204
    listed = json.loads(office.call("list", "--json").stdout)["recordings"]
    assert [row["signed"] for row in listed if row["device"] == camera.device] == [False]


def test_a_time_anchor_stands_on_the_head_handed_in(office: OfficeKit) -> None:
    camera = _camera(office)
    client = office.client()
    ask = json.dumps({"device": camera.device, "nonce": "5a" * 16}).encode()
    assert client.request("POST", "/v1/anchors", {}, ask).code == "journal-unknown"
    client.hand_in_journal(camera.device, camera.journal)
    anchor = TimeAnchor.read(client.request("POST", "/v1/anchors", {}, ask).body, office.signer.key.public_key())
    last = camera.journal[-1].splitlines()[-1]
    assert (anchor.nonce, anchor.head, anchor.head_seq) == ("5a" * 16, records.line_sha256(last), 0)
    assert client.request("POST", "/v1/anchors", {}, b"{}").status == 422


def test_a_certificate_of_another_agency_is_refused(office: OfficeKit) -> None:
    stranger = office.client(Role.DOCK, "DOCK-9", Agency("another"))
    stranger.context.load_verify_locations(office.roots)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        stranger.request("GET", "/v1/health")


def test_no_certificate_is_refused(office: OfficeKit) -> None:
    client = office.client()
    context = ssl.create_default_context(cafile=str(office.roots))
    context.check_hostname = False
    client.context = context
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.request("GET", "/v1/health")


def test_a_camera_may_not_hand_in_by_itself(office: OfficeKit) -> None:
    camera = office.client(Role.CAMERA, "BWC-0001")
    for method, path in (("POST", "/v1/uploads"), ("HEAD", "/v1/uploads/BWC-0001/journal/0"), ("POST", "/v1/anchors")):
        assert camera.request(method, path, TUS).status == 403
    assert camera.request("GET", "/v1/health").status == 200


def test_curl_hands_in(office: OfficeKit, tmp_path: Path) -> None:
    camera, key, data = _with_segment(office, 300_000)
    client = office.client()
    client.hand_in_journal(camera.device, camera.journal)
    path = client.segment(camera.device, key, data)
    (tmp_path / "segment").write_bytes(data)
    headers = [part for name, value in {**BODY, "Upload-Offset": "0"}.items() for part in ("-H", f"{name}: {value}")]
    done = subprocess.run(
        ["curl", "-sS", "-i", "--cert", client.chain, "--key", client.key, "--cacert", office.roots, "--insecure",
         "-X", "PATCH", *headers, "--data-binary", f"@{tmp_path / 'segment'}",
         f"https://127.0.0.1:{office.port}{path}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[-6:-1] or done.stderr == ""
    assert " 204 " in done.stdout, done
    assert _stored(office, camera, key).read_bytes() == data


def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path / "an office")
    with running(office):
        camera, key, data = _with_segment(office, 4 * MIB)
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        path = client.segment(camera.device, key, data)
        staged = office.data / "staging" / f"{camera.device}.{key[0]}.0.part"
        client.cut_patch(path, 0, data[: 3 * MIB], len(data))
        wait_for(lambda: staged.stat().st_size >= 2 * MIB)
        office.kill()
        durable = staged.stat().st_size
        office.start()
        assert client.offset(path) == durable
        assert client.patch(path, durable, data[durable:]).status == 204
        assert _stored(office, camera, key).read_bytes() == data
        _check_proof(office, client, camera, key)


def test_cut_between_its_steps_it_goes_on_at_its_start(tmp_path: Path) -> None:
    """The states that a kill leaves: complete in staging; in the store without receipt; leaf without receipt."""
    office = OfficeKit(tmp_path)
    with running(office):
        camera = _camera(office)
        recording = camera.start()
        files = [camera.noise(recording, index, 1000 + index) for index in range(3)]
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        for index in (1, 2):
            path = client.segment(camera.device, (recording, index), files[index])
            assert client.patch(path, 0, files[index]).status == 204
        office.kill()
    (office.data / "staging" / f"{camera.device}.{recording}.0.part").write_bytes(files[0])
    lost = office.data / "store" / camera.device / records.receipt_path(recording, 1)
    leaf_of_lost = Receipt.read(lost.read_bytes(), office.signer.key.public_key()).leaf_index
    lost.unlink()
    for part in office.data.glob("catalogue.sqlite*"):
        part.unlink()
    with running(office):
        client = office.client()
        receipts = [
            Receipt.read(_receipt(client, camera, (recording, index)), office.signer.key.public_key())
            for index in range(3)
        ]
        assert receipts[1].leaf_index == leaf_of_lost
        assert len({receipt.leaf_index for receipt in receipts}) == 3
        listed = json.loads(office.call("list", "--json").stdout)["recordings"]
        assert [(row["held"], row["missing"]) for row in listed] == [(3, [])]


def test_bit_rot_before_the_receipt_leaves_none(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path)
    with running(office):
        camera, key, data = _with_segment(office, 5000)
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        assert client.patch(client.segment(camera.device, key, data), 0, data).status == 204
    stored = _stored(office, camera, key)
    stored.chmod(0o640)
    stored.write_bytes(data[:-1] + b"?")
    (office.data / "store" / camera.device / records.receipt_path(*key)).unlink()
    with running(office):
        client = office.client()
        assert client.request("GET", f"/v1/receipts/{camera.device}/{key[0]}/0").status == 404
        assert not stored.exists()
        assert client.patch(client.segment(camera.device, key, data), 0, data).status == 204
        assert stored.read_bytes() == data


def test_a_changed_journal_in_the_store_is_found(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path)
    with running(office):
        camera, other = _camera(office), _camera(office)
        office.client().hand_in_journal(camera.device, camera.journal)
    stored = office.data / "store" / camera.device / records.journal_path(0)
    changed = bytearray(stored.read_bytes())
    changed[-50] ^= 1
    stored.write_bytes(changed)
    with running(office):
        assert "journal-changed" in office.await_log("journal-changed")["message"]
        client = office.client()
        answer = client.patch(f"/v1/uploads/{camera.device}/journal/0", len(changed), b"")
        assert (answer.status, answer.code) == (500, "journal-changed")
        client.hand_in_journal(other.device, other.journal)  # the others are not kept waiting


@pytest.mark.parametrize(
    ("fault", "word"),
    [("certificate", "office.pem"), ("port", "port-busy"), ("broker port", "port-busy"), ("mosquitto", "apt-get")],
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, fault: str, word: str) -> None:
    office = OfficeKit(tmp_path)
    environment = {}
    with socket.create_server(("127.0.0.1", free_port())) as busy:
        text = office.config.read_text()
        if fault == "certificate":
            office.certificate.unlink()
        elif fault == "port":
            text = text.replace("\nport = 0", f"\nport = {busy.getsockname()[1]}")
        elif fault == "broker port":
            text = text.replace(str(office.broker_port), str(busy.getsockname()[1]))
        else:
            environment["PATH"] = ""
        office.config.write_text(text)
        done = office.call("run", **environment)
    assert done.returncode not in (0, 1)
    assert word in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr
    with socket.create_server(("127.0.0.1", office.broker_port)):
        pass  # nothing is left running


def test_two_offices_do_not_share_a_folder(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path)
    with running(office):
        assert "already-running" in office.call("run").stderr


def _check_proof(office: OfficeKit, client: Client, camera: Camera, key: tuple[str, int]) -> None:
    receipt = Receipt.read(_receipt(client, camera, key), office.signer.key.public_key())
    assert pki.role_and_id(office.signer.certificate)[1] == receipt.office
    assert office.call("export", key[0], "--out", str(office.folder / "out")).returncode == 0
    origin, log_key = read_verifier_key(
        LogKey.read((office.folder / "out" / "log" / "key.jws").read_bytes(), office.signer.key.public_key()).log_key
    )
    proof = Proof.read((office.folder / "out" / "log" / key[0] / "00000.tlog-proof").read_bytes())
    assert receipt.leaf_index == proof.index
    assert proof.verify(origin, log_key).size > proof.index
