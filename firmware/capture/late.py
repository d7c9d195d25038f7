"""The late `segment` record: closes the books of a segment that a cut or a failing disk kept from being closed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evidence import age, records
from evidence.errors import EvidenceError
from runtime.disk import Disk

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A segment whose books nobody closed: totals over its attested fragments, the last one's body (None: no such)."""

    recording: str
    part: int
    segment: int
    fragments: int = 0
    frames: int = 0
    samples: int = 0
    from_ns: int = 0
    last: Mapping[str, Any] | None = None
    refused: bool = False  # by the disk: bytes beyond the attested ones may be readable now, and gone with the power

    @property
    def attested_len(self) -> int:
        """Bytes of the file that fragments attest."""
        return int(self.last["cipher_len"]) if self.last else 0

    def with_fragment(self, body: Mapping[str, Any]) -> Unfinished:
        """The same with one more attested fragment."""
        return Unfinished(
            self.recording,
            body["part"],
            self.segment,
            self.fragments + 1,
            self.frames + body["frames"],
            self.samples + body["samples"],
            self.from_ns if self.last else body["from_ns"],
            body,
        )


class LateSegment:
    """Step R5: makes the record. It may have to be asked again, while the disk refuses."""

    def __init__(self, disk: Disk, unfinished: Unfinished) -> None:
        self._disk = disk
        self._unfinished = unfinished
        self._path = records.segment_path(unfinished.recording, unfinished.segment)
        self._refused = unfinished.refused

    def body(self) -> dict[str, Any]:
        """The record's body. What is beyond the last attested byte is kept as an unattested tail."""
        with contextlib.suppress(FileNotFoundError):
            self._settle()
        unfinished, last = self._unfinished, self._unfinished.last
        whole, attested = hashlib.sha256(), hashlib.sha256()
        size, head = 0, b""
        for block in _blocks(self._disk, self._path):
            head = head or block
            whole.update(block)
            attested.update(block[: max(0, unfinished.attested_len - size)])
            size += len(block)
        return {
            "recording": unfinished.recording,
            "part": unfinished.part,
            "segment": unfinished.segment,
            "closed": False,
            "fragments": unfinished.fragments,
            "frames": unfinished.frames,
            "samples": unfinished.samples,
            "from_ns": unfinished.from_ns,
            "to_ns": last["to_ns"] if last else 0,
            "plain_len": last["plain_offset"] + last["plain_len"] if last else 0,
            "plain_sha256": last["plain_sha256"] if last else hashlib.sha256().hexdigest(),
            "attested_len": unfinished.attested_len,
            "attested_sha256": attested.hexdigest(),
            "file_size": size,
            "file_sha256": whole.hexdigest(),
            "recipients": [],
            **_header(head),
        }

    def _settle(self) -> None:
        """What a record names must not vanish with the next cut.

        After a refusal nobody can tell what of the unattested tail is durable, and a later sync would not fail: the
        tail is cut off.
        """
        if not self._refused:
            try:
                self._disk.persist(self._path)
            except FileNotFoundError:
                raise
            except OSError:
                self._refused = True
        if self._refused:
            self._disk.truncate(self._path, self._unfinished.attested_len)


def _blocks(disk: Disk, path: str) -> Iterator[bytes]:
    offset = 0
    with contextlib.suppress(FileNotFoundError):
        while block := disk.read(path, offset, _BLOCK):
            yield block
            offset += len(block)


def _header(head: bytes) -> dict[str, Any]:
    try:
        header = age.parse_header(head)
    except EvidenceError:
        return {"stanzas": 0, "header_sha256": hashlib.sha256().hexdigest()}
    return {"stanzas": len(header.stanzas), "header_sha256": header.sha256}
