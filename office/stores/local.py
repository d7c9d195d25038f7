"""A store in a local folder: files moved into place, read-only and durable, never written again.

A file's time of change is the date until which it is locked: what is written once has no other use for it, reading
does not touch it, copies keep it, and `ls -l` shows it. A hold is an empty file beside it. Both are this program's own
law: no file system keeps its owner from anything (docs/store.md tells of `chattr +i`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import math
import mmap
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from office.errors import OfficeError
from office.stores.port import Lock, Readable
from runtime.disk import Folders, make_folder, sync_folder, write_once

_READ_BACK = 4 * 1024 * 1024  # bytes read at once
_READ_ONLY = 0o440


class LocalStore:
    """`ObjectStore` under `root`. Files to put in must lie in the same file system."""

    def __init__(self, root: Path, *, own: bool = True) -> None:
        """`own`: the folder is made here; another one, of a disk that may not be mounted, has to be there."""
        self.root = root
        self._own = own
        self._lock = threading.Lock()
        self._known: Folders | None = Folders(root) if own else None

    def path(self, name: str) -> Path:
        """Where a file stands, or will. Raises `OfficeError` ("store-unreachable")."""
        if not self._own and not self.root.is_dir():
            raise OfficeError("store-unreachable", f"{self.root} is not there: mount it, or make it once", 503)
        return self.root / name

    @property
    def _folders(self) -> Folders:
        if self._known is None:
            self._known = Folders(self.path(""))
        return self._known

    def put(self, staged: Path, name: str, until: datetime | None) -> None:
        target = self.path(name)
        with staged.open("rb") as file:
            os.fchmod(file.fileno(), _READ_ONLY)
            if until is not None:
                _lock_until(file.fileno(), until)
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

    def put_bytes(self, name: str, data: bytes) -> None:
        """Write a small file, read-only and durable, whole or not at all. Raises FileExistsError."""
        target = self.path(name)
        self._folders.make(target.parent)
        staged = target.with_name(f".{target.name}.part")
        with contextlib.suppress(FileNotFoundError):
            staged.unlink()  # of a run that was cut
        write_once(staged, data, _READ_ONLY)
        self.put(staged, name, None)

    def append(self, name: str, data: bytes) -> None:
        """Add bytes to a file that grows; durable when this returns. Raises OSError, with nothing added."""
        target = self.path(name)
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

    def persist(self, name: str) -> None:
        path = self.path(name)
        self._folders.make(path.parent)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(path.parent)

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def size(self, name: str) -> int:
        return self.path(name).stat().st_size

    def read_back(self, name: str) -> tuple[str, int]:
        """Past the page cache, or, where that cannot be, it is dropped first.

        Past it costs a twentieth, too: the kernel need not find, fill and copy a page for each 4 KiB.
        """
        digest, size = hashlib.sha256(), 0
        with contextlib.closing(mmap.mmap(-1, _READ_BACK)) as buffer, _opened_direct(self.path(name)) as file:
            told = os.fstat(file.fileno()).st_size
            with memoryview(buffer) as view:  # aligned to pages, as O_DIRECT wants it
                while size < told and (count := file.readinto(view)):
                    digest.update(view[:count])
                    size += count
        return digest.hexdigest(), size

    @contextlib.contextmanager
    def open(self, name: str, start: int = 0, size: int | None = None) -> Iterator[Readable]:
        with self.path(name).open("rb") as file:
            file.seek(start)
            yield file if size is None else _Range(file, size)

    def names(self, folder: str) -> Iterator[str]:
        try:
            found = sorted((one.name + "/" * one.is_dir(), one.is_dir()) for one in os.scandir(self.path(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return
        for name, is_folder in found:
            if name.startswith("."):
                continue
            inside = f"{folder.rstrip('/')}/{name}".lstrip("/")
            if is_folder:
                yield from self.names(inside.rstrip("/"))
            else:
                yield inside

    def lock(self, name: str) -> Lock:
        path = self.path(name)
        status = path.stat()
        locked = not status.st_mode & 0o222
        return Lock(datetime.fromtimestamp(int(status.st_mtime), UTC) if locked else None, _hold(path).exists())

    def extend(self, name: str, until: datetime) -> None:
        with self._lock:
            if (now := self.lock(name).until) is not None and now >= until:
                return
            with self.path(name).open("rb") as file:
                os.fchmod(file.fileno(), _READ_ONLY)
                _lock_until(file.fileno(), until)
                os.fsync(file.fileno())

    def hold(self, name: str, *, on: bool) -> None:
        path = self.path(name)
        mark = _hold(path)
        with self._lock:
            if on and path.stat() and not mark.exists():
                write_once(mark, b"", _READ_ONLY)
            elif not on and mark.exists():
                mark.unlink()
                sync_folder(mark.parent)

    def set_aside(self, name: str, folder: Path) -> None:
        path = self.path(name)
        make_folder(folder)
        path.rename(folder / f"{path.parent.name}.{path.name}.{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}")
        sync_folder(folder)
        sync_folder(path.parent)

    def meddled(self, name: str) -> str | None:
        mode = self.path(name).stat().st_mode
        return f"it can be written: mode {mode & 0o777:o}" if mode & 0o222 else None

    def remove(self, name: str) -> None:
        with self._lock:
            lock = self.lock(name)
            if lock.hold or (lock.until is not None and lock.until > datetime.now(UTC)):
                raise OfficeError("store-locked", f"{name} is locked: {lock}", 409)
            path = self.path(name)
            path.unlink()
            sync_folder(path.parent)


class _Range:
    """The next `size` bytes of a file."""

    def __init__(self, file: Readable, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _opened_direct(path: Path) -> io.FileIO:
    try:
        return io.FileIO(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError as error:
        if error.errno != errno.EINVAL:  # what a file system without it answers
            raise
    file = io.FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return file


def _hold(path: Path) -> Path:
    return path.with_name(f".{path.name}.hold")


def _lock_until(fd: int, until: datetime) -> None:
    seconds = math.ceil(until.timestamp())  # whole ones, and never one too early
    os.utime(fd, (seconds, seconds))
