from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from evidence import pki
from evidence.pki import Role
from runtime import tls
from runtime.keys import CredentialError
from tests.agency import Agency, Holder, rebuild

pytestmark = pytest.mark.net
SECONDS = 10
Who = tuple[Role, str]


@pytest.fixture(scope="module")
def agency() -> Agency:
    return Agency(at=datetime.now(UTC))


@pytest.fixture
def folder(agency: Agency, tmp_path: Path) -> Path:
    (tmp_path / "root.pem").write_bytes(pki.to_pem(agency.root.certificate))
    return tmp_path


def context(folder: Path, holder: Holder, *, server: bool, check_dates: bool = True) -> ssl.SSLContext:
    chain, key = holder.write(folder, "server" if server else "client")
    make = tls.server_context if server else tls.client_context
    return make(chain, key, folder / "root.pem", check_dates=check_dates)


def meet(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[Who, Who, str]:
    """Shake hands and pass a byte each way on a real socket; return whom the server and the client saw."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(SECONDS)

        def serve() -> Who:
            plain, _ = listener.accept()
            plain.settimeout(SECONDS)
            with plain, server.wrap_socket(plain, server_side=True) as connection:
                connection.sendall(connection.recv(1))
                return tls.peer(connection)

        served = pool.submit(serve)
        try:
            with (
                socket.create_connection(listener.getsockname(), SECONDS) as plain,
                client.wrap_socket(plain) as connection,
            ):
                connection.sendall(b"x")
                # In TLS 1.3 a client learns on its first read that its certificate was refused.
                assert connection.recv(1) == b"x"
                seen, version = tls.peer(connection), connection.version()
        finally:
            error = served.exception(SECONDS)
            if isinstance(error, ssl.SSLCertVerificationError):
                raise error  # the server's own verdict tells more than the alert that the client saw
        return served.result(SECONDS), seen, version or ""


def test_each_end_learns_the_other(agency: Agency, folder: Path) -> None:
    server = context(folder, agency.issue(Role.CAMERA, "BWC-0001"), server=True)
    client = context(folder, agency.issue(Role.DOCK, "DOCK-1"), server=False)
    assert meet(server, client) == ((Role.DOCK, "DOCK-1"), (Role.CAMERA, "BWC-0001"), "TLSv1.3")


def test_require_peer_refuses_wrong_role_and_wrong_id(agency: Agency, folder: Path) -> None:
    server = context(folder, agency.issue(Role.CAMERA, "BWC-0001"), server=True)
    client = context(folder, agency.issue(Role.DOCK, "DOCK-1"), server=False)
    left, right = socket.socketpair()
    with left, right, ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(lambda: server.wrap_socket(left, server_side=True))
        with client.wrap_socket(right) as dock_side, accepted.result(SECONDS) as camera_side:
            assert tls.require_peer(camera_side, Role.DOCK) == "DOCK-1"
            assert tls.require_peer(dock_side, Role.CAMERA, "BWC-0001") == "BWC-0001"
            with pytest.raises(tls.PeerError, match=r"expected office/\* at the other end, found dock/DOCK-1"):
                tls.require_peer(camera_side, Role.OFFICE)
            with pytest.raises(tls.PeerError, match="expected camera/BWC-0002"):
                tls.require_peer(dock_side, Role.CAMERA, "BWC-0002")


def refused(server: ssl.SSLContext, client: ssl.SSLContext, reason: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        meet(server, client)


def test_foreign_agency_is_refused_by_both_ends(agency: Agency, folder: Path) -> None:
    foreign = Agency(at=datetime.now(UTC))
    reason = "unable to get local issuer|signature failure"
    server = context(folder, agency.issue(Role.CAMERA, "BWC-0001"), server=True)
    refused(server, context(folder, foreign.issue(Role.DOCK, "DOCK-1"), server=False), reason)
    server = context(folder, foreign.issue(Role.CAMERA, "BWC-0001"), server=True)
    refused(server, context(folder, agency.issue(Role.DOCK, "DOCK-1"), server=False), reason)


@pytest.mark.parametrize("role", [Role.EVIDENCE, Role.SESSION, Role.SIGNER])
def test_signing_keys_open_no_link(agency: Agency, folder: Path, role: Role) -> None:
    holder = agency.issue(role, "BWC-0001")
    link = agency.issue(Role.DOCK, "DOCK-1")
    refused(context(folder, link, server=True), context(folder, holder, server=False), "purpose")
    refused(context(folder, holder, server=True), context(folder, link, server=False), "purpose")


def made_by_stolen_evidence_key(agency: Agency) -> Holder:
    """A dock's certificate, right in everything but that a camera's evidence key has signed it."""
    evidence, link = agency.issue(Role.EVIDENCE, "BWC-0001"), agency.issue(Role.DOCK, "DOCK-1")
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(evidence.key.public_key())
    forged = rebuild(link.certificate, evidence.key, identifier, issuer_name=evidence.certificate.subject)
    return Holder(forged, link.key, [evidence.certificate, *evidence.above])


def test_stolen_evidence_key_makes_no_link(agency: Agency, folder: Path) -> None:
    forged, link = made_by_stolen_evidence_key(agency), agency.issue(Role.DOCK, "DOCK-1")
    refused(context(folder, link, server=True), context(folder, forged, server=False), "purpose")
    refused(context(folder, forged, server=True), context(folder, link, server=False), "purpose")


@pytest.mark.parametrize("shift", [timedelta(days=-800), timedelta(days=800)])
def test_untrusted_clock_leaves_dates_alone_and_nothing_else(agency: Agency, folder: Path, shift: timedelta) -> None:
    dock = agency.issue(Role.DOCK, "DOCK-1")
    dated = rebuild(
        dock.certificate,
        agency.issuing.key,
        not_valid_before=agency.first + shift,
        not_valid_after=agency.last + shift,
    )
    client = context(folder, Holder(dated, dock.key, dock.above), server=False)
    camera = agency.issue(Role.CAMERA, "BWC-0001")
    refused(context(folder, camera, server=True), client, "expired|not yet valid")
    lenient = context(folder, camera, server=True, check_dates=False)
    assert meet(lenient, client)[0] == (Role.DOCK, "DOCK-1")
    refused(lenient, context(folder, made_by_stolen_evidence_key(agency), server=False), "purpose")
    foreign = Agency(at=datetime.now(UTC)).issue(Role.DOCK, "DOCK-1")
    refused(lenient, context(folder, foreign, server=False), "issuer|signature")


def test_older_tls_and_clients_without_certificate_are_refused(agency: Agency, folder: Path) -> None:
    server = context(folder, agency.issue(Role.CAMERA, "BWC-0001"), server=True)
    old = context(folder, agency.issue(Role.DOCK, "DOCK-1"), server=False)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    for client in (old, nobody):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            meet(server, client)


def test_unusable_credentials_are_named(agency: Agency, folder: Path) -> None:
    chain, key = agency.issue(Role.DOCK, "DOCK-1").write(folder, "dock")
    _, other_key = agency.issue(Role.DOCK, "DOCK-2").write(folder, "other")
    empty = folder / "empty.pem"
    empty.touch()
    root = folder / "root.pem"
    for arguments in ((folder / "none.pem", key, root), (chain, other_key, root), (chain, key, empty)):
        with pytest.raises(CredentialError, match="provision this device"):
            tls.client_context(*arguments)


# --- the broker -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def broker(agency: Agency, folder: Path) -> Iterator[tuple[int, list[str]]]:
    """Run Debian's mosquitto with mutual TLS on a free port of loopback; its log is complete when it has ended."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    chain, key = agency.issue(Role.OFFICE, "OFFICE-1").write(folder, "office")
    lines = [
        f"listener {port} 127.0.0.1",
        f"certfile {chain}",
        f"keyfile {key}",
        f"cafile {folder / 'root.pem'}",
        "require_certificate true",
        "use_identity_as_username true",
        "tls_version tlsv1.3",
        "user root",
    ]
    (folder / "broker.conf").write_text("\n".join(lines) + "\n")
    command = ["mosquitto", "-c", str(folder / "broker.conf"), "-v"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            for line in process.stderr:
                if line.rstrip().endswith(" running"):
                    break
            assert process.poll() is None
            log: list[str] = []
            yield port, log
        finally:
            process.terminate()
        log.extend(process.stderr)


def publish(port: int, folder: Path, holder: Holder) -> subprocess.CompletedProcess[str]:
    chain, key = holder.write(folder, "publisher")
    command = ["mosquitto_pub", "-h", "localhost", "-p", str(port), "--cafile", str(folder / "root.pem")]
    command += ["--cert", str(chain), "--key", str(key), "--insecure", "-q", "1", "-t", "t", "-m", "m"]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_broker_takes_links_and_refuses_what_an_evidence_key_made(agency: Agency, folder: Path) -> None:
    with broker(agency, folder) as (port, log):
        accepted = publish(port, folder, agency.issue(Role.DOCK, "DOCK-1"))
        assert accepted.returncode == 0, accepted.stderr
        for holder in (made_by_stolen_evidence_key(agency), agency.issue(Role.SESSION, "BWC-0001")):
            assert publish(port, folder, holder).returncode != 0
    assert sum("certificate verify failed" in line for line in log) == 2
