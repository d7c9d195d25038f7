"""How a scenario talks to a simulated part: one JSON object a line over a UNIX socket, one JSON answer a line.

A request is `{"do": NAME, ...}`; the answer is `{"ok": true, ...}` or `{"ok": false, "error": TEXT}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Handler = Callable[[dict[str, Any]], Mapping[str, Any] | None]

ANSWER_SECONDS = 30.0


class ControlError(Exception):
    """The simulated part is not there, or refuses the request; the text says which."""


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, address: str, handlers: Mapping[str, Handler]) -> None:
        self.handlers = handlers
        super().__init__(address, _Conversation)


class _Conversation(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        for line in self.rfile:
            answer = _answer(self.server.handlers, line)
            with contextlib.suppress(OSError):  # who asked has gone
                self.wfile.write(json.dumps(answer).encode() + b"\n")


def _answer(handlers: Mapping[str, Handler], line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        handler = handlers[request.pop("do")]
    except (ValueError, KeyError, AttributeError, TypeError):
        return {"ok": False, "error": f'send a JSON object with "do": one of {", ".join(sorted(handlers))}'}
    try:
        return {"ok": True, **(handler(request) or {})}
    except Exception as error:  # noqa: BLE001 - whatever a request does wrong, the simulated part lives on
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def serve(path: Path, handlers: Mapping[str, Handler]) -> Callable[[], None]:
    """Answer requests at `path` from daemon threads until the returned function is called.

    A socket left behind by a killed process is replaced. Each handler gets the request without "do" and may return
    more fields of the answer. Raises ControlError if the socket cannot be made.
    """
    path.unlink(missing_ok=True)
    try:
        with _short(path) as address:
            server = _Server(address, handlers)
    except OSError as error:
        raise ControlError(f"cannot listen at {path}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        path.unlink(missing_ok=True)

    return stop


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
