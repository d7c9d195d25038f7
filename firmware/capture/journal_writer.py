"""The camera's journal on its disk: one chain, files of at most 16 MiB, every line durable before anybody sees it."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evidence import jose, records
from evidence.errors import EvidenceError
from evidence.records import Chain, Stamp
from runtime.disk import AppendFile, Disk

_ROOM = records.FILE_LIMIT - jose.LINE_LIMIT  # a file that is longer has no room for every line that may come
_TORN_LIMIT = 32  # an opening can declare 64: half of them are left to the boots that follow a failing disk
_NAME = re.compile(r"([0-9]{8})\.jws\Z")


@dataclass(frozen=True, slots=True)
class Opening:
    """What the first line of each file says of the session: base64url key, chain, kernel boot id."""

    session_key: str
    chain: tuple[str, ...]
    kernel_boot: str
    voucher: Mapping[str, Any] | None = None  # of the link key, where the chain is empty

    def body(self, file: int, torn: list[Mapping[str, Any]]) -> dict[str, Any]:
        """The members of a `summary` body; `boot` adds its own."""
        return {
            "file": file,
            "session_key": self.session_key,
            "chain": list(self.chain),
            "voucher": self.voucher,
            "kernel_boot": self.kernel_boot,
            "torn": torn,
        }


def _nobody(_kind: str, _line: bytes) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class JournalWriter:
    """Appends records; any thread may. The first call must be `boot`.

    A line that the disk refused ends its file; the next line opens a new one, which declares what was left behind.
    """

    disk: Disk
    chain: Chain
    opening: Opening
    stamp: Callable[[], Stamp]
    next_file: int
    torn: list[Mapping[str, Any]]
    on_durable: Callable[[str, bytes], None] = _nobody  # gets kind and line, no line feed; must neither wait nor fail
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _file: AppendFile | None = None
    _number: int = -1
    _size: int = 0
    _set_aside: list[tuple[int, int]] = field(default_factory=list)  # (file, offset) of tails still to be read
    _published: dict[int, int] = field(default_factory=dict)
    _head: tuple[int, str] = (-1, records.GENESIS)

    def __post_init__(self) -> None:
        self._published = _whole_lines(self.disk, self.torn)
        self._head = (self.chain.seq - 1, self.chain.prev)

    def boot(self, members: Mapping[str, Any]) -> int:
        """Open the first file of this boot; `members` are the body's but for the opening's. Returns `seq`."""
        with self._lock:
            return self._open("boot", members)

    def append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Write a record and make it durable; returns its `seq`. Raises OSError if the disk refuses."""
        with self._lock:
            if self._file is None or self._size > _ROOM:
                self._open("summary", {})
            return self._line(kind, body)

    def certify(self, chain: tuple[str, ...], key_store: str) -> None:
        """Record what certifies the session key, which came later than the boot. Raises OSError if the disk refuses."""
        with self._lock:
            self.append("certified", {"chain": list(chain), "key_store": key_store})
            self.opening = replace(self.opening, chain=chain, voucher=None)

    def published(self) -> dict[int, int]:
        """Bytes of each file's durable, whole lines: what a dock may read. Does not wait for the disk."""
        return dict(self._published)

    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last durable line. Does not wait for the disk."""
        return self._head

    def close(self) -> None:
        """Close the file; nothing is written."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _open(self, kind: str, members: Mapping[str, Any]) -> int:
        self.close()
        self._declare_tails()
        while len(self.torn) < _TORN_LIMIT or kind == "boot":
            number, self.next_file = self.next_file, self.next_file + 1
            try:
                self._file = self.disk.create(records.journal_path(number))
            except FileExistsError:
                self.torn.append(torn_tail(number, 0, self.disk.read(records.journal_path(number))))
                continue  # an earlier try left it, not knowing whether its name is durable
            except OSError:
                self.next_file = number
                raise
            break
        else:
            raise OSError("the disk has refused too many journal files; the camera must be started again")
        self._number, self._size = number, 0
        seq = self._line(kind, {**self.opening.body(number, list(self.torn)), **members})
        self.torn.clear()
        return seq

    def _line(self, kind: str, body: Mapping[str, Any]) -> int:
        before = (self.chain.seq, self.chain.prev)
        line = self.chain.append(kind, body, self.stamp()) + b"\n"
        file = self._file
        if file is None:
            raise OSError("the journal is closed")
        try:
            file.append(line)
            file.sync()
        except OSError:
            self.chain.seq, self.chain.prev = before
            self._give_up_file()
            raise
        self._size += len(line)
        self._published[self._number] = self._size
        self._head = (before[0], self.chain.prev)
        self.on_durable(kind, line[:-1])
        return before[0]

    def _give_up_file(self) -> None:
        """After a refusal nobody can tell whether the line is durable: it is cut off, so that no start goes on from it.

        Should that be refused as well, the next opening declares what stands there.
        """
        self.close()
        self._set_aside.append((self._number, self._size))
        with contextlib.suppress(OSError):
            self.disk.truncate(records.journal_path(self._number), self._size)

    def _declare_tails(self) -> None:
        """Read the tails that were set aside; a disk that cannot even be read keeps the journal waiting."""
        while self._set_aside:
            number, offset = self._set_aside[0]
            self.torn.append(torn_tail(number, offset, self.disk.read(records.journal_path(number), offset)))
            self._set_aside.pop(0)


def files(disk: Disk) -> list[int]:
    """Numbers of the journal's files, in order; what else lies in the folder is none of them."""
    return [int(match[1]) for name in disk.list("journal") if (match := _NAME.match(name))]


def torn_tail(file: int, offset: int, tail: bytes) -> dict[str, Any]:
    """How an opening declares bytes that are no whole line of the chain."""
    return {"file": file, "offset": offset, "length": len(tail), "sha256": hashlib.sha256(tail).hexdigest()}


def _whole_lines(disk: Disk, torn: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """Bytes of each file's whole lines. Openings tell where the torn tails of earlier files begin."""
    sizes = {number: disk.size(records.journal_path(number)) for number in files(disk)}
    tails = [
        tail
        for number in sizes
        for tail in _declared(disk.read(records.journal_path(number), 0, records.OPENING_LIMIT))
    ]
    sizes.update({tail["file"]: tail["offset"] for tail in [*tails, *torn] if tail["file"] in sizes})
    return sizes


def _declared(start: bytes) -> list[Mapping[str, Any]]:
    try:
        return list(records.parse(start.partition(b"\n")[0]).body.get("torn", []))
    except EvidenceError:
        return []  # this file's opening is itself torn, and a later one says so
