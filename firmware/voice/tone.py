"""The self-check's own tone: does the microphone hear what the loudspeaker plays? (rule 10)

A chirp through the band of speech, found by its matched filter: it is heard in a noise as loud as itself, and no voice
and no noise is like it.

Measured with clips 6 dB weaker at the microphone, at any place between two samples of 8 kHz (which costs up to a third
of the score), sound cards wrong by -100 to 100 ppm; noise as loud as the tone (0 dB) unless stated:

| what the microphone heard                                                      | score       |
|--------------------------------------------------------------------------------|-------------|
| the tone, clean                                                                | 0.64 – 1.00 |
| the tone and white noise or traffic                                            | 0.54 – 0.96 |
| the tone and other voices                                                      | 0.47 – 0.99 |
| the tone with reverberation (0.4 s, as loud as the tone), clean or in noise    | 0.43 – 0.72 |
| the tone and white noise or traffic twice as loud (-6 dB)                      | 0.37 – 0.85 |
| white noise, traffic, a steady tone, other voices, no tone (loudspeaker muted) | ≤ 0.15      |
| any prompt, any officer's answer                                               | ≤ 0.16      |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from firmware.voice import matching
from firmware.voice.prompts import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RATE = 24_000
_SECONDS = 0.35
_HERTZ = (500.0, 3_200.0)
_FADE_SECONDS = 0.01
_AMPLITUDE = 0.178 * 32_768  # RMS of -18 dBFS, as loud as the prompts
_SCORE_HEARD = 0.25


def _chirp() -> NDArray[np.int16]:
    at = np.arange(round(_SECONDS * _RATE)) / _RATE
    low, high = _HERTZ
    wave = np.sin(2 * np.pi * (low * at + (high - low) / (2 * _SECONDS) * at**2))
    fade = np.minimum(1.0, np.minimum(at, at[::-1]) / _FADE_SECONDS)
    return np.rint(_AMPLITUDE * wave * fade).astype(np.int16)


_CHIRP: Final = _chirp()
TONE: Final = Prompt("tone", "", _CHIRP.astype("<i2").tobytes(), _RATE, "hint")
"""What to play: mono, signed 16 bit, little endian."""


@dataclass(frozen=True, slots=True)
class ToneFinding:
    """What was found: `score` 0 to 1, the correlation; the tone's place in samples of the recording."""

    heard: bool
    score: float
    offset: int


def find(sound: NDArray[np.int16], rate: int) -> ToneFinding:
    """Look for the tone in `sound` (mono, `rate` Hz). Takes milliseconds for some seconds of sound."""
    signal, template = matching.speech_band(sound, rate), matching.speech_band(_CHIRP, _RATE)
    if signal.size < template.size or not signal.any():
        return ToneFinding(heard=False, score=0.0, offset=0)
    track = matching.correlations(signal, template, (0, template.size))[0]
    place = int(track.argmax())
    score = float(track[place])
    return ToneFinding(score >= _SCORE_HEARD, score, round(place * rate / matching.RATE))
