from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence import pki, records
from evidence.documents import Receipt, TimeAnchor
from evidence.pki import Role
from firmware import dock_port
from runtime import tls
from tests.agency import Agency, Holder
from tests.builders import present_agency
from tests.dock_camera import DockedCamera

pytestmark = pytest.mark.net


@pytest.fixture
def camera(tmp_path: Path, agency: Agency, signer: Holder) -> Iterator[DockedCamera]:
    camera = DockedCamera(tmp_path / "camera", agency, signer.certificate)
    camera.port.start()
    yield camera
    camera.port.stop()


def client_context(tmp_path: Path, roots: Agency, holder: Holder) -> ssl.SSLContext:
    chain, key = holder.write(tmp_path, "client")
    (tmp_path / "client-roots.pem").write_bytes(pki.to_pem(roots.root.certificate))
    return tls.client_context(chain, key, tmp_path / "client-roots.pem")


@pytest.fixture
def dock(tmp_path: Path, agency: Agency) -> ssl.SSLContext:
    return client_context(tmp_path, agency, agency.issue(Role.DOCK, "DOCK-1"))


class Client(http.client.HTTPConnection):
    """HTTP over our TLS context, which names no host."""

    def __init__(self, camera: DockedCamera, context: ssl.SSLContext) -> None:
        super().__init__(*camera.port.address, timeout=20)
        self._context = context

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock)

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        self.request(method, path, body, headers)
        response = self.getresponse()
        return response.status, response.headers, response.read()


def code(body: bytes) -> str:
    told = json.loads(body)
    assert told.keys() == {"code", "message"}
    return str(told["code"])


def receipt_for(camera: DockedCamera, key: tuple[str, int], signer: Holder, **changes: Any) -> str:
    record = next(r for r in journal(camera) if r.kind == "segment" and r.body["segment"] == key[1])
    members = {
        "office": "OFFICE-1",
        "device": camera.folder.device,
        "recording": key[0],
        "segment": key[1],
        "sha256": record.body["file_sha256"],
        "size": record.body["file_size"],
        "received": "2026-11-24T06:00:00.000Z",
        "retain_until": "2028-11-24T06:00:00.000Z",
        "leaf_index": 0,
    }
    return Receipt(**(members | changes)).sign(signer.key, pki.key_id(signer.key.public_key()))


def journal(camera: DockedCamera) -> list[records.Record]:
    return [records.parse(line) for line in camera.folder.disk.read(records.journal_path(0)).splitlines()]


def test_a_dock_reads_state_journal_and_segments(camera: DockedCamera, dock: ssl.SSLContext) -> None:
    recording = camera.folder.begin_recording()
    key = camera.folder.segment(recording, 900_000)
    client = Client(camera, dock)
    status, _, body = client.ask("GET", "/v1/state")
    state = json.loads(body)
    assert status == 200
    assert state["device"] == "BWC-0001"
    assert state["segments"] == [{"recording": recording, "segment": 0, "size": camera.folder.sizes[key]}]
    assert state["head"]["seq"] == journal(camera)[-1].seq
    status, _, body = client.ask("GET", "/v1/journal/0")
    assert (status, body) == (200, camera.folder.disk.read(records.journal_path(0)))
    status, _, body = client.ask("GET", f"/v1/segments/{recording}/0")
    assert (status, body) == (200, camera.folder.disk.read(records.segment_path(*key)))


def test_ranges_are_answered_exactly(camera: DockedCamera, dock: ssl.SSLContext) -> None:
    key = camera.folder.segment(camera.folder.begin_recording(), 600_000)
    whole = camera.folder.disk.read(records.segment_path(*key))
    path, size = f"/v1/segments/{key[0]}/0", len(whole)
    client = Client(camera, dock)
    for text, start, stop in [
        ("bytes=0-", 0, size),
        ("bytes=300000-", 300_000, size),
        ("bytes=5-9", 5, 10),
        (f"bytes=5-{size + 9}", 5, size),
    ]:
        status, headers, body = client.ask("GET", path, Range=text)
        assert (status, body) == (206, whole[start:stop])
        assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
    for text, expected in [
        (f"bytes={size}-", 416),
        ("bytes=9-5", 416),
        ("bytes=-5", 400),
        ("bytes=0-1,4-5", 400),
        ("bytes=01-", 400),
        ("bytes=٣-", 400),
        ("octets=0-", 400),
    ]:
        status, _, body = Client(camera, dock).ask("GET", path, Range=text.encode().decode("latin-1"))
        assert (status, code(body)) == (expected, "range" if expected == 416 else "range-form"), text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/journal/00",
        "/v1/journal/7",
        "/v1/journal/../../roots.pem",
        "/v1/journal/%2e%2e/%2e%2e/roots.pem",
        "/v1/journal/0?x=1",
        "/v1/journal/0/",
        "/v1/segments/../0",
        "/v1/segments/9f9f9f9f-1/00000.mp4.age",
        "/v1/segments/9f9f9f9f-1/5",
        "/v1/segments/9F9F9F9F-1/0",
    ],
)
def test_a_path_that_is_not_listed_is_not_there(camera: DockedCamera, dock: ssl.SSLContext, path: str) -> None:
    camera.folder.segment(camera.folder.begin_recording(), 1)
    status, _, body = Client(camera, dock).ask("GET", path)
    assert status == 404
    assert code(body) in {"no-such-resource", "not-held"}


