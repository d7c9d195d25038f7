"""What the wearer may have forgotten: to start, to stop, to rest, to hand in (rules 12, 19). Pure: time is a fact."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import Look, SoundBlock

_MINUTE_NS = 60_000_000_000
_FULL_SCALE = 32_768.0
_SILENCE_DBFS = -96.0  # what 16 bits can tell
_LOOKS = 120  # a minute of two a second
_BLOCKS = 1_200  # a minute of 50 ms each
_TILE = 8  # pixels
_LOUD_PERCENTILE = 90  # loud for six seconds of a minute is not silent


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When something counts as forgotten."""

    start_minutes: int = 5  # moving for so long without a recording
    stop_minutes: int = 20  # still and silent for so long in a recording
    shift_hours: int = 9  # of one recording
    hand_in_hours: int = 24  # since the end of what was recorded (rule 19)
    repeat_minutes: int = 10
    walking_mps: float = 0.8
    moving_levels: float = 6.0  # `Surroundings.motion_levels`: a worn camera that walks has 12, a street seen from a
    still_levels: float = 1.0  # post 3, a noisy picture of nothing that moves 0.4
    silent_dbfs: float = -45.0


@dataclass(frozen=True, slots=True)
class Facts:
    """How things stand, and what the last minute was like. None: not known."""

    boot_ns: int  # now
    assigned: bool  # to an officer
    docked: bool
    recording_from_ns: int | None  # when the open recording began or was resumed in this boot; None: there is none
    speed_mps: float | None = None  # over ground
    motion_levels: float | None = None  # as `Surroundings` tells it
    loudness_dbfs: float | None = None  # as `Surroundings` tells it
    utc_ms: int | None = None  # now, by a clock that was set
    held_since_ms: int | None = None  # UTC at which the oldest segment ended that has no receipt yet


class Reminders:
    """Asked once a minute; answers with keys of prompts."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._limits = thresholds or Thresholds()
        self._since: dict[str, int] = {}  # what holds, and since when
        self._told: dict[str, int] = {}
        self._long_from_ns: int | None = None  # the recording whose length was told
        self._overdue_told = False

    def tick(self, facts: Facts) -> tuple[str, ...]:
        """What to say now; each prompt at most every `repeat_minutes`."""
        due = tuple(key for key in self._due(facts) if self._rested(key, facts.boot_ns))
        self._told.update(dict.fromkeys(due, facts.boot_ns))
        return due

    def _due(self, facts: Facts) -> Iterator[str]:
        limits = self._limits
        idle = facts.recording_from_ns is None
        forgot_start = idle and facts.assigned and not facts.docked and self._moving(facts)
        if self._lasts("not_recording", forgot_start, limits.start_minutes, facts.boot_ns):
            yield "not_recording"
        if self._lasts("forgotten_stop", not idle and self._at_rest(facts), limits.stop_minutes, facts.boot_ns):
            yield "forgotten_stop"
        if self._long(facts):
            yield "shift_long"
        if self._overdue(facts):
            yield "hand_in_overdue"

    def _lasts(self, key: str, holds: bool, minutes: int, now_ns: int) -> bool:
        if not holds:
            self._since.pop(key, None)
            return False
        return now_ns - self._since.setdefault(key, now_ns) >= minutes * _MINUTE_NS

    def _rested(self, key: str, now_ns: int) -> bool:
        return key not in self._told or now_ns - self._told[key] >= self._limits.repeat_minutes * _MINUTE_NS

    def _moving(self, facts: Facts) -> bool:
        speed, motion = facts.speed_mps, facts.motion_levels
        walking = speed is not None and speed >= self._limits.walking_mps
        return walking or (motion is not None and motion >= self._limits.moving_levels)

    def _at_rest(self, facts: Facts) -> bool:
        """Still, as far as anything tells, and silent. Where nothing tells, nothing is claimed."""
        limits = self._limits
        told = [
            value < limit
            for value, limit in ((facts.speed_mps, limits.walking_mps), (facts.motion_levels, limits.still_levels))
            if value is not None
        ]
        silent = facts.loudness_dbfs is not None and facts.loudness_dbfs < limits.silent_dbfs
        return silent and bool(told) and all(told)

    def _long(self, facts: Facts) -> bool:
        """Once for a recording: later the sentence would no longer be true."""
        begun = facts.recording_from_ns
        if begun is None or begun == self._long_from_ns:
            return False
        if facts.boot_ns - begun < self._limits.shift_hours * 60 * _MINUTE_NS:
            return False
        self._long_from_ns = begun
        return True

    def _overdue(self, facts: Facts) -> bool:
        """Once after switch-on, as soon as the clock is set; in a dock it is being mended."""
        if self._overdue_told or facts.docked or facts.utc_ms is None or facts.held_since_ms is None:
            return False
        self._overdue_told = facts.utc_ms - facts.held_since_ms > self._limits.hand_in_hours * 3_600_000
        return self._overdue_told


class Surroundings:
    """How much moved and sounded around the camera in the last minute. Looks and blocks may come in any thread.

    What is older than a minute is no longer told, whether or not something newer came.
    """

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._changes: deque[tuple[int, float]] = deque(maxlen=_LOOKS)
        self._powers: deque[tuple[int, float]] = deque(maxlen=_BLOCKS)

    def see(self, look: Look) -> None:
        """Take the next small picture. Noise and a lamp that is switched on move nothing: tiles, less their mean."""
        luma = _tiles(look.luma)
        luma -= luma.mean()
        if self._before is not None and self._before.shape == luma.shape:
            self._changes.append((look.boot_ns, float(np.abs(luma - self._before).mean())))
        self._before = luma

    def hear(self, block: SoundBlock) -> None:
        """Take the next block of sound."""
        samples = np.frombuffer(block.pcm, np.int16).astype(np.float32)
        self._powers.append((block.boot_ns, float(samples @ samples) / max(samples.size, 1)))

    def motion_levels(self, now_ns: int) -> float | None:
        """Median change of luma from one look to the next, 0 to 255; None without pictures."""
        changes = _of_last_minute(self._changes, now_ns)
        return float(np.median(changes)) if changes else None

    def loudness_dbfs(self, now_ns: int) -> float | None:
        """Loudness in decibels below full scale, as it is exceeded in a tenth of the time; None without sound."""
        powers = _of_last_minute(self._powers, now_ns)
        if not powers:
            return None
        power = float(np.percentile(powers, _LOUD_PERCENTILE)) / _FULL_SCALE**2
        return max(10 * float(np.log10(power)), _SILENCE_DBFS) if power > 0 else _SILENCE_DBFS


def _of_last_minute(values: deque[tuple[int, float]], now_ns: int) -> list[float]:
    return [value for at_ns, value in values.copy() if now_ns - at_ns < _MINUTE_NS]


def _tiles(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The means of square tiles."""
    rows, columns = (size // _TILE for size in luma.shape)
    whole = luma[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
    means: NDArray[np.float32] = whole.mean(axis=(1, 3), dtype=np.float32)
    return means
