"""A part of a recording as one MP4 that exists nowhere: its beginning is made here, its fragments decrypted on call.

    ftyp moov | sidx: where a player may begin, at most each two seconds | moof mdat | moof mdat | …

Fragments begin on cipher chunks of their own (specification §4.4), so a byte range asks for whole chunks and no others.
"""

from __future__ import annotations

import bisect
import itertools
import struct
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from evidence import age, boxes, mp4
from evidence.age import Decryptor
from evidence.errors import EvidenceError
from office.errors import OfficeError
from office.reel import Part, Piece, Reel

STEP_NS: Final = 2_000_000_000
"""Least time between two entries of the index: each entry is read before the first picture."""

_ENTRIES_LIMIT = 65_535  # what a sidx can hold
_DURATION_LIMIT = 2**32 - 1
_STARTS_WITH_KEY = 0x90000000
_CHUNKS = 16  # read at once: 1 MiB

Cipher = Callable[[int, int, int], bytes]
"""Bytes of a segment's file as it is stored: segment, start, size. Shorter at the file's end."""

KeyOf = Callable[[int, bytes], bytes]
"""The file key of a segment, by its header with the nonce. Raises `OfficeError` if it is not given."""


class Plain:
    """The plaintext of a recording's segments, by ranges. Safe for several threads."""

    def __init__(self, cipher: Cipher, key_of: KeyOf) -> None:
        self._cipher = cipher
        self._key_of = key_of
        self._opened: dict[int, tuple[int, Decryptor]] = {}
        self._lock = threading.Lock()

    def read(self, segment: int, start: int, size: int) -> Iterator[bytes]:
        """A range that ends before the file's last chunk. Raises `EvidenceError`, `OfficeError`, OSError."""
        begin, reader = self._open(segment)
        end = start + size
        for first in range(start // age.CHUNK, -(-end // age.CHUNK), _CHUNKS):
            count = min(_CHUNKS, -(-end // age.CHUNK) - first)
            data = memoryview(self._cipher(segment, begin + first * age.CIPHER_CHUNK, count * age.CIPHER_CHUNK))
            out = bytearray()
            for index in range(count):
                chunk = data[index * age.CIPHER_CHUNK : (index + 1) * age.CIPHER_CHUNK]
                out += reader.chunk(first + index, chunk, last=False)
            base = first * age.CHUNK
            yield bytes(out[max(start - base, 0) : end - base])

    def _open(self, segment: int) -> tuple[int, Decryptor]:
        with self._lock:
            if segment not in self._opened:
                header = age.parse_header(self._cipher(segment, 0, age.HEADER_LIMIT + age.NONCE))
                file_key = self._key_of(segment, header.raw + header.nonce)
                self._opened[segment] = header.size, Decryptor(file_key, header.nonce)
            return self._opened[segment]


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the index tells of one span: bytes, begin in ticks, begin and end on the boot clock."""

    size: int
    from_ns: int


class Film:
    """The virtual MP4 of one part. `size` in bytes; `first_us`: the media time of its first sample."""

    def __init__(self, reel: Reel, part: Part, held: Collection[int], plain: Plain) -> None:
        """`held`: segments that the archive has. Raises `OfficeError` ("film-empty"), `EvidenceError`."""
        self._plain = plain
        self.pieces = [_bare(reel, piece) for piece in part.pieces if piece.segment in held]
        if not self.pieces:
            raise OfficeError("film-empty", f"the office holds nothing to play of part {part.number}", 404)
        init = self._init()
        self._header = init + self._index(part, init)
        sizes = itertools.accumulate((piece.length for piece in self.pieces), initial=len(self._header))
        *self._starts, self.size = sizes

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Its bytes from `start` to before `end`. Raises as `Plain.read`."""
        if start < len(self._header):
            yield self._header[start : min(end, len(self._header))]
        place = max(bisect.bisect_right(self._starts, start) - 1, 0)
        for piece, begin in zip(self.pieces[place:], self._starts[place:], strict=True):
            if begin >= end:
                return
            skip = max(start - begin, 0)
            size = min(end - begin, piece.length) - skip
            if size > 0:
                yield from self._plain.read(piece.segment, piece.offset + skip, size)

    def _init(self) -> bytes:
        """`ftyp` and `moov`, which each segment begins with."""
        start = b"".join(self._plain.read(self.pieces[0].segment, 0, age.CHUNK))
        end = 0
        while end + 8 <= len(start):
            size, kind = struct.unpack_from(">I4s", start, end)
            if size < 8 or end + size > len(start):  # noqa: PLR2004 - a box header
                break
            end += size
            if kind == b"moov":
                return start[:end]
        raise EvidenceError("mp4-box", "a segment does not begin with its moov")

    def _index(self, part: Part, init: bytes) -> bytes:
        track, scale = (mp4.VIDEO_TRACK, mp4.VIDEO_TIMESCALE)
        if b"vide" not in boxes.sample_entries(init):
            track, scale = mp4.SOUND_TRACK, mp4.SOUND_TIMESCALE
        entries = _entries(self.pieces, any_begins=track == mp4.SOUND_TRACK)
        begins = [_ticks(entry.from_ns - part.begins_ns, scale) for entry in entries]
        ends = [*begins[1:], _ticks(self.pieces[-1].to_ns - part.begins_ns, scale)]
        rows = [
            struct.pack(">III", entry.size, min(end - begin, _DURATION_LIMIT), _STARTS_WITH_KEY)
            for entry, begin, end in zip(entries, begins, ends, strict=True)
        ]
        head = struct.pack(">IIIQQHH", 1 << 24, track, scale, begins[0], 0, 0, len(rows))
        return mp4.box(b"sidx", head, *rows)


def _bare(reel: Reel, piece: Piece) -> Piece:
    """Without the stills in front of it, which no player needs."""
    end = piece.offset + piece.length
    skip = max((to for begin, to in reel.stills.get(piece.segment, ()) if piece.offset <= begin < end), default=0)
    start = max(piece.offset, min(skip, end))
    return Piece(piece.segment, start, end - start, piece.from_ns, piece.to_ns, piece.key)


def _entries(pieces: Sequence[Piece], *, any_begins: bool) -> list[_Entry]:
    """Spans of at least `STEP_NS` that each begin where a player may, few enough for one index."""
    step = max(STEP_NS, -(-(pieces[-1].to_ns - pieces[0].from_ns) // (_ENTRIES_LIMIT - 1)))
    found: list[_Entry] = []
    begin, size = pieces[0].from_ns, 0
    for piece in pieces:
        if size and (piece.key or any_begins) and piece.from_ns - begin >= step:
            found.append(_Entry(size, begin))
            begin, size = piece.from_ns, 0
        size += piece.length
    return [*found, _Entry(size, begin)]


def _ticks(ns: int, scale: int) -> int:
    return max(ns, 0) * scale // 1_000_000_000
