"""The pre-event ring: whole groups of pictures, bounded in time and in bytes."""

from __future__ import annotations

from firmware.capture.ring import Ring
from firmware.hal.ports import Frame

SECOND = 1_000_000_000


def fill(ring: Ring, groups: int, size: int = 10) -> None:
    for number in range(groups * 10):
        ring.add(Frame(bytes(size), number * SECOND // 10, number % 10 == 0))


def test_it_holds_at_least_its_span_and_at_most_a_group_more() -> None:
    ring = Ring(3, 1 << 20)
    fill(ring, 20)
    before, live = ring.take()
    assert live[0].keyframe
    assert live[0].boot_ns == 19 * SECOND
    held = live[-1].boot_ns - before[0].boot_ns
    assert 3 * SECOND - SECOND // 10 <= held < 4 * SECOND
    assert before[0].keyframe


def test_it_is_bounded_in_bytes_and_keeps_the_newest_group() -> None:
    ring = Ring(60, 250)
    fill(ring, 20)
    before, live = ring.take()
    assert sum(len(frame.data) for frame in before + live) <= 250
    ring = Ring(60, 5)
    fill(ring, 20)
    before, live = ring.take()
    assert before == []
    assert len(live) == 10


def test_nothing_can_be_decoded_before_the_first_key_frame() -> None:
    ring = Ring(3, 1 << 20)
    ring.add(Frame(b"x", 0, keyframe=False))
    assert ring.take() == ([], [])


def test_a_ring_of_no_seconds_gives_the_group_that_goes_on() -> None:
    ring = Ring(0, 1 << 20)
    fill(ring, 5)
    before, live = ring.take()
    assert before == []
    assert live[0].boot_ns == 4 * SECOND


def test_taking_empties_it() -> None:
    ring = Ring(3, 1 << 20)
    fill(ring, 5)
    ring.take()
    assert ring.take() == ([], [])
