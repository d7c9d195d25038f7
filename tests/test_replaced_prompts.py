"""An agency's own recordings: any prompt may be replaced, by a file that the camera can say as well as its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.voice import notice, prompts
from firmware.voice.prompts import PromptError

RATE = 16_000

Sound = NDArray[np.int16]


def _spoken(key: str, rate: int = RATE) -> Sound:
    """The package's own recording in another voice: played a tenth faster, and so a tenth higher."""
    prompt = prompts.load()[key]
    stored = np.frombuffer(prompt.pcm, "<i2")
    at = np.arange(0, stored.size - 1, 1.1 * prompt.rate / rate)
    played: Sound = np.rint(np.interp(at, np.arange(stored.size), stored)).astype(np.int16)
    return played


def _save(
    path: Path, sound: Sound, rate: int = RATE, *, codec: str | None = None, kind: str = "s16", channels: int = 1
) -> Path:
    codec = codec or {"flac": "flac", "wav": "pcm_s16le"}[path.suffix[1:]]
    layout = "mono" if channels == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.repeat(sound, channels)[np.newaxis], format="s16", layout=layout)
    frame.sample_rate = rate
    with av.open(path, "w") as container:
        stream = cast("av.AudioStream", container.add_stream(codec, rate=rate, layout=layout, format=kind))
        resampler = av.AudioResampler(format=kind, layout=layout, rate=rate)
        for part in (*resampler.resample(frame), None):
            container.mux(stream.encode(part))
    return path


@pytest.mark.parametrize("suffix", ["flac", "wav"])
@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
def test_a_prompt_is_replaced_and_the_others_stay(tmp_path: Path, suffix: str, rate: int) -> None:
    path = _save(tmp_path / f"marked.{suffix}", _spoken("marked", rate), rate)
    own, loaded = prompts.load(), prompts.load(replacements=tmp_path)
    said = loaded["marked"]
    assert (said.text, said.priority, said.rate) == (own["marked"].text, "hint", 24_000)
    assert said.replaced
    assert said.seconds == pytest.approx(own["marked"].seconds / 1.1, abs=0.01)
    assert said.pcm != own["marked"].pcm
    assert prompts.replaced(loaded) == {"marked": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert {**loaded, "marked": own["marked"]} == own
    assert prompts.replaced(own) == {}


def test_a_replaced_notice_is_the_one_that_is_looked_for(tmp_path: Path) -> None:
    _save(tmp_path / "notice.wav", _spoken("notice"))
    own, other = prompts.load()["notice"], prompts.load(replacements=tmp_path)["notice"]
    heard = np.repeat(np.frombuffer(other.pcm, "<i2"), 2)
    recording = np.pad(heard, (48_000, 48_000 * 2))
    assert notice.find(recording, np.frombuffer(other.pcm, "<i2"), other.rate).heard
    assert not notice.find(recording, np.frombuffer(own.pcm, "<i2"), own.rate).heard


def test_an_empty_folder_replaces_nothing(tmp_path: Path) -> None:
    assert prompts.load(replacements=tmp_path) == prompts.load()


def _of_another_length(count: int) -> Callable[[Sound], Sound]:
    return lambda sound: np.resize(sound, count)


def _louder(factor: float) -> Callable[[Sound], Sound]:
    return lambda sound: np.clip(np.rint(sound.astype(float) * factor), -32_768, 32_767).astype(np.int16)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_of_another_length(RATE // 10), r"lasts 0\.1 s: make it 0\.2 to 15 s long"),
        (_of_another_length(16 * RATE), r"lasts 16\.0 s: make it 0\.2 to 15 s long"),
        (_louder(0), "has a loudness of -inf dBFS.*bring speech to -26 to -12 dBFS"),
        (_louder(0.2), r"has a loudness of -2\d\.\d dBFS and a peak of -17\.\d dBFS: bring speech"),
        (_louder(2), "is clipped: record it again with less gain"),
        (lambda sound: np.where(np.arange(sound.size) == 9, 20_000, 0).astype(np.int16), "has a loudness of -.* bring"),
    ],
)
@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_what_could_not_be_heard_well_is_refused(
    tmp_path: Path, suffix: str, change: Callable[[Sound], Sound], says: str
) -> None:
    _save(tmp_path / f"marked.{suffix}", change(_spoken("marked")))
    with pytest.raises(PromptError, match=rf"marked\.{suffix} ({says})"):
        prompts.load(replacements=tmp_path)


@pytest.mark.parametrize(
    ("name", "rate", "codec", "kind", "channels", "found"),
    [
        ("marked.wav", 16_000, "pcm_s16le", "s16", 2, "pcm_s16le, 2 channel(s), s16, 16000 Hz"),
        ("marked.wav", 96_000, "pcm_s16le", "s16", 1, "pcm_s16le, 1 channel(s), s16, 96000 Hz"),
        ("marked.wav", 6_000, "pcm_s16le", "s16", 1, "pcm_s16le, 1 channel(s), s16, 6000 Hz"),
        ("marked.wav", 16_000, "pcm_s24le", "s32", 1, "pcm_s24le, 1 channel(s), s32, 16000 Hz"),
        ("marked.wav", 16_000, "pcm_f32le", "flt", 1, "pcm_f32le, 1 channel(s), flt, 16000 Hz"),
        ("marked.flac", 16_000, "flac", "s32", 1, "flac, 1 channel(s), s32, 16000 Hz"),
    ],
)
def test_another_format_is_refused(
    tmp_path: Path, name: str, rate: int, codec: str, kind: str, channels: int, found: str
) -> None:
    _save(tmp_path / name, _spoken("marked"), rate, codec=codec, kind=kind, channels=channels)
    wanted = f"save it as {name[7:].upper()}, one channel, 16 bit, 8000 to 48000 Hz"
    with pytest.raises(PromptError, match=re.escape(f"is {found}: {wanted}")):
        prompts.load(replacements=tmp_path)


@pytest.mark.parametrize("name", ["markd.flac", "marked.mp3", "marked.FLAC", "README", "notice"])
def test_a_file_that_replaces_nothing_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(PromptError, match=rf"{name} replaces no prompt: name it <key>\.flac or <key>\.wav"):
        prompts.load(replacements=tmp_path)


def test_two_files_for_one_prompt_are_refused(tmp_path: Path) -> None:
    _save(tmp_path / "marked.flac", _spoken("marked"))
    _save(tmp_path / "marked.wav", _spoken("marked"))
    with pytest.raises(PromptError, match=r"marked\.wav: marked is replaced by two files; take one out"):
        prompts.load(replacements=tmp_path)


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_a_file_that_is_no_sound_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"marked.{suffix}").write_bytes(b"not a sound at all" * 50)
    with pytest.raises(PromptError, match=rf"marked\.{suffix} cannot be decoded .*: record it again"):
        prompts.load(replacements=tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"cannot be read .*: name a folder of sound files"):
        prompts.load(replacements=tmp_path / "voices")
