"""Joining: no picture or sample lost or doubled at a boundary, gaps collapsed and mapped, cut segments played."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import age, boxes, join, mp4
from evidence.errors import EvidenceError
from evidence.join import Joiner, PartSource, Placed
from tests.evidence_builder import Camera
from tests.evidence_keys import identity
from tests.evidence_media import media, media_fragment, media_init

HALF_SECOND_US = 500_000


def segment(first: int, count: int = 1) -> bytes:
    return media_init() + b"".join(media_fragment(first + n, n, 0) for n in range(count)) + mp4.TRAILER


def joined(*parts: list[bytes]) -> tuple[bytes, list[Placed]]:
    joiner = Joiner([segments[0] for segments in parts])
    film = joiner.header
    for number, segments in enumerate(parts, 1):
        film += b"".join(joiner.part(PartSource(number, segments)))
    return film, joiner.placed


def runs(film: bytes, track: int) -> list[tuple[int, int]]:
    return [(run.start, run.end) for found in boxes.fragments(film) for run in found.runs if run.track == track]


def test_segments_of_a_part_touch() -> None:
    film, placed = joined([segment(0, 2), segment(2), segment(3, 2)])
    video = runs(film, mp4.VIDEO_TRACK)
    assert video == [(n * HALF_SECOND_US, (n + 1) * HALF_SECOND_US) for n in range(5)]
    assert runs(film, mp4.SOUND_TRACK) == [(n * 24_000, (n + 1) * 24_000) for n in range(5)]
    assert placed == [Placed(1, 0, 5 * HALF_SECOND_US)]


def test_a_gap_collapses_and_is_in_the_map() -> None:
    film, placed = joined([segment(0, 3)], [segment(0, 2)])
    assert placed == [Placed(1, 0, 1_500_000), Placed(2, 1_500_000, 2_500_000)]
    assert [start for start, _ in runs(film, mp4.VIDEO_TRACK)] == [n * HALF_SECOND_US for n in range(5)]
    numbers = [int.from_bytes(film[f.sequence_at : f.sequence_at + 4], "big") for f in boxes.fragments(film)]
    assert numbers == [1, 2, 3, 4, 5]


def test_padding_is_left_out() -> None:
    film, _ = joined([segment(0, 2)])
    assert [box.kind for box in boxes.boxes(film)] == [b"ftyp", b"moov", *[b"moof", b"mdat"] * 2]


def test_stills_are_left_out_and_change_no_time() -> None:
    with_still = media_init() + media_fragment(0, 0, 0, mp4.still(1, media().still)) + media_fragment(1, 1, 0)
    film, placed = joined([with_still, segment(2)])
    assert (film, placed) == joined([segment(0, 2), segment(2)])


def test_parts_of_different_encoders_keep_their_own_entry() -> None:
    other = mp4.VideoConfig(media().video.sps, media().video.pps + b"\x80", 64, 48)
    second = mp4.init(other, media().streaminfo, 0) + media_fragment(0, 0, 0)
    film, _ = joined([segment(0)], [second], [segment(0)])
    entries = [
        int.from_bytes(film[r.entry_at : r.entry_at + 4], "big") for f in boxes.fragments(film) for r in f.runs[:1]
    ]
    assert entries == [1, 2, 1]


def test_a_part_with_sound_alone() -> None:
    sound = mp4.Run(0, [mp4.Sample((block,), mp4.BLOCK) for block in media().blocks])
    alone = mp4.init(None, media().streaminfo, 0) + b"".join(mp4.fragment(1, None, sound, 0, 0))
    film, placed = joined([segment(0)], [alone])
    assert placed == [Placed(1, 0, HALF_SECOND_US), Placed(2, HALF_SECOND_US, 1_500_000)]
    assert boxes.sample_entries(film).keys() == {b"vide", b"soun"}


@pytest.mark.parametrize("cut", [0, 1, 100, 5_000, 65_536])
def test_a_cut_segment_plays_up_to_its_last_whole_fragment(cut: int) -> None:
    whole = media_init() + media_fragment(0, 0, 0)
    film, placed = joined([whole + media_fragment(1, 1, 0)[:cut]])
    assert len(runs(film, mp4.VIDEO_TRACK)) == (2 if cut == 65_536 else 1)
    assert placed[0].play_to_us == len(runs(film, mp4.VIDEO_TRACK)) * HALF_SECOND_US


def test_ffmpeg_decodes_a_recording_with_a_power_cut(tmp_path: Path) -> None:
    camera = Camera()
    camera.boot()
    camera.start()
    camera.segment(fragments=2)
    camera.segment(cut=True)
    camera.resume()
    camera.segment(fragments=2)
    camera.stop()
    plains = [
        age.open_file(camera.files[name], identity("office")).plain for name in sorted(camera.files) if ".age" in name
    ]
    film, placed = joined(plains[:2], plains[2:])
    assert placed[-1].play_to_us == 5 * HALF_SECOND_US
    (tmp_path / "film.mp4").write_bytes(film)
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", "film.mp4", "-map", "0", "-f", "framemd5", "-"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, text=True)
    assert done.stderr == ""
    rows = [line.split(",") for line in done.stdout.splitlines() if not line.startswith("#")]
    assert [sum(row[0] == track for row in rows) for track in ("0", "1")] == [50, 50]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_behind_a_segment(noise: bytes) -> None:
    data = segment(0) + noise
    assert data.startswith(bytes(join.whole_boxes(data)))
    with contextlib.suppress(EvidenceError):
        joined([data])
