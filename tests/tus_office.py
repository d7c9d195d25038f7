"""As much of an office as a dock sees, over real TLS, which can be told to fail or to lie at any request."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509

from evidence import pki, shape
from evidence.documents import Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.journal import JournalReader
from tests.agency import Holder

_TRICKLE_SECONDS = 0.1
NOW = shape.utc_text(int(time.time() * 1000))


@dataclasses.dataclass(frozen=True)
class Fault:
    """Answer `status`; or, by `act`: "cut" after half of the body, "forget" the body and say 204, "hang", "trickle"."""

    status: int = 0
    act: str = ""
    code: str = "storage-failing"
    headers: tuple[tuple[str, str], ...] = ()


Script = Callable[[str, str], Fault | None]


class TusOffice:
    """The office; `faults` are asked for each request's method and path, in order, until one answers."""

    def __init__(self, context: ssl.SSLContext, roots: list[x509.Certificate], signer: Holder, port: int = 0) -> None:
        self.faults: list[Script] = []
        self.alter: Callable[[Receipt], Receipt] = lambda receipt: receipt
        self.signer = signer
        self.journals: dict[tuple[str, str], bytearray] = {}
        self.readers: dict[str, JournalReader] = {}
        self.staged: dict[str, bytearray] = {}
        self.stored: dict[tuple[str, str, int], bytes] = {}
        self.sent = 0  # bytes that PATCH brought
        self.lock = threading.RLock()
        self.released = threading.Event()  # lets hanging requests end
        self._roots = roots
        self._live: list[socket.socket] = []
        self._context = context
        self._port = port
        self._server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def start(self) -> None:
        """Listen, at the same port each time."""
        office = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def get_request(self) -> tuple[Any, Any]:
                plain, peer = super().get_request()
                wrapped = office._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                office._live.append(wrapped)
                return wrapped, peer

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(self.address, _Handler)
        self._port = self._server.server_address[1]
        self._server.office = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Vanish: no listener, every connection cut; what was stored stays."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        for connection in self._live:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                continue
        self._live.clear()

    def fail_once(self, method: str, part: str, fault: Fault, times: int = 1) -> None:
        """Fail the next so many requests of that method whose path holds `part`."""
        left = [times]

        def script(asked: str, path: str) -> Fault | None:
            if asked != method or part not in path or not left[0]:
                return None
            left[0] -= 1
            return fault

        self.faults.append(script)

    def reader(self, device: str) -> JournalReader:
        return self.readers.setdefault(device, JournalReader(self._roots, device=device))

    def receipt(self, device: str, recording: str, segment: int) -> str | None:
        data = self.stored.get((device, recording, segment))
        if data is None:
            return None
        sha256 = hashlib.sha256(data).hexdigest()
        made = Receipt("OFFICE-1", device, recording, segment, sha256, len(data), NOW, NOW, 0)
        return self.alter(made).sign(self.signer.key, self.kid)

    @property
    def kid(self) -> str:
        return pki.key_id(self.signer.key.public_key())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def office(self) -> TusOffice:
        return self.server.office  # type: ignore[attr-defined,no-any-return]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        self._do()

    do_GET = do_HEAD = do_PATCH = do_POST  # noqa: N815 - names that the base class looks for

    def _do(self) -> None:
        fault = next((f for script in list(self.office.faults) if (f := script(self.command, self.path))), None)
        length = int(self.headers.get("Content-Length", 0))
        if fault and fault.act == "cut":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        if fault and fault.act == "hang":
            self.office.released.wait(30)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if fault and fault.act == "trickle":
            self._trickle()
            return
        if fault and fault.status:
            self._answer(fault.status, {"code": fault.code, "message": "as told"}, dict(fault.headers))
            return
        with self.office.lock:
            try:
                self._serve(body, forget=fault is not None and fault.act == "forget")
            except EvidenceError as error:
                self._answer(422, {"code": error.code, "message": error.message})

    def _trickle(self) -> None:
        """An answer that never ends: each byte would start a socket's time-out anew, and what there is says "done"."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 204 ")
        while not self.office.released.wait(_TRICKLE_SECONDS):
            self.wfile.write(b"y")  # an OSError, once the dock has hung up, ends it

    def _serve(self, body: bytes, *, forget: bool) -> None:
        office, parts = self.office, self.path.split("/")
        if (self.command, self.path) == ("POST", "/v1/uploads"):
            self._create()
        elif (self.command, self.path) == ("POST", "/v1/anchors"):
            asked = json.loads(body)
            head = office.reader(asked["device"]).head
            assert head is not None
            anchor = TimeAnchor("OFFICE-1", asked["device"], asked["nonce"], *head, NOW, 1000)
            self._answer(200, anchor.sign(office.signer.key, office.kid).encode())
        elif (self.command, self.path) == ("GET", "/v1/revocations"):
            self._answer(200, b"")
        elif (self.command, self.path) == ("POST", "/v1/standings"):
            (camera,) = pki.parse_certificates(body)[:1]
            self._answer(200, {"device": pki.role_and_id(camera)[1], "standing": "good"})
        elif parts[2] == "configurations":
            self._answer(404, {"code": "configuration-unknown", "message": "none was signed for this camera"})
        elif parts[2] == "receipts":
            receipt = office.receipt(parts[3], parts[4], int(parts[5]))
            if receipt is None:
                self._answer(404, {"code": "receipt-unknown", "message": "the office does not hold this segment"})
            else:
                self._answer(200, receipt.encode())
        elif self.command == "HEAD":
            self._answer(200, b"", {"Upload-Offset": str(len(self._held()))})
        else:
            assert self.command == "PATCH"
            self._append(body, forget=forget)

    def _create(self) -> None:
        pairs = (pair.split(" ") for pair in self.headers["Upload-Metadata"].split(","))
        told = {name: base64.b64decode(value).decode() for name, value in pairs}
        if told["kind"] == "journal":
            assert self.headers["Upload-Defer-Length"] == "1"
            path = f"/v1/uploads/{told['device']}/journal/{told['file']}"
            self.office.journals.setdefault((told["device"], told["file"]), bytearray())
        else:
            record = self.office.reader(told["device"]).segments.get((told["recording"], int(told["segment"])))
            if record is None or record.body["file_size"] != int(self.headers["Upload-Length"]):
                self._answer(409, {"code": "segment-unknown", "message": "hand in the journal first"})
                return
            path = f"/v1/uploads/{told['device']}/{told['recording']}/{told['segment']}"
            self.office.staged.setdefault(path, bytearray())
        self._answer(201, b"", {"Location": f"https://elsewhere.example{path}"})

    def _held(self) -> bytearray | bytes:
        _, _, _, device, group, number = self.path.split("/")
        if group == "journal":
            return self.office.journals[device, number]
        return self.office.stored.get((device, group, int(number))) or self.office.staged[self.path]

    def _append(self, body: bytes, *, forget: bool) -> None:
        office = self.office
        _, _, _, device, group, number = self.path.split("/")
        held = self._held()
        if int(self.headers["Upload-Offset"]) != len(held):
            self._answer(409, {"code": "offset-mismatch", "message": f"it stands at {len(held)}"})
            return
        office.sent += len(body)
        end = {"Upload-Offset": str(len(held) + len(body))}
        if forget:
            self._answer(204, b"", end)
            return
        assert isinstance(held, bytearray)
        if group == "journal":
            reader, file = office.reader(device), int(number)
            try:
                reader.feed(file, body)
            finally:
                held += body[: reader.good_len(file) - len(held)]
        else:
            held += body
            record = office.reader(device).segments[group, int(number)]
            if len(held) == record.body["file_size"]:
                data = bytes(held)
                del office.staged[self.path]
                if hashlib.sha256(data).hexdigest() != record.body["file_sha256"]:
                    self._answer(422, {"code": "hash-mismatch", "message": "thrown away"})
                    return
                office.stored[device, group, int(number)] = data
        self._answer(204, b"", end)

    def _answer(self, status: int, body: bytes | dict[str, str], headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
