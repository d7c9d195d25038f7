"""The camera behind a real dock port: it lists what its folder holds and releases on receipts that it has verified."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Any

from cryptography import x509

from evidence import jose, pki, records
from evidence.documents import Order, Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revoked import Revoked
from firmware.dock_host import PortState
from firmware.dock_port import DockPort
from runtime import tls
from tests.agency import BOOT, Agency
from tests.builders import CameraFolder

FIT: dict[str, Any] = {
    "wrong": [], "battery_percent": 100, "battery_minutes": 600, "charging": True, "storage_minutes": 900,
    "clock_trusted": True, "assigned": True, "planned_minutes": 540,
}  # fmt: skip


class FitPapers:
    """A `DockPortPapers` that has papers, is fit, and takes none."""

    revoked = Revoked(())

    def state(self) -> jose.Json:
        configuration = {"held": "0" * 64, "in_force": "0" * 64, "issued": "2026-11-24T06:00:00.000Z"}
        return {"configuration": configuration, "revocations": None, "fitness": FIT}

    def request(self) -> bytes:
        raise EvidenceError("request-form", "there is no key")

    def answer(self, dock: str, nonce: str) -> jose.Json:
        raise EvidenceError("session-stranger", f"nothing to prove to {dock} by for {nonce}")

    def take_configuration(self, jws: str) -> None:
        raise EvidenceError("foreign", jws)

    take_certificate = take_revocations = take_configuration


class DockedCamera:
    """A `DockPortHost` over a `CameraFolder`, with its port."""

    def __init__(
        self,
        tmp: Path,
        agency: Agency,
        signer: x509.Certificate,
        device: str = "BWC-0001",
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        tmp.mkdir(parents=True, exist_ok=True)
        self.folder = CameraFolder(tmp / "evidence", agency, device)
        self.anchors: list[TimeAnchor] = []
        self.given: list[Receipt] = []
        self.orders: list[Order] = []
        self.release_at_once = True
        self._signer = pki.public_key(signer)
        self._lock = self.folder.lock  # the test writes while the port serves
        self._nonce: str | None = secrets.token_hex(16)
        chain, key = agency.issue(Role.CAMERA, device).write(tmp, "camera")
        roots = tmp / "roots.pem"
        roots.write_bytes(pki.to_pem(agency.root.certificate))
        context = tls.server_context(chain, key, roots, check_dates=False)
        self.port = DockPort(self, self.folder.disk, context, address, FitPapers())

    def state(self) -> PortState:
        with self._lock:
            sizes = [(file, self.folder.disk.size(records.journal_path(file))) for file in range(self.folder.file + 1)]
            segments = tuple((recording, index, size) for (recording, index), size in self.folder.sizes.items())
            return PortState(self.folder.device, BOOT, self._nonce, self.folder.head, tuple(sizes), segments)

    def take_receipt(self, jws: str) -> None:
        with self._lock:
            receipt = Receipt.read(jws, self._signer)
            key = (receipt.recording, receipt.segment)
            if receipt.device != self.folder.device or key not in self.folder.sizes:
                raise EvidenceError("foreign", "the receipt is for another camera or segment")
            if hashlib.sha256(self.folder.disk.read(records.segment_path(*key))).hexdigest() != receipt.sha256:
                raise EvidenceError("receipt-wrong", "the receipt is for other bytes")
            self.given.append(receipt)
            if self.release_at_once:
                self.folder.release(key, jws)
            else:
                self.folder.line("receipt", {"receipt": jws})

    def take_anchor(self, jws: str) -> None:
        with self._lock:
            anchor = TimeAnchor.read(jws, self._signer)
            if (anchor.device, anchor.nonce) != (self.folder.device, self._nonce):
                raise EvidenceError("anchor-wrong", "the anchor is for another nonce")
            self.folder.line("time_anchor", {"anchor": jws, "stepped_ms": None})
            self.anchors.append(anchor)
            self._nonce = None

    def take_order(self, jws: str) -> None:
        order = Order.read(jws, self._signer)
        if order.device != self.folder.device:
            raise EvidenceError("order-foreign", "the order is for another camera")
        self.orders.append(order)
