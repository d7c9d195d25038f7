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
    assert clock.place(10 * 50_000_000 + 700_000_000) == (57_600, BLOCK)  # 1.2 s at 48 kHz
    assert clock.jumps == 1


def test_a_late_block_is_no_hole() -> None:
    clock = SoundClock(0)
    clock.place(0)
    assert clock.place(50_000_000 + 150_000_000)[0] == BLOCK
    assert clock.jumps == 0


def test_sound_from_before_the_part_stands_before_it() -> None:
    assert SoundClock(100_000_000).place(0) == (-4_800, BLOCK)
