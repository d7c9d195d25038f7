"""Segments on their way in: one file each, whose size after a sync is the durable offset; nothing else is kept."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from office.tus import SegmentUpload, upload_at
from runtime.disk import make_folder, sync_folder

CHECKPOINT = 2 * 1024 * 1024  # bytes between two syncs: what a kill may cost
_DIGESTS = 256
_MODE = 0o640


class StagedFile:
    """An open staged file, growing. A thread that still writes when its request is cancelled holds `close` up."""

    def __init__(self, path: Path, digest: hashlib._Hash, size: int) -> None:
        """`digest`: of the first `size` bytes."""
        self.path = path
        self.digest = digest
        self.size = size
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._direct = True  # until the file system refuses
        while block := os.pread(self._fd, CHECKPOINT, self.size):
            self.digest.update(block)
            self.size += len(block)
        self._synced = self.size
        self._lock = threading.Lock()

    def append(self, data: bytes | memoryview) -> None:
        """Write all of `data`; sync once a checkpoint's worth has gathered. Raises OSError."""
        view = memoryview(data)
        with self._lock:
            while view:
                count = self._write(view)
                self.digest.update(view[:count])
                self.size += count
                view = view[count:]
            if self.size - self._synced >= CHECKPOINT:
                self._sync(self._fd)

    def _write(self, view: memoryview) -> int:
        """Past the page cache what lies on whole pages in file and memory: the office does not read it from there."""
        pages = len(view) // mmap.PAGESIZE * mmap.PAGESIZE
        if self._direct and pages and self.size % mmap.PAGESIZE == 0:
            flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
            try:
                fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_DIRECT)
                return os.write(self._fd, view[:pages])
            except OSError as error:
                if error.errno != errno.EINVAL:  # what a file system without it answers
                    raise
                self._direct = False
            finally:
                fcntl.fcntl(self._fd, fcntl.F_SETFL, flags)
        return os.write(self._fd, view)

    def close(self) -> None:
        """Make everything durable and close. Raises OSError, and is closed then, too."""
        with self._lock:
            fd, self._fd = self._fd, -1
            try:
                self._sync(fd)
            finally:
                os.close(fd)

    def _sync(self, fd: int) -> None:
        """After a failure nobody can tell what of the last bytes is durable, and the next sync would not fail."""
        try:
            os.fdatasync(fd)
        except OSError:
            os.ftruncate(fd, self._synced)
            raise
        self._synced = self.size

    @property
    def sha256(self) -> str:
        """Hash of all bytes."""
        return self.digest.hexdigest()


class Staging:
    """The folder of staged segments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Hashes so far, so that an upload in many requests is not read again at each; a loss only costs time.
        self._digests: OrderedDict[SegmentUpload, tuple[hashlib._Hash, int]] = OrderedDict()
        self._lock = threading.Lock()
        make_folder(folder)

    def create(self, upload: SegmentUpload) -> None:
        """Make an empty staged file, durable; once it is there, nothing."""
        fd = os.open(self._path(upload), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)
        os.close(fd)
        sync_folder(self._folder)

    def exists(self, upload: SegmentUpload) -> bool:
        """Whether it was created and has not gone into the store."""
        return self._path(upload).exists()

    def offset(self, upload: SegmentUpload) -> int:
        """Durable bytes. Raises FileNotFoundError."""
        fd = os.open(self._path(upload), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def open(self, upload: SegmentUpload) -> StagedFile:
        """Go on where it stands. Raises FileNotFoundError."""
        path = self._path(upload)
        with self._lock:
            digest, size = self._digests.pop(upload, (hashlib.sha256(), 0))
        if size > path.stat().st_size:
            digest, size = hashlib.sha256(), 0
        path.chmod(_MODE)  # a cut on its way into the store left it read-only
        return StagedFile(path, digest, size)

    def close(self, upload: SegmentUpload, staged: StagedFile) -> None:
        """Make everything durable and let go of it. Raises OSError."""
        staged.close()
        with self._lock:
            self._digests[upload] = staged.digest, staged.size
            if len(self._digests) > _DIGESTS:
                self._digests.popitem(last=False)

    def discard(self, upload: SegmentUpload) -> None:
        """Throw a staged file away."""
        self._path(upload).unlink()
        sync_folder(self._folder)

    def all(self) -> Iterator[SegmentUpload]:
        """What is staged."""
        for path in sorted(self._folder.glob("*.part")):
            upload = upload_at(*path.name.removesuffix(".part").split("."))
            if isinstance(upload, SegmentUpload):
                yield upload

    def _path(self, upload: SegmentUpload) -> Path:
        return self._folder / f"{upload.device}.{upload.recording}.{upload.segment}.part"
