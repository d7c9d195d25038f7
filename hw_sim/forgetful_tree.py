"""What a disk remembers: a tree of files in memory over the part of it that would survive a power cut.

The store folder always holds exactly what survives: bytes reach it by `File.sync` only, names by `Tree.sync_folder`
only. A new file lives in an anonymous file of the store's filesystem (O_TMPFILE) until its name is synced, so killing
the process leaves no trace of it. None of the kindness of real filesystems is here: no write-back after some seconds,
no name made durable by syncing the file, no order between one file and another.

Not modelled: links, special files, and moving a folder into another folder (EXDEV). Modes and owners are kept at once.
"""

from __future__ import annotations

import errno
import os
import random
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from hw_sim.forgetful_nodes import File, Folder, Node, fail

Keep = Literal["none", "bytes", "sectors"]
_SECTOR = 512


class Tree:
    """The whole disk. Not thread-safe: the caller holds a lock. Methods raise OSError as the system calls do."""

    def __init__(self, store: Path, limit: int | None = None) -> None:
        self._path = store
        self._numbers = 1
        self.limit = limit
        self.used = 0
        self.root = Folder(stat.S_IFDIR | 0o755, (os.getuid(), os.getgid()), 1, root=store)
        self._load(self.root, store)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _load(self, folder: Folder, path: Path) -> None:
        for item in os.scandir(path):
            status = item.stat(follow_symlinks=False)
            owner = (status.st_uid, status.st_gid)
            node: Node
            if item.is_dir(follow_symlinks=False):
                node = Folder(status.st_mode, owner, self._number())
            elif item.is_file(follow_symlinks=False):
                node = File(status.st_mode, owner, self._number(), status.st_size)
                node.names = 1
                self.used += node.size
            else:
                continue
            node.mtime_ns = status.st_mtime_ns
            node.places.add((folder, item.name))
            folder.entries[item.name] = folder.durable[item.name] = node
            if isinstance(node, Folder):
                self._load(node, path / item.name)

    # Bytes.

    def open(self, file: File) -> File:
        """Count one more user of a file."""
        file.opened += 1
        return file

    def close(self, file: File) -> None:
        """Count one less. Closing makes nothing durable."""
        file.opened -= 1
        self._give_up(file)

    def write(self, file: File, data: bytes, offset: int) -> int:
        """Write as much as there is room for and return how much that was; ENOSPC if none."""
        growth = offset + len(data) - file.size
        if self.limit is not None and growth > 0 and growth > self.limit - self.used:
            data = data[: max(0, len(data) - growth + max(0, self.limit - self.used))]
            if not data or offset > file.size:
                fail(errno.ENOSPC)
            growth = offset + len(data) - file.size
        file.write(data, offset)
        self.used += max(0, growth)
        return len(data)

    def truncate(self, file: File, size: int) -> None:
        """Cut or stretch a file; ENOSPC if it cannot grow so far."""
        growth = size - file.size
        if self.limit is not None and growth > 0 and growth > self.limit - self.used:
            fail(errno.ENOSPC)
        if growth:
            file.truncate(size)
            self.used += growth

    def space(self) -> tuple[int, int]:
        """Tell size and free bytes: of the limit, or of the disk below."""
        if self.limit is not None:
            return self.limit, max(0, self.limit - self.used)
        below = os.statvfs(self._path)
        return below.f_blocks * below.f_frsize, below.f_bavail * below.f_frsize

    def _give_up(self, file: File) -> None:
        if not file.names and not file.opened:
            self.used -= file.size
            file.size = 0
        file.rest()

    # Names as programs see them.

    def find(self, path: str) -> Node:
        """Find what an absolute path names."""
        node: Node = self.root
        for name in filter(None, path.split("/")):
            if not isinstance(node, Folder):
                fail(errno.ENOTDIR)
            if name not in node.entries:
                fail(errno.ENOENT)
            node = node.entries[name]
        return node

    def folder(self, path: str) -> Folder:
        """Find a folder."""
        node = self.find(path)
        return node if isinstance(node, Folder) else fail(errno.ENOTDIR)

    def file(self, path: str) -> File:
        """Find a file."""
        node = self.find(path)
        return node if isinstance(node, File) else fail(errno.EISDIR)

    def _split(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        return self.folder(parent), name

    def create(self, path: str, mode: int, owner: tuple[int, int]) -> File:
        """Make an empty file; EEXIST if the name is taken."""
        parent, name = self._split(path)
        if name in parent.entries:
            fail(errno.EEXIST)
        file = File(stat.S_IFREG | stat.S_IMODE(mode), owner, self._number())
        file.open_anonymous(self._path)
        file.names = 1
        self._change(parent)[name] = file
        return file

    def mkdir(self, path: str, mode: int, owner: tuple[int, int]) -> None:
        """Make an empty folder."""
        parent, name = self._split(path)
        if name in parent.entries:
            fail(errno.EEXIST)
        self._change(parent)[name] = Folder(stat.S_IFDIR | stat.S_IMODE(mode), owner, self._number())

    def unlink(self, path: str) -> None:
        """Take a file's name away."""
        file = self.file(path)
        parent, name = self._split(path)
        del self._change(parent)[name]
        self._unname(file)

    def rmdir(self, path: str) -> None:
        """Take an empty folder's name away."""
        folder = self.folder(path)
        parent, name = self._split(path)
        if folder.entries:
            fail(errno.ENOTEMPTY)
        del self._change(parent)[name]

    def rename(self, old: str, new: str) -> None:
        """Move a name, replacing a file or an empty folder."""
        node = self.find(old)
        (old_parent, old_name), (new_parent, new_name) = self._split(old), self._split(new)
        if isinstance(node, Folder) and new_parent is not old_parent:
            fail(errno.EXDEV)
        target = new_parent.entries.get(new_name)
        if target is node:
            return
        if isinstance(target, Folder):
            if not isinstance(node, Folder):
                fail(errno.EISDIR)
            if target.entries:
                fail(errno.ENOTEMPTY)
        elif target is not None and isinstance(node, Folder):
            fail(errno.ENOTDIR)
        del self._change(old_parent)[old_name]
        self._change(new_parent)[new_name] = node
        if isinstance(target, File):
            self._unname(target)

    @staticmethod
    def _change(folder: Folder) -> dict[str, Node]:
        folder.mtime_ns = time.time_ns()
        return folder.entries

    def _unname(self, file: File) -> None:
        file.names -= 1
        self._give_up(file)

    # Names as a power cut leaves them.

    def sync_folder(self, folder: Folder) -> None:
        """Make the names in one folder durable. New names come before old ones go, as a rename needs it."""
        for name, node in folder.entries.items():
            if folder.durable.get(name) is not node:
                self._place(folder, name, node)
        for name in set(folder.durable) - set(folder.entries):
            self._displace(folder, name)

    def _place(self, folder: Folder, name: str, node: Node) -> None:
        old_name = next((old for parent, old in node.places if parent is folder), None)
        if isinstance(node, Folder) or isinstance(folder.durable.get(name), Folder):
            self._displace(folder, name)
        replaced = folder.durable.get(name)
        path = folder.store_path()
        if path is not None:
            _hold(replaced)
            if isinstance(node, Folder) and old_name is not None:
                (path / old_name).rename(path / name)
            else:
                self._store(path, name, node)
        if isinstance(node, Folder) and old_name is not None:
            del folder.durable[old_name]
            node.places.discard((folder, old_name))
        if replaced is not None:
            replaced.places.discard((folder, name))
        folder.durable[name] = node
        node.places.add((folder, name))
        _rest(replaced)
        _rest(node)

    def _displace(self, folder: Folder, name: str) -> None:
        node = folder.durable.pop(name, None)
        if node is None:
            return
        path = folder.store_path()
        if path is not None:
            _hold(node)
            if isinstance(node, Folder):
                shutil.rmtree(path / name)
            else:
                (path / name).unlink()
        node.places.discard((folder, name))
        _rest(node)

    def _store(self, parent: Path, name: str, node: Node) -> None:
        """Write a node into the store under a name; a file of that name is replaced in one step."""
        if isinstance(node, Folder):
            (parent / name).mkdir(stat.S_IMODE(node.mode))
            for child, below in node.durable.items():
                self._store(parent / name, child, below)
        elif isinstance(node, File):
            passing = f".{secrets.token_hex(8)}"
            try:
                _link(node.store_fd(), parent / passing)
            except FileNotFoundError:  # its last name went first; Linux gives a nameless file one name only once
                node.open_anonymous(self._path)
                _link(node.store_fd(), parent / passing)
            (parent / passing).rename(parent / name)

    # The end of power.

    def sync_all(self) -> None:
        """Make everything durable: an orderly shutdown."""
        for node in list(_walk(self.root)):
            if isinstance(node, File):
                node.sync()
            elif isinstance(node, Folder):
                self.sync_folder(node)

    def tear(self, keep: Keep, seed: int) -> None:
        """Let a random part of what was not synced reach the store, the same for the same seed.

        Of each file a prefix of the unsynced bytes in the order of writing, cut at any byte or at a sector; of the
        folders with unsynced names, about half.
        """
        if keep not in get_args(Keep):
            raise ValueError(f"unknown keep {keep!r}; use one of {', '.join(get_args(Keep))}")
        if keep == "none":
            return
        chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        for node in list(_walk(self.root)):
            if isinstance(node, File):
                node.sync_prefix(chance.randint(0, node.unsynced()), _SECTOR if keep == "sectors" else 1)
            elif isinstance(node, Folder) and node.entries != node.durable and chance.random() < 1 / 2:
                self.sync_folder(node)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Folder):
        for name in sorted(node.entries):
            yield from _walk(node.entries[name])


def _hold(node: Node | None) -> None:
    """Open every file at and below a node whose name in the store is about to go."""
    if isinstance(node, File):
        node.store_fd()
    elif isinstance(node, Folder):
        for below in node.durable.values():
            _hold(below)


def _rest(node: Node | None) -> None:
    if isinstance(node, File):
        node.rest()
    elif isinstance(node, Folder):
        for below in node.durable.values():
            _rest(below)


def _link(fd: int, path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # a folder's descriptor makes Python call linkat, which alone follows the link in /proc
        os.link(f"/proc/self/fd/{fd}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)
