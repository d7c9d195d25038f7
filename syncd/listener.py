"""A small HTTP server for what the dock shows: GET of a few fixed paths, nothing else, to a few clients at a time."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

Shown = Callable[[], tuple[str, bytes]]
"""Content type and body, made anew for each request."""
_AT_ONCE = 16
_PATIENCE_SECONDS = 5.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
# The page may fetch from here and nowhere else, and may not be framed.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_log = logging.getLogger(__name__)


class Listener:
    """Serves until `close`."""

    def __init__(self, address: tuple[str, int], shown: Mapping[str, Shown], *, loopback: bool = False) -> None:
        """`loopback`: only for pages that were asked for by this machine's own name. Raises OSError."""
        self._server = _Server(address, _handler(shown, loopback=loopback))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="listener", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 2 * _AT_ONCE

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._room = threading.BoundedSemaphore(_AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # not HTTPServer's, which asks the network for this machine's name and waits

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's signature
        _log.debug("a client left", exc_info=True)


def _handler(shown: Mapping[str, Shown], *, loopback: bool) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_SECONDS

        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
            if loopback and host not in _LOOPBACK:  # a page elsewhere that has given this machine a name of its own
                self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            elif self.path not in shown:
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._show(*shown[self.path]())

        def _show(self, kind: str, body: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **_HEADERS}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "bodycam"

        def log_message(self, *_: object) -> None:
            pass  # one line a second and screen

    return Handler
