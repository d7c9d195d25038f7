"""How a scenario talks to a simulated part: one JSON object a line over a UNIX socket, one JSON answer a line.

A request is `{"do": NAME, ...}`; the answer is `{"ok": true, ...}` or `{"ok": false, "error": TEXT}`.

What was done to a world can be noted (`note`) in its `orders.jsonl`, a line each: `boottime_ns` (the host's
CLOCK_BOOTTIME when the order came), `to` (camera, room, card, power, program), `do` and what else the order says.
`bodycam sim record` makes a scenario of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Handler = Callable[[dict[str, Any]], Mapping[str, Any] | None]

Note = Callable[[int, Mapping[str, Any]], None]

ANSWER_SECONDS = 30.0
_LOOKS = frozenset({"lamps", "look", "senses", "state", "status"})  # change nothing, and are not noted


class ControlError(Exception):
    """The simulated part is not there, or refuses the request; the text says which."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, address: str, handlers: Mapping[str, Handler], note: Note | None) -> None:
        self.handlers = handlers
        self.note = note
        super().__init__(address, _Conversation)


class _Conversation(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        for line in self.rfile:
            answer = _answer(self.server.handlers, line, self.server.note)
            with contextlib.suppress(OSError):  # who asked has gone
                self.wfile.write(json.dumps(answer).encode() + b"\n")


def _answer(handlers: Mapping[str, Handler], line: bytes, note: Note | None) -> dict[str, Any]:
    came_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    try:
        request = json.loads(line)
        told = dict(request)
        handler = handlers[request.pop("do")]
    except (ValueError, KeyError, AttributeError, TypeError):
        return {"ok": False, "error": f'send a JSON object with "do": one of {", ".join(sorted(handlers))}'}
    try:
        if note is not None and told["do"] not in _LOOKS:
            note(came_ns, told)  # before: an order may be the last that this process gets
        return {"ok": True, **(handler(request) or {})}
    except Exception as error:  # noqa: BLE001 - whatever a request does wrong, the simulated part lives on
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def serve(path: Path, handlers: Mapping[str, Handler], note: Note | None = None) -> Callable[[], None]:
    """Answer requests at `path` from daemon threads until the returned function is called.

    A socket left behind by a killed process is replaced. Each handler gets the request without "do" and may return
    more fields of the answer. `note` gets each order that changes something, with the time at which it came.
    Raises ControlError if the socket cannot be made.
    """
    path.unlink(missing_ok=True)
    try:
        with _short(path) as address:
            server = _Server(address, handlers, note)
    except OSError as error:
        raise ControlError(f"cannot listen at {path}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        path.unlink(missing_ok=True)

    return stop


def noting(orders: Path, to: str) -> Note:
    """A `note` for orders `to` a part, into the file `orders`, to which several processes may append."""

    def note(boottime_ns: int, order: Mapping[str, Any]) -> None:
        line = json.dumps({"boottime_ns": boottime_ns, "to": to, **order}, ensure_ascii=False) + "\n"
        with orders.open("a", encoding="utf-8") as file:
            file.write(line)

    return note


def ask(path: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request and return the answer's fields. Raises ControlError if it is refused or nobody answers."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(ANSWER_SECONDS)
        try:
            with _short(path) as address:
                link.connect(address)
            link.sendall(json.dumps(request).encode() + b"\n")
            line = link.makefile("rb").readline()
        except OSError as error:
            raise ControlError(f"nobody answers at {path}: {error}; is the simulated part running?") from error
    if not line:
        raise ControlError(f"{path} hung up without an answer; the simulated part has ended")
    answer: dict[str, Any] = json.loads(line)
    if not answer.pop("ok"):
        raise ControlError(str(answer["error"]))
    return answer


@contextlib.contextmanager
def _short(path: Path) -> Any:
    """Name a socket in at most 107 bytes, all that an address holds, however deep its folder lies."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
