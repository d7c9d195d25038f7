"""What the microphone heard lately: spans for the notice, loudness for an answer."""

from __future__ import annotations

import numpy as np

from firmware.hal.ports import SoundBlock
from firmware.listening import Hearing

BLOCK_NS = 50_000_000
SECOND = 20  # blocks


def hear(hearing: Hearing, first: int, count: int, level: float) -> None:
    chance = np.random.default_rng(first)
    for number in range(first, first + count):
        samples = np.clip(chance.normal(0, level, 2_400), -32768, 32767).astype("<i2")
        hearing.add(SoundBlock(samples.tobytes(), number * BLOCK_NS))


def test_an_answer_is_louder_than_the_room() -> None:
    hearing = Hearing()
    hear(hearing, 0, 10 * SECOND, 100)
    hear(hearing, 10 * SECOND, 2 * SECOND, 2_000)
    hear(hearing, 12 * SECOND, 3 * SECOND, 100)
    assert hearing.spoken(10 * SECOND * BLOCK_NS, 15 * SECOND * BLOCK_NS)
    assert not hearing.spoken(12 * SECOND * BLOCK_NS, 15 * SECOND * BLOCK_NS)
    assert not hearing.spoken(0, 10 * SECOND * BLOCK_NS)


def test_a_door_is_no_answer() -> None:
    hearing = Hearing()
    hear(hearing, 0, 10 * SECOND, 100)
    hear(hearing, 10 * SECOND, 4, 20_000)
    hear(hearing, 10 * SECOND + 4, 5 * SECOND, 100)
    assert not hearing.spoken(10 * SECOND * BLOCK_NS, 15 * SECOND * BLOCK_NS)


def test_noise_throughout_is_no_answer_and_neither_is_silence() -> None:
    hearing = Hearing()
    assert not hearing.spoken(0, 1)
    hear(hearing, 0, 20 * SECOND, 3_000)
    assert not hearing.spoken(10 * SECOND * BLOCK_NS, 20 * SECOND * BLOCK_NS)
    silence = Hearing()
    for number in range(10 * SECOND):
        silence.add(SoundBlock(bytes(4_800), number * BLOCK_NS))
    assert not silence.spoken(0, 10 * SECOND * BLOCK_NS)


def test_an_empty_block_is_no_failure() -> None:
    hearing = Hearing()
    hearing.add(SoundBlock(b"", 7))
    assert hearing.latest_ns == 7
    assert not hearing.spoken(0, 10)


def test_a_span_is_whole_blocks_and_is_forgotten_after_a_minute() -> None:
    hearing = Hearing()
    hear(hearing, 0, 100 * SECOND, 100)
    sound, first_ns = hearing.span(90 * SECOND * BLOCK_NS, 92 * SECOND * BLOCK_NS)
    assert (sound.size, first_ns) == (2 * 48_000, 90 * SECOND * BLOCK_NS)
    sound, first_ns = hearing.span(0, 10 * SECOND * BLOCK_NS)
    assert (sound.size, first_ns) == (0, 0)
    assert hearing.latest_ns == (100 * SECOND - 1) * BLOCK_NS
