"""How keyd is spoken with: one request and one answer on each connection to its Unix socket.

Each is a JSON object behind its length in four bytes, big-endian.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Final

from evidence import jose

REQUEST_LIMIT: Final = 192 * 1024  # an opening has 64 KiB, a header 16, each approval and the proof some
ANSWER_LIMIT: Final = 4096
CONNECTION_SECONDS: Final = 5.0  # that each direction may take
LENGTH: Final = struct.Struct(">I")


def receive(link: socket.socket, limit: int) -> bytes:
    """One message, within `limit` bytes and some seconds. Raises OSError."""
    end = time.monotonic() + CONNECTION_SECONDS
    (size,) = LENGTH.unpack(_exactly(link, LENGTH.size, end))
    if size > limit:
        raise ConnectionError(f"a message of {size} bytes")
    return _exactly(link, size, end)


def send(link: socket.socket, message: jose.Json) -> None:
    """Raises OSError."""
    data = jose.dump_json(message)
    link.settimeout(CONNECTION_SECONDS)
    link.sendall(LENGTH.pack(len(data)) + data)


def _exactly(link: socket.socket, size: int, end: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        link.settimeout(max(end - time.monotonic(), 0.001))
        part = link.recv(size - len(data))
        if not part:
            raise ConnectionError("the other end has gone")
        data += part
    return bytes(data)
