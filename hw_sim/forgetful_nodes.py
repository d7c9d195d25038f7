"""Files and folders of the forgetful disk: what programs see of them, and what would survive a power cut."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import NoReturn


def fail(code: int) -> NoReturn:
    """Raise the OSError of an errno."""
    raise OSError(code, os.strerror(code))


_Change = tuple[int, bytearray | None]  # data at an offset; None: cut or stretched to that size


class Node:
    """A file or folder; `places` are its durable names."""

    def __init__(self, mode: int, owner: tuple[int, int], number: int) -> None:
        self.mode = mode
        self.owner = owner
        self.number = number
        self.mtime_ns = time.time_ns()
        self.places: set[tuple[Folder, str]] = set()

    def set_mode(self, mode: int) -> None:
        """Change the mode, durable at once."""
        raise NotImplementedError


class Folder(Node):
    """Names as programs see them (`entries`) and as a power cut leaves them (`durable`)."""

    def __init__(self, mode: int, owner: tuple[int, int], number: int, root: Path | None = None) -> None:
        super().__init__(mode, owner, number)
        self.entries: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}
        self._root = root

    def set_mode(self, mode: int) -> None:
        """Change the mode, durable at once if the folder is."""
        self.mode = mode
        path = self.store_path()
        if path is not None:
            path.chmod(stat.S_IMODE(mode))

    def store_path(self) -> Path | None:
        """Where the store has this folder; None while a power cut would lose it."""
        if self._root is not None:
            return self._root
        for parent, name in self.places:
            path = parent.store_path()
            if path is not None:
                return path / name
        return None


class File(Node):
    """Bytes in the store, and the changes since the last sync, in order: data at an offset, or a new size."""

    def __init__(self, mode: int, owner: tuple[int, int], number: int, size: int = 0) -> None:
        super().__init__(mode, owner, number)
        self.size = size
        self.opened = 0
        self.names = 0
        self._fd = -1
        self._changes: list[_Change] = []
        self._doomed: list[_Change] = []  # still to be read, never to be written: a sync of them failed

    def set_mode(self, mode: int) -> None:
        """Change the mode, durable at once."""
        self.mode = mode
        os.fchmod(self.store_fd(), stat.S_IMODE(mode))
        self.rest()

    def write(self, data: bytes, offset: int) -> None:
        """Change bytes in memory."""
        last = self._changes[-1] if self._changes else None
        if last is not None and last[1] is not None and last[0] + len(last[1]) == offset:
            last[1].extend(data)  # one growing piece, or a long append would make each read slow
        else:
            self._changes.append((offset, bytearray(data)))
        self.size = max(self.size, offset + len(data))
        self.mtime_ns = time.time_ns()

    def truncate(self, size: int) -> None:
        """Change the size in memory."""
        self._changes.append((size, None))
        self.size = size
        self.mtime_ns = time.time_ns()

    def read(self, length: int, offset: int) -> bytes:
        """Read what programs see."""
        length = max(0, min(length, self.size - offset))
        view = bytearray(os.pread(self.store_fd(), length, offset).ljust(length, b"\0"))
        for position, data in (*self._doomed, *self._changes):
            if data is None:
                cut = min(max(position - offset, 0), length)
                view[cut:] = bytes(length - cut)
                continue
            start, end = max(position, offset), min(position + len(data), offset + length)
            if start < end:
                view[start - offset : end - offset] = memoryview(data)[start - position : end - position]
        return bytes(view)

    def unsynced(self) -> int:
        """Bytes that a power cut would lose."""
        return sum(len(data) for _, data in self._changes if data is not None)

    def sync(self) -> None:
        """Make bytes and size durable (not the name)."""
        self.sync_prefix(self.unsynced(), 1)
        self._changes.clear()

    def fail_sync(self) -> None:
        """Forget that there is something to sync, as Linux does when a write to the card fails.

        Programs go on reading the bytes, and the next sync succeeds without them.
        """
        self._doomed += self._changes
        self._changes = []

    def sync_prefix(self, count: int, unit: int) -> None:
        """Let the first `count` unsynced bytes reach the store, the last piece cut at a multiple of `unit`."""
        fd = self.store_fd()
        for position, data in self._changes:
            if data is None:
                os.ftruncate(fd, position)
                continue
            if count < len(data):
                end = (position + count) // unit * unit
                _write_all(fd, memoryview(data)[: max(0, end - position)], position)
                return
            _write_all(fd, memoryview(data), position)
            count -= len(data)

    def store_fd(self) -> int:
        """Open the file in the store; a file without a durable name is open from `open_anonymous` on."""
        if self._fd < 0:
            paths = (parent / name for folder, name in self.places if (parent := folder.store_path()) is not None)
            self._fd = os.open(next(paths), os.O_RDWR | os.O_CLOEXEC)
        return self._fd

    def open_anonymous(self, store: Path) -> None:
        """Give the file its nameless place in the store, with the bytes it had there."""
        fd = os.open(store, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, stat.S_IMODE(self.mode))
        os.fchmod(fd, stat.S_IMODE(self.mode))
        if self._fd >= 0:
            os.sendfile(fd, self._fd, 0, os.fstat(self._fd).st_size)
            os.close(self._fd)
        self._fd = fd

    def rest(self) -> None:
        """Close the store's file unless bytes would be lost or it could not be opened again."""
        wanted = bool(self.names and (self._changes or self._doomed))
        reachable = any(folder.store_path() is not None for folder, _ in self.places)
        stranded = bool(self.names or self.places) and not reachable
        if self._fd >= 0 and not (self.opened or wanted or stranded):
            os.close(self._fd)
            self._fd = -1


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
