"""The dock's own disk: an evidence folder for each camera, so that `bodycam verify` reads it like any other.

    <spool>/<DEVICE>/journal/…     every verified line that was pulled; never ahead of what was verified
    <spool>/<DEVICE>/segments/…    whole ciphertext: waiting for the office, or kept for an audit
    <spool>/<DEVICE>/receipts/…    the office's receipts, kept for the camera's next contact
    <spool>/<DEVICE>/certs/…       the office's signers, which verify them
    <spool>/partial/<DEVICE>/…     ciphertext not yet whole

Progress is derived from these files alone. Nothing here can be opened at the dock: it is ciphertext.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from evidence import records
from evidence.records import Record
from runtime.disk import Folders, sync_folder
from syncd.errors import DockError
from syncd.link import BLOCK, Blocks, Buffer

_KEY = tuple[str, int]


class Spool:
    """The whole spool with its bound in bytes of ciphertext. Safe for several threads."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root = root
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._promised: dict[Path, int] = {}
        self.folders = Folders(root)

    def devices(self) -> list[str]:
        """Cameras of which something is here."""
        return sorted(path.name for path in self.root.iterdir() if (path / "journal").is_dir())

    def device(self, name: str) -> DeviceSpool:
        """The folder of one camera, which its first line makes."""
        return DeviceSpool(self, name)

    def used_bytes(self) -> int:
        """Ciphertext on the disk, whole and partial."""
        return sum(map(_size, self._ciphertext()))

    def disk_free_bytes(self) -> int:
        """Bytes that the disk has left for this program."""
        free = os.statvfs(self.root)
        return free.f_bavail * free.f_frsize

    def fits(self, target: Path, size: int) -> bool:
        """Promise room for so many bytes at `target`, until `settled`; kept segments make way, oldest first."""
        with self._lock:
            self._promised.pop(target, None)
            promised = sum(self._promised.values())
            kept = [path for path in self._ciphertext() if _receipt_of(path).exists()]
            kept.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
            while promised + self.used_bytes() + size > self.limit_bytes or size > self.disk_free_bytes():
                if not kept:
                    return False
                _remove(kept.pop())
            self._promised[target] = size
            return True

    def settled(self, target: Path) -> None:
        """The promise for `target` is over: it is on the disk, or given up."""
        with self._lock:
            self._promised.pop(target, None)

    def _ciphertext(self) -> Iterator[Path]:
        yield from self.root.glob("*/segments/*/*.mp4.age")
        yield from self.root.glob("partial/*/segments/*/*.mp4.age")


