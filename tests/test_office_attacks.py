"""Attacks on a running office, over real TLS, by strangers and by a dock that has turned."""

from __future__ import annotations

import contextlib
import copy
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from evidence import age
from evidence.certificate import Role
from office import peer
from tests.agency import Agency, Holder, new_key, rebuild
from tests.footage import Camera
from tests.office_kit import TUS, Client, OfficeKit, path_of, running

pytestmark = pytest.mark.net


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeKit]:
    with running(OfficeKit(tmp_path_factory.mktemp("office"))) as kit:
        yield kit


def with_names(agency: Agency, *names: str) -> Holder:
    """A dock's certificate by the true issuing key, but with these common names."""
    honest = agency.issue(Role.DOCK, "DOCK-1")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in names])
    return Holder(rebuild(honest.certificate, agency.issuing.key, subject_name=subject), honest.key, honest.above)


def by_evidence_key(agency: Agency) -> Holder:
    """What a stolen evidence key, a small CA, can make: any name, any usage."""
    evidence, honest = agency.issue(Role.EVIDENCE, "BWC-0001"), agency.issue(Role.DOCK, "DOCK-1")
    forged = rebuild(
        honest.certificate, evidence.key,
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(evidence.key.public_key()),
        issuer_name=evidence.certificate.subject,
    )  # fmt: skip
    return Holder(forged, honest.key, [evidence.certificate, *evidence.above])


def expired(agency: Agency) -> Holder:
    holder = agency.issue(Role.DOCK, "DOCK-1")
    past = datetime.now(UTC) - timedelta(minutes=1)
    return Holder(rebuild(holder.certificate, agency.issuing.key, not_valid_after=past), holder.key, holder.above)


def self_signed(agency: Agency) -> Holder:
    holder, key = agency.issue(Role.DOCK, "DOCK-1"), new_key()
    own = rebuild(holder.certificate, key, issuer_name=holder.certificate.subject, public_key=key.public_key())
    return Holder(own, key)


STRANGERS: dict[str, Callable[[Agency], Holder]] = {
    "another agency of the same name": lambda _: Agency(at=datetime.now(UTC)).issue(Role.DOCK, "DOCK-1"),
    "made by a stolen evidence key": by_evidence_key,
    "expired": expired,
    "signed by itself": self_signed,
    "a camera": lambda agency: agency.issue(Role.CAMERA, "BWC-0001"),
    "the office itself": lambda agency: agency.issue(Role.OFFICE, "OFFICE-1"),
    "a signing key": lambda agency: agency.issue(Role.SIGNER, "OFFICE-1"),
    "an evidence key": lambda agency: agency.issue(Role.EVIDENCE, "BWC-0001"),
    "two common names": lambda agency: with_names(agency, "camera/BWC-0001", "dock/DOCK-1"),
    "a NUL": lambda agency: with_names(agency, "dock/DOCK-1\0camera"),
    "a wildcard": lambda agency: with_names(agency, "dock/+"),
    "a path": lambda agency: with_names(agency, "dock/DOCK-1/../DOCK-2"),
    "look-alike letters": lambda agency: with_names(agency, "dock/DОCK-1"),  # a Cyrillic O
    "a long name": lambda agency: with_names(agency, "dock/" + "D" * 5000),
    "no name": with_names,
}


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_hands_nothing_in(office: OfficeKit, stranger: str, tmp_path: Path) -> None:
    client = Client(office, *STRANGERS[stranger](office.agency).write(tmp_path, "stranger"))
    with contextlib.suppress(OSError):
        answer = client.create(None, kind="journal", device="BWC-0001", file="0")
        assert (answer.status, answer.code) == (403, "role")


