"""A cable for TCP: it counts what passes, tells when a byte passes, and can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

UP, DOWN = "up", "down"  # from the client to the server, and back
_CHUNK = 64 * 1024
_BUFFER = 32 * 1024  # bytes that the cable itself holds, each way
_AT_ONCE = b"\1\0\0\0\0\0\0\0"  # closing resets


@dataclass
class Trigger:
    """Does `action` once, before the byte at `at` passes in `direction`, or later as soon as `ready`."""

    direction: str
    at: int
    action: Callable[[], None]
    ready: Callable[[], bool] = lambda: True


@dataclass
class Relay:
    """Between clients of `port` and the server at `target`."""

    target: tuple[str, int]
    port: int = 0
    passed: dict[str, int] = field(default_factory=lambda: {UP: 0, DOWN: 0})  # bytes
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._plugged = threading.Event()
        self._plugged.set()
        self._flowing = threading.Event()
        self._flowing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Pull it: what is under way is lost, and nobody gets through until `plug`."""
        self._plugged.clear()
        with self._lock:
            live, self._live = self._live, set()
        for one in live:
            _wake(one)

    def plug(self) -> None:
        """Put it in again."""
        self._plugged.set()

    def hold(self) -> None:
        """Let nothing pass for a moment; nobody notices."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let it pass again."""
        self._flowing.set()

    def close(self) -> None:
        """Cut it for good."""
        self.flow()
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            for one in (client, server):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            with contextlib.suppress(OSError):
                if self._plugged.is_set():
                    server.connect(self.target)
                    self._carry(client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._live |= {client, server}
        back = threading.Thread(target=self._pump, args=(DOWN, server, client), daemon=True)
        back.start()
        self._pump(UP, client, server)
        back.join()
        with self._lock:
            self._live -= {client, server}

    def _pump(self, direction: str, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._pass(direction, data, target)
        for one in (source, target):
            _wake(one)

    def _pass(self, direction: str, data: bytes, target: socket.socket) -> None:
        self._flowing.wait()
        trigger = self.trigger
        if trigger is not None and trigger.direction == direction:
            before = max(0, trigger.at - self.passed[direction])
            if before < len(data) and trigger.ready() and self._take(trigger):
                self._send(direction, data[:before], target)
                trigger.action()
                data = data[before:]
        self._send(direction, data, target)

    def _take(self, trigger: Trigger) -> bool:
        with self._lock:
            mine = self.trigger is trigger
            if mine:
                self.trigger = None
            return mine

    def _send(self, direction: str, data: bytes, target: socket.socket) -> None:
        target.sendall(data)
        self.passed[direction] += len(data)


def _wake(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
