"""Where each block of sound stands on the boot clock.

A sound card's clock is off by up to 100 ppm: 1.6 s in nine hours. Blocks keep their 2,400 samples; their durations are
stretched or shrunk by at most one tick, so that sound follows the boot clock and stays with the picture. Callback times
jitter by milliseconds, so the error is smoothed before it steers.

A block may be told late, by hundreds of milliseconds on a busy board, and those behind it then come all the faster;
none is ever told early. So sound is missing where every block of a second was late, by as much as the least of them.
"""

from __future__ import annotations

from collections import deque

from evidence.mp4 import BLOCK, SOUND_TIMESCALE

_SMOOTHING = 64  # blocks: 3.2 s
_WINDOW = 20  # blocks: a second
_JITTER_TICKS = SOUND_TIMESCALE * 3 // 100  # 30 ms
_GONE_TICKS = SOUND_TIMESCALE  # a second: the driver has opened the device anew, and nothing comes faster behind it


class SoundClock:
    """Places blocks on a part's time line, in ticks of 1/48,000 s since the part's start."""

    def __init__(self, part_start_ns: int) -> None:
        self._start_ns = part_start_ns
        self._next: int | None = None
        self._error = 0.0
        self._late: deque[int] = deque(maxlen=_WINDOW)  # by how much the last blocks were later than they stand
        self.jumps = 0  # places where sound is missing, since the start

    def place(self, boot_ns: int) -> tuple[int, int]:
        """Start and duration in ticks of the block whose first sample was taken about `boot_ns`."""
        measured = (boot_ns - self._start_ns) * SOUND_TIMESCALE // 1_000_000_000
        if self._next is None:
            self._next = measured
        error = measured - self._next
        self._late.append(error)
        missing = error if error > _GONE_TICKS else min(self._late) if len(self._late) == _WINDOW else 0
        if missing > _JITTER_TICKS:
            self.jumps += 1
            self._next, self._error, error = self._next + missing, 0.0, 0
            self._late.clear()
        self._error += (max(-_JITTER_TICKS, min(error, _JITTER_TICKS)) - self._error) / _SMOOTHING
        step = 1 if self._error > 1 else -1 if self._error < -1 else 0
        self._error -= step  # what is mended now must not be mended again while the average still remembers it
        duration = BLOCK + step
        start = self._next
        self._next += duration
        return start, duration
