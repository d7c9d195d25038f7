"""The few things evidence asks of a disk, and their durable implementation on POSIX.

Files are written once: create exclusive, append, sync, sync the folder. A closed file is never touched again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

_FOLDERS = 4096  # remembered as durable


class AppendFile(Protocol):
    """A file that was created exclusively and grows at its end only."""

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data` at the end. Raises OSError; what was written before stays."""

    def sync(self) -> None:
        """Return when every appended byte is durable. Raises OSError."""

    def close(self) -> None:
        """Close without syncing."""


class Disk(Protocol):
    """A folder tree on a disk; paths are relative to its root, with `/`."""

    def create(self, path: str) -> AppendFile:
        """Create `path`, which must not exist (FileExistsError), with its folders, and make its name durable."""

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read a range of a file; short at its end. Raises FileNotFoundError."""

    def size(self, path: str) -> int:
        """Size in bytes. Raises FileNotFoundError."""

    def persist(self, path: str) -> None:
        """Make durable what `read` gives: a process that was killed may have left it in memory only."""

    def truncate(self, path: str, size: int) -> None:
        """Cut a file off at `size` and make that durable. Only for bytes whose sync failed: a cut may lose them."""

    def list(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty if the folder is missing."""

    def remove(self, path: str) -> None:
        """Remove a file and make that durable. Raises FileNotFoundError."""

    def free(self) -> int:
        """Bytes free for the writer."""


class _PosixAppendFile:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def append(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            # What had to be durable was synced before; nobody can do more about this file.
            with contextlib.suppress(OSError):
                os.close(fd)


class PosixDisk:
    """`Disk` under a folder of the local filesystem."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = Folders(root)

    def _path(self, path: str) -> Path:
        return self.root / path

    def create(self, path: str) -> AppendFile:
        target = self._path(path)
        self._folders.make(target.parent)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            sync_folder(target.parent)
        except OSError:
            os.close(fd)
            raise
        return _PosixAppendFile(fd)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._path(path).open("rb") as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    def size(self, path: str) -> int:
        return self._path(path).stat().st_size

    def persist(self, path: str) -> None:
        fd = os.open(self._path(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def truncate(self, path: str, size: int) -> None:
        truncate(self._path(path), size)

    def list(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self._path(folder)))
        except FileNotFoundError:
            return []

    def remove(self, path: str) -> None:
        target = self._path(path)
        target.unlink()
        sync_folder(target.parent)

    def free(self) -> int:
        stat = os.statvfs(self.root)
        return stat.f_bavail * stat.f_frsize


class Folders:
    """Folders at and below `root`, and which of their names are known to be durable. Raises OSError.

    That a folder is there says nothing of that: the sync may have failed after it was made, or another run have died
    before it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: set[Path] = set()
        make_folder(root)

    def make(self, folder: Path) -> None:
        """Make a folder with those above it; their names are durable when this returns."""
        if folder == self._root or folder in self._known:
            return
        self.make(folder.parent)
        make_folder(folder)
        if len(self._known) == _FOLDERS:
            self._known.clear()
        self._known.add(folder)


def make_folder(folder: Path) -> None:
    """Make a folder with those above it that are missing; its name is durable when this returns. Raises OSError."""
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


def truncate(path: Path | str, size: int) -> None:
    """Cut a file off at `size` and make that durable."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_once(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Create `path` exclusively with `data`, durable when this returns. Raises FileExistsError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(path.parent)
