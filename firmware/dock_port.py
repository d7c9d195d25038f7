"""What the dock reads of a camera, and what it brings back (HTTP/1.1 over mutual TLS 1.3; docs/spec/dock.md).

    GET  /v1/state                              what there is: head and sizes of the journal, segments not yet released
    GET  /v1/journal/<file>                     published bytes of a journal file
    GET  /v1/segments/<recording>/<segment>     ciphertext of a segment
    POST /v1/receipts, /v1/anchor               a JWS of the office; 204 once it is verified and durable
    POST /v1/orders                             an order of the office to this camera; 204 once it is carried out
    GET  /v1/papers, /v1/request                which papers the camera has; what it asks a new certificate with
    POST /v1/configuration, /v1/certificate, /v1/revocations      new ones; 204 as above
    POST /v1/challenge                          a nonce; the answer proves the evidence key

The runner starts the port when the camera is docked and stops it when it is not: while worn nothing listens. It listens
on the dock's link alone. Only a dock of this agency gets past the handshake. Refusals are JSON, {"code", "message"}.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

from evidence import jose, records, shape
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revoked import BUNDLE_LIMIT
from firmware.dock_host import DockPortHost, DockPortPapers
from runtime import tls
from runtime.disk import Disk

BODY_LIMIT = 64 * 1024  # bytes of a document that is brought
CONNECTIONS = 4  # a dock needs one; the rest is for a dock that has lost one and not noticed
_BLOCK = 256 * 1024  # bytes read and sent at once: TLS rules out sendfile
_SEND_SECONDS = 300.0  # for one block: other bays may have their turn at the office before it
_HANDSHAKE_SECONDS = 5.0
_REQUEST_SECONDS = 15.0  # from the end of one answer to the end of the next request, waiting included

_FILE = re.compile(r"/v1/journal/(0|[1-9][0-9]{0,7})")
_SEGMENT = re.compile(r"/v1/segments/([0-9a-f]{8}-[0-9]{1,19})/(0|[1-9][0-9]{0,5})")
_CHALLENGE: dict[str, shape.Check] = {"nonce": shape.hexadecimal(32)}
_RANGE = re.compile(r"bytes=(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})?")

_log = logging.getLogger(__name__)


class DockPort:
    """The port, between `start` and `stop`."""

    def __init__(
        self,
        host: DockPortHost,
        disk: Disk,
        context: ssl.SSLContext,
        address: tuple[str, int],
        papers: DockPortPapers | None = None,
    ) -> None:
        self._host = host
        self._papers = papers
        self._disk = disk
        self._context = context
        self._wanted = address
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on (the port is chosen by the system if 0 was asked for)."""
        if self._server is None:
            return self._wanted
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Listen. Raises OSError if the address cannot be had."""
        if self._server is not None:
            return
        self._server = _Server(self._host, self._disk, self._context, self._wanted, self._papers)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="dock-port")
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection; no call to the host is under way on return. Idempotent."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        self._thread.join()
        server.cut_all()
        server.server_close()


class _Refusal(Exception):  # noqa: N818 - an answer, not an error of this program
    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = False  # server_close waits for them

    def __init__(
        self,
        host: DockPortHost,
        disk: Disk,
        context: ssl.SSLContext,
        address: tuple[str, int],
        papers: DockPortPapers | None,
    ) -> None:
        self.host = host
        self.papers = papers
        self.disk = disk
        self._context = context
        self._lock = threading.Lock()
        self._live: dict[socket.socket, bool] = {}  # in order of coming, and whether it has proved to be a dock's
        # A link-local address comes back with the number of its link, and a socket bound to that is bound to the link.
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        self.address_family = found[0][0]
        super().__init__(cast("tuple[str, int]", found[0][4]), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        # The handshake is left to the connection's own thread, or one slow client would keep all others out.
        connection.settimeout(_HANDSHAKE_SECONDS)
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._lock:
            if len(self._live) >= CONNECTIONS:
                # Strangers who hold connections without a handshake must not keep a dock out: the oldest makes way.
                stranger = next((one for one, proven in self._live.items() if not proven), None)
                if stranger is None:
                    _log.warning("port-busy: %s turned away, %d connections are open", client_address[0], CONNECTIONS)
                    return False
                del self._live[stranger]
                _cut(stranger)
            self._live[request] = False
            return True

    def proven(self, request: socket.socket) -> None:
        with self._lock:
            if request in self._live:
                self._live[request] = True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._live.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - signature of the base class
        # What reaches this is a connection that broke; the other end comes back and goes on where it was.
        _log.info("port-cut: connection of %s ended", client_address[0], exc_info=_log.isEnabledFor(logging.DEBUG))

    def cut_all(self) -> None:
        with self._lock:
            for connection in self._live:
                _cut(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = _SEND_SECONDS
    server: _Server
    connection: ssl.SSLSocket
    _dock = ""

    def handle(self) -> None:
        try:
            with _deadline(self.connection, _HANDSHAKE_SECONDS):
                self.connection.do_handshake()
            papers = self.server.papers
            self._dock = tls.require_peer(self.connection, Role.DOCK, revoked=papers.revoked if papers else None)
        except (OSError, tls.PeerError) as error:
            _log.warning("port-peer: %s refused: %s", self.client_address[0], error)
            return
        self.server.proven(self.connection)
        super().handle()

    def handle_one_request(self) -> None:
        # A deadline over the whole request: a socket's own time-out starts anew with each byte that trickles in.
        with _deadline(self.connection, _REQUEST_SECONDS) as done:
            self._request_complete = done
            super().handle_one_request()

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What the base class refuses by itself: bad syntax, unknown methods."""
        self._refuse(_Refusal(HTTPStatus(code), "http-request", message or HTTPStatus(code).phrase))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - signature of the base class
        _log.debug("%s: " + format, self._dock, *args)

    def _answer(self, act: Callable[[], None]) -> None:
        try:
            self._check_form()
            act()
        except _Refusal as refusal:
            self._refuse(refusal)
        except EvidenceError as error:
            self._refuse(_Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, error.message))

    def _check_form(self) -> None:
        """Refuse what the base class lets pass: two readers of it could take it for different requests."""
        twice = any(len(self.headers.get_all(name, ())) > 1 for name in ("Content-Length", "Range"))
        if self.request_version != "HTTP/1.1" or self.headers.defects or twice:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "http-request", "this is not a request of HTTP/1.1")

    def _get(self) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "http-request", "a GET has no body")
        self._request_complete()
        state = self.server.host.state()
        if self.path == "/v1/state":
            self._send(HTTPStatus.OK, jose.dump_json(state.to_json()))
        elif match := _FILE.fullmatch(self.path):
            file = int(match[1])
            self._send_file(records.journal_path(file), dict(state.journal).get(file))
        elif match := _SEGMENT.fullmatch(self.path):
            recording, segment = match[1], int(match[2])
            sizes = {(recording, segment): size for recording, segment, size in state.segments}
            self._send_file(records.segment_path(recording, segment), sizes.get((recording, segment)))
        elif self.path == "/v1/papers" and (papers := self.server.papers):
            self._send(HTTPStatus.OK, jose.dump_json(papers.state()))
        elif self.path == "/v1/request" and (papers := self.server.papers):
            self._send(HTTPStatus.OK, papers.request(), "application/x-pem-file")
        else:
            raise _Refusal(HTTPStatus.NOT_FOUND, "no-such-resource", "this port has no such resource")

    def _post(self) -> None:
        papers, host = self.server.papers, self.server.host
        takers: dict[str, Callable[[str], None]] = {
            "/v1/receipts": host.take_receipt,
            "/v1/anchor": host.take_anchor,
            "/v1/orders": host.take_order,
        }
        if papers is not None:
            takers |= {
                "/v1/configuration": papers.take_configuration,
                "/v1/certificate": papers.take_certificate,
                "/v1/revocations": papers.take_revocations,
            }
            if self.path == "/v1/challenge":
                self._challenge(papers)
                return
        take = takers.get(self.path)
        if take is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, "no-such-resource", "this port has no such resource")
        document = self._document(BUNDLE_LIMIT if self.path == "/v1/revocations" else BODY_LIMIT)
        self._request_complete()
        try:
            take(document)
        except OSError as error:
            _log.exception("port-storage: %s could not be kept", self.path)
            raise _Refusal(HTTPStatus.INSUFFICIENT_STORAGE, "storage", f"could not be kept: {error}") from error
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def _challenge(self, papers: DockPortPapers) -> None:
        asked = shape.require("challenge", jose.parse_json(self._document().encode()), _CHALLENGE)
        self._request_complete()
        self._send(HTTPStatus.OK, jose.dump_json(papers.answer(self._dock, asked["nonce"])))

    def _document(self, limit: int = BODY_LIMIT) -> str:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,9}", length):
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "length-required", "a Content-Length is required")
        if int(length) > limit:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", f"at most {limit} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length) or not body.isascii():
            raise _Refusal(HTTPStatus.BAD_REQUEST, "jws-form", "a compact JWS, or PEM, in ASCII is expected")
        return body.decode("ascii").strip()

    def _send_file(self, path: str, size: int | None) -> None:
        if size is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, "not-held", "the camera does not have this, or has released it")
        start, stop = self._range(size)
        try:
            block = self.server.disk.read(path, start, min(_BLOCK, stop - start))
        except FileNotFoundError as error:  # released since the state was taken
            raise _Refusal(HTTPStatus.NOT_FOUND, "not-held", "the camera has released this") from error
        except OSError as error:
            raise _Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "storage", f"cannot be read: {error}") from error
        whole = "Range" not in self.headers
        self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
        if not whole:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        while True:
            if not block and start < stop:
                raise ConnectionAbortedError(f"{path} is shorter than its {size} bytes")  # cut: never a made-up byte
            self.wfile.write(block)
            start += len(block)
            if start == stop:
                return
            block = self.server.disk.read(path, start, min(_BLOCK, stop - start))

    def _range(self, size: int) -> tuple[int, int]:
        """First byte and the one after the last. One range, counted from the front."""
        text = self.headers.get("Range")
        if text is None:
            return 0, size
        match = _RANGE.fullmatch(text)
        if match is None:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "range-form", "a range is bytes=N- or bytes=N-M")
        start, last = int(match[1]), int(match[2]) if match[2] else size - 1
        if start >= size or last < start:
            raise _Refusal(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range", f"there are {size} bytes")
        return start, min(last + 1, size)

    def _refuse(self, refusal: _Refusal) -> None:
        # The rest of a refused request may be unread, so the connection cannot be used again.
        self.close_connection = True
        self.request_version = self.protocol_version  # or what is no request at all is answered without a status
        self._send(refusal.status, jose.dump_json({"code": refusal.code, "message": refusal.message}))

    def _send(self, status: HTTPStatus, body: bytes, media: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def _deadline(connection: ssl.SSLSocket, seconds: float) -> Iterator[Callable[[], None]]:
    """Cut `connection` after that time, unless the block ends or the yielded function is called before."""
    timer = threading.Timer(seconds, _cut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


def _cut(connection: socket.socket) -> None:
    # Not SSLSocket.shutdown: it drops the TLS layer first, and what another thread reads then would be raw bytes.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
