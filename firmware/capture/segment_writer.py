"""Writes one segment: fragment → hash → encrypt → append → durable. A closed file is never touched again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evidence import age, mp4, records
from firmware.capture.cutter import Fragment
from firmware.capture.late import Unfinished
from runtime.disk import Disk


class SegmentWriter:
    """An open segment file. OSError means that the disk refused; what was durable before stays."""

    def __init__(
        self, disk: Disk, recording: str, part: int, segment: int, init: bytes, recipients: Sequence[str]
    ) -> None:
        self.recording = recording
        self.part = part
        self._names = {"recording": recording, "part": part, "segment": segment}
        self._unfinished = Unfinished(recording, part, segment)
        self._age = age.Encryptor(recipients)
        header = age.parse_header(self._age.header)
        self._recipients = {
            "recipients": [age.fingerprint(recipient) for recipient in recipients],
            "stanzas": len(header.stanzas),
            "header_sha256": header.sha256,
        }
        self._plain = hashlib.sha256(init)
        self._cipher = hashlib.sha256(self._age.header)
        self._plain_len = len(init)
        self._cipher_len = len(self._age.header)
        self._unwritten = init
        self._memory = bytearray()
        self._totals = {"fragments": 0, "frames": 0, "samples": 0}
        self._from_ns: int | None = None
        self._to_ns = 0
        self._file = disk.create(records.segment_path(recording, segment))
        try:
            self._file.append(self._age.header)
        except OSError:
            self._file.close()
            raise

    def write(self, fragment: Fragment, data: mp4.Pieces) -> dict[str, Any]:
        """Append a fragment (whole chunks) and make it durable; return the body of its record."""
        index, offset = self._totals["fragments"], self._plain_len
        whole = self._gather((self._unwritten, *data))
        plain = whole[len(self._unwritten) :]
        self._plain.update(plain)
        self._plain_len += len(plain)
        self._append(self._age.seal(whole))
        self._unwritten = b""
        self._file.sync()
        self._totals["fragments"] += 1
        self._totals["frames"] += fragment.frames
        self._totals["samples"] += fragment.samples
        self._from_ns = fragment.from_ns if self._from_ns is None else self._from_ns
        self._to_ns = fragment.to_ns
        return {
            **self._names,
            "index": index,
            "plain_offset": offset,
            "plain_len": len(plain),
            "cipher_len": self._cipher_len,
            "plain_sha256": self._plain.hexdigest(),
            "cipher_sha256": self._cipher.hexdigest(),
            "frames": fragment.frames,
            "samples": fragment.samples,
            "drops": fragment.drops,
            "from_ns": fragment.from_ns,
            "to_ns": fragment.to_ns,
            "starts_with_idr": fragment.starts_with_idr,
        }

    def close(self) -> dict[str, Any]:
        """Append the trailer alone in the final chunk, make it durable, close; return the `segment` record's body."""
        if self._unwritten:
            self._append(self._age.seal(self._unwritten))
        self._plain.update(mp4.TRAILER)
        self._plain_len += len(mp4.TRAILER)
        self._append(self._age.finish(mp4.TRAILER))
        self._file.sync()
        self._file.close()
        return {
            **self._names,
            "closed": True,
            **self._totals,
            "from_ns": self._from_ns or 0,
            "to_ns": self._to_ns,
            "plain_len": self._plain_len,
            "plain_sha256": self._plain.hexdigest(),
            "attested_len": self._cipher_len,
            "attested_sha256": self._cipher.hexdigest(),
            "file_size": self._cipher_len,
            "file_sha256": self._cipher.hexdigest(),
            **self._recipients,
        }

    def attested(self, body: Mapping[str, Any]) -> None:
        """Take note that a fragment's record is durable."""
        self._unfinished = self._unfinished.with_fragment(body)

    def abandon(self) -> None:
        """Close the file as it is, after the disk refused."""
        self._file.close()

    def unfinished(self) -> Unfinished:
        """What a late record tells of this segment, once it was abandoned."""
        return replace(self._unfinished, refused=True)

    def _gather(self, pieces: mp4.Pieces) -> memoryview:
        """The pieces in one place, which is used again for the next fragment: fresh memory costs more than copying."""
        size = sum(map(len, pieces))
        if len(self._memory) < size:
            self._memory = bytearray(size)
        whole = memoryview(self._memory)[:size]
        end = 0
        for piece in pieces:
            start, end = end, end + len(piece)
            whole[start:end] = piece
        return whole

    def _append(self, data: bytes | memoryview) -> None:
        self._file.append(data)
        self._cipher.update(data)
        self._cipher_len += len(data)
