"""A machine whose power can be cut: its folder is real, and what of it is durable is kept account of, call by call.

The programs run unchanged over `os`, `io.open` and `pathlib`. Between `powered()` and its end, the calls that change a
disk, and the syncs, pass through here for paths inside a machine's folder; everything else goes straight on. Nothing is
really synced: `Platter` remembers what would have been.

Not kept account of: what SQLite writes (the catalogue, which the journals can make again).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.memory_disk import PowerCut
from tests.powercut.platter import File, Folder, Platter

_UNKEPT = ".sqlite"
_real = {name: getattr(os, name) for name in (
    "open", "close", "write", "fsync", "fdatasync", "ftruncate", "truncate", "rename", "replace", "unlink", "remove",
    "mkdir", "rmdir", "link", "symlink", "chmod", "fchmod",
)}  # fmt: skip
_real_open = io.open
_machines: list[Machine] = []


@dataclass(slots=True)
class _Handle:
    machine: Machine
    path: str
    node: File | Folder
    append: bool
    at: int = 0


_handles: dict[int, _Handle] = {}


class Machine:
    """One computer with its disk at `root`. `on_sync()` is called as a sync begins: time passes then."""

    def __init__(self, name: str, root: Path, seed: int) -> None:
        self.name = name
        self.root = root
        self.platter = Platter()
        self.operations = 0
        self.dead = False
        self.lost: list[bytes] = []  # what programs had written and the last cut took
        self.on_sync: Callable[[bool], None] = lambda _cut: None
        self._cut_at = 0
        self._random = random.Random(seed)
        self._prefix = f"{root}/"
        root.mkdir(parents=True)

    def cut_at(self, operation: int) -> None:
        """Cut the power at that operation, counted from the machine's first; 0: never."""
        self._cut_at = operation

    def operation(self, kind: str, path: str) -> None:
        """Before each call that changes the disk, and each sync."""
        if self.dead:
            raise PowerCut(f"{self.name} is without power")
        self.operations += 1
        cut = self.operations == self._cut_at
        if kind == "sync":
            self.on_sync(cut)
        if cut:
            self.dead = True
            raise PowerCut(f"{self.name}: at operation {self.operations}, {kind} {path}")

    def part_of(self, data: bytes) -> bytes:
        """What of a write is in memory when the power goes in the middle of it."""
        return data[: self._random.randint(0, len(data))]

    def end_program(self) -> None:
        """The program is dead: its files are closed, nothing is synced."""
        for fd in [fd for fd, handle in _handles.items() if handle.machine is self]:
            del _handles[fd]
            _real["close"](fd)

    def lose_power(self, *, everything: bool = False) -> None:
        """What was not synced is gone, but for what chance has left of it. The machine can be started again.

        `everything`: chance leaves nothing of it.
        """
        self.end_program()
        self.lost = [data for _, node in self.platter.files() for _, data in node.since if data]
        before = {path: (node, node.size) for path, node in self.platter.files() if not node.since}
        self.platter.lose_power(None if everything else self._random)
        after = dict(self.platter.files())
        for path in [path for path in self.names() if path not in after]:
            _real["unlink"](self.root / path)
        for path in self.platter.folders():
            with contextlib.suppress(FileExistsError):
                _real["mkdir"](self.root / path)
        for path, node in after.items():
            if before.get(path) != (node, node.size):
                _rewrite(self.root / path, node)
        self._remove_folders()
        self.dead, self._cut_at = False, 0

    def read(self, path: str) -> bytes:
        """A file as it is, for who stands beside the machine."""
        with _real_open(self.root / path, "rb") as file:
            return bytes(file.read())

    def names(self) -> Iterator[str]:
        """Relative paths of the files of which account is kept."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = f"{folder}/{name}".removeprefix(self._prefix)
                if _UNKEPT not in path:
                    yield path

    def forget(self, path: str) -> None:
        """Remove files whose paths begin so and of which no account is kept."""
        for found in self.root.glob(f"{path}*"):
            _real["unlink"](found)

    def _remove_folders(self) -> None:
        kept = set(self.platter.folders())
        for folder, _, names in os.walk(self.root, topdown=False):
            if folder != str(self.root) and folder.removeprefix(self._prefix) not in kept:
                for name in names:  # of which no account is kept
                    _real["unlink"](f"{folder}/{name}")
                _real["rmdir"](folder)

    def relative(self, path: str) -> str | None:
        if path == str(self.root):
            return ""
        return path.removeprefix(self._prefix) if path.startswith(self._prefix) else None


def _rewrite(path: Path, node: File) -> None:
    with contextlib.suppress(FileNotFoundError):
        _real["unlink"](path)
    with _real_open(path, "wb") as file:
        file.write(node.durable)
        _real["fchmod"](file.fileno(), node.mode)


def _find(path: Any) -> tuple[Machine, str] | None:
    text = os.fspath(path)
    if not isinstance(text, str):
        return None
    for machine in _machines:
        relative = machine.relative(text)
        if relative is not None:
            return None if _UNKEPT in relative else (machine, relative)
    return None


def _open(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
    found = _find(path) if not options.get("dir_fd") else None
    if found is None:
        return int(_real["open"](path, flags, mode, **options))
    machine, name = found
    node = machine.platter.find(name)
    if machine.dead:
        machine.operation("open", name)
    if node is None and flags & os.O_CREAT:
        machine.operation("create", name)
    if isinstance(node, File) and flags & (os.O_WRONLY | os.O_RDWR) and not node.mode & 0o200:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)  # root would be let through
    fd = int(_real["open"](path, flags, mode))
    if node is None:
        node = File(mode=mode)
        machine.platter.create(name, node)
    elif isinstance(node, File) and flags & os.O_TRUNC and node.size:
        node.truncate(0)
    append = bool(flags & os.O_APPEND)
    _handles[fd] = _Handle(machine, name, node, append, node.size if append and isinstance(node, File) else 0)
    return fd


def _close(fd: int) -> None:
    _handles.pop(fd, None)
    _real["close"](fd)


def _handle(fd: int) -> _Handle | None:
    """Also of a file that was opened for reading, which is not ours."""
    if fd in _handles:
        return _handles[fd]
    found = _find(Path(f"/proc/self/fd/{fd}").readlink())
    node = found[0].platter.find(found[1]) if found else None
    return _Handle(found[0], found[1], node, append=False) if found and node else None


def _write(fd: int, data: Any) -> int:
    handle = _handles.get(fd)
    if handle is None:
        return int(_real["write"](fd, data))
    content, node = bytes(data), handle.node
    assert isinstance(node, File)
    offset = node.size if handle.append else handle.at
    try:
        handle.machine.operation("write", handle.path)
    except PowerCut:
        content = handle.machine.part_of(content)
        _real["write"](fd, content)
        node.write(offset, content)
        raise
    _real["write"](fd, content)
    node.write(offset, content)
    handle.at = offset + len(content)
    return len(content)


def _sync(fd: int) -> None:
    handle = _handle(fd)
    if handle is None:
        _real["fsync"](fd)
        return
    handle.machine.operation("sync", handle.path)
    if isinstance(handle.node, File):
        handle.node.sync()
    else:
        handle.machine.platter.sync_folder(handle.node)


def _ftruncate(fd: int, size: int) -> None:
    handle = _handle(fd)
    if handle is not None and isinstance(handle.node, File):
        handle.machine.operation("truncate", handle.path)
        handle.node.truncate(size)
    _real["ftruncate"](fd, size)


def _fchmod(fd: int, mode: int) -> None:
    handle = _handle(fd)
    if handle is not None and isinstance(handle.node, File):
        handle.node.mode = mode
    _real["fchmod"](fd, mode)


def _chmod(path: Any, mode: int, **options: Any) -> None:
    found = _find(path)
    node = found[0].platter.find(found[1]) if found else None
    if isinstance(node, File):
        node.mode = mode
    _real["chmod"](path, mode, **options)


def _truncate(path: Any, size: int) -> None:
    found = _find(path)
    if found is not None:
        found[0].operation("truncate", found[1])
        found[0].platter.file(found[1]).truncate(size)
    _real["truncate"](path, size)


def _rename(old: Any, new: Any, **options: Any) -> None:
    source, target = _find(old), _find(new)
    if source is None or target is None:
        _real["replace"](old, new, **options)
        return
    source[0].operation("rename", target[1])
    _real["replace"](old, new)
    source[0].platter.rename(source[1], target[1])


def _unlink(path: Any, **options: Any) -> None:
    found = _find(path)
    if found is None:
        _real["unlink"](path, **options)
        return
    machine, name = found
    if machine.platter.find(name) is not None:
        machine.operation("unlink", name)
    _real["unlink"](path)
    machine.platter.remove(name)


def _mkdir(path: Any, mode: int = 0o777, **options: Any) -> None:
    found = _find(path)
    if found is not None and found[0].platter.find(found[1]) is None:
        found[0].operation("mkdir", found[1])
    _real["mkdir"](path, mode, **options)
    if found is not None:
        found[0].platter.create(found[1], Folder())


def _refuse(*_arguments: Any, **_options: Any) -> None:
    raise NotImplementedError("no program of these does that; teach the machine first")


def _io_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
    found = None if isinstance(file, int) else _find(file)
    if found is not None and found[0].dead:
        raise PowerCut(f"{found[0].name} is without power")  # nothing is read any more, either
    ours = file in _handles if isinstance(file, int) else found is not None and set(mode) & set("wax+")
    if not ours:
        return _real_open(file, mode, *arguments, **options)
    if "b" not in mode or "+" in mode:
        _refuse()
    flags = {"w": os.O_TRUNC, "a": os.O_APPEND, "x": os.O_EXCL}[mode[0]] | os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    return io.BufferedWriter(_Raw(file if isinstance(file, int) else _open(file, flags, 0o666)))


class _Raw(io.RawIOBase):
    """What `open` for writing stands on. Of a program that died nothing is written any more."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._handle = _handles[fd]

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        node = self._handle.node
        assert isinstance(node, File)
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._handle.at, os.SEEK_END: node.size}[whence]
        self._handle.at = start + offset
        return self._handle.at

    def write(self, data: Any) -> int:
        if _handles.get(self._fd) is not self._handle or self._handle.machine.dead:
            return len(data)
        return _write(self._fd, data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            if _handles.get(self._fd) is self._handle:
                _close(self._fd)


_OURS: dict[str, Callable[..., Any]] = {
    "open": _open, "close": _close, "write": _write, "fsync": _sync, "fdatasync": _sync, "ftruncate": _ftruncate,
    "truncate": _truncate, "rename": _rename, "replace": _rename, "unlink": _unlink, "remove": _unlink,
    "mkdir": _mkdir, "chmod": _chmod, "fchmod": _fchmod, "rmdir": _refuse, "link": _refuse, "symlink": _refuse,
}  # fmt: skip


@contextlib.contextmanager
def powered(*machines: Machine) -> Iterator[None]:
    """Let the calls of this process pass through these machines, and through nobody else's."""
    _machines.extend(machines)
    for name, ours in _OURS.items():
        setattr(os, name, ours)
    io.open = _io_open
    try:
        yield
    finally:
        for name, real in _real.items():
            setattr(os, name, real)
        io.open = _real_open
        for machine in machines:
            machine.end_program()
            _machines.remove(machine)