class DeviceSpool:
    """One camera's folder. For one thread at a time."""

    def __init__(self, spool: Spool, device: str) -> None:
        self.device = device
        self.folder = spool.root / device
        self._spool = spool
        self._partial = spool.root / "partial" / device

    # --- journal

    def journal_files(self) -> list[int]:
        """Numbers of the journal files here, ascending."""
        return sorted(int(path.stem) for path in (self.folder / "journal").glob("*.jws"))

    def journal(self, file: int, start: int = 0) -> bytes:
        """Bytes of a journal file from `start` on; empty if it is not here."""
        try:
            with (self.folder / records.journal_path(file)).open("rb") as stream:
                stream.seek(start)
                return stream.read()
        except FileNotFoundError:
            return b""

    def append_journal(self, file: int, data: Buffer) -> None:
        """Append verified lines; durable on return."""
        self._spool.folders.make(self.folder / "journal")
        _append(self.folder / records.journal_path(file), data)

    def persist_journal(self, file: int) -> None:
        """Make durable what `journal` gives: a run that was killed may have left it in memory only."""
        with (self.folder / records.journal_path(file)).open("rb") as stream:
            os.fsync(stream.fileno())

    def cut_journal(self, file: int, size: int) -> None:
        """Cut a copy back to what was verified: a power cut or bad storage left the rest. It is pulled again."""
        path = self.folder / records.journal_path(file)
        if path.exists() and path.stat().st_size > size:
            os.truncate(path, size)

    # --- receipts

    def receipt(self, key: _KEY) -> bytes | None:
        """A receipt that is here; the caller verifies it."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / records.receipt_path(*key)).read_bytes()
        return None

    def put_receipt(self, key: _KEY, jws: bytes) -> None:
        """Keep a verified receipt; durable on return."""
        self._place(self.folder / records.receipt_path(*key), jws)

    def put_certificates(self, pem: bytes) -> None:
        """Keep the certificates with which the receipts can be verified."""
        path = self.folder / "certs" / f"{hashlib.sha256(pem).hexdigest()[:16]}.pem"
        if not path.exists():
            self._place(path, pem)

    # --- segments

    def waiting(self) -> list[_KEY]:
        """Whole segments here that have no receipt, oldest recording first."""
        return [key for key in self.segments() if not (self.folder / records.receipt_path(*key)).exists()]

    def segments(self) -> list[_KEY]:
        """Whole segments here."""
        paths = self.folder.glob("segments/*/*.mp4.age")
        return sorted((path.parent.name, int(path.name.partition(".")[0])) for path in paths)

    def size(self, key: _KEY) -> int:
        """Bytes of a whole segment here; none if it has gone meanwhile."""
        return _size(self.folder / records.segment_path(*key))

    def holds(self, key: _KEY) -> bool:
        """Whether the whole segment is here."""
        return (self.folder / records.segment_path(*key)).exists()

    def sound(self, key: _KEY, sha256: str) -> bool:
        """Whether the segment here still is what the camera signed. Reads all of it."""
        return _sha256(self.folder / records.segment_path(*key)) == sha256

    def blocks(self, key: _KEY, start: int) -> Blocks:
        """A whole segment's bytes from `start` on."""
        with (self.folder / records.segment_path(*key)).open("rb") as stream:
            stream.seek(start)
            while block := stream.read(BLOCK):
                yield block

    def partial_size(self, key: _KEY) -> int:
        """Bytes of a segment that were pulled before."""
        return _size(self._partial / records.segment_path(*key))

    def fits(self, key: _KEY, size: int) -> bool:
        """See `Spool.fits`: bytes that are still to come, beyond what is partly here."""
        return self._spool.fits(self._partial / records.segment_path(*key), size - self.partial_size(key))

    def take(self, key: _KEY, blocks: Iterable[Buffer], record: Record) -> None:
        """Append `blocks` to what is partly here; whole and with the signed hash it becomes a segment of the folder.

        What came before a camera went stays for the next time. Raises `DockError` ("hash-mismatch") and throws it away
        if the bytes are not those that the camera signed; OSError, and throws it away, if this disk refuses.
        """
        partial = self._partial / records.segment_path(*key)
        target = self.folder / records.segment_path(*key)
        try:
            self._spool.folders.make(partial.parent)
            try:
                with partial.open("ab") as stream:
                    for block in blocks:
                        stream.write(block)
                    stream.flush()
                    os.fsync(stream.fileno())
            except OSError:
                # Nobody can tell what of it is durable, and the next sync would not fail.
                _remove(partial)
                raise
            if _sha256(partial) != record.body["file_sha256"]:
                _remove(partial)
                raise DockError(
                    "hash-mismatch", f"segment {key[0]}/{key[1]} is not what the camera signed; thrown away"
                )
            self._spool.folders.make(target.parent)
            partial.replace(target)
            sync_folder(target.parent)
        finally:
            self._spool.settled(partial)

    def drop(self, key: _KEY) -> None:
        """Remove a segment's ciphertext, which the office has or which is no longer wanted."""
        for folder in (self.folder, self._partial):
            _remove(folder / records.segment_path(*key))

    def _place(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all, over one that a fault has damaged."""
        draft = self._partial / "draft"
        self._spool.folders.make(draft.parent)
        self._spool.folders.make(path.parent)
        with draft.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
        sync_folder(path.parent)


def _size(path: Path) -> int:
    """Bytes of a file, none if it has gone: several threads are at work here."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _receipt_of(segment: Path) -> Path:
    device = segment.parents[2]
    return device / records.receipt_path(segment.parent.name, int(segment.name.partition(".")[0]))


def _append(path: Path, data: Buffer) -> None:
    with path.open("ab") as stream:
        if not (before := stream.tell()):  # ahead of its bytes: a file that has some has a durable name
            sync_folder(path.parent)
        try:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            os.truncate(path, before)  # nobody can tell what of it is durable, and the next sync would not fail
            raise


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
