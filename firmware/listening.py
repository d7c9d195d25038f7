"""What the microphone heard lately: kept for a minute, to look for the notice and for an answer."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import SoundBlock

RATE = 48_000
_KEEP_BLOCKS = 1_200  # a minute of 50 ms blocks
_ABOVE_FLOOR = 4.0  # twelve decibels: a voice at the chest against what the room had before
_LEAST_BLOCKS = 12  # 0.6 s: the shortest reason worth the name


class Hearing:
    """The last minute of sound, with each block's loudness."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, NDArray[np.int16], float]] = deque(maxlen=_KEEP_BLOCKS)

    def add(self, block: SoundBlock) -> None:
        """Take the next block."""
        samples = np.frombuffer(block.pcm, np.int16)
        level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
        self._blocks.append((block.boot_ns, samples, level))

    @property
    def latest_ns(self) -> int:
        """Boot time of the newest block; 0 if nothing was heard yet."""
        return self._blocks[-1][0] if self._blocks else 0

    def span(self, from_ns: int, to_ns: int) -> tuple[NDArray[np.int16], int]:
        """The sound between two boot times, and the boot time of its first sample (`from_ns` if there is none)."""
        found = [(at, samples) for at, samples, _ in self._blocks if from_ns <= at < to_ns]
        if not found:
            return np.empty(0, np.int16), from_ns
        return np.concatenate([samples for _, samples in found]), found[0][0]

    def spoken(self, from_ns: int, to_ns: int) -> bool:
        """Whether something clearly louder than the room's floor was said between two boot times.

        A judgement of loudness, no recognition of speech: the record calls it `speech_followed`, and the sound itself
        is the record of what was said.
        """
        levels = [level for at, _, level in self._blocks if at < to_ns]
        if not levels:
            return False
        floor = max(float(np.percentile(levels, 10)), 1.0)
        loud = [level for at, _, level in self._blocks if from_ns <= at < to_ns and level > _ABOVE_FLOOR * floor]
        return len(loud) >= _LEAST_BLOCKS
