"""A sound at another sample rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def resample(samples: NDArray[np.int16], rate: int, wanted_rate: int) -> NDArray[np.int16]:
    """Bring a whole sound (mono, rates in Hz) to another rate, band-limited.

    It is taken for cyclic: one that begins and ends in silence has nothing to fear of that, another a click's length.
    """
    count = samples.size * wanted_rate // rate
    if not count:
        return samples[:0]
    spectrum = np.fft.rfft(samples)
    resampled = np.fft.irfft(spectrum[: count // 2 + 1], count) * (count / samples.size)
    return np.clip(np.rint(resampled), -32_768, 32_767).astype(np.int16)
