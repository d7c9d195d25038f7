"""A disk in memory that forgets: what was not made durable is lost with the power, but for a chance prefix.

Behind the prefix there may be zeros: the length was kept, and the bytes were not, as ext4 does it.

It keeps the promises of `runtime.disk.PosixDisk`, and no more: a created name is durable when `create` returns, bytes
when `sync` or `persist` returns. Operations are counted; at a chosen one it cuts the power or refuses, before the
operation or in the middle of it.
"""

from __future__ import annotations

import builtins
import errno
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field


class PowerCut(BaseException):
    """The power was cut in the middle of an operation. No program catches that."""


@dataclass
class _File:
    content: bytearray = field(default_factory=bytearray)
    durable: int = 0  # bytes of the content that no cut takes away
    doomed: bool = False  # a sync failed: what was not durable then will never be


class _AppendFile:
    def __init__(self, disk: MemoryDisk, path: str) -> None:
        self._disk = disk
        self._path = path
        self.open = True

    def append(self, data: bytes | bytearray | memoryview) -> None:
        if not self.open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._disk.appended(self._path, bytes(data))

    def sync(self) -> None:
        self._disk.synced(self._path)

    def close(self) -> None:
        self.open = False
        self._disk.handles -= 1


class MemoryDisk:
    """`Disk` of `runtime.disk`, and `Folder` of `evidence.verify`.

    `before(number, operation)` runs before each operation and may raise: `PowerCut` or an `OSError`.
    """

    def __init__(self, seed: int = 0, capacity: int = 1 << 40) -> None:
        self.files: dict[str, _File] = {}
        self.operations = 0
        self.capacity = capacity
        self.before: Callable[[int, str], None] = lambda _number, _operation: None
        self.handles = 0
        self._random = random.Random(seed)

    # What breaks it.

    def cut_at(self, number: int) -> None:
        """Cut the power at the given operation."""

        def before(now: int, operation: str) -> None:
            if now >= number:
                raise PowerCut(f"at operation {now}, {operation}")

        self.before = before

    def lose_power(self) -> None:
        """What was not durable is gone, but for a chance prefix of it. The machine can be started again."""
        for file in self.files.values():
            lost = len(file.content) - file.durable
            if lost > 0:
                kept = file.durable + self._random.randint(0, lost)
                zeros = self._random.randint(0, len(file.content) - kept) if self._random.random() < 1 / 4 else 0
                file.content = file.content[:kept] + bytes(zeros)
            file.durable, file.doomed = len(file.content), False
        self.restart()

    def restart(self) -> None:
        """The process died and the machine did not: what was written stays readable, and is no more durable for it."""
        self.before = lambda _number, _operation: None
        self.handles = 0

    # What the product calls.

    def create(self, path: str) -> _AppendFile:
        self._operation("create", path)
        if path in self.files:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.files[path] = _File()
        self.handles += 1
        return _AppendFile(self, path)

    def appended(self, path: str, data: bytes) -> None:
        file = self.files[path]
        try:
            self._operation("append", path)
            self._require_room(len(data))
        except (PowerCut, OSError):
            file.content += data[: self._random.randint(0, len(data))]  # a part of it may have been written
            raise
        file.content += data

    def synced(self, path: str) -> None:
        file = self.files[path]
        try:
            self._operation("sync", path)
        except OSError:
            file.doomed = True  # as on Linux: the pages are clean now, and a later sync succeeds without them
            raise
        if not file.doomed:
            file.durable = len(file.content)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self._operation("read", path)
        content = self._file(path).content
        return bytes(content[offset:] if length is None else content[offset : offset + length])

    def size(self, path: str) -> int:
        return len(self._file(path).content)

    def persist(self, path: str) -> None:
        self._file(path)
        self.synced(path)

    def truncate(self, path: str, size: int) -> None:
        file = self._file(path)
        self._operation("truncate", path)
        del file.content[size:]
        file.durable, file.doomed = size, False

    def list(self, folder: str) -> builtins.list[str]:
        inside = {path[len(folder) + 1 :].split("/")[0] for path in tuple(self.files) if path.startswith(folder + "/")}
        return sorted(inside)

    def remove(self, path: str) -> None:
        self._operation("remove", path)
        self._file(path)
        del self.files[path]

    def free(self) -> int:
        return self.capacity - self.used()

    # What the verifier calls.

    def names(self) -> Iterable[str]:
        return list(self.files)

    def blocks(self, path: str) -> Iterator[bytes]:
        yield bytes(self.files[path].content)

    @property
    def doomed(self) -> builtins.list[str]:
        """Files with bytes that a failed sync has lost."""
        return [path for path, file in self.files.items() if file.doomed]

    def used(self) -> int:
        """Bytes in all files."""
        return sum(len(file.content) for file in tuple(self.files.values()))

    def _file(self, path: str) -> _File:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.files[path]

    def _require_room(self, size: int) -> None:
        if self.used() + size > self.capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _operation(self, name: str, path: str) -> None:
        self.operations += 1
        self.before(self.operations, f"{name} {path}")
