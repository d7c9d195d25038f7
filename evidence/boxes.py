"""Reading fragmented MP4 back: boxes, tracks, samples. Every bad byte is an `EvidenceError`, memory stays bounded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from evidence import mp4
from evidence.errors import EvidenceError

_SAMPLES_LIMIT = 100_000  # in one run; a 60 s segment has 1,800 pictures
_PICTURE_RUN = 0x000701  # data offset; duration, size, flags of each sample


@dataclass(frozen=True, slots=True)
class Box:
    """A box: type, absolute offset of its header, of its body, and of its end."""

    kind: bytes
    start: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class TrackRun:
    """A `traf`: absolute offsets of the fields an export patches, and its samples as (offset, size, duration).

    `keys` tells which pictures are key frames; it is empty for sound.
    """

    track: int
    start: int
    entry_at: int
    tfdt_at: int
    samples: tuple[tuple[int, int, int], ...]
    keys: tuple[bool, ...] = ()

    @property
    def end(self) -> int:
        """End of the run in ticks."""
        return self.start + sum(duration for _, _, duration in self.samples)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A `moof` with its `mdat`; `start` and `end` are absolute offsets, `sequence_at` that of the sequence number."""

    start: int
    end: int
    sequence_at: int
    runs: tuple[TrackRun, ...]


