"""A running office for tests: the real command in a process of its own, real certificates, real sockets on loopback."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import http.client
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import pki
from evidence.certificate import Role
from runtime import tls
from runtime.keys import private_pem
from tests.agency import Agency

ROOT = Path(__file__).parent.parent
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The stable code of an error."""
        return str(json.loads(self.body)["code"])


class OfficeKit:
    """Folders, certificates and the process of one office."""

    def __init__(
        self, folder: Path, agency: Agency | None = None, data: Path | None = None, database: str | None = None
    ) -> None:
        self.folder = folder
        self.agency = agency or Agency(at=datetime.now(UTC))
        folder.mkdir(parents=True, exist_ok=True)
        self.roots = folder / "roots.pem"
        self.roots.write_bytes(pki.to_pem(self.agency.root.certificate))
        self.signer = self.agency.issue(Role.SIGNER, "OFFICE-1")
        self.certificate, self.key = self.agency.issue(Role.OFFICE, "OFFICE-1").write(folder, "office")
        signer = self.signer.write(folder, "signer")
        stamp = self.agency.issue(Role.STAMP, "OFFICE-1").write(folder, "stamp")
        log_key = folder / "log.key.pem"
        log_key.write_bytes(private_pem(Ed25519PrivateKey.generate()))
        self.broker_port = free_port()
        self.config = folder / "office.toml"
        self.data = data or folder / "data"
        settings: dict[str, object] = {
            "data": str(self.data), "roots": self.roots.name,
            "certificate": self.certificate.name, "key": self.key.name,
            "signer_certificate": signer[0].name, "signer_key": signer[1].name, "log_key": log_key.name,
            "stamp_certificate": stamp[0].name, "stamp_key": stamp[1].name, "stamp_seconds": 1,
            "port": 0, "broker_port": self.broker_port,
        }  # fmt: skip
        if database is not None:
            settings["database"] = database
        if database is not None:
            settings["database"] = database
        if database is not None:
            settings["database"] = database
        self.config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        self.log = folder / "office.log"
        self._log_from = 0
        self.port = 0
        self.broker_pid = 0
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        """How to call `bodycam office` with this configuration."""
        return [sys.executable, "-m", "bodycam", "office", *arguments, "--config", str(self.config)]

    def call(self, *arguments: str, said: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `said`: on its standard input."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        return subprocess.run(
            self.command(*arguments), input=said, capture_output=True, text=True, check=False, env=environ, timeout=60
        )

    def start(self) -> None:
        """Start it; return when it says that it is ready."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "BODYCAM_LOG": "json"}
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            self.process = subprocess.Popen(self.command("run"), stderr=log, env=environ)
        ready = self.await_log("ready")
        self.port = int(str(ready["https"]).rpartition(":")[2])
        self.broker_pid = int(str(ready["broker_pid"]))

    def await_log(self, message: str) -> dict[str, Any]:
        """Wait for a line of the present run's log with this message."""
        found: list[dict[str, Any]] = []

        def said() -> bool:
            assert self.process is not None
            lines = self.log.read_bytes()[self._log_from :].rpartition(b"\n")[0].splitlines()
            found[:] = [line for line in map(json.loads, lines) if message in line["message"]]
            assert found or self.process.poll() is None, lines
            return bool(found)

        wait_for(said)
        return found[-1]

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> int:
        """End it in order; its exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        status = self.process.wait(20)
        self.process = None
        return status

    def client(self, role: Role = Role.DOCK, name: str = "DOCK-1", agency: Agency | None = None) -> Client:
        """A client with a certificate of that role."""
        chain, key = (agency or self.agency).issue(role, name).write(self.folder, f"{role}-{name}")
        return Client(self, chain, key)


class Client:
    """HTTPS as a dock speaks it, one connection for each request."""

    def __init__(self, office: OfficeKit, chain: Path, key: Path) -> None:
        self.office = office
        self.chain, self.key = chain, key
        self.context = tls.client_context(chain, key, office.roots)

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        link = http.client.HTTPSConnection("127.0.0.1", self.office.port, context=self.context, timeout=20)
        with contextlib.closing(link):
            link.request(method, path, body, dict(headers or {}))
            answer = link.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())

    def create(self, length: int | None, **metadata: str) -> Answer:
        pairs = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())
        size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        return self.request("POST", "/v1/uploads", {**TUS, **size, "Upload-Metadata": pairs})

    def offset(self, path: str) -> int:
        answer = self.request("HEAD", path, TUS)
        assert answer.status == 200, answer
        return int(answer.headers["upload-offset"])

    def patch(self, path: str, offset: int, data: bytes) -> Answer:
        return self.request("PATCH", path, {**BODY, "Upload-Offset": str(offset)}, data)

    def hand_in_journal(self, device: str, files: list[bytes]) -> None:
        """Bring what the office lacks of a camera's journal."""
        for file, data in enumerate(files):
            path = path_of(self.create(None, kind="journal", device=device, file=str(file)))
            offset = self.offset(path)
            if offset < len(data):
                assert self.patch(path, offset, data[offset:]).status == 204

    def segment(self, device: str, key: tuple[str, int], data: bytes) -> str:
        """Open the upload of a segment; its path."""
        recording, segment = key
        return path_of(self.create(len(data), kind="segment", device=device, recording=recording, segment=str(segment)))

    def cut_patch(self, path: str, offset: int, data: bytes, promised: int) -> None:
        """Begin a PATCH of `promised` bytes, send only `data`, and tear the connection down."""
        raw = socket.create_connection(("127.0.0.1", self.office.port), timeout=20)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close resets
        with self.context.wrap_socket(raw) as link:
            lines = [
                f"PATCH {path} HTTP/1.1",
                "Host: office",
                f"Upload-Offset: {offset}",
                f"Content-Length: {promised}",
            ]
            lines += [f"{name}: {value}" for name, value in BODY.items()]
            link.sendall("\r\n".join([*lines, "", ""]).encode() + data)
            wait_for(lambda: _queue_empty(link))


def path_of(created: Answer) -> str:
    """The path of an upload that was just created; its address is absolute and https."""
    assert created.status == 201, created
    prefix, path = created.headers["location"].split("/v1/", 1)
    assert prefix.startswith("https://127.0.0.1:")
    return f"/v1/{path}"


def _queue_empty(link: ssl.SSLSocket) -> bool:
    """Whether the other end's kernel has everything (Linux: SIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(link, termios.TIOCOUTQ, b"\0" * 4), sys.byteorder) == 0


def wait_for(condition: object, seconds: float = 15) -> None:
    """Poll until it holds."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        select.select([], [], [], 0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def running(office: OfficeKit) -> Iterator[OfficeKit]:
    """Run it for the time of a block."""
    try:
        office.start()
        yield office
    finally:
        office.stop()
