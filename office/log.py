"""The office's log: acts as leaves of a Merkle tree, in a file that only grows, under a signed checkpoint.

`leaves.jsonl` holds one JSON object a line; a leaf is the line without its line feed. `checkpoint` is a C2SP signed
note over all of them. Several processes may append (the running office, an export): each locks the file and catches up.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import logging
import os
import threading
from array import array
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import jose
from evidence.checkpoint import Checkpoint, Proof
from evidence.errors import EvidenceError
from evidence.merkle import Tree, leaf_hash
from evidence.note import verifier_key
from office.errors import OfficeError
from runtime.disk import make_folder, sync_folder
from runtime.keys import CredentialError, replace_file

_log = logging.getLogger(__name__)


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read the log's key. Raises `CredentialError`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialError(f"{path}: cannot be read as the log's key ({error}); provision this office") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise CredentialError(f"{path}: is not an Ed25519 key; provision this office")
    return key


class Log:
    """The log in `folder`. `origin` is `bodycam/<AGENCY>/<OFFICE>`."""

    def __init__(self, folder: Path, origin: str, key: Ed25519PrivateKey) -> None:
        """Raises `OfficeError` ("log-changed") if the leaves are not those that the checkpoint was signed over."""
        self.origin = origin
        self._key = key
        self._folder = folder
        self._lock = threading.Lock()
        self._tree = Tree()
        self._end = 0  # bytes of `leaves.jsonl` that are in the tree
        self._starts = array("Q")  # where each leaf begins
        make_folder(folder)
        self._fd = os.open(folder / "leaves.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        sync_folder(folder)
        with self._exclusive():
            self._check()
            self._publish()

    @property
    def verifier_key(self) -> str:
        """The log's public key as other programs take it."""
        return verifier_key(self.origin, self._key.public_key())

    @property
    def size(self) -> int:
        """Leaves known to this process."""
        return self._tree.size

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def append(self, entry: Mapping[str, Any]) -> int:
        """Add a leaf; its index. Leaf and new checkpoint are durable when this returns. Raises OSError."""
        line = jose.dump_json(dict(entry)) + b"\n"
        with self._exclusive():
            view = memoryview(line)
            try:
                while view:
                    view = view[os.write(self._fd, view) :]
                os.fdatasync(self._fd)
            except OSError:
                os.ftruncate(self._fd, self._end)  # or it would be taken for a leaf, and go with the next power cut
                raise
            index = self._tree.size
            self._take(line)
            self._publish()
        return index

    def entries(self, *acts: str, **members: Any) -> list[tuple[int, dict[str, Any]]]:
        """Index and content of the leaves of one of these acts, if any is named, that have these members.

        Reads the whole file: for recovery only.
        """
        with self._exclusive():
            leaves = enumerate(map(json.loads, self._lines(0)))
            return [(index, leaf) for index, leaf in leaves if _is_of(leaf, acts) and members.items() <= leaf.items()]

    def since(self, index: int, limit: int | None = None) -> list[tuple[int, dict[str, Any]]]:
        """Index and content of the leaves from `index` on; of that many, if there is a limit."""
        with self._exclusive():
            if index >= self._tree.size:
                return []
            leaves = enumerate(map(json.loads, self._lines(self._starts[index])), index)
            return list(itertools.islice(leaves, limit))

    def root(self, size: int) -> bytes:
        """Root of the first `size` leaves, which are known to this process."""
        return self._tree.root(size)

    def proof(self, index: int, under: tuple[int, bytes] | None = None) -> Proof:
        """Offline proof of leaf `index` against the present checkpoint, or `under` an earlier one: size and note."""
        with self._exclusive():
            size, note = under or (self._tree.size, self._checkpoint())
            entry = next(self._lines(self._starts[index]))
            return Proof(index, tuple(self._tree.inclusion(index, size)), entry, note)

    def checkpoint(self) -> bytes:
        """The present checkpoint, a signed note."""
        return self.state()[1]

    def state(self) -> tuple[int, bytes]:
        """The present number of leaves, and the checkpoint over them."""
        with self._exclusive():
            return self._tree.size, self._checkpoint()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[tuple[int, bytes]]:
        """Nobody, of any process, appends meanwhile; number of leaves and root. What is asked of the log waits, too."""
        with self._exclusive():
            yield self._tree.size, self._tree.root()

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._lock:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                size = os.fstat(self._fd).st_size
                for line in self._lines(self._end):
                    if self._end + len(line) + 1 == size and not _is_leaf(line):
                        break
                    self._take(line + b"\n")
                if size != self._end:
                    # A power cut tore a line that was never told to anybody: it is no leaf.
                    _log.warning("a torn line at the end of the log was taken off", extra={"offset": self._end})
                    os.ftruncate(self._fd, self._end)
                    os.fsync(self._fd)
                yield
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _lines(self, start: int) -> Iterator[bytes]:
        with (self._folder / "leaves.jsonl").open("rb") as file:
            file.seek(start)
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]

    def _take(self, line: bytes) -> None:
        self._tree.append(leaf_hash(line[:-1]))
        self._starts.append(self._end)
        self._end += len(line)

    def _check(self) -> None:
        path = self._folder / "checkpoint"
        if not path.exists():
            if self._tree.size:
                raise OfficeError("log-changed", f"{path} is missing, but the log has entries: restore it, ask why")
            return
        try:
            checkpoint = Checkpoint.read(path.read_bytes(), self.origin, self._key.public_key())
            unchanged = self._tree.root(checkpoint.size) == checkpoint.root
        except EvidenceError as error:
            raise OfficeError("log-changed", f"{path} does not fit the log: {error.message}") from error
        if not unchanged:
            raise OfficeError("log-changed", f"{self._folder}: entries were changed after they were signed; ask why")

    def _checkpoint(self) -> bytes:
        return Checkpoint(self.origin, self._tree.size, self._tree.root()).sign(self._key)

    def _publish(self) -> None:
        replace_file(self._folder / "checkpoint", self._checkpoint())


def _is_of(leaf: Mapping[str, Any], acts: Collection[str]) -> bool:
    return not acts or leaf.get("act") in acts


def _is_leaf(line: bytes) -> bool:
    """A power cut may leave the length of the last line without all of its bytes."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