def boxes(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes between two offsets, in order. They must fill the range exactly."""
    stop = len(data) if end is None else end
    while start < stop:
        if stop - start < 8:  # noqa: PLR2004 - a box header
            raise EvidenceError("mp4-box", f"a box header is cut short at byte {start}")
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1:
            if stop - start < 16:  # noqa: PLR2004 - a box header with a 64-bit size
                raise EvidenceError("mp4-box", f"a box header is cut short at byte {start}")
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        if size < body - start or start + size > stop:
            raise EvidenceError("mp4-box", f"the box at byte {start} does not fit where it stands")
        yield Box(kind, start, body, start + size)
        start += size


def child(data: bytes | memoryview, parent: Box, *path: bytes) -> Box:
    """The box reached from `parent` by a path of types; the first of each."""
    for kind in path:
        for found in boxes(data, parent.body, parent.end):
            if found.kind == kind:
                parent = found
                break
        else:
            raise EvidenceError("mp4-box", f"the box {kind.decode('latin-1')!r} is missing")
    return parent


def fragments(data: bytes | memoryview) -> Iterator[Fragment]:
    """The fragments of a segment (or of joined segments), in order."""
    moof: Box | None = None
    for found in boxes(data):
        if found.kind == b"moof":
            if moof is not None:
                raise EvidenceError("mp4-box", "an index without its media data")
            moof = found
        elif found.kind == b"mdat":
            if moof is None:
                raise EvidenceError("mp4-box", "media data without its index")
            yield _fragment(data, moof, found)
            moof = None


@dataclass(frozen=True, slots=True)
class Still:
    """A still's box: when it was taken (boot clock), absolute offsets of its JPEG."""

    at_ns: int
    start: int
    end: int


def stills(data: bytes | memoryview) -> Iterator[Still]:
    """The stills of a segment, in order."""
    count = 0
    for found in boxes(data):
        if found.kind != b"uuid" or data[found.body : found.body + 16] != mp4.STILL_UUID:
            continue
        count += 1
        if count > mp4.STILLS_LIMIT:
            raise EvidenceError("mp4-box", f"more than {mp4.STILLS_LIMIT} stills in one segment")
        (at_ns,) = _unpack(">Q", data, found.body + 16, found.end)
        yield Still(at_ns, found.body + 24, found.end)


def units(data: bytes | memoryview, start: int, size: int) -> Iterator[memoryview]:
    """The NAL units of a picture's sample, each behind its 4-byte length."""
    view, end = memoryview(data), start + size
    while start < end:
        (length,) = _unpack(">I", data, start, end)
        start += 4 + length
        if not length or start > end:
            raise EvidenceError("mp4-box", f"a picture's unit does not fit where it stands, before byte {start}")
        yield view[start - length : start]


def sample_entries(data: bytes | memoryview) -> dict[bytes, bytes]:
    """Sample entry of each handler (`vide`, `soun`) in an initialisation segment."""
    for top in boxes(data):
        if top.kind != b"moov":
            continue
        entries = {}
        for track in boxes(data, top.body, top.end):
            if track.kind != b"trak":
                continue
            handler = child(data, track, b"mdia", b"hdlr")
            table = child(data, track, b"mdia", b"minf", b"stbl", b"stsd")
            entry = next(boxes(data, table.body + 8, table.end), None)
            if entry is None or handler.end - handler.body < 12:  # noqa: PLR2004 - through the handler type
                raise EvidenceError("mp4-box", "a track has no sample entry or no handler")
            kind = bytes(data[handler.body + 8 : handler.body + 12])
            entries[kind] = bytes(data[entry.start : entry.end])
        return entries
    raise EvidenceError("mp4-box", "the initialisation segment has no moov")


def picture_size(entry: bytes) -> tuple[int, int]:
    """Width and height in pixels told by a video sample entry."""
    width, height = _unpack(">HH", entry, 32, len(entry))
    return width, height


def _fragment(data: bytes | memoryview, moof: Box, mdat: Box) -> Fragment:
    runs = []
    sequence_at = None
    for part in boxes(data, moof.body, moof.end):
        if part.kind == b"mfhd":
            _unpack(">II", data, part.body, part.end)
            sequence_at = part.body + 4
        elif part.kind == b"traf":
            runs.append(_run(data, part, moof, mdat))
    if sequence_at is None or not runs:
        raise EvidenceError("mp4-box", "a fragment has no number or no track")
    return Fragment(moof.start, mdat.end, sequence_at, tuple(runs))


def _run(data: bytes | memoryview, traf: Box, moof: Box, mdat: Box) -> TrackRun:
    tfhd, tfdt, trun = (child(data, traf, kind) for kind in (b"tfhd", b"tfdt", b"trun"))
    flags, track, _ = _unpack(">III", data, tfhd.body, tfhd.end)
    if flags & 0xFFFFFF != 0x020002 or _unpack(">I", data, tfdt.body, tfdt.end)[0] >> 24 != 1:  # noqa: PLR2004
        raise EvidenceError("mp4-box", "the track fragment is not of the form that evidence has")
    (start,) = _unpack(">Q", data, tfdt.body + 4, tfdt.end)
    run_flags, count, offset = _unpack(">IIi", data, trun.body, trun.end)
    fields = {_PICTURE_RUN: 3, 0x000301: 2}.get(run_flags)
    if fields is None or count > _SAMPLES_LIMIT or trun.end - trun.body != 12 + count * fields * 4:
        raise EvidenceError("mp4-box", "the track run is not of the form that evidence has")
    values = struct.unpack_from(f">{count * fields}I", data, trun.body + 12)
    position = moof.start + offset
    samples = []
    for duration, size in zip(values[::fields], values[1::fields], strict=True):
        if position < mdat.body or position + size > mdat.end:
            raise EvidenceError("mp4-box", "a sample lies outside its media data")
        samples.append((position, size, duration))
        position += size
    flags_of = values[2::3] if run_flags == _PICTURE_RUN else ()
    if {*flags_of} - {mp4.KEY_FLAGS, mp4.DELTA_FLAGS}:
        raise EvidenceError("mp4-box", "a picture's flags are not of the form that evidence has")
    keys = tuple(flag == mp4.KEY_FLAGS for flag in flags_of)
    return TrackRun(track, start, tfhd.body + 8, tfdt.body + 4, tuple(samples), keys)


def _unpack(form: str, data: bytes | memoryview, start: int, end: int) -> tuple[int, ...]:
    if start + struct.calcsize(form) > min(end, len(data)):
        raise EvidenceError("mp4-box", f"a field is cut short at byte {start}")
    return struct.unpack_from(form, data, start)
