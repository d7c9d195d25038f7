"""The self-check's tone: heard when the microphone works, and nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.voice import prompts, tone
from firmware.voice.tone import ToneFinding
from hw_sim import acoustics

RATE = 48_000
LEAD = RATE
MEDIA = Path(acoustics.__file__).parent / "media"

Sound = NDArray[np.float64]


def _at_microphone(prompt: prompts.Prompt, ppm: float = 0) -> Sound:
    """A clip as the microphone hears it, 6 dB weaker, by a card that is wrong by that much."""
    stored = np.frombuffer(prompt.pcm, "<i2")
    step = prompt.rate / RATE * (1 - ppm * 1e-6)
    heard: Sound = np.interp(np.arange(0, stored.size - 1, step), np.arange(stored.size), stored) * 0.5
    return heard


def _in_a_recording(sound: Sound) -> Sound:
    return np.pad(sound, (LEAD, RATE))


def _noise(kind: str, samples: int, snr_db: float, turn: int = 0) -> Sound:
    noise = acoustics.noise(kind, acoustics.noise_level(snr_db)).astype(np.float64)
    return np.resize(np.roll(noise, turn * RATE), samples)


def _voices(samples: int) -> Sound:
    talk = np.concatenate([acoustics.load(file) for file in sorted(MEDIA.glob("*.flac"))]).astype(np.float64)
    level = 10 ** (acoustics.noise_level(0) / 20) * acoustics.FULL_SCALE
    return np.resize(talk * level / np.sqrt(np.mean(talk**2)), samples)


def _find(sound: Sound, rate: int = RATE) -> ToneFinding:
    return tone.find(np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16), rate)


def test_it_is_short_and_as_loud_as_the_prompts() -> None:
    samples = np.frombuffer(tone.TONE.pcm, "<i2")
    assert tone.TONE.seconds <= 0.4
    assert prompts.loudness_dbfs(samples, tone.TONE.rate) == pytest.approx(acoustics.PROMPT_DBFS, abs=0.5)


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_it_is_found_in_its_place_whatever_the_sound_cards_clock(ppm: int) -> None:
    found = _find(_in_a_recording(_at_microphone(tone.TONE, ppm)))
    assert found.heard
    assert found.score > 0.7
    assert abs(found.offset - LEAD) <= 12


@pytest.mark.parametrize("kind", ["white", "traffic", "voices"])
@pytest.mark.parametrize("ppm", [-100, 100])
def test_it_is_found_in_noise_as_loud_as_itself(kind: str, ppm: int) -> None:
    sound = _in_a_recording(_at_microphone(tone.TONE, ppm))
    for turn in range(5):
        noise = np.roll(_voices(sound.size), turn * RATE) if kind == "voices" else _noise(kind, sound.size, 0, turn)
        found = _find(sound + noise)
        assert found.score > 1.5 * 0.25  # half as much again as the threshold
        assert abs(found.offset - LEAD) <= 12


def test_it_is_found_in_a_room_that_echoes() -> None:
    rng = np.random.default_rng(3)
    tail = rng.standard_normal(RATE * 4 // 10) * 10 ** (-3 * np.linspace(0, 1, RATE * 4 // 10))
    echo = np.concatenate([np.ones(1), tail / np.sqrt(np.sum(tail**2))])
    sound = _in_a_recording(_at_microphone(tone.TONE))
    length = sound.size + echo.size
    echoing = np.fft.irfft(np.fft.rfft(sound, length) * np.fft.rfft(echo, length), length)[: sound.size]
    assert _find(echoing + _noise("traffic", sound.size, 0)).heard


def test_it_is_found_at_other_rates() -> None:
    recorded = _in_a_recording(_at_microphone(tone.TONE))[::3]
    found = _find(recorded, RATE // 3)
    assert found.heard
    assert abs(found.offset - LEAD // 3) <= 4


@pytest.mark.parametrize("kind", ["silence", "white", "traffic", "voices", "a steady tone"])
def test_a_muted_loudspeaker_is_not_heard(kind: str) -> None:
    size = 8 * RATE
    match kind:
        case "silence":
            sound: Sound = np.zeros(size)
        case "voices":
            sound = _voices(size)
        case "a steady tone":
            sound = np.resize(acoustics.tone(1_000).astype(np.float64), size)
        case _:
            sound = _noise(kind, size, 0)
    assert _find(sound).score < 0.25 / 1.5


def test_no_prompt_and_no_answer_is_taken_for_it() -> None:
    """False alarms counted: none in all that the camera says and its officers answer."""
    sounds = {key: _at_microphone(prompt) for key, prompt in prompts.load().items()}
    sounds |= {file.stem: acoustics.load(file).astype(np.float64) for file in MEDIA.glob("*.flac")}
    assert len(sounds) > 80
    scores = {key: _find(sound).score for key, sound in sounds.items()}
    assert {key: score for key, score in scores.items() if score > 0.25 / 1.5} == {}


def test_half_of_it_is_not_enough_and_a_recording_shorter_than_it_holds_none() -> None:
    sound = _at_microphone(tone.TONE)
    assert _find(sound[: sound.size // 2]) == ToneFinding(heard=False, score=0.0, offset=0)
    assert _find(np.zeros(0)) == ToneFinding(heard=False, score=0.0, offset=0)
