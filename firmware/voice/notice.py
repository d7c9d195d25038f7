"""Was the notice of rule 11 heard? The microphone's sound is searched for the very sentence the loudspeaker played.

A matched filter in the band of speech: the notice is cut into slices, each is correlated with the recording, and the
correlations, moved back by the slices' places, are added up. Where their sum is greatest the notice lies; each slice's
own value there tells whether that part of the sentence was audible. A slice may lie 1 ms off, which is more than a
sound card wrong by 100 ppm moves it, and each is short enough not to be smeared by that.

Measured with the shipped notice and prompts; noise as loud as the notice (0 dB) unless stated; the score, then the
weakest slice:

| what the microphone heard                                               | score       | weakest slice |
|-------------------------------------------------------------------------|-------------|---------------|
| notice, clean or ±100 ppm                                               | 0.97 – 1.00 | 0.93 – 1.00   |
| notice and white noise, traffic, other voices                           | 0.57 – 0.69 | 0.25 – 0.51   |
| the same with reverberation (0.4 s, as loud as the voice) or a loudspeaker without bass | 0.41 – 0.51 | 0.17 – 0.40 |
| notice and white noise or traffic twice as loud (-6 dB)                 | 0.34 – 0.45 | 0.22 – 0.28   |
| white noise, traffic, other voices, no notice (loudspeaker muted)       | ≤ 0.09      | ≤ 0.03        |
| any other prompt, any officer's answer                                  | ≤ 0.09      | ≤ 0.03        |
| half of the notice, or its first or last second missing                 | 0.47 – 0.87 | ≤ 0.02        |

A hole of three quarters of a second in the middle of the sentence is not told from a loud moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firmware.voice import matching

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Signal = NDArray[np.float64]

RECORDING_RATE = 48_000
_SLICES = 8
_SMOOTHING_SECONDS = 0.02
_LOUDNESS_POWER = 0.35  # of the energy: slices of equal loudness are cut, else all of a quiet ending is in one slice
_TOLERANCE = 8  # samples
_WINDOW = 2 * _TOLERANCE + 1
_SCORE_HEARD = 0.20
_SLICE_HEARD = 0.12


@dataclass(frozen=True, slots=True)
class NoticeFinding:
    """What was found: `score` 0 to 1, the mean correlation of the slices; the notice's place in 48 kHz samples."""

    score: float
    offset_samples: int
    slices_heard: int
    heard: bool  # the whole sentence was audible


def find(recording: NDArray[np.int16], notice: NDArray[np.int16], notice_rate: int) -> NoticeFinding:
    """Look for `notice` (mono, `notice_rate` Hz) in `recording` (mono, 48 kHz), which must be the longer one.

    It takes 0.15 s of CPU for ten seconds on a small server's core. Rule article 11.
    """
    signal = matching.speech_band(recording, RECORDING_RATE)
    template = matching.speech_band(notice, notice_rate)
    if signal.size < template.size or not signal.any():
        return NoticeFinding(0.0, 0, 0, heard=False)
    tracks = matching.correlations(signal, template, _cuts(template))
    nearby = np.lib.stride_tricks.sliding_window_view(
        np.pad(tracks, ((0, 0), (_TOLERANCE, _TOLERANCE))), _WINDOW, axis=1
    )
    greatest = nearby.max(axis=2)
    place = int(greatest.sum(axis=0).argmax())
    values = greatest[:, place]
    shift = float(np.median(nearby[:, place].argmax(axis=1))) - _TOLERANCE
    score = float(values.mean())
    slices_heard = int(np.count_nonzero(values >= _SLICE_HEARD))
    return NoticeFinding(
        score,
        max(0, round((place + shift) * RECORDING_RATE / matching.RATE)),
        slices_heard,
        heard=score >= _SCORE_HEARD and slices_heard == _SLICES,
    )


def _cuts(template: _Signal) -> list[int]:
    """Return where the slices of equal loudness begin, and the end."""
    window = np.ones(round(_SMOOTHING_SECONDS * matching.RATE))
    loudness = np.cumsum(np.convolve(template**2, window, "same").clip(0) ** _LOUDNESS_POWER)
    inner = np.searchsorted(loudness, loudness[-1] * np.arange(1, _SLICES) / _SLICES)
    return [0, *(int(cut) for cut in inner), template.size]
