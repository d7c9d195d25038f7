"""The office has its log stamped: by the agency's own authority or any by address, and never waits for one."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evidence import pki, timestamp
from evidence.pki import Role
from office import authority as authority_module
from office.authority import OwnAuthority
from office.config import OfficeConfig
from office.errors import OfficeError
from office.log import Log
from office.stamps import Stamps
from tests.agency import Agency, new_key
from tests.footage import Camera
from tests.office_kit import ROOT, OfficeKit, free_port, running, wait_for
from tests.office_log_kit import LOG_KEY, ORIGIN, bought

pytestmark = pytest.mark.net

Answer = Callable[[bytes], tuple[int, bytes]]


@contextlib.contextmanager
def authority(answer: Answer, port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """An HTTP server that answers requests for stamps; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            status, body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/tsa"
        finally:
            server.shutdown()
            thread.join()


class Desk:
    """A log with some entries, and the stamps over it; an authority that somebody else runs."""

    def __init__(self, tmp: Path) -> None:
        self.tmp = tmp
        self.agency = Agency(at=datetime.now(UTC))
        self.log = Log(tmp / "log", ORIGIN, LOG_KEY)
        self.root, self.bought = bought()
        (tmp / "tsa.pem").write_bytes(pki.to_pem(self.root))
        self.openssl = OwnAuthority(*self.bought.write(tmp, "bought"), error_ms=0)
        self.answered = 0

    def stamps(self, **settings: object) -> Stamps:
        nothing = self.tmp / "nothing"
        config = OfficeConfig(self.tmp, *[nothing] * 6, **settings)  # type: ignore[arg-type]
        return Stamps(self.tmp / "log" / "stamps", self.log, config, [self.agency.root.certificate])

    def remote(self, address: str) -> Stamps:
        return self.stamps(stamp_address=address, stamp_roots=self.tmp / "tsa.pem")

    def answer(self, query: bytes) -> tuple[int, bytes]:
        self.answered += 1
        return 200, self.openssl.answer(query)

    def grow(self, leaves: int = 1) -> None:
        for _ in range(leaves):
            self.log.append({"act": "test"})


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_log_that_grows_is_stamped_and_one_that_does_not_is_not_again(desk: Desk) -> None:
    with authority(desk.answer) as address:
        stamps = desk.remote(address)
        assert stamps.stamp() == 0, "an empty log has nothing to stamp"
        for size in (2, 2, 5):
            desk.grow(size - desk.log.size)
            assert stamps.stamp() == size
    assert desk.answered == 2
    assert stamps.sizes() == [2, 5]
    assert [stamps.over(index) for index in range(6)] == [2, 2, 5, 5, 5, None]
    proof = desk.log.proof(1, (2, stamps.checkpoint(2)))
    assert proof.verify(ORIGIN, LOG_KEY.public_key()).size == 2
    stamp = timestamp.read(stamps.token(2), proof.note, [desk.agency.root.certificate], [], [desk.root])
    assert (stamp.authority, stamp.self_stamped) == ("CN=Time Stamps", False)


