"""Sound stays with the picture over a whole shift, whatever the sound card's clock does within its bounds."""

from __future__ import annotations

import random

import pytest

from evidence.mp4 import BLOCK
from firmware.capture.sound_clock import SoundClock

HOUR_BLOCKS = 72_000
TICK_NS = 1e9 / 48_000


@pytest.mark.long
@pytest.mark.parametrize("ppm", [-100, 0, 100])
@pytest.mark.parametrize("jitter_ms", [0.0, 2.0])
def test_nine_hours_stay_within_a_millisecond(ppm: int, jitter_ms: float) -> None:
    chance = random.Random(ppm)
    clock = SoundClock(1_000_000_000)
    length_ns = BLOCK * TICK_NS * (1 + ppm / 1e6)
    worst = 0.0
    end = None
    for number in range(9 * HOUR_BLOCKS):
        true_ns = 1_000_000_000 + number * length_ns
        start, duration = clock.place(int(true_ns + chance.uniform(-jitter_ms, jitter_ms) * 1e6 * (number > 0)))
        assert end is None or start == end, "blocks touch"
        assert abs(duration - BLOCK) <= 1
        end = start + duration
        worst = max(worst, abs(1_000_000_000 + start * TICK_NS - true_ns))
    assert worst < 1_000_000
    assert clock.jumps == 0


def test_missing_sound_leaves_a_hole_of_its_length() -> None:
    clock = SoundClock(0)
    for number in range(10):
        clock.place(number * 50_000_000)
    assert clock.place(10 * 50_000_000 + 1_500_000_000) == (96_000, BLOCK)  # 2 s at 48 kHz
    assert clock.jumps == 1


@pytest.mark.parametrize("lost_ms", [40, 100, 300, 900])
def test_less_than_a_second_of_missing_sound_is_found_within_a_second(lost_ms: int) -> None:
    chance = random.Random(lost_ms)
    clock = SoundClock(0)
    for number in range(200):
        true_ns = number * 50_000_000 + lost_ms * 1_000_000 * (number >= 100)
        start, _ = clock.place(true_ns + chance.randrange(2_000_000))
        if not 100 <= number < 120:
            assert abs(start * TICK_NS - true_ns) < 4_000_000
    assert clock.jumps == 1


@pytest.mark.parametrize("late_ms", [150, 300, 900])
def test_blocks_that_are_told_late_and_then_all_at_once_are_no_hole(late_ms: int) -> None:
    clock = SoundClock(0)
    for number in range(2_000):
        true_ns = number * 50_000_000
        held_until_ns = 100 * 50_000_000 + late_ms * 1_000_000
        start, _ = clock.place(max(true_ns, held_until_ns) if number >= 100 else true_ns)
        assert abs(start * TICK_NS - true_ns) < 10_000_000
    assert clock.jumps == 0


def test_a_busy_board_for_half_an_hour_leaves_the_sound_where_it_belongs() -> None:
    """As a long run on a busy machine had it: blocks held up to 0.4 s, now and then, and two real losses."""
    chance = random.Random(30)
    clock = SoundClock(0)
    told_ns, lost_ns = 0, 0
    for number in range(36_000):
        if number in (9_000, 20_000):
            lost_ns += 120_000_000
        true_ns = number * 50_000_000 + lost_ns
        late_ns = chance.randrange(400_000_000) if chance.random() < 0.01 else chance.randrange(3_000_000)
        told_ns = max(told_ns, true_ns + late_ns)  # none overtakes another
        start, _ = clock.place(told_ns)
        if not any(at <= number < at + 40 for at in (9_000, 20_000)):
            assert abs(start * TICK_NS - true_ns) < 20_000_000
    assert clock.jumps == 2


def test_sound_from_before_the_part_stands_before_it() -> None:
    assert SoundClock(100_000_000).place(0) == (-4_800, BLOCK)
