"""What the dock port asks of the camera behind it: what there is to hand in, and its papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from evidence import jose
from evidence.revoked import Revoked


@dataclass(frozen=True, slots=True)
class PortState:
    """What the camera has to hand in. Sizes are bytes, and of journal files only what is durable and published."""

    device: str
    boot: str  # 32 hex digits
    nonce: str | None  # 32 hex digits, fresh at each docking; None once its anchor has come
    head: tuple[int, str]  # `seq` and SHA-256 of the last published line
    journal: tuple[tuple[int, int], ...]  # (file, size)
    segments: tuple[tuple[str, int, int], ...]  # (recording, segment, size), with a `segment` and no `released` record

    def to_json(self) -> jose.Json:
        """As `GET /v1/state` answers it."""
        return {
            "device": self.device,
            "boot": self.boot,
            "nonce": self.nonce,
            "head": {"seq": self.head[0], "sha256": self.head[1]},
            "journal": [{"file": file, "size": size} for file, size in self.journal],
            "segments": [
                {"recording": recording, "segment": segment, "size": size} for recording, segment, size in self.segments
            ],
        }


class DockPortHost(Protocol):
    """The camera behind the port. Called from several threads."""

    def state(self) -> PortState:
        """What can be had now."""

    def take_receipt(self, jws: str) -> None:
        """Verify a receipt and write it to the journal; durable on return. Raises `EvidenceError`, `OSError`."""

    def take_anchor(self, jws: str) -> None:
        """Verify a time anchor and write it to the journal; durable on return. Raises `EvidenceError`, `OSError`."""

    def take_order(self, jws: str) -> None:
        """Verify an order of the office and carry it out. Raises `EvidenceError`."""


class DockPortPapers(Protocol):
    """The camera's papers (`firmware.papers`). Called from several threads."""

    @property
    def revoked(self) -> Revoked:
        """Whose certificates were taken back."""

    def state(self) -> jose.Json:
        """Which papers there are."""

    def request(self) -> bytes:
        """What asks for a certificate, PEM. Raises `EvidenceError`."""

    def answer(self, dock: str, nonce: str) -> jose.Json:
        """Prove the evidence key to a dock. Raises `EvidenceError`."""

    def take_configuration(self, jws: str) -> None:
        """Take a newer configuration; durable on return. Raises `EvidenceError`, `OSError`."""

    def take_certificate(self, pem: str) -> None:
        """Take a link certificate; durable on return. Raises `EvidenceError`, `OSError`."""

    def take_revocations(self, pem: str) -> None:
        """Take newer revocation lists; durable on return. Raises `EvidenceError`, `OSError`."""
