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


def late_segment(disk: Disk, unfinished: Unfinished) -> dict[str, Any]:
    """Step R5: the body of the record. What is beyond the last attested byte is kept as an unattested tail."""
    path = records.segment_path(unfinished.recording, unfinished.segment)
    whole, attested = hashlib.sha256(), hashlib.sha256()
    last = unfinished.last
    mark = unfinished.attested_len
    size, head = 0, b""
    with contextlib.suppress(FileNotFoundError):
        _settle(disk, path, unfinished)
    for block in _blocks(disk, path):
        head = head or block
        whole.update(block)
        attested.update(block[: max(0, mark - size)])
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
        "attested_len": mark,
        "attested_sha256": attested.hexdigest(),
        "file_size": size,
        "file_sha256": whole.hexdigest(),
        "recipients": [],
        **_header(head),
    }


def _settle(disk: Disk, path: str, unfinished: Unfinished) -> None:
    """What a record names must not vanish with the next cut.

    After a sync has failed nobody can tell what of the unattested tail is durable, and a later sync would not fail.
    """
    if not unfinished.refused:
        with contextlib.suppress(OSError):
            disk.persist(path)
            return
    disk.truncate(path, unfinished.attested_len)


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
