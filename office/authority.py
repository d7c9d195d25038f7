"""Time-stamp authorities (RFC 3161) that the office can ask: the agency's own, made with OpenSSL, or any by address."""

from __future__ import annotations

import contextlib
import functools
import http.client
import secrets
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol

from evidence.timestamp import TOKEN_LIMIT
from office.errors import OfficeError

_SECONDS = 20  # patience with an authority
_POLICY = "2.25.243955546018212408762476903251493609991"  # "by the clock of the office's machine": a UUID as an OID

# One file of settings for each answer, so that two processes never give out one serial number.
_SETTINGS = f"""\
[tsa]
default_tsa = stamp
[stamp]
serial = serial
signer_digest = sha256
default_policy = {_POLICY}
digests = sha256
clock_precision_digits = 3
ess_cert_id_alg = sha256
"""


class Authority(Protocol):
    """Answers one request. An answer proves nothing before it is verified."""

    def answer(self, query: bytes) -> bytes:
        """The DER response to a DER request. Raises `OfficeError` ("stamp-failing")."""


class OwnAuthority:
    """The agency's own authority: `openssl ts` with a key of role `stamp`, by this machine's clock.

    The token carries its signer's certificate alone; what is above it the verifier has.
    """

    def __init__(self, certificate: Path, key: Path, error_ms: int) -> None:
        """`error_ms`: the bound of this machine's UTC, told in each token."""
        self._certificate = certificate.absolute()
        self._key = key.absolute()
        self._settings = _SETTINGS + _accuracy(error_ms)

    def __str__(self) -> str:
        return f"the agency's own authority ({self._certificate})"

    def answer(self, query: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            (here / "settings").write_text(self._settings, encoding="ascii")
            (here / "serial").write_text(f"{secrets.randbits(120):032X}\n", encoding="ascii")
            (here / "query").write_bytes(query)
            command = ["openssl", "ts", "-reply", "-config", "settings", "-queryfile", "query", "-out", "reply"]
            command += ["-signer", str(self._certificate), "-inkey", str(self._key)]
            try:
                subprocess.run(command, cwd=here, capture_output=True, check=True, timeout=_SECONDS)
                return (here / "reply").read_bytes()
            except subprocess.CalledProcessError as error:
                told = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
                raise OfficeError("stamp-failing", f"openssl ts gives no stamp: {told}") from error
            except (OSError, subprocess.TimeoutExpired) as error:
                raise OfficeError(
                    "stamp-failing", f"openssl ts does not run ({error}); is openssl installed?"
                ) from error


class RemoteAuthority:
    """Any authority that answers RFC 3161 over HTTP or HTTPS."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __str__(self) -> str:
        return self._address

    def answer(self, query: bytes) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the configuration takes http and https only
            self._address, query, {"Content-Type": "application/timestamp-query"}
        )
        opened: list[socket.socket] = []
        patience = threading.Timer(_SECONDS, _hang_up, (opened,))
        patience.start()
        try:
            opener = urllib.request.build_opener(_Http(opened), _Https(opened))
            with contextlib.closing(opener.open(request, timeout=_SECONDS)) as answer:
                token: bytes = answer.read(TOKEN_LIMIT + 1)
        except (OSError, http.client.HTTPException, urllib.error.URLError, ValueError) as error:
            raise OfficeError("stamp-failing", f"{self._address} does not answer: {error}") from error
        finally:
            patience.cancel()
        if len(token) > TOKEN_LIMIT:
            raise OfficeError("stamp-failing", f"{self._address} answers with more than {TOKEN_LIMIT} bytes")
        return token


class _Http(urllib.request.HTTPHandler):
    """Tells which connections it opens, so that somebody can hang up."""

    def __init__(self, opened: list[socket.socket]) -> None:
        super().__init__()
        self._opened = opened

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_connection, http.client.HTTPConnection, self._opened), req)


class _Https(urllib.request.HTTPSHandler):
    """As `_Http`."""

    def __init__(self, opened: list[socket.socket]) -> None:
        super().__init__()
        self._opened = opened

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_connection, http.client.HTTPSConnection, self._opened), req)


def _connection(
    kind: type[http.client.HTTPConnection], opened: list[socket.socket], host: str, **settings: Any
) -> http.client.HTTPConnection:
    class Told(kind):  # type: ignore[misc,valid-type]
        def connect(self) -> None:
            super().connect()
            opened.append(self.sock)

    made: http.client.HTTPConnection = Told(host, **settings)
    return made


def _hang_up(opened: list[socket.socket]) -> None:
    """A timeout is of each read: who sends a byte now and then would be listened to for weeks."""
    for connection in opened:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)  # below TLS, which the reader holds


def _accuracy(error_ms: int) -> str:
    seconds, rest = divmod(error_ms, 1000)
    parts = [f"secs:{seconds}"] * bool(seconds) + [f"millisecs:{rest}"] * bool(rest)
    return f"accuracy = {', '.join(parts)}\n" if parts else ""
