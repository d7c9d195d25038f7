"""One kept-open HTTP/1.1 connection over mutual TLS 1.3 to a camera or to the office.

Every step has a deadline of its own: a socket's time-out starts anew with each byte that trickles in, so it alone would
let a slow or hostile end hold a bay for ever.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import select
import socket
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from evidence import jose
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revoked import Revoked
from runtime import tls
from syncd.deadline import Deadlines
from syncd.errors import AwayError, DockError, RefusedError

BLOCK: Final = 512 * 1024  # bytes moved at once: two of them are sent again after a cut, and what these buffers hold:
_AHEAD: Final = 64 * 1024  # bytes that the other end may send beyond what is read
_BEHIND: Final = 128 * 1024  # bytes that are sent and that the other end has not got
_ANSWER_LIMIT: Final = 8 * 1024 * 1024  # bytes of an answer taken whole; a camera's state with 100,000 segments
_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RETRY_LIMIT = 3600.0  # seconds
_FAILURES = (OSError, http.client.HTTPException, ValueError)  # ValueError: headers that are no numbers

_DEADLINES = Deadlines()

Headers = Mapping[str, str]
Buffer = bytes | bytearray | memoryview
Blocks = Generator[bytes | memoryview, None, None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for the connection with its handshake, and for one request or one block of a body."""

    connect: float = 3.0
    step: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are lower case."""

    status: int
    headers: Headers
    body: bytes


class Link:
    """A client of one end, for one thread. Connects when needed. Raises `AwayError` and `RefusedError` only."""

    def __init__(
        self,
        side: str,
        role: Role,
        address: tuple[str, int],
        context: ssl.SSLContext,
        patience: Patience | None = None,
        revoked: Callable[[], Revoked] | None = None,
    ) -> None:
        """`revoked`: whose certificates are refused, besides those that the context refuses."""
        self._side = side
        self._role = role
        self._address = address
        self._context = context
        self._patience = patience or Patience()
        self._revoked = revoked
        self._connection: _Connection | None = None
        self._used = False
        self._buffers: tuple[bytearray, bytearray] | None = None
        self._reason: Callable[[], Exception] | None = None
        self._certificate: x509.Certificate | None = None
        self.peer = ""  # id of the other end, from its certificate, once connected

    def connect(self) -> str:
        """Connect, unless it is; returns the other end's id."""
        if self._connection is None:
            with self._guarded():
                connection = _Connection(self._address, self._context, self._patience.connect)
                self._connection, self._used = connection, False
                if self._reason is not None:  # cut before there was a connection to be seen
                    raise ConnectionAbortedError("cut")
                with _DEADLINES.within(self._patience.connect, connection.cut):
                    connection.connect()
                revoked = self._revoked() if self._revoked else None
                self.peer = tls.require_peer(connection.sock, self._role, revoked=revoked)
                self._certificate = tls.peer_certificate(connection.sock)
        return self.peer

    def certificate(self) -> x509.Certificate:
        """Connect, unless it is; returns the other end's certificate."""
        self.connect()
        assert self._certificate is not None  # noqa: S101 - for the type checker: connect() returned
        return self._certificate

    def close(self) -> None:
        """Close; the next request connects anew. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def cut(self, reason: Callable[[], Exception]) -> None:
        """End at once what is under way: that, and all that is asked later, raises `reason()`. For any thread."""
        self._reason = reason  # first: a connection that is made meanwhile looks for it
        connection = self._connection
        if connection is not None:
            connection.cut()

    def request(self, method: str, path: str, headers: Headers | None = None, body: Buffer | None = None) -> Answer:
        """One exchange, the answer taken whole. 2xx is returned; whether it is the right one the caller decides."""
        with self._guarded():
            response = self._exchange(method, path, headers or {}, body)
            with self._step():
                return self._take(response)

    def blocks(self, path: str, start: int, stop: int) -> Blocks:
        """Bytes `start` to `stop` (excluded) of a resource, in blocks that are each valid until the next but one.

        One at a time: all that this link brings goes through the same two buffers.
        """
        if start >= stop:
            return
        buffers = self._buffers = self._buffers or (bytearray(BLOCK), bytearray(BLOCK))
        try:
            with self._guarded():
                response = self._range(path, start, stop)
            for number, offset in enumerate(range(start, stop, BLOCK)):
                view = memoryview(buffers[number % 2])[: min(BLOCK, stop - offset)]
                with self._guarded(), self._step():
                    _fill(response, view)
                yield view
        except GeneratorExit:
            self.close()  # the rest of the answer is unread
            raise
        response.read()  # nothing is left: marks the answer as taken, so that the connection can be used again

    def begin(self, method: str, path: str, headers: Headers, size: int) -> None:
        """Begin an exchange whose body of `size` bytes `send` brings. It is not repeated; to leave off is to close."""
        with self._guarded():
            self.connect()
            connection = self._live()
            with self._step():
                connection.putrequest(method, path, skip_accept_encoding=True)
                for name, value in {**headers, "Content-Length": str(size)}.items():
                    connection.putheader(name, value)
                connection.endheaders()

    def send(self, block: Buffer) -> None:
        """A part of the body; return when the kernel has taken it."""
        with self._guarded(), self._step():
            self._live().sock.sendall(block)

    def answered(self) -> bool:
        """Whether the answer is there before the end of the body, or the end of the connection: no more is wanted."""
        with self._guarded():
            return self._live().answered()

    def answer(self) -> Answer:
        """The answer to what was begun. As `request`."""
        with self._guarded(), self._step():
            response = self._live().getresponse()
            self._used = True
            return self._take(response)

    def _range(self, path: str, start: int, stop: int) -> http.client.HTTPResponse:
        response = self._exchange("GET", path, {"Range": f"bytes={start}-{stop - 1}"}, None)
        if response.status != http.client.PARTIAL_CONTENT:
            with self._step():
                self._take(response)
        told = response.headers.get("Content-Range", "")
        exact = told.startswith(f"bytes {start}-{stop - 1}/") and response.length == stop - start
        if response.status != http.client.PARTIAL_CONTENT or not exact:
            raise ValueError(f"{path}: the range that was asked for was not answered")
        return response

    def _exchange(self, method: str, path: str, headers: Headers, body: Buffer | None) -> http.client.HTTPResponse:
        try:
            return self._once(method, path, headers, body)
        except _FAILURES as error:
            # A kept-open connection may have been closed by the other end meanwhile: once more, on a fresh one. Not a
            # PATCH: it may have been carried out, and only HEAD can tell.
            if not self._used or method == "PATCH" or isinstance(error, TimeoutError):
                raise
            self.close()
            return self._once(method, path, headers, body)

    def _once(self, method: str, path: str, headers: Headers, body: Buffer | None) -> http.client.HTTPResponse:
        self.connect()
        with self._step():
            connection = self._live()
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
        self._used = True
        return response

    def _live(self) -> _Connection:
        if self._connection is None:
            raise ConnectionAbortedError("closed")
        return self._connection

    def _take(self, response: http.client.HTTPResponse) -> Answer:
        body = response.read(_ANSWER_LIMIT + 1)
        headers = {name.lower(): value for name, value in response.getheaders()}
        if len(body) > _ANSWER_LIMIT:
            raise ValueError("the answer is too long")
        if response.will_close:
            self.close()
        if 200 <= response.status < 300:  # noqa: PLR2004 - success
            return Answer(response.status, headers, body)
        code, message = _told(body)
        if response.status >= 500:  # noqa: PLR2004 - the server's own trouble
            raise AwayError(
                self._side, _OWN_TROUBLE.get(response.status, "error"), message or code, _retry_after(headers)
            )
        if response.status < 400:  # noqa: PLR2004 - nothing here redirects
            raise ValueError(f"status {response.status} is not part of this protocol")
        raise RefusedError(self._side, response.status, code, message)

    def _step(self) -> contextlib.AbstractContextManager[None]:
        return _DEADLINES.within(self._patience.step, self._live().cut)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Convert what the libraries raise; after any such failure the connection is given up."""
        if self._reason is not None:
            raise self._reason()
        try:
            yield
        except DockError:
            raise
        except (*_FAILURES, tls.PeerError) as error:
            self.close()
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> Exception:
        if self._reason is not None:
            return self._reason()
        if isinstance(error, tls.PeerError):
            return AwayError(self._side, "identity", str(error), answers=False)
        if isinstance(error, ssl.SSLCertVerificationError):
            return AwayError(self._side, "identity", f"certificate refused: {error.verify_message}", answers=False)
        host, port = self._address
        return AwayError(self._side, "lost", f"{host}:{port}: {error or type(error).__name__}", answers=self._used)


