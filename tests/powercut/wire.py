"""The link between two machines, in memory: HTTP as it is, sockets and TLS left out.

`syncd.link` speaks through `Wire` as through a socket; the camera's dock port and the office's page answer with their
own handlers. A machine whose power fails in the middle of an answer is a connection that broke.
"""

from __future__ import annotations

import asyncio
import functools
import io
import os
import ssl
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.applications import Starlette

from evidence.pki import Role
from firmware import dock_port
from firmware.dock_host import DockPortHost
from office.peer import EXTENSION, Peer
from runtime.disk import Disk
from syncd import link
from tests.memory_disk import PowerCut

Answerer = Callable[[bytes], bytes]
CAMERA, OFFICE = ("camera", 1), ("office", 2)  # addresses
_SILENT = os.eventfd(0, os.EFD_CLOEXEC)


class Wire:
    """The client's end, in the place of a TLS socket."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._answer, self._certificate = self._end = Connection.ends[address]
        self._asked = bytearray()

    def sendall(self, data: Any) -> None:
        self._asked += data

    def makefile(self, *_: Any) -> io.BytesIO:
        asked, self._asked = bytes(self._asked), bytearray()
        if Connection.ends.get(self._address) is not self._end:
            raise ConnectionResetError("the other end is not the one that was connected to")
        try:
            return io.BytesIO(self._answer(asked))
        except PowerCut as cut:
            raise ConnectionResetError("the other end has lost its power") from cut

    def fileno(self) -> int:
        """To be polled: nothing is answered before the body has ended."""
        return _SILENT

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return self._certificate.public_bytes(Encoding.DER)

    def close(self) -> None:
        self._asked.clear()


class Connection(link._Connection):
    """`syncd.link`'s connection over a `Wire`. `ends`: who answers at an address now, and with which certificate."""

    ends: ClassVar[dict[tuple[str, int], tuple[Answerer, x509.Certificate]]] = {}

    def connect(self) -> None:
        if (self.host, self.port) not in self.ends:
            raise ConnectionRefusedError("nobody is there")
        self.sock = Wire((self.host, self.port))  # type: ignore[assignment]

    def answered(self) -> bool:
        return False  # the other end is called when all that was asked is there


class _Answered:
    """The dock port's end of a connection that brings one request."""

    def __init__(self, asked: bytes, dock: bytes) -> None:
        self._asked = asked
        self._dock = dock
        self.answer = bytearray()

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._asked)

    def sendall(self, data: Any) -> None:
        self.answer += data

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return self._dock

    def do_handshake(self) -> None:
        pass

    def settimeout(self, _seconds: float) -> None:
        pass

    def setsockopt(self, *_: Any) -> None:
        pass


def of_dock_port(host: DockPortHost, disk: Disk, dock: x509.Certificate) -> Answerer:
    """The camera's dock port, asked by that dock."""
    server: Any = SimpleNamespace(host=host, papers=None, disk=disk, proven=lambda _: None)
    shown = dock.public_bytes(Encoding.DER)

    def answer(asked: bytes) -> bytes:
        end = _Answered(asked, shown)
        dock_port._Handler(end, ("dock", 0), server)  # type: ignore[arg-type]
        return bytes(end.answer)

    return answer


class _NoTransport:
    def abort(self) -> None:
        raise AssertionError("one request at a time here")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def of_office(application: Starlette, dock: str) -> Answerer:
    """The office's page, asked by that dock."""
    peer = Peer(Role.DOCK, dock, _NoTransport())  # type: ignore[arg-type]

    def answer(asked: bytes) -> bytes:
        head, _, body = asked.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        method, path, _ = first.decode().split(" ")
        headers = [tuple(line.split(b": ", 1)) for line in lines]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("dock", 0),
            "server": OFFICE, "headers": [(name.lower(), value) for name, value in headers],
            "extensions": {EXTENSION: {"peer": peer}},
        }  # fmt: skip
        return _loop().run_until_complete(_answered(application, scope, body))

    return answer


async def _answered(application: Starlette, scope: dict[str, Any], body: bytes) -> bytes:
    coming = [{"type": "http.request", "body": body, "more_body": False}]
    out = bytearray()

    async def receive() -> Mapping[str, Any]:
        return coming.pop() if coming else {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            lines = [b"HTTP/1.1 %d X" % message["status"], *(b"%s: %s" % pair for pair in message["headers"])]
            out.extend(b"\r\n".join([*lines, b"", b""]))
        elif scope["method"] != "HEAD":
            out.extend(message.get("body", b""))

    await application(scope, receive, send)  # type: ignore[arg-type]
    return bytes(out)


def no_tls() -> ssl.SSLContext:
    """A context that nothing is wrapped with."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
