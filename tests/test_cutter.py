"""Cutting by time and key frame: nothing lost, nothing twice, every fragment where the one before it ends."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.mp4 import BLOCK, AccessUnit
from firmware.capture.cutter import Cutter, Fragment

MS = 1_000_000
FRAME, FRAGMENT, SEGMENT = 40 * MS, 500 * MS, 3_000 * MS


def cutter(start_ns: int = 0) -> Cutter:
    return Cutter(start_ns, FRAGMENT, SEGMENT, FRAME)


def unit(number: int, *, key: bool = False) -> AccessUnit:
    return AccessUnit((number.to_bytes(4, "big"),), key, None, None)


def feed(target: Cutter, pictures: int, *, key_every: int = 25, skip: frozenset[int] = frozenset()) -> list[Fragment]:
    numbers = [number for number in range(pictures) if number not in skip]
    found = [target.picture(unit(number, key=number % key_every == 0), number * FRAME) for number in numbers]
    return [fragment for fragment in [*found, target.flush()] if fragment]


def test_half_a_second_at_any_picture_and_segments_at_key_frames() -> None:
    fragments = feed(cutter(), 200)
    assert all(fragment.to_ns - fragment.from_ns <= FRAGMENT + FRAME for fragment in fragments)
    assert [fragment.frames for fragment in fragments[:6]] == [13, 13, 13, 13, 13, 10]  # a segment's last is shorter
    opening = [fragment for fragment in fragments if fragment.opens_segment]
    assert all(fragment.starts_with_idr for fragment in opening)
    assert [f.from_ns // MS for f in opening] == [0, 3_000, 6_000]
    assert sum(fragment.frames for fragment in fragments) == 200
    assert all(before.to_ns == after.from_ns for before, after in itertools.pairwise(fragments))


def test_a_segment_is_never_longer_than_its_limit() -> None:
    fragments = feed(cutter(), 500, key_every=20)
    edges = [f.from_ns for f in fragments if f.opens_segment] + [fragments[-1].to_ns]
    assert all(after - before <= SEGMENT for before, after in itertools.pairwise(edges))


def test_what_is_there_when_the_button_is_pressed_does_not_wait() -> None:
    target = cutter()
    for number in range(5):
        assert target.picture(unit(number, key=number == 0), number * FRAME) is None
    first = target.hurry()
    assert first is not None
    assert (first.frames, first.to_ns) == (4, 4 * FRAME)
    assert target.picture(unit(5), 5 * FRAME) is None  # the next fragment has its full length again


def test_pictures_that_stop_while_sound_goes_on_are_told_as_drops() -> None:
    """Sound alone cuts fragments without a picture; what the lens owed in them is told there, once."""
    target, packet = cutter(), b"x"
    found = [target.picture(unit(0, key=True), 0), target.picture(unit(1), FRAME)]
    found += [target.sound(packet, number * BLOCK, BLOCK) for number in range(80)]  # 4 s
    found += [target.picture(unit(100, key=True), 100 * FRAME), target.flush()]
    fragments = [fragment for fragment in found if fragment]
    assert sum(fragment.frames for fragment in fragments) == 3
    assert sum(fragment.drops for fragment in fragments) == 98
    alone = [fragment for fragment in fragments if not fragment.frames]
    assert alone
    assert all(abs(f.drops - (f.to_ns - f.from_ns) / FRAME) <= 1 for f in alone)


def test_a_drop_just_before_the_button_is_told_once() -> None:
    target = cutter()
    target.picture(unit(0, key=True), 0)
    target.picture(unit(4), 4 * FRAME)
    hurried = target.hurry()
    assert hurried is not None
    assert hurried.drops == 3


def test_a_single_picture_is_cut_at_the_next() -> None:
    target = cutter()
    target.picture(unit(0, key=True), 0)
    assert target.hurry() is None
    first = target.picture(unit(1), FRAME)
    assert first is not None
    assert (first.frames, first.to_ns) == (1, FRAME)


def test_missing_pictures_are_counted_once_and_shown_longer() -> None:
    fragments = feed(cutter(), 50, skip=frozenset({5, 6, 13}))
    assert sum(fragment.drops for fragment in fragments) == 3
    video = fragments[0].video
    assert video is not None
    assert video.samples[4].duration == 120_000  # microseconds: two pictures are missing after it


def test_the_first_picture_may_come_after_the_ring() -> None:
    target = cutter()
    target.begin(700 * MS)
    target.picture(unit(0, key=True), 690 * MS)
    fragment = target.flush()
    assert fragment is not None
    assert fragment.from_ns == 700 * MS
    assert fragment.video is not None
    assert fragment.video.start == 700_000


def test_sound_goes_on_alone_and_the_picture_comes_back() -> None:
    target = cutter()
    fragments = [target.picture(unit(0, key=True), 0), target.picture(unit(1), FRAME)]
    fragments += [target.sound(b"s", number * BLOCK, BLOCK) for number in range(100)]
    fragments.append(target.picture(unit(2, key=True), 5_050 * MS))
    fragments.append(target.flush())
    found = [fragment for fragment in fragments if fragment]
    assert sum(fragment.samples for fragment in found) == 100 * BLOCK
    assert sum(fragment.frames for fragment in found) == 3
    assert all(before.to_ns == after.from_ns for before, after in itertools.pairwise(found))
    assert any(fragment.video is None for fragment in found)
    edges = [f.from_ns for f in found if f.opens_segment] + [found[-1].to_ns]
    assert all(after - before <= SEGMENT for before, after in itertools.pairwise(edges))


def test_a_picture_that_the_encoder_held_too_long_is_told_as_a_drop_and_not_shown_at_another_time() -> None:
    target = cutter()
    found = [target.picture(unit(number, key=number == 0), number * FRAME) for number in range(10)]
    found += [target.sound(b"s", number * BLOCK, BLOCK) for number in range(38)]  # 1.9 s: sound went on alone
    closed_ns = max(fragment.to_ns for fragment in found if fragment)
    assert closed_ns > 12 * FRAME
    found += [target.picture(unit(number, key=number in (25, 50)), number * FRAME) for number in range(10, 75)]
    found.append(target.flush())
    fragments = [fragment for fragment in found if fragment]
    shown = [(run.start, sample) for f in fragments if (run := f.video) for sample in run.samples]
    numbers = [int.from_bytes(sample.data[0], "big") for _, sample in shown]
    first = next(number for number in (25, 50) if number * FRAME >= closed_ns - FRAME)
    assert numbers == [*range(10), *range(first, 75)], "what refers to a picture that is not there is not there either"
    starts = {run.start: run.samples[0] for f in fragments if (run := f.video)}
    assert all(start == int.from_bytes(s.data[0], "big") * FRAME // 1000 for start, s in starts.items() if start)
    assert sum(fragment.frames + fragment.drops for fragment in fragments) == 75


def test_a_segment_that_sound_began_has_no_picture_before_its_first_key_frame() -> None:
    target = cutter()
    found = [target.picture(unit(0, key=True), 0)]
    found += [target.sound(b"s", number * BLOCK, BLOCK) for number in range(60)]  # 3 s: a segment's limit
    assert any(fragment and fragment.opens_segment for fragment in found[1:])
    found += [target.picture(unit(number, key=number == 80), number * FRAME) for number in range(77, 90)]
    found.append(target.flush())
    fragments = [fragment for fragment in found if fragment]
    assert sum(fragment.frames for fragment in fragments) == 1 + len(range(80, 90))
    assert sum(fragment.frames + fragment.drops for fragment in fragments) == 90


def test_sound_that_is_missing_does_not_shift_what_follows() -> None:
    target = cutter()
    target.picture(unit(0, key=True), 0)
    for start in (0, BLOCK, 4 * BLOCK):  # 100 ms are missing in between
        target.sound(b"s", start, BLOCK)
    fragment = target.flush()
    assert fragment is not None
    assert fragment.sound is not None
    assert [sample.duration for sample in fragment.sound.samples] == [BLOCK, 3 * BLOCK, BLOCK]


def test_sound_from_before_the_part_is_left_out() -> None:
    target = cutter()
    assert target.sound(b"s", -BLOCK, BLOCK) is None
    assert target.flush() is None


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.booleans(), st.booleans()), min_size=1, max_size=120),
    st.integers(0, 1_000),
)
def test_whatever_the_times_nothing_is_lost_or_doubled(steps: list[tuple[int, bool, bool]], start_ms: int) -> None:
    target = cutter(start_ms * MS)
    now, ticks, given_pictures, given_blocks = start_ms * MS, 0, [], []
    found: list[Fragment | None] = []
    for number, (gap_ms, key, with_sound) in enumerate(steps):
        now += gap_ms * MS
        found.append(target.picture(unit(number, key=key or number == 0), now))
        given_pictures.append((number.to_bytes(4, "big"),))
        if with_sound:
            ticks = max(ticks, (now - start_ms * MS) * 48 // MS)
            found.append(target.sound(number.to_bytes(4, "little"), ticks, BLOCK))
            given_blocks.append((number.to_bytes(4, "little"),))
            ticks += BLOCK
    found.append(target.flush())
    fragments = [fragment for fragment in found if fragment]
    assert [s.data for f in fragments if f.video for s in f.video.samples] == given_pictures
    assert [s.data for f in fragments if f.sound for s in f.sound.samples] == given_blocks
    assert all(before.to_ns == after.from_ns for before, after in itertools.pairwise(fragments))
    video = [f.video for f in fragments if f.video]
    for before, after in itertools.pairwise(video):
        end = before.start + sum(sample.duration for sample in before.samples)
        assert end <= after.start
    assert all(f.starts_with_idr or not f.video for f in fragments if f.opens_segment)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from("pkssssssss"), st.integers(1, 1_500)), min_size=1, max_size=150), st.booleans()
)
def test_whatever_stops_no_fragment_is_empty_and_something_is_left_for_a_last_one(
    steps: list[tuple[str, int]], pictures: bool
) -> None:
    target = Cutter(0, FRAGMENT, SEGMENT, FRAME, pictures)
    found: list[Fragment | None] = []
    now, ticks, blocks, frames, alone = 0, 0, 0, 0, False
    for kind, gap_ms in steps:
        if kind == "s":
            ticks += BLOCK if gap_ms < 1_300 else gap_ms * 48
            found.append(target.sound(b"s", ticks, BLOCK))
            alone |= found[-1] is not None
            blocks += 1
        elif pictures:
            now = max(now + gap_ms * MS, ticks * MS // 48 - 80 * MS)  # the encoder is behind the sound
            found.append(target.picture(unit(frames, key=alone or kind == "k"), now))
            frames, alone = frames + 1, False
    last = target.flush()
    fragments = [fragment for fragment in [*found, last] if fragment]
    assert last is not None or not (frames or blocks)
    assert all(fragment.frames or fragment.samples for fragment in fragments)
    assert sum(fragment.frames for fragment in fragments) == frames
    assert sum(fragment.samples for fragment in fragments) == blocks * BLOCK
    assert all(before.to_ns == after.from_ns for before, after in itertools.pairwise(fragments))
    assert all(fragment.from_ns <= fragment.to_ns for fragment in fragments)