def test_journal_bytes_beyond_the_published_size_are_never_served(
    camera: DockedCamera, dock: ssl.SSLContext, tmp_path: Path
) -> None:
    published = camera.state()
    path = tmp_path / "camera/evidence" / records.journal_path(0)
    with path.open("ab") as stream:
        stream.write(b"not durable yet")
    camera.state = lambda: published  # type: ignore[method-assign]
    client = Client(camera, dock)
    assert client.ask("GET", "/v1/journal/0")[2] == path.read_bytes()[: published.journal[0][1]]
    assert client.ask("GET", "/v1/journal/0", Range=f"bytes={published.journal[0][1]}-")[0] == 416


def test_a_receipt_is_written_down_and_releases(camera: DockedCamera, dock: ssl.SSLContext, signer: Holder) -> None:
    key = camera.folder.segment(camera.folder.begin_recording(), 1)
    client = Client(camera, dock)
    status, _, body = client.ask("POST", "/v1/receipts", receipt_for(camera, key, signer))
    assert (status, body) == (204, b"")
    assert [record.kind for record in journal(camera)[-2:]] == ["receipt", "released"]
    assert json.loads(client.ask("GET", "/v1/state")[2])["segments"] == []


def test_a_receipt_for_other_bytes_or_by_another_key_releases_nothing(
    camera: DockedCamera, dock: ssl.SSLContext, signer: Holder, agency: Agency
) -> None:
    key = camera.folder.segment(camera.folder.begin_recording(), 1)
    stranger = agency.issue(Role.SIGNER, "OFFICE-1")
    for receipt, expected in [
        (receipt_for(camera, key, signer, sha256="0" * 64), "receipt-wrong"),
        (receipt_for(camera, key, signer, device="BWC-0002"), "foreign"),
        (receipt_for(camera, key, stranger), "jws-signature"),
        ("{}", "jws-form"),
    ]:
        status, _, body = Client(camera, dock).ask("POST", "/v1/receipts", receipt)
        assert (status, code(body)) == (422, expected)
    assert key in camera.folder.sizes


def test_an_anchor_is_taken_once(camera: DockedCamera, dock: ssl.SSLContext, signer: Holder) -> None:
    client = Client(camera, dock)
    nonce = json.loads(client.ask("GET", "/v1/state")[2])["nonce"]
    anchor = TimeAnchor("OFFICE-1", "BWC-0001", nonce, *camera.folder.head, "2026-11-24T06:00:00.000Z", 1000)
    jws = anchor.sign(signer.key, pki.key_id(signer.key.public_key()))
    assert client.ask("POST", "/v1/anchor", jws)[0] == 204
    status, _, body = client.ask("POST", "/v1/anchor", jws)
    assert (status, code(body)) == (422, "anchor-wrong")
    assert json.loads(Client(camera, dock).ask("GET", "/v1/state")[2])["nonce"] is None


def test_bodies_are_bounded_and_measured(camera: DockedCamera, dock: ssl.SSLContext) -> None:
    for header, expected in [
        (("Content-Length", str(dock_port.BODY_LIMIT + 1)), (413, "too-large")),
        (("Content-Length", "-1"), (411, "length-required")),
        (("Transfer-Encoding", "chunked"), (411, "length-required")),
    ]:
        client = Client(camera, dock)
        client.putrequest("POST", "/v1/receipts")
        client.putheader(*header)
        client.endheaders()
        response = client.getresponse()
        assert (response.status, code(response.read())) == expected
    assert Client(camera, dock).ask("GET", "/v1/state", b"x")[0] == 400
    status, _, body = Client(camera, dock).ask("DELETE", "/v1/journal/0")
    assert (status, code(body)) == (501, "http-request")


