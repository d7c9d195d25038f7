"""The matched filter that looks for a known sound in what the microphone heard, in the band of speech."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Signal = NDArray[np.float64]

RATE = 8_000
_BAND_HERTZ = (300, 3_400)
_TILT = 0.5  # speech falls off with frequency: lifted by 3 dB an octave, low noise does not drown the rest of it


def speech_band(samples: NDArray[np.int16], rate: int) -> Signal:
    """Bring a sound to 8 kHz, speech band only, tilted."""
    unit = rate // math.gcd(rate, RATE)
    samples = samples[: samples.size // unit * unit]  # or the whole would be stretched by a part of a sample
    count = samples.size * RATE // rate
    if count == 0:
        return np.zeros(0)
    spectrum = np.fft.rfft(samples.astype(np.float64))[: count // 2 + 1]
    hertz = np.arange(spectrum.size) * (rate / samples.size)
    low, high = _BAND_HERTZ
    spectrum *= np.where((hertz >= low) & (hertz <= high), np.maximum(hertz, 1.0) ** _TILT, 0.0)
    return np.fft.irfft(spectrum, count)


def correlations(signal: Signal, template: Signal, cuts: Sequence[int]) -> Signal:
    """Return the normalised correlation, -1 to 1, of each slice of the template at each place in the signal.

    A slice lies between two `cuts`; a place is that of the whole template. The signal must be the longer one.
    """
    length = 1 << (signal.size + template.size - 1).bit_length()
    spectrum = np.fft.rfft(signal, length)
    energy = np.concatenate([np.zeros(1), np.cumsum(signal**2)])
    places = signal.size - template.size + 1
    tracks = []
    for start, end in itertools.pairwise(cuts):
        part = template[start:end]
        product = np.fft.irfft(spectrum * np.conj(np.fft.rfft(part, length)), length)[start : start + places]
        heard = energy[end : end + places] - energy[start : start + places]
        # Digital silence correlates with nothing; without a floor, rounding errors would be divided by nearly zero.
        floor = 1e-9 * float(energy[-1])
        tracks.append(product / np.sqrt(np.maximum(heard, floor) * float(part @ part)))
    return np.array(tracks)
