"""Writing fragmented MP4 (ISO/IEC 14496-12): H.264 and FLAC, one fragment at a time, padded to the cipher chunk.

Video counts in microseconds, sound in samples (48 kHz), both from the part's first sample on the boot clock.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evidence.errors import EvidenceError

VIDEO_TIMESCALE = 1_000_000
SOUND_TIMESCALE = 48_000
VIDEO_TRACK = 1
SOUND_TRACK = 2
STREAMINFO = 34
BLOCK = 2_400  # samples in a FLAC block: 50 ms
NTP_EPOCH_S = 2_208_988_800  # 1970, in seconds since 1900
KEY_FLAGS = 0x02000000  # depends on nothing
DELTA_FLAGS = 0x01010000  # depends on others, not a sync sample

TRAILER = struct.pack(">I4s", 8, b"free")
"""The box that stands alone in the final chunk of a closed segment."""

STILL_UUID = bytes.fromhex("208a76927e754372a17e1bbf445c0932")
"""Type of the `uuid` box that holds a still, which players skip (specification §4.8)."""

STILL_HEAD = 32  # bytes of such a box before its JPEG
STILL_LIMIT = 4 << 20  # bytes of one JPEG
STILLS_LIMIT = 1_000  # in one segment; it has no more fragments than 600

NAL_TYPE = 0x1F  # of a unit's first byte
SLICE, IDR = 1, 5
SPS, PPS, DELIMITER = 7, 8, 9
"""Types of H.264 units: a slice, a slice of a key frame; what has no place in a sample (specification §4.5)."""

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_START_CODE = re.compile(b"\0\0\1")
_START_CODE_BYTES = 3


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """An encoder configuration: the H.264 parameter sets without start codes, size in pixels."""

    sps: bytes
    pps: bytes
    width: int
    height: int


Pieces = tuple[bytes | memoryview, ...]
"""Bytes that stand in several places and are copied once, when they are written."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture (length-prefixed units) or one FLAC block, in pieces; duration in its track's ticks."""

    data: Pieces
    duration: int
    key: bool = True

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.data))


@dataclass(frozen=True, slots=True)
class Run:
    """The samples of one track in a fragment; `start` in ticks from the part's first sample."""

    start: int
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """A picture taken apart: units to store, each after its length, and the parameter sets that came with it."""

    data: Pieces
    idr: bool
    sps: bytes | None
    pps: bytes | None


