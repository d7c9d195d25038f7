"""Checkpoints of the office's log (C2SP tlog-checkpoint) and offline proofs against them (C2SP tlog-proof). No IO.

A checkpoint's RFC 3161 stamp (`evidence.timestamp`) is made over the whole signed note.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from evidence.errors import EvidenceError
from evidence.merkle import HASH, leaf_hash, verify_inclusion
from evidence.note import b64, sign_note, unb64, utf8, verify_note

_SIZE_LIMIT = 2**63
_PROOF_LIMIT = 64  # hashes: as many as a tree below the size limit has levels
_PROOF_HEAD = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log at a time (C2SP tlog-checkpoint). `origin` is `bodycam/<AGENCY>/<OFFICE>`."""

    origin: str
    size: int
    root: bytes

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """The checkpoint as a signed note; the key's name is the origin."""
        return sign_note(f"{self.origin}\n{self.size}\n{b64(self.root)}\n", self.origin, key)

    @classmethod
    def read(cls, note: bytes, origin: str, key: Ed25519PublicKey) -> Checkpoint:
        """Verify a signed note by the key of that origin and parse it. Raises `EvidenceError`."""
        lines = verify_note(note, origin, key).split("\n")
        if len(lines) != 4 or lines[0] != origin:  # noqa: PLR2004 - origin, size, root, and what follows the last feed
            raise EvidenceError("log-checkpoint", f"this is not a checkpoint of {origin}")
        if not lines[1].isascii() or not lines[1].isdigit() or str(_number(lines[1])) != lines[1]:
            raise EvidenceError("log-checkpoint", "the size of the log is malformed")
        return cls(origin, _number(lines[1]), unb64(lines[2], HASH))


@dataclass(frozen=True, slots=True)
class Proof:
    """An offline proof that an entry is in a log (C2SP tlog-proof); `entry` is the leaf itself, carried as `extra`."""

    index: int
    hashes: tuple[bytes, ...]
    entry: bytes
    note: bytes

    def to_text(self) -> bytes:
        """The content of a `.tlog-proof` file."""
        lines = [_PROOF_HEAD, f"extra {b64(self.entry)}", f"index {self.index}", *map(b64, self.hashes), "", ""]
        return "\n".join(lines).encode() + self.note

    @classmethod
    def read(cls, data: bytes) -> Proof:
        """Parse; nothing is verified. Raises `EvidenceError`."""
        head, _, note = data.partition(b"\n\n")
        lines = utf8(head).split("\n")
        if len(lines) < 3 or lines[0] != _PROOF_HEAD:  # noqa: PLR2004 - head, extra, index
            raise EvidenceError("log-proof", "this is not a tlog-proof")
        extra, index = lines[1].removeprefix("extra "), lines[2].removeprefix("index ")
        if extra == lines[1] or index == lines[2] or len(lines) > 3 + _PROOF_LIMIT:
            raise EvidenceError("log-proof", "the proof is malformed")
        if not index.isascii() or not index.isdigit() or str(_number(index)) != index:
            raise EvidenceError("log-proof", "the index is malformed")
        return cls(_number(index), tuple(unb64(line, HASH) for line in lines[3:]), unb64(extra), note)

    def verify(self, origin: str, key: Ed25519PublicKey) -> Checkpoint:
        """Check signature and path; the entry is then in the log of the checkpoint returned."""
        checkpoint = Checkpoint.read(self.note, origin, key)
        verify_inclusion(leaf_hash(self.entry), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint


def _number(text: str) -> int:
    if len(text) > 19 or int(text) >= _SIZE_LIMIT:  # noqa: PLR2004 - digits of 2^63
        raise EvidenceError("log-range", "a number is too large")
    return int(text)
