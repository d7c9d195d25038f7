"""Who is at the other end of an HTTPS connection: uvicorn's protocol, told to hand the certificate on."""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from evidence.certificate import Role
from runtime.tls import PeerError, peer

EXTENSION = "bodycam.peer"
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
    """Puts the `Peer` into each request's scope, as extension `bodycam.peer`."""

    _peer: Peer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the certificate once: it cannot change while the connection lives."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        if not isinstance(connection, ssl.SSLObject):
            raise TypeError("the office serves TLS only")
        try:
            self._peer = Peer(*peer(connection), transport)
        except PeerError as error:
            _log.warning("refused: %s", error)
            transport.abort()

    def on_headers_complete(self) -> None:
        """Before the application is called."""
        self.scope["extensions"] = {EXTENSION: {"peer": self._peer}}
        super().on_headers_complete()
