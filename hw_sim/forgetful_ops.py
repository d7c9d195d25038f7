"""What FUSE asks of the forgetful disk, and the rules that make it fail or slow."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fnmatch
import itertools
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from evidence import jose
from evidence.errors import EvidenceError
from hw_sim.forgetful_nodes import File, Folder, Node, fail
from hw_sim.forgetful_tree import Tree

OPERATIONS = ("open", "create", "read", "write", "truncate", "fsync", "fsyncdir", "rename", "unlink", "mkdir", "rmdir")
_BLOCK = 4096


@dataclasses.dataclass
class Rule:
    """What befalls an operation on the paths that match: a delay, then an error, or the end of who asks for it."""

    op: str
    match: str = "*"
    errno: str = ""
    delay_ms: float = 0
    count: int = -1  # how often; -1: always
    skip: int = 0  # how many operations that match are let pass first
    record: str = ""  # of writes, only those of journal lines one of which has this kind of record
    kill: str = ""  # "before": the program is killed and the operation is not done; "after": killed when it is done

    def __post_init__(self) -> None:
        if self.op not in OPERATIONS:
            raise ValueError(f"unknown op {self.op!r}; use one of {', '.join(OPERATIONS)}")
        if self.errno and not hasattr(errno, self.errno):
            raise ValueError(f"unknown errno {self.errno!r}; use a name such as EIO, ENOSPC or EROFS")
        if self.kill not in ("", "before", "after"):
            raise ValueError(f"unknown kill {self.kill!r}; use before or after")
        self._kind = f'"kind":"{self.record}"'.encode()

    def fits(self, op: str, path: str, lines: Callable[[], bytes]) -> bool:
        """Whether it applies to an operation, of which `lines` tells what it writes; one that is let pass counts."""
        if self.op != op or not self.count or not fnmatch.fnmatchcase(path, self.match):
            return False
        if self.record and not any(self._kind in payload for payload in _payloads(lines())):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.count -= self.count > 0
        return True


def _payloads(lines: bytes) -> Iterator[bytes]:
    """Of the lines that are whole with this write: each one counts once."""
    for line in lines.split(b"\n")[:-1]:
        with contextlib.suppress(EvidenceError):  # no line of a journal
            yield jose.payload_of(line)


class Rules:
    """The rules in force; the first that fits applies. `kill` ends the program whose operation is carried out."""

    def __init__(self, kill: Callable[[], None] = lambda: None) -> None:
        self.operations = 0
        self._kill = kill
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def replace(self, rules: list[Mapping[str, Any]]) -> None:
        """Put other rules in force."""
        checked = [Rule(**rule) for rule in rules]
        with self._lock:
            self._rules = checked

    @contextlib.contextmanager
    def applied(self, op: str, path: str, lines: Callable[[], bytes] = bytes) -> Iterator[None]:
        """Around an operation: delay it, fail it, kill who asks for it. Raises OSError; EINTR to one that is killed."""
        with self._lock:
            self.operations += 1
            rule = next((r for r in self._rules if r.fits(op, path, lines)), None)
        if rule is None:
            yield
            return
        time.sleep(rule.delay_ms / 1000)
        if rule.kill == "before":
            self._kill()
            fail(errno.EINTR)
        if rule.errno:
            fail(getattr(errno, rule.errno))
        yield
        if rule.kill == "after":
            self._kill()


class Operations:
    """The calls of the FUSE library on a `Tree`, behind one lock; rules, and their delays, apply outside it.

    `pathless`: calls on open files come without a path, so that an unlinked file can still be read and written (but
    not asked for its size: FUSE has no call for that).
    `owner` tells user and group of the caller; `on_ready` is called once the disk can be used.
    """

    use_ns = True

    def __init__(
        self,
        tree: Tree,
        rules: Rules,
        owner: Callable[[], tuple[int, int]],
        on_ready: Callable[[], None],
        pathless: bool,
    ) -> None:
        self.guard = threading.RLock()
        self.flag_nullpath_ok = self.flag_nopath = pathless
        self._tree = tree
        self._rules = rules
        self._owner = owner
        self._on_ready = on_ready
        self._numbers = itertools.count(1)
        self._handles: dict[int, tuple[str, Node]] = {}

    def init(self, _path: str) -> None:
        """Say that the disk is mounted."""
        self._on_ready()

    def destroy(self, _path: str) -> None:
        """Unmounted in order: everything becomes durable."""
        with self.guard:
            self._tree.sync_all()

    # Names.

    def getattr(self, path: str | None, handle: int | None = None) -> dict[str, int]:
        """Carry out stat and fstat."""
        with self.guard:
            node = self._handles[handle][1] if handle else self._tree.find(path or "/")
            size = node.size if isinstance(node, File) else 0
            user, group = node.owner
            return {
                "st_mode": node.mode,
                "st_ino": node.number,
                "st_nlink": node.names if isinstance(node, File) else 2,
                "st_uid": user,
                "st_gid": group,
                "st_size": size,
                "st_blocks": -(-size // _BLOCK) * (_BLOCK // 512),
                "st_atime": node.mtime_ns,
                "st_mtime": node.mtime_ns,
                "st_ctime": node.mtime_ns,
            }

    def opendir(self, path: str) -> int:
        """Open a folder."""
        with self.guard:
            return self._handle(path, self._tree.folder(path))

    def readdir(self, _path: str | None, handle: int) -> list[tuple[str, dict[str, int], int]]:
        """List a folder: name, kind and number of each entry."""
        with self.guard:
            folder = self._handles[handle][1]
            if not isinstance(folder, Folder):
                fail(errno.ENOTDIR)
            entries = {".": folder, "..": folder, **folder.entries}
            return [(name, {"st_mode": node.mode, "st_ino": node.number}, 0) for name, node in entries.items()]

    def releasedir(self, _path: str | None, handle: int) -> int:
        """Close a folder."""
        with self.guard:
            del self._handles[handle]
        return 0

    def fsyncdir(self, _path: str | None, _datasync: int, handle: int) -> int:
        """Make a folder's names durable."""
        path, folder = self._handles[handle]
        with self._rules.applied("fsyncdir", path), self.guard:
            if isinstance(folder, Folder):
                self._tree.sync_folder(folder)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        """Make a folder."""
        with self._rules.applied("mkdir", path), self.guard:
            self._tree.mkdir(path, mode, self._owner())
        return 0

    def rmdir(self, path: str) -> int:
        """Remove an empty folder."""
        with self._rules.applied("rmdir", path), self.guard:
            self._tree.rmdir(path)
        return 0

    def unlink(self, path: str) -> int:
        """Remove a file's name."""
        with self._rules.applied("unlink", path), self.guard:
            self._tree.unlink(path)
        return 0

    def rename(self, old: str, new: str) -> int:
        """Move a name."""
        with self._rules.applied("rename", old), self.guard:
            self._tree.rename(old, new)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        """Change the mode, durable at once."""
        with self.guard:
            node = self._tree.find(path)
            node.set_mode(stat.S_IFMT(node.mode) | stat.S_IMODE(mode))
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Change the time of the last change, in memory."""
        with self.guard:
            self._tree.find(path).mtime_ns = times[1] if times else time.time_ns()
        return 0

    def statfs(self, _path: str) -> dict[str, int]:
        """Tell size and free space: of the limit, or of the disk below."""
        with self.guard:
            size, free = self._tree.space()
        blocks = {"f_blocks": size // _BLOCK, "f_bfree": free // _BLOCK, "f_bavail": free // _BLOCK}
        return {
            "f_bsize": _BLOCK,
            "f_frsize": _BLOCK,
            "f_namemax": 255,
            "f_files": 1 << 20,
            "f_ffree": 1 << 19,
            **blocks,
        }

    # Bytes.

    def create(self, path: str, mode: int, _flags: int) -> int:
        """Make and open a file."""
        with self._rules.applied("create", path), self.guard:
            return self._handle(path, self._tree.open(self._tree.create(path, mode, self._owner())))

    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        with self._rules.applied("open", path), self.guard:
            file = self._tree.open(self._tree.file(path))
            if flags & os.O_TRUNC:
                self._tree.truncate(file, 0)
            return self._handle(path, file)

    def read(self, _path: str | None, length: int, offset: int, handle: int) -> bytes:
        """Read from an open file."""
        path, file = self._file(handle)
        with self._rules.applied("read", path), self.guard:
            return file.read(length, offset)

    def write(self, _path: str | None, data: bytes, offset: int, handle: int) -> int:
        """Write to an open file, in memory."""
        path, file = self._file(handle)

        def lines() -> bytes:
            """The kernel may hand a write over page by page: what stands before a piece is of its first line."""
            with self.guard:
                start = max(0, offset - jose.LINE_LIMIT)
                return file.read(offset - start, start).rpartition(b"\n")[2] + data

        with self._rules.applied("write", path, lines), self.guard:
            return self._tree.write(file, data, offset)

    def truncate(self, path: str | None, size: int, handle: int | None = None) -> int:
        """Cut or stretch a file, in memory."""
        with self.guard:
            path, file = self._file(handle) if handle else (path or "", self._tree.file(path or ""))
        with self._rules.applied("truncate", path), self.guard:
            self._tree.truncate(file, size)
        return 0

    def fsync(self, _path: str | None, _datasync: int, handle: int) -> int:
        """Make an open file's bytes and size durable."""
        path, file = self._file(handle)
        try:
            with self._rules.applied("fsync", path), self.guard:
                file.sync()
        except OSError as error:
            if error.errno != errno.EINTR:  # who was killed has not synced anything
                with self.guard:
                    file.fail_sync()
            raise
        return 0

    def release(self, _path: str | None, handle: int) -> int:
        """Close a file; makes nothing durable."""
        with self.guard:
            _, file = self._file(handle)
            del self._handles[handle]
            self._tree.close(file)
        return 0

    def _handle(self, path: str, node: Node) -> int:
        number = next(self._numbers)
        self._handles[number] = (path, node)
        return number

    def _file(self, handle: int) -> tuple[str, File]:
        path, node = self._handles[handle]
        return (path, node) if isinstance(node, File) else fail(errno.EISDIR)
