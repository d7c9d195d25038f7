"""A part: ring and live, sound before picture, a changed encoder, sound alone."""

from __future__ import annotations

import itertools

import pytest

from evidence import boxes
from firmware.capture.part import EncoderChangedError, Format, Part
from firmware.capture.writer import CloseSegment, Job, WriteFragment
from firmware.hal.ports import Frame
from tests.camera_rig import BLOCK, FRAGMENT, FRAME, MS, PPS, SEGMENT, SPS, START, picture

OTHER_SPS = bytes.fromhex("6742c01ed9005005bb0110000003001000000303c0f162e480")
FORM = Format(640, 480, FRAME, FRAGMENT, SEGMENT, bytes(34))


def part(first_segment: int = 0) -> Part:
    return Part("9f9f9f9f-1", 1, first_segment, FORM, lambda boot_ns: 1_777_000_000_000 + boot_ns // MS)


def frames(first: int, last: int, sps: bytes = SPS) -> list[Frame]:
    numbers = range(first, last)
    return [Frame(picture(n, key=n % 10 == 0, sps=sps), n * FRAME, n % 10 == 0) for n in numbers]


def written(jobs: list[Job]) -> list[WriteFragment]:
    return [job for job in jobs if isinstance(job, WriteFragment)]


def test_live_alone() -> None:
    one = part()
    jobs = [job for frame in frames(0, 53) for job in one.picture(frame)] + one.finish()
    fragments = written(jobs)
    assert [f.place.sequence for f in fragments] == list(range(1, len(fragments) + 1))
    assert sum(f.fragment.frames for f in fragments) == 53
    opened = [f.place.segment for f in fragments if f.init]
    assert opened == [0, 1, 2]
    assert [job.segment for job in jobs if isinstance(job, CloseSegment)] == opened
    assert one.next_segment == 3
    assert fragments[0].utc_ms == 1_777_000_000_000
    init = fragments[0].init
    assert init is not None
    assert len(boxes.sample_entries(init)) == 2


def test_the_ring_becomes_the_first_segments_and_live_goes_on_where_it_ends() -> None:
    one = part()
    before = one.pre_event(frames(0, 30), 30 * FRAME)
    live = [job for frame in frames(30, 60) for job in one.picture(frame)] + one.finish()
    assert one.start_ns == 0
    ring, fresh = written(before), written(live)
    assert isinstance(before[-1], CloseSegment)
    assert {f.place.segment for f in ring}.isdisjoint({f.place.segment for f in fresh})
    spans = [(f.fragment.from_ns, f.fragment.to_ns) for f in ring + fresh]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    assert fresh[0].init is not None
    assert fresh[0].fragment.starts_with_idr
    assert fresh[0].fragment.from_ns == 30 * FRAME


def test_sound_before_the_first_picture_belongs_to_the_part() -> None:
    one = part()
    jobs = [job for n in range(4) for job in one.sound(b"s", n * BLOCK)]
    assert jobs == []
    jobs = [job for frame in frames(10, 20) for job in one.picture(frame)] + one.finish()
    assert one.start_ns == 0
    assert sum(f.fragment.samples for f in written(jobs)) == 4 * 2_400
    assert written(jobs)[0].fragment.from_ns == 0


def test_sound_alone_begins_after_a_moment_and_the_picture_needs_a_new_part() -> None:
    one = part()
    jobs = [job for n in range(80) for job in one.sound(b"s", n * BLOCK)]
    assert written(jobs)[0].fragment.from_ns == 0
    assert all(f.fragment.frames == 0 for f in written(jobs))
    init = written(jobs)[0].init
    assert init is not None
    assert len(boxes.sample_entries(init)) == 1
    with pytest.raises(EncoderChangedError):
        one.picture(frames(40, 41)[0])
    samples = sum(f.fragment.samples for f in written(jobs + one.finish()))
    assert samples == 80 * 2_400


def test_another_encoder_configuration_needs_a_new_part() -> None:
    one = part()
    jobs = [job for frame in frames(0, 10) for job in one.picture(frame)]
    with pytest.raises(EncoderChangedError):
        one.picture(frames(10, 11, sps=OTHER_SPS)[0])
    assert sum(f.fragment.frames for f in written(jobs + one.finish())) == 10


def test_nothing_is_kept_until_a_key_frame_comes() -> None:
    one = part()
    assert [job for frame in frames(5, 10) for job in one.picture(frame)] == []
    assert one.start_ns is None
    assert one.finish() == []


def test_parameter_sets_stand_in_the_init_and_not_in_the_samples() -> None:
    one = part()
    jobs = [job for frame in frames(0, 10) for job in one.picture(frame)] + one.finish()
    video = written(jobs)[0].fragment.video
    assert video is not None
    assert START + SPS not in b"".join(video.samples[0].data)
    init = written(jobs)[0].init
    assert init is not None
    assert SPS in init
    assert PPS in init
    assert one.last_ns == 10 * FRAME


def test_pictures_before_the_first_key_frame_are_told_as_drops() -> None:
    """A recording that begins right after another has no ring: its sound is there before it can show anything."""
    one = part()
    first = 3  # of ten until the key frame
    assert one.picture(frames(first - 1, first)[0]) == []  # before the part: not its picture
    one.sound(b"x", first * FRAME - 1)
    jobs = [job for frame in frames(first, 30) for job in one.picture(frame)] + one.finish()
    fragments = [job.fragment for job in written(jobs)]
    assert fragments[0].from_ns == first * FRAME - 1
    assert sum(fragment.frames for fragment in fragments) == 20
    assert sum(fragment.drops for fragment in fragments) == 10 - first