def test_a_full_disk_is_told_and_releases_nothing(
    camera: DockedCamera, dock: ssl.SSLContext, signer: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = camera.folder.segment(camera.folder.begin_recording(), 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(camera.folder, "line", full)
    status, _, body = Client(camera, dock).ask("POST", "/v1/receipts", receipt_for(camera, key, signer))
    assert (status, code(body)) == (507, "storage")
    assert key in camera.folder.sizes


def refused(camera: DockedCamera, context: ssl.SSLContext) -> bool:
    try:
        Client(camera, context).ask("GET", "/v1/state")
    except (OSError, http.client.HTTPException):
        return True
    return False


@pytest.mark.parametrize("role", [Role.OFFICE, Role.CAMERA])
def test_only_a_dock_is_served(camera: DockedCamera, agency: Agency, tmp_path: Path, role: Role) -> None:
    assert refused(camera, client_context(tmp_path, agency, agency.issue(role, "OTHER-1")))


def test_a_dock_of_another_agency_is_refused(camera: DockedCamera, agency: Agency, tmp_path: Path) -> None:
    stranger = present_agency()
    assert refused(camera, client_context(tmp_path, agency, stranger.issue(Role.DOCK, "DOCK-1")))


def test_slow_clients_block_nobody_and_are_cut(
    camera: DockedCamera, dock: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dock_port, "_HANDSHAKE_SECONDS", 1.0)
    monkeypatch.setattr(dock_port, "_REQUEST_SECONDS", 1.0)
    silent = socket.create_connection(camera.port.address, timeout=20)
    trickling = Client(camera, dock)
    trickling.connect()
    ended = threading.Event()

    def trickle() -> None:
        try:
            while trickling.sock.send(b"G") and not ended.wait(0.05):
                pass
        except OSError:
            ended.set()

    thread = threading.Thread(target=trickle)
    thread.start()
    assert Client(camera, dock).ask("GET", "/v1/state")[0] == 200
    assert ended.wait(10), "the request line could be trickled on and on"
    thread.join()
    assert silent.recv(1) == b""
    silent.close()
    trickling.close()


def test_connections_are_few(camera: DockedCamera, dock: ssl.SSLContext) -> None:
    held = [Client(camera, dock) for _ in range(dock_port.CONNECTIONS)]
    assert all(client.ask("GET", "/v1/state")[0] == 200 for client in held)
    assert refused(camera, dock)
    held[0].close()
    deadline = threading.Event()
    assert any(not refused(camera, dock) or deadline.wait(0.05) for _ in range(100)), "a closed connection is not free"
    for client in held:
        client.close()


def test_strangers_who_never_shake_hands_keep_no_dock_out(camera: DockedCamera, dock: ssl.SSLContext) -> None:
    held = [socket.create_connection(camera.port.address, timeout=20) for _ in range(3 * dock_port.CONNECTIONS)]
    began = time.monotonic()
    client = Client(camera, dock)
    assert client.ask("GET", "/v1/state")[0] == 200
    held += [socket.create_connection(camera.port.address, timeout=20) for _ in range(3 * dock_port.CONNECTIONS)]
    assert client.ask("GET", "/v1/state")[0] == 200, "a dock at work was cut for a stranger"
    assert time.monotonic() - began < dock_port._HANDSHAKE_SECONDS
    for one in held:
        one.close()


SMUGGLED = {
    "length and chunks": b"POST /v1/anchor HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "two lengths": b"POST /v1/anchor HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "signed length": b"POST /v1/anchor HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
    "a GET's body": b"GET /v1/state HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "a GET's chunks": b"GET /v1/state HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a line that is no header": b"GET /v1/state HTTP/1.1\r\nnonsense\r\nContent-Length: 2\r\n\r\n{}",
    "absolute": b"GET http://camera/v1/state HTTP/1.1\r\n\r\n",
    "traversal": b"GET /v1/journal/..%2f..%2fconfig.jws HTTP/1.1\r\n\r\n",
    "long line": b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET /v1/state HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    "no version": b"GET /v1/state\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("trick", SMUGGLED)
def test_a_smuggled_request_is_refused(camera: DockedCamera, dock: ssl.SSLContext, trick: str) -> None:
    link = dock.wrap_socket(socket.create_connection(camera.port.address, timeout=20))
    answer = b""
    with contextlib.suppress(ssl.SSLEOFError, ConnectionError):
        link.sendall(SMUGGLED[trick] + b"GET /v1/state HTTP/1.1\r\n\r\n")
        while piece := link.recv(65536):
            answer += piece
    link.close()
    assert b" 200 " not in answer, answer
    assert b"BWC-0001" not in answer, answer


def test_nothing_listens_once_stopped(camera: DockedCamera, dock: ssl.SSLContext) -> None:
    client = Client(camera, dock)
    assert client.ask("GET", "/v1/state")[0] == 200
    address = camera.port.address
    camera.port.stop()
    with pytest.raises((OSError, http.client.HTTPException)):
        client.ask("GET", "/v1/state")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
    camera.port.start()
    assert Client(camera, dock).ask("GET", "/v1/state")[0] == 200
