"""The office's log as an RFC 6962 Merkle tree: root, proofs of inclusion and of consistency. No IO.

Whoever holds a root can later be shown that a leaf is in the log, and that nothing before it was changed or taken out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from evidence.errors import EvidenceError

HASH = 32


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of a leaf's bytes (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """A growing tree. Keeps the hash of every complete subtree, so that roots and proofs cost a logarithm."""

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for digest in leaf_hashes:
            self.append(digest)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    def append(self, digest: bytes) -> None:
        """Add a leaf by its `leaf_hash`."""
        for level in self._levels:
            level.append(digest)
            if len(level) % 2:
                return
            digest = node_hash(level[-2], level[-1])
        self._levels.append([digest])

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves (all of them if not given)."""
        return self._hash(0, self._within(self.size if size is None else size))

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Proof that leaf `index` is in the tree of `size` leaves: its siblings, lowest first (§2.1.1)."""
        size = self._within(self.size if size is None else size)
        if not 0 <= index < size:
            raise EvidenceError("log-range", f"leaf {index} is not in a log of {size}")
        proof = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                proof.append(self._hash(middle, high))
                high = middle
            else:
                proof.append(self._hash(low, middle))
                low = middle
        return proof[::-1]

    def consistency(self, first: int, second: int | None = None) -> list[bytes]:
        """Proof that the tree of `second` leaves continues that of `first` (§2.1.2)."""
        second = self._within(self.size if second is None else second)
        if not 0 < first <= second:
            raise EvidenceError("log-range", f"a log of {second} does not continue one of {first}")
        proof = []
        low, high, whole = 0, second, True
        while first != high:
            middle = low + _split(high - low)
            if first <= middle:
                proof.append(self._hash(middle, high))
                high = middle
            else:
                proof.append(self._hash(low, middle))
                low, whole = middle, False
        return ([] if whole else [self._hash(low, high)]) + proof[::-1]

    def _within(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise EvidenceError("log-range", f"the log has {self.size} leaves, not {size}")
        return size

    def _hash(self, low: int, high: int) -> bytes:
        """Hash of the leaves from `low` to below `high`, a range that splitting from 0 produces."""
        width = high - low
        if not width:
            return hashlib.sha256().digest()
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._levels[level][low >> level]
        middle = low + _split(width)
        return node_hash(self._hash(low, middle), self._hash(middle, high))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise `EvidenceError` ("log-proof") unless `proof` shows `leaf` (its hash) at `index` (RFC 9162 §2.1.3.2)."""
    position, last, digest = index, size - 1, leaf
    good = 0 <= index < size
    for sibling in proof:
        good = good and last > 0
        if position % 2 or position == last:
            digest = node_hash(sibling, digest)
            while not position % 2 and position:
                position, last = position >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        position, last = position >> 1, last >> 1
    if not good or last or digest != root:
        raise EvidenceError("log-proof", "the proof does not show that the log contains this entry")


def verify_consistency(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise `EvidenceError` ("log-proof") unless the second tree continues the first (RFC 9162 §2.1.4.2)."""
    failure = EvidenceError("log-proof", "the log was changed: it does not continue the earlier checkpoint")
    if first == second:
        if proof or first_root != second_root:
            raise failure
        return
    if not 0 < first < second:
        raise failure
    path = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    position, last = first - 1, second - 1
    while position % 2:
        position, last = position >> 1, last >> 1
    old = new = path[0] if path else b""
    for sibling in path[1:]:
        if not last:
            raise failure
        if position % 2 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position % 2 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    if last or old != first_root or new != second_root:
        raise failure


def _split(width: int) -> int:
    """The largest power of two below `width`."""
    return 1 << (width - 1).bit_length() - 1
