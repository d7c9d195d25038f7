"""The store: files that are written once, in a local folder, one evidence folder for each camera.

`<root>/<DEVICE>/{journal,segments,receipts}/…` as `evidence.records` lays out. Nothing here writes over a file or
removes one; but a journal loses what a power cut tore at its end, which nobody was told that it is held.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import mmap
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evidence import records
from office.errors import OfficeError
from runtime.disk import Folders, sync_folder, truncate, write_once

_READ_BACK = 4 * 1024 * 1024  # bytes read at once
_READ_ONLY = 0o440
_LAST = datetime(2106, 2, 7, tzinfo=UTC)  # object stores count seconds in 32 bits: later dates wrap into the past


def retain_until(ended: datetime, years: int) -> datetime:
    """`years` full years after `ended`: 29 February ends on 1 March. Refused beyond 2106. Raises `OfficeError`."""
    try:
        until = ended.replace(year=ended.year + years)
    except ValueError:
        until = (ended - timedelta(days=1)).replace(year=ended.year + years) + timedelta(days=1)
    if until > _LAST:
        raise OfficeError("retention-range", f"retention until {until:%Y-%m-%d} cannot be kept: check clock and term")
    return until


class Store:
    """Write-once store under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._folders = Folders(root)

    def segment(self, device: str, recording: str, segment: int) -> Path:
        """Where a segment stands, or will."""
        return self.root / device / records.segment_path(recording, segment)

    def receipt(self, device: str, recording: str, segment: int) -> Path:
        """Where a segment's receipt stands, or will."""
        return self.root / device / records.receipt_path(recording, segment)

    def journal(self, device: str, file: int) -> Path:
        """Where a journal file stands, or will."""
        return self.root / device / records.journal_path(file)

    def devices(self) -> list[str]:
        """Cameras that the store holds something of."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    def journal_files(self, device: str) -> list[int]:
        """Numbers of the journal files, in order. One may be missing: a power cut left nothing whole in it."""
        return sorted(int(path.stem) for path in (self.root / device / "journal").glob("*.jws"))

    @staticmethod
    def size(path: Path) -> int:
        """Bytes of a file; 0 if it is not there."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    def put(self, staged: Path, target: Path) -> None:
        """Move a staged file into place, read-only and durable. Raises FileExistsError and leaves both alone."""
        with staged.open("rb") as file:
            os.fchmod(file.fileno(), _READ_ONLY)
            os.fsync(file.fileno())
        self._folders.make(target.parent)
        with self._lock:  # a rename would replace; this process alone writes here
            if target.exists():
                raise FileExistsError(errno.EEXIST, "the store writes once", str(target))
            staged.rename(target)
        try:
            sync_folder(target.parent)
        except OSError:
            target.rename(staged)  # or it would be taken for durable from now on
            raise
        if staged.parent != target.parent:
            sync_folder(staged.parent)

    def put_bytes(self, target: Path, data: bytes) -> None:
        """Write a small file, read-only and durable, whole or not at all. Raises FileExistsError."""
        self._folders.make(target.parent)
        staged = target.with_name(f".{target.name}.part")
        with contextlib.suppress(FileNotFoundError):
            staged.unlink()  # of a run that was cut
        write_once(staged, data, _READ_ONLY)
        self.put(staged, target)

    def append_journal(self, device: str, file: int, data: bytes) -> None:
        """Add verified bytes; durable when this returns. Raises OSError, with nothing added."""
        target = self.journal(device, file)
        self._folders.make(target.parent)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            before = os.fstat(fd).st_size
            if not before:  # ahead of its bytes: a file that has some has a durable name
                sync_folder(target.parent)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fdatasync(fd)
            except OSError:
                os.ftruncate(fd, before)
                raise
        finally:
            os.close(fd)

    def persist(self, path: Path) -> None:
        """Make durable what a run that was cut has left in place."""
        self._folders.make(path.parent)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(path.parent)

    def cut_journal(self, device: str, file: int, size: int) -> None:
        """Take a torn end off a journal file; durable when this returns."""
        truncate(self.journal(device, file), size)

    def read_back(self, path: Path) -> tuple[str, int]:
        """SHA-256 and size of what the disk holds: past the page cache, or, where that cannot be, it is dropped first.

        Past it costs a twentieth, too: the kernel need not find, fill and copy a page for each 4 KiB.
        """
        digest, size = hashlib.sha256(), 0
        with contextlib.closing(mmap.mmap(-1, _READ_BACK)) as buffer, _opened_direct(path) as file:
            told = os.fstat(file.fileno()).st_size
            with memoryview(buffer) as view:  # aligned to pages, as O_DIRECT wants it
                while size < told and (count := file.readinto(view)):
                    digest.update(view[:count])
                    size += count
        return digest.hexdigest(), size

    def without_receipt(self) -> Iterator[tuple[str, str, int]]:
        """Segments in place whose receipt is not: a run was cut between the two."""
        for device in self.devices():
            segments = self.root / device / "segments"
            for path in sorted(segments.glob("*/*.mp4.age")):
                recording, segment = path.parent.name, int(path.name.split(".")[0])
                if not self.receipt(device, recording, segment).exists():
                    yield device, recording, segment


def _opened_direct(path: Path) -> io.FileIO:
    try:
        return io.FileIO(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError as error:
        if error.errno != errno.EINVAL:  # what a file system without it answers
            raise
    file = io.FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return file
