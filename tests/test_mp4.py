"""Fragmented MP4: written by us, read by us and by ffprobe, and whatever bytes come to the reader."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import boxes, mp4
from evidence.errors import EvidenceError
from tests.evidence_media import media, media_fragment, media_init

SEGMENT = media_init() + media_fragment(0, 0, 0) + media_fragment(1, 1, 0)
PICTURE, SOUND = mp4.Sample((b"pic", b"ture"), 50_000), mp4.Sample((b"sound",), 2_400)
BARE = mp4.init(media().video, media().streaminfo, 0) + b"".join(
    mp4.fragment(1, mp4.Run(0, [PICTURE]), mp4.Run(0, [SOUND]), 0, 0, mp4.still(1, b"jpeg"))
)


def kinds(data: bytes) -> list[str]:
    return [box.kind.decode() for box in boxes.boxes(data)]


# --- Writing ---------------------------------------------------------------------------------------------------------


def test_order_of_boxes() -> None:
    assert kinds(SEGMENT) == ["ftyp", "moov", "free", *["prft", "moof", "mdat", "free"] * 2]


def test_ffprobe_sees_every_sample_at_its_time(tmp_path: Path) -> None:
    (tmp_path / "segment.mp4").write_bytes(SEGMENT)
    command = ["ffprobe", "-v", "error", "-show_packets", "-show_streams", "-of", "json", "segment.mp4"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    assert done.stderr == b""
    told = json.loads(done.stdout)
    assert [stream["time_base"] for stream in told["streams"]] == ["1/1000000", "1/48000"]
    by_track = [[int(p["pts"]) for p in told["packets"] if p["stream_index"] == track] for track in (0, 1)]
    assert by_track == [[n * 50_000 for n in range(20)], [n * 2_400 for n in range(20)]]
    keys = [p["flags"][0] == "K" for p in told["packets"] if p["stream_index"] == 0]
    assert keys == [n == 0 for n in range(20)]


def packets(path: Path) -> tuple[list[tuple[int, int | None, bytes]], list[bytes]]:
    """What FFmpeg's library and FFmpeg's program find in a file: packets with their times, and pictures decoded."""
    with av.open(str(path)) as container:
        found = [(p.stream.index, p.pts, bytes(p)) for p in container.demux() if p.size]
    command = ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-map", "0", "-f", "framemd5", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    return found, done.stdout.splitlines()


def test_players_skip_stills(tmp_path: Path) -> None:
    """Whatever is in them, boxes that look like others too: same pictures and sound, at the same times."""
    like_a_segment = mp4.still(3, b"\xff\xd8\xff" + SEGMENT)
    carried = [(*mp4.still(1, media().still), *mp4.still(2, b"")), mp4.still(4, bytes(mp4.STILL_LIMIT)), like_a_segment]
    bare = media_init() + b"".join(media_fragment(n, n, 0) for n in range(4)) + mp4.TRAILER
    with_stills = media_init() + media_fragment(0, 0, 0, carried[0]) + media_fragment(1, 1, 0)
    with_stills += media_fragment(2, 2, 0, carried[1]) + media_fragment(3, 3, 0, carried[2]) + mp4.TRAILER
    assert kinds(with_stills)[3:8] == ["uuid", "uuid", "prft", "moof", "mdat"]
    assert len(with_stills) % 65_536 == len(mp4.TRAILER)
    (tmp_path / "bare.mp4").write_bytes(bare)
    (tmp_path / "stills.mp4").write_bytes(with_stills)
    assert packets(tmp_path / "stills.mp4") == packets(tmp_path / "bare.mp4")
    found = list(boxes.stills(with_stills))
    assert [still.at_ns for still in found] == [1, 2, 4, 3]
    assert with_stills[found[0].start : found[0].end] == media().still
    assert len(list(boxes.fragments(with_stills))) == 4


@pytest.mark.parametrize("length", [*range(65_520, 65_545), 0, 1, 8, 131_072])
def test_padding_fills_the_chunk_with_one_box_or_none(length: int) -> None:
    made = mp4.padding(length, 65_536)
    assert (length + len(made)) % 65_536 == 0
    assert len(made) < 65_536 + 8
    assert kinds(made) == (["free"] if made else [])
    assert made[8:].strip(b"\0") == b""


def test_fragment_is_padded_whatever_its_length() -> None:
    for size in range(65_380, 65_420):
        data = b"".join(mp4.fragment(1, mp4.Run(0, [mp4.Sample((bytes(size),), 1)]), None, 0, 65_536))
        assert len(data) % 65_536 == 0
        (found,) = boxes.fragments(data)
        assert found.runs[0].samples[0][1] == size


@pytest.mark.parametrize(
    ("utc_ms", "ntp"), [(0, 2_208_988_800 << 32), (500, (2_208_988_800 << 32) + 2**31), (-5, 2_208_988_800 << 32),
                        (4_102_444_800_000, (6_311_433_600 & 0xFFFFFFFF) << 32)]
)  # fmt: skip
def test_capture_time_in_prft(utc_ms: int, ntp: int) -> None:
    data = b"".join(mp4.fragment(1, None, mp4.Run(7, [SOUND]), utc_ms, 0))
    assert data[:32] == struct.pack(">I4sIIQQ", 32, b"prft", 1 << 24 | 24, mp4.SOUND_TRACK, ntp, 7)


def test_access_unit_keeps_what_is_not_a_parameter_set() -> None:
    sps, pps, sei, idr = b"\x67abc", b"\x68d", b"\x06sei", b"\x65picture"
    unit = mp4.access_unit(b"\0\0\0\1\x09\x10\0\0\1" + b"\0\0\1".join([sps, pps, sei, idr]) + b"\0\0")
    assert (unit.sps, unit.pps, unit.idr) == (sps, pps, True)
    assert b"".join(unit.data) == b"\0\0\0\4" + sei + b"\0\0\0\x08" + idr
    with pytest.raises(EvidenceError):
        mp4.access_unit(b"\0\0\1\x09\x10")


def test_what_cannot_be_written() -> None:
    with pytest.raises(EvidenceError, match="mp4-init"):
        mp4.init(None, None, 0)
    with pytest.raises(EvidenceError, match="flac-config"):
        mp4.init(None, b"short", 0)
    with pytest.raises(EvidenceError, match="h264-unit"):
        mp4.init(mp4.VideoConfig(b"\x67", b"\x68", 1, 1), None, 0)
    with pytest.raises(EvidenceError, match="mp4-fragment"):
        mp4.fragment(1, None, mp4.Run(0, []), 0, 0)


# --- Reading ---------------------------------------------------------------------------------------------------------


def test_reads_back_what_was_written() -> None:
    first, second = boxes.fragments(SEGMENT)
    assert [(run.track, run.start, run.end) for run in second.runs] == [(1, 500_000, 1_000_000), (2, 24_000, 48_000)]
    at, size, _ = first.runs[0].samples[0]
    assert SEGMENT[at : at + size] == b"".join(media().pictures[0].data)
    entries = boxes.sample_entries(SEGMENT)
    assert entries.keys() == {b"vide", b"soun"}
    assert boxes.picture_size(entries[b"vide"]) == (64, 48)


def read(data: bytes) -> None:
    """Everything that reads boxes: answers or raises the one error."""
    for attempt in (
        lambda: list(boxes.fragments(data)),
        lambda: boxes.sample_entries(data),
        lambda: list(boxes.stills(data)),
        lambda: mp4.access_unit(data),
    ):
        try:
            attempt()
        except EvidenceError:
            continue


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BARE) - 1), st.binary(min_size=1, max_size=4))
def test_any_bytes_put_into_a_segment(offset: int, noise: bytes) -> None:
    read(BARE[:offset] + noise + BARE[offset + len(noise) :])


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_each_byte_of_a_segment_changed(mask: int) -> None:
    for offset in range(len(BARE)):
        read(BARE[:offset] + bytes([BARE[offset] ^ mask]) + BARE[offset + 1 :])


def test_each_length_of_a_segment() -> None:
    for length in range(len(BARE)):
        read(BARE[:length])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_boxes_or_refused(data: bytes) -> None:
    read(data)
    for kind in (b"moov", b"moof", b"mdat"):
        read(mp4.box(kind, data))


def test_a_run_that_claims_too_much_is_refused_at_once() -> None:
    at = BARE.index(b"trun") + 8
    with pytest.raises(EvidenceError):
        list(boxes.fragments(BARE[:at] + b"\xff\xff\xff\xff" + BARE[at + 4 :]))