_OWN_TROUBLE = {503: "busy", 507: "full"}


class _Connection(http.client.HTTPConnection):
    sock: ssl.SSLSocket

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(address[0], address[1], timeout=timeout)
        self._context = context
        self._plain: socket.socket | None = None  # until TLS has taken it over
        self._cut = False

    def connect(self) -> None:
        self.sock = self._context.wrap_socket(self._reach(), do_handshake_on_connect=False)
        if self._cut:
            raise ConnectionAbortedError("cut")
        self.sock.do_handshake()
        self.sock.settimeout(None)  # from here on each step has its deadline, and the kernel waits at the least cost

    def answered(self) -> bool:
        """Whether something has come that was not read."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def cut(self) -> None:
        """Wake whatever waits on the connection, in any thread, and make it fail."""
        self._cut = True
        for connection in (self._plain, self.sock):
            if connection is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown: it drops the TLS layer first, and raw bytes would be read as an answer.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _reach(self) -> socket.socket:
        """As `socket.create_connection`, which does not let go of a socket before it is connected."""
        failure = OSError("there is no such address")
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            self._plain = plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(self.timeout)
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _AHEAD)
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BEHIND)
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                plain.close()
                failure = error
            else:
                return plain
        raise failure


def _fill(response: http.client.HTTPResponse, view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = response.readinto(view[done:])
        if not count:
            raise ConnectionAbortedError("ended in the middle of a body")
        done += count


def _told(body: bytes) -> tuple[str, str]:
    """Code and message of a refusal; anything else than the agreed form is not repeated."""
    try:
        told = jose.parse_json(body)
    except EvidenceError:
        return "unexplained", "no reason given"
    code, message = told.get("code"), told.get("message")
    if not isinstance(code, str) or not _CODE.fullmatch(code) or not isinstance(message, str):
        return "unexplained", "no reason given"
    return code, "".join(filter(str.isprintable, message[:500]))


def _retry_after(headers: Headers) -> float | None:
    text = headers.get("retry-after", "")
    return min(float(text), _RETRY_LIMIT) if re.fullmatch("[0-9]{1,9}", text) else None
