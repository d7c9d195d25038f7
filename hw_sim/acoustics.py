"""What reaches the microphone: base sound, loudspeaker, clips and noise, mixed in blocks at 48 kHz mono.

Pure arithmetic: the room's process (`hw_sim.room`) gives blocks in and takes blocks out. Samples are floats in which
32,768 is full scale; levels are dB relative to a full-scale square wave (RMS 32,768 = 0 dBFS).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 48_000
FULL_SCALE = 32_768.0
# Level of the shipped notice over the frames of 20 ms in which it speaks; the other prompts lie within 4 dB.
PROMPT_DBFS = -18.0
LOUDSPEAKER_DB = -6.0  # from the loudspeaker to the microphone
HISS_DBFS = -90.0  # what a MEMS microphone hears of itself: one that works never gives the same sample for long
_DELAY_SECONDS = 0.02
NOISE_KINDS = ("white", "traffic")
_NOISE_SECONDS = 16
_ROAD_HERTZ = 80.0
_NOISE_SEED = 20171116  # the same noise in each run
_LOUD = 8  # samples beyond this are sound: dither and rounding stay below
_HANGOVER_SECONDS = 0.6  # longer than a pause inside a sentence


class SoundFileError(Exception):
    """A sound file is missing or cannot be decoded."""


def load(path: Path, gain_db: float = 0.0) -> NDArray[np.float32]:
    """Decode any file PyAV reads to 48 kHz mono. Raises SoundFileError."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    try:
        with av.open(path) as container:
            frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
            frames += resampler.resample(None)
    except (OSError, av.error.FFmpegError, IndexError) as error:
        raise SoundFileError(f"{path}: no sound can be read from it: {error}") from error
    blocks = [frame.to_ndarray()[0] for frame in frames]
    return np.concatenate([*blocks, np.empty(0, np.int16)]).astype(np.float32) * _ratio(gain_db)


def tone(hertz: int) -> NDArray[np.float32]:
    """Return one second of a sine at -20 dBFS, which loops without a seam."""
    return (np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE) * FULL_SCALE * _ratio(-17.0)).astype(np.float32)


def noise(kind: str, dbfs: float) -> NDArray[np.float32]:
    """Return some seconds of noise of that RMS level, which loop without a seam.

    "white" is flat; "traffic" falls by 4 dB an octave above 80 Hz and swells slowly, as cars pass.
    """
    rng = np.random.default_rng(_NOISE_SEED)
    samples = rng.standard_normal(RATE * _NOISE_SECONDS)
    if kind == "traffic":
        hertz = np.fft.rfftfreq(samples.size, 1 / RATE)
        shape = np.where(hertz < _ROAD_HERTZ, 0.0, np.maximum(hertz, _ROAD_HERTZ) ** (-4 / 6.02))
        samples = np.fft.irfft(np.fft.rfft(samples) * shape)
        samples *= 1 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(samples.size) / samples.size)
    elif kind != "white":
        raise ValueError(f"unknown noise {kind!r}: one of {', '.join(NOISE_KINDS)}")
    rms = float(np.sqrt(np.mean(samples**2)))
    return (samples / rms * FULL_SCALE * _ratio(dbfs)).astype(np.float32)


def noise_level(snr_db: float) -> float:
    """Return the level in dBFS of a noise that lies `snr_db` under a prompt as the microphone hears it."""
    return PROMPT_DBFS + LOUDSPEAKER_DB - snr_db


class Track:
    """A sound that plays once or for ever."""

    def __init__(self, name: str, samples: NDArray[np.float32], *, loop: bool) -> None:
        self.name = name
        self._samples = samples
        self._loop = loop
        self._at = 0

    @property
    def over(self) -> bool:
        """Whether it has been played to its end."""
        return not self._loop and self._at >= self._samples.size

    def take(self, count: int) -> NDArray[np.float32]:
        """Return the next `count` samples, silence after its end."""
        start, self._at = self._at, self._at + count
        if self._loop:
            self._at %= self._samples.size
            return np.take(self._samples, np.arange(start, start + count), mode="wrap")
        part = self._samples[start : start + count]
        return np.pad(part, (0, count - part.size))


class Delay:
    """The way of the sound from the loudspeaker to the microphone."""

    def __init__(self, samples: int) -> None:
        self._line = np.zeros(samples, np.float32)

    def take(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put a block in, take what left the loudspeaker that long ago."""
        line = np.concatenate([self._line, block])
        self._line = line[block.size :]
        return line[: block.size]


class SpeechWatch:
    """Tells when the loudspeaker begins to speak and when it has finished, pauses inside a sentence bridged."""

    def __init__(self) -> None:
        self.speaking = False
        self._quiet = 0

    def hear(self, block: NDArray[np.float32]) -> str | None:
        """Return "started", "ended" (`quiet_seconds` ago) or None."""
        if np.abs(block).max(initial=0) > _LOUD:
            self._quiet = 0
            started, self.speaking = not self.speaking, True
            return "started" if started else None
        self._quiet += block.size
        if self.speaking and self._quiet >= _HANGOVER_SECONDS * RATE:
            self.speaking = False
            return "ended"
        return None

    @property
    def quiet_seconds(self) -> float:
        """How long nothing has been said."""
        return self._quiet / RATE


class Air:
    """Everything that sounds in the room."""

    def __init__(self, base: Track, *, muted: bool) -> None:
        self.muted = muted  # the loudspeaker is broken: nothing of it is heard
        self.noise: Track | None = None
        self.hiss: Track | None = None  # the microphone's own noise
        self.clips: list[Track] = []
        self._base = base
        self._delay = Delay(round(_DELAY_SECONDS * RATE))

    def take(self, loudspeaker: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return what the microphone hears while the loudspeaker's cone moves like that."""
        heard = self._delay.take(loudspeaker) * (0 if self.muted else _ratio(LOUDSPEAKER_DB))
        for track in (self._base, *self.clips, self.noise, self.hiss):
            if track:
                heard = heard + track.take(loudspeaker.size)
        whole: NDArray[np.int16] = np.clip(np.rint(heard), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        return whole

    def remove_ended(self) -> list[Track]:
        """Take the clips that have been played to their end out of the room, and return them."""
        ended = [clip for clip in self.clips if clip.over]
        self.clips = [clip for clip in self.clips if not clip.over]
        return ended


def _ratio(db: float) -> np.float32:
    return np.float32(10 ** (db / 20))
