"""Who is at the other end of an HTTPS connection: uvicorn's protocol, told to hand on the certificate, and wary."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from evidence.certificate import Role
from evidence.revoked import Revoked
from runtime.tls import PeerError, peer

EXTENSION = "bodycam.peer"
_HEADER_LIMIT = 64 * 1024  # bytes; the parser itself takes any number
_HEADER_SECONDS = 5.0  # without a whole header, while no request is being answered: the server itself would wait on
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """Role and id of the client of this connection, from the certificate that TLS verified."""

    role: Role
    id: str
    transport: asyncio.Transport

    def abort(self) -> None:
        """Cut the connection at once; its request sees a disconnect."""
        self.transport.abort()


class PeerProtocol(HttpToolsProtocol):
    """Puts the `Peer` into each request's scope, as extension `bodycam.peer`; cuts who sends no end of a header.

    Who was taken back is cut before a byte is read of him, and before his next request.
    """

    revoked: Callable[[], Revoked | None] = staticmethod(lambda: None)
    _peer: Peer | None = None
    _unread = 0  # bytes that came since the last header or piece of a body was whole
    _heard = False
    _refused = False
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the certificate once: it cannot change while the connection lives."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        if not isinstance(connection, ssl.SSLObject):
            raise TypeError("the office serves TLS only")
        self._connection = connection
        if not self._may_go_on():
            return
        self._peer = Peer(*peer(connection), transport)
        self._watch = self.loop.call_later(_HEADER_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no longer."""
        if self._watch:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, as long as it makes sense of what it gets."""
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _HEADER_LIMIT:
            _log.warning("refused: a header of more than %d bytes", _HEADER_LIMIT)
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Before the application is called."""
        self._unread, self._heard = 0, True
        if not self._may_go_on():
            return
        self.scope["extensions"] = {EXTENSION: {"peer": self._peer}}
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a piece on; how long a body may take is the application's affair."""
        self._unread = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Of a request that the application got."""
        if not self._refused:
            super().on_message_complete()

    def _may_go_on(self) -> bool:
        try:
            peer(self._connection, self.revoked())
        except PeerError as error:
            _log.warning("refused: %s", error)
            self._refused = True
            self.transport.abort()
        return not self._refused

    def _look(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if not (self._heard or answering):
            self.transport.abort()
            return
        self._heard = False
        self._watch = self.loop.call_later(_HEADER_SECONDS, self._look)


def protocol(revoked: Callable[[], Revoked]) -> type[PeerProtocol]:
    """The protocol, which asks `revoked` whom it must not serve."""
    return type("Protocol", (PeerProtocol,), {"revoked": staticmethod(revoked)})
