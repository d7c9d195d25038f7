"""The camera's journal on its disk: one chain, files of at most 16 MiB, every line durable before anybody sees it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence import records
from evidence.errors import EvidenceError
from evidence.records import Chain, Stamp
from runtime.disk import AppendFile, Disk


@dataclass(frozen=True, slots=True)
class Opening:
    """What the first line of each file says of the session: base64url key, chain, kernel boot id."""

    session_key: str
    chain: tuple[str, ...]
    kernel_boot: str

    def body(self, file: int, torn: list[Mapping[str, Any]]) -> dict[str, Any]:
        """The members of a `summary` body; `boot` adds its own."""
        return {
            "file": file,
            "session_key": self.session_key,
            "chain": list(self.chain),
            "kernel_boot": self.kernel_boot,
            "torn": torn,
        }


@dataclass(slots=True)
class JournalWriter:
    """Appends records; any thread may. The first call must be `boot`.

    A line that the disk refused is torn: it stays where it is, and the next line opens a new file that declares it.
    """

    disk: Disk
    chain: Chain
    opening: Opening
    stamp: Callable[[], Stamp]
    next_file: int
    torn: list[Mapping[str, Any]]
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _file: AppendFile | None = None
    _number: int = -1
    _size: int = 0
    _last_ns: int = 0

    def boot(self, members: Mapping[str, Any]) -> int:
        """Open the first file of this boot; `members` are the body's but for the opening's. Returns `seq`."""
        with self._lock:
            return self._open("boot", members)

    def append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Write a record and make it durable; returns its `seq`. Raises OSError if the disk refuses."""
        with self._lock:
            if self._file is None or self._size > records.FILE_LIMIT - 4096:
                self._open("summary", {})
            return self._line(kind, body)

    def published(self) -> dict[int, int]:
        """Bytes of each file's durable, whole lines: what a dock may read. Openings tell where torn tails begin."""
        with self._lock:
            sizes = {int(name[:8]): self.disk.size(f"journal/{name}") for name in self.disk.list("journal")}
            tails = list(self.torn)
            for number in sizes:
                tails += _declared(self.disk.read(records.journal_path(number), 0, records.OPENING_LIMIT))
            sizes.update({tail["file"]: tail["offset"] for tail in tails})
            if self._number >= 0:
                sizes[self._number] = self._size
            return sizes

    def head(self) -> tuple[int, str]:
        """Sequence number and hash of the last durable line."""
        with self._lock:
            return self.chain.seq - 1, self.chain.prev

    def close(self) -> None:
        """Close the file; nothing is written."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _open(self, kind: str, members: Mapping[str, Any]) -> int:
        self.close()
        self._number, self._size, self.next_file = self.next_file, 0, self.next_file + 1
        try:
            self._file = self.disk.create(records.journal_path(self._number))
        except OSError:
            self.torn.append(torn_tail(self._number, 0, b""))
            raise
        seq = self._line(kind, {**self.opening.body(self._number, list(self.torn)), **members})
        self.torn.clear()
        return seq

    def _line(self, kind: str, body: Mapping[str, Any]) -> int:
        before = (self.chain.seq, self.chain.prev)
        stamp = self.stamp()
        line = self.chain.append(kind, body, stamp) + b"\n"
        try:
            self._require_file().append(line)
            self._require_file().sync()
        except OSError:
            self.chain.seq, self.chain.prev = before
            self._set_aside()
            raise
        self._size += len(line)
        return before[0]

    def _require_file(self) -> AppendFile:
        if self._file is None:
            raise OSError("the journal is closed")
        return self._file

    def _set_aside(self) -> None:
        self.close()
        tail = self.disk.read(records.journal_path(self._number), self._size)
        self.torn.append(torn_tail(self._number, self._size, tail))


def torn_tail(file: int, offset: int, tail: bytes) -> dict[str, Any]:
    """How an opening declares bytes that are no whole line of the chain."""
    return {"file": file, "offset": offset, "length": len(tail), "sha256": hashlib.sha256(tail).hexdigest()}


def _declared(start: bytes) -> list[Mapping[str, Any]]:
    try:
        return list(records.parse(start.partition(b"\n")[0]).body.get("torn", []))
    except EvidenceError:
        return []  # this file's opening is itself torn, and a later one says so