def test_over_https_by_the_machines_own_roots(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    root, issuing, key = desk.agency.root, desk.agency.issuing, new_key()
    above = (desk.agency.first, desk.agency.last)
    leaf = pki.make_certificate(
        Role.OFFICE, "TSA-1", key.public_key(), issuing.certificate, issuing.key, *above, hosts=["127.0.0.1"]
    )
    chain = desk.tmp / "chain.pem"
    chain.write_bytes(pki.to_pem(leaf, issuing.certificate) + _pem(key))
    (desk.tmp / "ca.pem").write_bytes(pki.to_pem(root.certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    desk.grow()
    with authority(desk.answer, context=context) as address:
        with pytest.raises(OfficeError, match="CERTIFICATE_VERIFY_FAILED"):
            desk.remote(address).stamp()
        monkeypatch.setenv("SSL_CERT_FILE", str(desk.tmp / "ca.pem"))
        assert desk.remote(address).stamp() == 1


def _pem(key: object) -> bytes:
    from runtime.keys import private_pem  # noqa: PLC0415

    return private_pem(key)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("status", "HTTP Error 503"),
        ("page", "stamp-form"),
        ("endless", "more than"),
        ("replayed", "does not answer this request"),
        ("refusal", "stamp-refused"),
        ("another authority", "stamp-untrusted"),
        ("nobody", "Connection refused"),
    ],
)
def test_an_authority_that_fails_is_named_and_nothing_of_it_is_kept(desk: Desk, what: str, said: str) -> None:
    desk.grow()
    old = desk.openssl.answer(timestamp.ask(desk.log.checkpoint()).der)
    other = OwnAuthority(*bought("other")[1].write(desk.tmp, "other"), error_ms=0)
    answers: dict[str, Answer] = {
        "status": lambda _: (503, b"busy"),
        "page": lambda _: (200, b"<html>"),
        "endless": lambda _: (200, bytes(1 << 20)),
        "replayed": lambda _: (200, old),
        "refusal": lambda _: (200, bytes.fromhex("30053003020102")),
        "another authority": lambda query: (200, other.answer(query)),
        "nobody": desk.answer,
    }
    with authority(answers[what]) as address:
        stamps = desk.remote(f"http://127.0.0.1:{free_port()}/" if what == "nobody" else address)
        with pytest.raises(OfficeError, match="stamp-failing") as caught:
            stamps.stamp()
    assert said in str(caught.value)
    assert stamps.sizes() == []


@pytest.mark.parametrize("headers", [False, True])
def test_an_authority_that_answers_byte_by_byte_is_given_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, headers: bool
) -> None:
    """Each byte comes in time, and the last one never."""
    monkeypatch.setattr(authority_module, "_SECONDS", 0.5)
    desk.grow()
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        with listener.accept()[0] as peer, contextlib.suppress(OSError):
            peer.sendall(b"HTTP/1.1 200 OK\r\n" + (b"" if headers else b"Content-Length: 60000\r\n\r\n"))
            while not over.wait(0.1):
                peer.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        stopper = threading.Timer(10, over.set)  # if nobody gives up
        stopper.start()
        try:
            with pytest.raises(OfficeError, match="stamp-failing"):
                desk.remote(f"http://127.0.0.1:{listener.getsockname()[1]}/").stamp()
            assert not over.is_set(), "it was listened to until it stopped by itself"
        finally:
            over.set()
            stopper.cancel()
            thread.join()


def test_an_address_without_roots_is_refused(desk: Desk) -> None:
    with pytest.raises(OfficeError, match="stamp_roots"):
        desk.stamps(stamp_address="http://127.0.0.1/")


@pytest.mark.slow
def test_the_office_takes_in_and_gives_out_while_its_authority_is_away(tmp_path: Path) -> None:
    office, port = OfficeKit(tmp_path), free_port()
    root, holder = bought()
    (tmp_path / "tsa.pem").write_bytes(pki.to_pem(root))
    with office.config.open("a") as settings:
        settings.write(f'stamp_address = "http://127.0.0.1:{port}/"\nstamp_roots = "tsa.pem"\n')
    camera = Camera(office.agency, ["age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"])
    recording = camera.start()
    camera.noise(recording, 0, 1_000)
    camera.end(recording, 1, 1)
    openssl = OwnAuthority(*holder.write(tmp_path, "bought"), error_ms=0)
    with running(office):
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        (key,) = camera.segments
        path = client.segment(camera.device, key, camera.segments[key])
        assert client.patch(path, 0, camera.segments[key]).status == 204
        office.await_log("the log is not stamped")
        assert json.loads(client.request("GET", "/v1/health").body)["stamps"] is False
        first = _exported(office, recording, "first")
        assert "goes out without a stamp" in first[0]
        assert first[1] == ["receipt", "log"]
        with authority(lambda query: (200, openssl.answer(query)), port):
            office.await_log("the log is stamped again")
            wait_for(lambda: json.loads(client.request("GET", "/v1/health").body)["stamps"])
    assert _exported(office, recording, "second")[1] == ["receipt", "log", "authority"]


def _exported(office: OfficeKit, recording: str, name: str) -> tuple[str, list[str]]:
    """What the office complained of, and by whose words the verifier says that the segment is no younger."""
    out = office.folder / name
    done = office.call("export", recording, "--out", str(out))
    assert done.returncode == 0, done
    command = [sys.executable, "-m", "bodycam", "verify", str(out), "--trust", str(office.roots), "--json"]
    command += ["--stamp-trust", str(office.folder / "tsa.pem")]
    told = json.loads(subprocess.run(command, capture_output=True, check=False, cwd=ROOT).stdout)
    assert [finding for finding in told["findings"] if finding["step"] != 7] == []
    return done.stderr, [bound["by"] for bound in told["recordings"][0]["segments"][0]["time"]["not_after"]]
