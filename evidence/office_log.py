"""What an export carries of the office's log: its certified key, checkpoints and stamps, proofs of leaves (§5.4).

    log/key.jws                                the office's signer certifies the log's key
    log/checkpoints/<SIZE>.note, <SIZE>.tsr    a checkpoint, and a time stamp over its bytes
    log/heads/<SEQ>.tlog-proof                 a head of the camera's chain is in the log
    log/<recording>/<SEGMENT>.tlog-proof       so is the ingest of a segment
    log/export.tlog-proof                      and the export itself

Pure: paths, limits and leaves; `evidence.office_word` carries out step 10 with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evidence import jose, shape
from evidence.checkpoint import Checkpoint, Proof
from evidence.documents import ERROR_LIMIT_MS, Receipt
from evidence.errors import EvidenceError
from evidence.shape import SHA256, Check

KEY = "log/key.jws"
EXPORT = "log/export.tlog-proof"
CHECKPOINT = re.compile(r"log/checkpoints/([1-9][0-9]{0,18})\.note\Z")
STAMP = re.compile(r"log/checkpoints/([1-9][0-9]{0,18})\.tsr\Z")
HEAD = re.compile(r"log/heads/(0|[1-9][0-9]{0,18})\.tlog-proof\Z")
INGEST = re.compile(r"log/([0-9a-f]{8}-[0-9]+)/([0-9]{5})\.tlog-proof\Z")
NAMES = (re.compile(re.escape(KEY) + r"\Z"), re.compile(re.escape(EXPORT) + r"\Z"), CHECKPOINT, STAMP, HEAD, INGEST)
NOTE_LIMIT = 1 << 14
PROOF_LIMIT = 1 << 16

_HEAD: Mapping[str, Check] = {
    "act": shape.one_of("head"),
    "device": shape.identifier,
    "seq": shape.number(),
    "sha256": SHA256,
    "at": shape.utc,
    "error_ms": shape.number(0, ERROR_LIMIT_MS),
    "dock": shape.optional(shape.identifier),
}
_INGEST: Mapping[str, Check] = {
    "act": shape.one_of("ingest"),
    "device": shape.identifier,
    "recording": shape.recording_id,
    "segment": shape.number(0, 99_999),
    "sha256": SHA256,
    "size": shape.number(),
    "received": shape.utc,
    "retain_until": shape.utc,
    "dock": shape.optional(shape.identifier),
}
_EXPORT: Mapping[str, Check] = {
    "act": shape.one_of("export"),
    "device": shape.identifier,
    "recording": shape.recording_id,
    "by": shape.text,
    "reason": shape.text,
    "at": shape.utc,
    "decrypted": shape.boolean,
    "folder": shape.text,
}


def checkpoint_path(size: int) -> str:
    """Where a checkpoint over so many leaves stands."""
    return f"log/checkpoints/{size}.note"


def stamp_path(size: int) -> str:
    """Where its stamp stands."""
    return f"log/checkpoints/{size}.tsr"


def head_path(seq: int) -> str:
    """Where the proof of a head stands."""
    return f"log/heads/{seq}.tlog-proof"


def ingest_path(recording: str, segment: int) -> str:
    """Where the proof of a segment's ingest stands."""
    return f"log/{recording}/{segment:05d}.tlog-proof"


def head_leaf(device: str, head: tuple[int, str], at: str, error_ms: int, dock: str | None) -> jose.Json:
    """The leaf that says that the office holds a head, `at` its own time, within `error_ms`."""
    seq, sha256 = head
    return {
        "act": "head", "device": device, "seq": seq, "sha256": sha256, "at": at, "error_ms": error_ms, "dock": dock,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class OfficeLog:
    """The log's key, certified, and the checkpoints that it signed, by their sizes."""

    origin: str
    key: Ed25519PublicKey
    notes: Mapping[int, bytes]

    def checkpoint(self, note: bytes) -> Checkpoint:
        """Verify a checkpoint. Raises `EvidenceError`."""
        return Checkpoint.read(note, self.origin, self.key)

    def head(self, proof: bytes) -> tuple[jose.Json, int]:
        """The leaf of a proven head, and the size of the checkpoint that it is under. Raises `EvidenceError`."""
        return self._leaf(proof, _HEAD)

    def ingest(self, proof: bytes, receipt: Receipt) -> int:
        """The size of the checkpoint that the ingest of this receipt is under. Raises `EvidenceError`."""
        told = {"device": receipt.device, "recording": receipt.recording, "segment": receipt.segment}
        told |= {"sha256": receipt.sha256, "size": receipt.size, "received": receipt.received}
        _, size = self._leaf(proof, _INGEST, told, receipt.leaf_index)
        return size

    def export(self, proof: bytes) -> tuple[jose.Json, int]:
        """The leaf of the export that a folder is. As `head`."""
        return self._leaf(proof, _EXPORT)

    def _leaf(
        self,
        proof: bytes,
        form: Mapping[str, Check],
        told: Mapping[str, Any] = MappingProxyType({}),
        index: int | None = None,
    ) -> tuple[jose.Json, int]:
        found = Proof.read(proof)
        size = found.verify(self.origin, self.key).size
        if self.notes.get(size) != found.note:
            raise EvidenceError("log-checkpoint", "the proof is under another checkpoint than stands beside it")
        leaf = shape.require("log entry", jose.parse_json(found.entry), form)
        if not told.items() <= leaf.items() or index not in (None, found.index):
            raise EvidenceError("log-proof", "the log's entry is another one than the receipt names")
        return leaf, size
