"""The notice of rule 11: found when it was audible, and only then."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.voice import notice, prompts
from firmware.voice.notice import NoticeFinding
from hw_sim import acoustics

RATE = 48_000
LEAD = 2 * RATE
MEDIA = Path(acoustics.__file__).parent / "media"

Sound = NDArray[np.float64]


@functools.cache
def _said(key: str) -> tuple[NDArray[np.int16], Sound]:
    """Return a prompt as it is stored, and as it sounds at the microphone's rate, 6 dB weaker."""
    prompt = prompts.load()[key]
    stored = np.frombuffer(prompt.pcm, "<i2")
    at = np.arange(stored.size * RATE // prompt.rate) * prompt.rate / RATE
    return stored, np.interp(at, np.arange(stored.size), stored) * 0.5


def _heard(sound: Sound) -> NoticeFinding:
    stored, _ = _said("notice")
    recording = np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
    return notice.find(recording, stored, prompts.load()["notice"].rate)


def _in_a_recording(sound: Sound) -> Sound:
    return np.pad(sound, (LEAD, 2 * RATE))


def _noise(kind: str, samples: int, snr_db: float = 0.0) -> Sound:
    return np.resize(acoustics.noise(kind, acoustics.noise_level(snr_db)).astype(np.float64), samples)


def _voices(samples: int) -> Sound:
    """Return officers who talk as loudly as the camera."""
    talk = np.concatenate([acoustics.load(file) for file in sorted(MEDIA.glob("*.flac"))]).astype(np.float64)
    level = 10 ** (acoustics.noise_level(0) / 20) * acoustics.FULL_SCALE
    return np.resize(talk * level / np.sqrt(np.mean(talk**2)), samples)


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_it_is_found_in_its_place_whatever_the_sound_cards_clock(ppm: int) -> None:
    _, sound = _said("notice")
    stretched = np.interp(np.arange(sound.size) * (1 - ppm * 1e-6), np.arange(sound.size), sound)
    found = _heard(_in_a_recording(stretched))
    assert found.heard
    assert found.score > 0.9
    assert abs(found.offset_samples - LEAD) <= 48


@pytest.mark.parametrize("kind", ["white", "traffic", "voices"])
def test_it_is_found_in_noise_as_loud_as_itself(kind: str) -> None:
    recording = _in_a_recording(_said("notice")[1])
    noise = _voices(recording.size) if kind == "voices" else _noise(kind, recording.size)
    found = _heard(recording + noise)
    assert found.heard
    assert found.score > 2 * 0.2  # twice the threshold
    assert abs(found.offset_samples - LEAD) <= 48


def test_it_is_found_in_a_room_that_echoes() -> None:
    rng = np.random.default_rng(3)
    tail = rng.standard_normal(RATE * 4 // 10) * 10 ** (-3 * np.linspace(0, 1, RATE * 4 // 10))
    echo = np.concatenate([np.ones(1), tail / np.sqrt(np.sum(tail**2))])
    recording = _in_a_recording(_said("notice")[1])
    length = recording.size + echo.size
    echoing = np.fft.irfft(np.fft.rfft(recording, length) * np.fft.rfft(echo, length), length)[: recording.size]
    assert _heard(echoing + _noise("traffic", recording.size)).heard


@pytest.mark.parametrize("kind", ["silence", "white", "traffic", "voices"])
def test_it_is_not_found_when_the_loudspeaker_is_muted(kind: str) -> None:
    size = 9 * RATE
    match kind:
        case "silence":
            sound: Sound = np.zeros(size)
        case "voices":
            sound = _voices(size)
        case _:
            sound = _noise(kind, size)
    found = _heard(sound)
    assert not found.heard
    assert found.score < 0.2 / 1.5


@pytest.mark.long
def test_it_is_not_found_in_any_other_speech() -> None:
    others = [_said(key)[1] for key in prompts.load() if key != "notice"]
    others += [acoustics.load(file).astype(np.float64) for file in sorted(MEDIA.glob("*.flac"))]
    assert len(others) > 20
    for sound in others:
        found = _heard(np.resize(sound, 9 * RATE))
        assert not found.heard
        assert found.score < 0.2 / 1.5


@pytest.mark.parametrize("missing", ["first half", "second half", "first second", "last second"])
@pytest.mark.parametrize("noisy", [False, True])
def test_a_part_of_it_is_not_enough(missing: str, noisy: bool) -> None:
    sound = _said("notice")[1].copy()
    which, length = missing.split()
    samples = sound.size // 2 if length == "half" else RATE + RATE // 10  # the file ends in silence of 0.1 s
    sound[slice(0, samples) if which == "first" else slice(-samples, None)] = 0
    recording = _in_a_recording(sound)
    found = _heard(recording + _noise("traffic", recording.size, 10) if noisy else recording)
    assert not found.heard
    assert 0 < found.slices_heard < 8


def test_a_recording_shorter_than_the_notice_holds_none() -> None:
    assert _heard(_said("notice")[1][: 5 * RATE]) == NoticeFinding(0.0, 0, 0, heard=False)
    assert not _heard(np.zeros(0)).heard