def _units(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the NAL units of an Annex B access unit stand, without start codes and trailing zeros."""
    starts = [match.end() for match in _START_CODE.finditer(data)]  # nearly twice as fast as bytes.find
    for start, stop in itertools.zip_longest(starts, starts[1:]):
        end = len(data) if stop is None else stop - _START_CODE_BYTES
        while end > start and data[end - 1] == 0:
            end -= 1
        if end > start:
            yield start, end


def access_unit(data: bytes) -> AccessUnit:
    """Turn an Annex B access unit into what MP4 stores: parameter sets and delimiters taken out, lengths in front."""
    kept: list[bytes | memoryview] = []
    view = memoryview(data)
    idr = False
    sps = pps = None
    for start, end in _units(data):
        kind = data[start] & NAL_TYPE
        if kind == SPS:
            sps = data[start:end]
        elif kind == PPS:
            pps = data[start:end]
        elif kind != DELIMITER:
            idr = idr or kind == IDR
            kept += [(end - start).to_bytes(4, "big"), view[start:end]]
    if not kept:
        raise EvidenceError("h264-unit", "an access unit holds no picture")
    return AccessUnit(tuple(kept), idr, sps, pps)


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of the given four-character type."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def free(size: int) -> bytes:
    """A `free` box of `size` bytes in all (at least 8), zeros inside."""
    return struct.pack(">I4s", size, b"free") + bytes(size - 8)


def padding(length: int, to: int) -> bytes:
    """The `free` box that fills `length` bytes up to a multiple of `to`; a rest too small for a box takes one more."""
    rest = -length % to
    if rest == 0:
        return b""
    return free(rest if rest >= 8 else rest + to)  # noqa: PLR2004 - the smallest box


def init(video: VideoConfig | None, streaminfo: bytes | None, pad_to: int) -> bytes:
    """The initialisation segment: `ftyp`, `moov` with the tracks that the part has, padding."""
    if video is None and streaminfo is None:
        raise EvidenceError("mp4-init", "a part has picture, sound or both")
    entries = [_avc1(video)] if video else []
    return init_with(entries, _sound_entry(streaminfo) if streaminfo is not None else None, _size(video), pad_to)


def init_with(video_entries: Sequence[bytes], sound_entry: bytes | None, size: tuple[int, int], pad_to: int) -> bytes:
    """An initialisation segment with given sample entries (an export of parts has one for each configuration)."""
    tracks, extends = [], []
    if video_entries:
        tracks.append(_track(VIDEO_TRACK, b"vide", VIDEO_TIMESCALE, _full(b"vmhd", 1, bytes(8)), video_entries, size))
        extends.append(_full(b"trex", 0, struct.pack(">5I", VIDEO_TRACK, 1, 0, 0, 0)))
    if sound_entry:
        tracks.append(_track(SOUND_TRACK, b"soun", SOUND_TIMESCALE, _full(b"smhd", 0, bytes(4)), [sound_entry], (0, 0)))
        extends.append(_full(b"trex", 0, struct.pack(">5I", SOUND_TRACK, 1, 0, 0, 0)))
    header = struct.pack(">4IIH10x", 0, 0, 1000, 0, 0x10000, 0x0100) + _MATRIX + bytes(24) + struct.pack(">I", 3)
    out = box(b"ftyp", b"iso6", struct.pack(">I", 0), b"iso6mp41") + box(
        b"moov", _full(b"mvhd", 0, header), *tracks, box(b"mvex", *extends)
    )
    return out + (padding(len(out), pad_to) if pad_to else b"")


def still(at_ns: int, jpeg: bytes) -> Pieces:
    """The box of a still that was taken at `at_ns` on the boot clock; it stands in front of a fragment."""
    return (struct.pack(">I4s16sQ", STILL_HEAD + len(jpeg), b"uuid", STILL_UUID, at_ns), jpeg)


def fragment(
    sequence: int, video: Run | None, sound: Run | None, capture_utc_ms: int, pad_to: int, stills: Pieces = ()
) -> Pieces:
    """One fragment: boxes of `stills`, `prft`, `moof`, `mdat`, padding to a multiple of `pad_to` bytes (0: none).

    `capture_utc_ms` is the UTC claim of the fragment's first sample, milliseconds since 1970.
    """
    runs = [(track, run) for track, run in ((VIDEO_TRACK, video), (SOUND_TRACK, sound)) if run and run.samples]
    if not runs:
        raise EvidenceError("mp4-fragment", "a fragment holds at least one sample")
    moof_size = 8 + 16 + sum(_traf_size(track, run) for track, run in runs)
    offset = moof_size + 8
    trafs = []
    for track, run in runs:
        sizes = [sample.size for sample in run.samples]
        trafs.append(_traf(track, run, sizes, offset))
        offset += sum(sizes)
    moof = box(b"moof", _full(b"mfhd", 0, struct.pack(">I", sequence)), *trafs)
    first_track, first = runs[0]
    prft = _prft(first_track, capture_utc_ms, first.start)
    payload = itertools.chain.from_iterable(sample.data for _, run in runs for sample in run.samples)
    rest = padding(sum(map(len, stills)) + len(prft) + offset, pad_to) if pad_to else b""
    return (*stills, prft, moof, struct.pack(">I4s", offset - moof_size, b"mdat"), *payload, rest)


def _full(kind: bytes, flags: int, body: bytes, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), body)


def _size(video: VideoConfig | None) -> tuple[int, int]:
    return (video.width, video.height) if video else (0, 0)


def _avc1(video: VideoConfig) -> bytes:
    # Profile, constraints and level stand in bytes 1 to 3 of the first; the lengths are told in two bytes.
    if not 4 <= len(video.sps) < 1 << 16 or not 1 <= len(video.pps) < 1 << 16:  # noqa: PLR2004
        raise EvidenceError("h264-unit", "the encoder's parameter sets are cut short or too long")
    config = b"\1" + video.sps[1:4] + b"\xff\xe1" + struct.pack(">H", len(video.sps)) + video.sps
    config += b"\1" + struct.pack(">H", len(video.pps)) + video.pps
    head = struct.pack(">6xH16xHHIIIH32xHh", 1, video.width, video.height, 0x480000, 0x480000, 0, 1, 24, -1)
    return box(b"avc1", head, box(b"avcC", config))


def _sound_entry(streaminfo: bytes) -> bytes:
    if len(streaminfo) != STREAMINFO:
        raise EvidenceError("flac-config", "STREAMINFO has 34 bytes")
    head = struct.pack(">6xH8xHHHHI", 1, 1, 16, 0, 0, SOUND_TIMESCALE << 16)
    return box(b"fLaC", head, _full(b"dfLa", 0, b"\x80" + STREAMINFO.to_bytes(3, "big") + streaminfo))


def _track(
    track: int, handler: bytes, timescale: int, media_header: bytes, entries: Sequence[bytes], size: tuple[int, int]
) -> bytes:
    volume = 0 if handler == b"vide" else 0x0100
    tkhd = struct.pack(">5I8xHHHH", 0, 0, track, 0, 0, 0, 0, volume, 0) + _MATRIX
    tkhd += struct.pack(">II", size[0] << 16, size[1] << 16)
    stbl = box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", len(entries)) + b"".join(entries)),
        _full(b"stts", 0, bytes(4)),
        _full(b"stsc", 0, bytes(4)),
        _full(b"stsz", 0, bytes(8)),
        _full(b"stco", 0, bytes(4)),
    )
    dinf = box(b"dinf", _full(b"dref", 0, struct.pack(">I", 1) + _full(b"url ", 1, b"")))
    mdia = box(
        b"mdia",
        _full(b"mdhd", 0, struct.pack(">4IHH", 0, 0, timescale, 0, 0x55C4, 0)),
        _full(b"hdlr", 0, struct.pack(">I4s12x", 0, handler) + b"bodycam\0"),
        box(b"minf", media_header, dinf, stbl),
    )
    return box(b"trak", _full(b"tkhd", 3, tkhd), mdia)


def _traf_size(track: int, run: Run) -> int:
    return 8 + 20 + 20 + 20 + len(run.samples) * (12 if track == VIDEO_TRACK else 8)


def _traf(track: int, run: Run, sizes: Sequence[int], data_offset: int) -> bytes:
    # tfhd names its sample entry, so that an export can point a part at its own configuration in place.
    tfhd = _full(b"tfhd", 0x020002, struct.pack(">II", track, 1))
    tfdt = _full(b"tfdt", 0, struct.pack(">Q", run.start), version=1)
    if track == VIDEO_TRACK:
        flags = 0x000701  # data offset, duration, size, flags of each sample
        rows = [
            struct.pack(">III", sample.duration, size, KEY_FLAGS if sample.key else DELTA_FLAGS)
            for sample, size in zip(run.samples, sizes, strict=True)
        ]
    else:
        flags = 0x000301  # data offset, duration, size; every sound sample is a sync sample
        rows = [struct.pack(">II", sample.duration, size) for sample, size in zip(run.samples, sizes, strict=True)]
    trun = _full(b"trun", flags, struct.pack(">II", len(run.samples), data_offset) + b"".join(rows))
    return box(b"traf", tfhd, tfdt, trun)


def _prft(track: int, utc_ms: int, media_time: int) -> bytes:
    seconds, rest = divmod(max(utc_ms, 0), 1000)
    ntp = (seconds + NTP_EPOCH_S & 0xFFFFFFFF) << 32 | (rest << 32) // 1000
    return _full(b"prft", 24, struct.pack(">IQQ", track, ntp, media_time), version=1)  # 24: time of capture