HEALTH = b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def s_client(client: Client, *options: str | Path) -> bytes:
    """Ask for the office's health by the openssl program; what it got."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{client.office.port}", "-ign_eof", *options]
    return subprocess.run(command, input=HEALTH, capture_output=True, check=False, timeout=20).stdout


def test_openssl_gets_in_by_tls_1_3_with_a_certificate_only(office: OfficeKit, tmp_path: Path) -> None:
    client = office.client()
    shown: list[str | Path] = ["-cert", client.chain, "-cert_chain", client.chain, "-key", client.key]
    session = tmp_path / "session"
    assert b"200 OK" in s_client(client, *shown, "-noservername", "-sess_out", session)
    for older in (["-tls1_2"], ["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_1"]):
        assert b"200 OK" not in s_client(client, *shown, *older)
    assert b"200 OK" not in s_client(client)
    if session.exists():
        assert b"200 OK" not in s_client(client, "-sess_in", session), "resumed without a certificate"


def converse(client: Client, data: bytes) -> bytes:
    """Send, say no more, and read until the office closes or nothing comes for a while."""
    answer = b""
    with socket.create_connection(("127.0.0.1", client.office.port), timeout=2) as plain:
        link = client.context.wrap_socket(plain)
        link.sendall(data)
        with contextlib.suppress(TimeoutError, ssl.SSLEOFError, ConnectionResetError):
            while (piece := link.recv(65536)) and not answer.endswith(b"}"):
                answer += piece
        link.close()
    return answer


POST = b"POST /v1/anchors HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "bad chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc",
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "negative length": POST + b"Content-Length: -4\r\n\r\n",
    "endless length": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "bare line feeds": b"POST /v1/anchors HTTP/1.1\nHost: x\n\n",
    "upper bytes": b"GET /v1/receipts/\xff/0123abcd-1/0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a proxy's method": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("trick", SMUGGLED)
def test_a_smuggled_request_is_refused(office: OfficeKit, trick: str) -> None:
    answer = converse(office.client(), SMUGGLED[trick] + b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/receipts/%2e%2e/%2e%2e/0",
        "/v1/receipts/BWC-0001/0123abcd-1%00/0",
        "/v1/receipts/BWC-0001/journal/0",
        "/v1/receipts/BWC-0001/0123abcd-1/" + "9" * 300,
        "/v1/receipts/BWC-0001/0123abcd-1/" + "9" * 5000,
        "/v1/receipts/BWC-0001/0123abcd-1/-1",
        "/v1/receipts/%ff%fe/0123abcd-1/0",
        "//v1/health",
        "/v1/uploads/../../health",
    ],
)
def test_a_crooked_path_is_not_found(office: OfficeKit, path: str) -> None:
    assert office.client().request("GET", path).code in {"receipt-unknown", "unknown-address"}


def test_an_endless_header_is_cut(office: OfficeKit) -> None:
    with socket.create_connection(("127.0.0.1", office.port), timeout=10) as plain:
        link = office.client().context.wrap_socket(plain)
        link.sendall(b"GET /v1/health HTTP/1.1\r\n")
        lines = (b"X: " + b"x" * 8000 + b"\r\n") * (200 * peer._HEADER_LIMIT // 8000)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            link.sendall(lines)
    assert office.client().request("GET", "/v1/health").status == 200


def test_a_header_that_does_not_end_is_cut_in_time(office: OfficeKit) -> None:
    """Silent from the start, after half a line, and after an answer and a line feed, which stops the server's timer."""
    whole = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"
    links = []
    for start in (b"", b"GET /v1/hea", whole + b"\r\n"):
        link = office.client().context.wrap_socket(socket.create_connection(("127.0.0.1", office.port), timeout=60))
        link.sendall(start)
        links.append(link)
    deadline = time.monotonic() + 3 * peer._HEADER_SECONDS
    for link in links:
        with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
            while link.recv(65536):
                pass
        link.close()
    assert time.monotonic() < deadline


def test_strangers_who_never_shake_hands_keep_no_dock_out(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path)
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, most))  # as systemd gives 1,024
    try:
        office.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    held = [socket.create_connection(("127.0.0.1", office.port), timeout=20) for _ in range(400)]
    try:
        assert office.client().request("GET", "/v1/health").status == 200
    finally:
        for one in held:
            one.close()
        office.stop()


def test_a_dock_cannot_hand_in_for_a_camera_what_the_camera_did_not_sign(office: OfficeKit) -> None:
    recipients = [age.recipient_of(age.generate_identity())]
    victim, other = (Camera(office.agency, recipients, name) for name in ("BWC-0101", "BWC-0102"))
    client = office.client()
    for camera in (victim, other):
        recording = camera.start()
        camera.noise(recording, 0, 100)
    path = "/v1/uploads/BWC-0101/journal/0"
    client.create(None, kind="journal", device="BWC-0101", file="0")
    assert client.patch(path, 0, other.journal[0]).code == "foreign"
    first, rest = victim.journal[0].split(b"\n", 1)
    assert client.patch(path, 0, rest).status >= 400, "out of order"
    assert client.offset(path) == 0
    client.hand_in_journal("BWC-0101", victim.journal)
    size = len(victim.journal[0])
    assert client.patch(path, size, first + b"\n").status >= 400, "replayed"
    assert client.patch(path, 0, victim.journal[0]).code == "offset-mismatch"
    assert client.offset(path) == size
    (recording, _), data = next(iter(victim.segments.items()))
    for length in (len(data) - 1, len(data) + 1, 0):
        answer = client.create(length, kind="segment", device="BWC-0101", recording=recording, segment="0")
        assert answer.code == "segment-unknown"
    upload = client.segment("BWC-0101", (recording, 0), data)
    assert client.patch(upload, 0, data + b"x").code == "too-long"
    assert client.patch(upload, 0, next(iter(other.segments.values()))).code == "hash-mismatch"
    assert client.request("GET", f"/v1/receipts/BWC-0101/{recording}/0").code == "receipt-unknown"
    assert client.request("DELETE", upload, TUS).code == "write-once"
    foreign = f"/v1/uploads/BWC-0102/{recording}/0"
    assert client.patch(foreign, 0, data).code == "upload-unknown"


def test_a_dock_cannot_go_on_with_a_cameras_chain_in_its_stead(office: OfficeKit) -> None:
    client = office.client()
    camera = Camera(office.agency, [age.recipient_of(age.generate_identity())], "BWC-7001")
    client.hand_in_journal(camera.device, camera.journal)
    rogue = copy.copy(camera)  # it knows all that the office holds, and has none of the camera's keys
    rogue.journal, rogue._chain = list(camera.journal), copy.copy(camera._chain)
    rogue.signed = rogue.vouched = False
    rogue.boot()
    path = path_of(client.create(None, kind="journal", device=camera.device, file="1"))
    refused = client.patch(path, 0, rogue.journal[-1])
    assert (refused.status, refused.code) == (422, "session-stranger")
    camera.boot()
    client.hand_in_journal(camera.device, camera.journal)
