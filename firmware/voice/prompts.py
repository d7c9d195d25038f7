"""What the camera says: the package's recordings, or an agency's own in their place, checked when they are loaded."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

import av
import av.error
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from numpy.typing import NDArray

Priority = Literal["notice", "warning", "question", "choice", "hint"]

_ADVICE = "install the camera's software again"
_CODECS = {"flac": "flac", "wav": "pcm_s16le"}
_RATES = (8_000, 48_000)
_SECONDS = (0.2, 15.0)
_LOUDNESS_DBFS = (-26.0, -12.0)  # the package's own lie between -19 and -13
_PEAK_DBFS = -12.0
_FULL_SCALE = 32_768.0
_CLIPPED_SAMPLES = 3  # so many in a row at full scale are no chance
_FRAME_SECONDS = 0.02
_PAUSE_DB = 40.0  # what lies so far below the loudest is a pause and no speech


class PromptError(Exception):
    """The spoken prompts are incomplete or damaged; the text says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing the camera says: mono signed 16 bit little endian `pcm` at `rate` Hz, the same rate for all prompts."""

    key: str
    text: str
    pcm: bytes
    rate: int
    priority: Priority
    sha256: str = ""  # of the file
    replaced: bool = False  # the agency's own recording, not the package's

    @property
    def seconds(self) -> float:
        """How long it takes to say."""
        return len(self.pcm) / 2 / self.rate


def load(folder: Traversable | None = None, replacements: Path | None = None) -> Mapping[str, Prompt]:
    """Load every prompt by its key (about 0.2 s), the package's own Chinese ones if no `folder` is named.

    A file `<key>.flac` or `<key>.wav` in `replacements` stands in for that prompt, the notice not excepted; its words
    must be the same. It must be mono, 16 bit, 8 to 48 kHz, 0.2 to 15 s, as loud as the package's own within some dB,
    and not clipped. Raises PromptError for a file that is missing, altered or unfit, and for one that replaces nothing.
    """
    folder = folder or resources.files("firmware.voice") / "prompts" / "zh"
    try:
        catalogue = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))
        rate = int(catalogue["sample_rate_hz"])
        prompts = {str(entry["key"]): _prompt(folder, entry, rate) for entry in catalogue["prompts"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PromptError(f"{folder}: prompts.json cannot be read ({error!r}): {_ADVICE}") from error
    return prompts if replacements is None else {**prompts, **_replacements(replacements, prompts)}


def replaced(prompts: Mapping[str, Prompt]) -> dict[str, str]:
    """Which prompts are the agency's own, with the SHA-256 of each file: the camera's `boot` record tells it."""
    return {key: prompt.sha256 for key, prompt in sorted(prompts.items()) if prompt.replaced}


def loudness_dbfs(samples: NDArray[np.int16], rate: int) -> float:
    """RMS of what is spoken, pauses left out (frames of 20 ms within 40 dB of the loudest); 0 is a full-scale square.

    Silence is minus infinity.
    """
    size = max(1, round(_FRAME_SECONDS * rate))
    frames = samples[: samples.size // size * size].reshape(-1, size).astype(np.float64)
    power = np.mean(frames**2, axis=1)
    if not power.any():
        return -np.inf
    spoken = power[power > power.max() * 10 ** (-_PAUSE_DB / 10)]
    return float(10 * np.log10(spoken.mean() / _FULL_SCALE**2))


def _prompt(folder: Traversable, entry: Mapping[str, Any], rate: int) -> Prompt:
    file = folder / entry["file"]
    try:
        data = file.read_bytes()
    except OSError as error:
        raise PromptError(f"{file} cannot be read ({error}): {_ADVICE}") from error
    sha256, priority = hashlib.sha256(data).hexdigest(), entry["priority"]
    if sha256 != entry["sha256"]:
        raise PromptError(f"{file} is not the file that prompts.json names (SHA-256): {_ADVICE}")
    if priority not in get_args(Priority):
        raise PromptError(f"{file} has the priority {priority!r} in prompts.json: {_ADVICE}")
    sound = _decode(data, "flac", str(file), _ADVICE)
    if sound.form != (wanted := _form("flac", rate)):
        raise PromptError(f"{file} is {sound.form}, not {wanted}: {_ADVICE}")
    if sound.samples.size != entry["samples"]:
        raise PromptError(f"{file} has {sound.samples.size} samples instead of {entry['samples']}: {_ADVICE}")
    pcm = sound.samples.astype("<i2").tobytes()
    return Prompt(entry["key"], entry["text"], pcm, rate, cast("Priority", priority), sha256)


def _replacements(folder: Path, prompts: Mapping[str, Prompt]) -> dict[str, Prompt]:
    found: dict[str, Prompt] = {}
    try:
        files = [(file, file.read_bytes()) for file in sorted(folder.iterdir())]
    except OSError as error:
        raise PromptError(f"the replaced prompts cannot be read ({error}): name a folder of sound files") from error
    for file, data in files:
        kind = file.suffix.removeprefix(".")
        if kind not in _CODECS or file.stem not in prompts:
            raise PromptError(
                f"{file} replaces no prompt: name it <key>.flac or <key>.wav, or take it out of the folder"
            )
        if file.stem in found:
            raise PromptError(f"{file}: {file.stem} is replaced by two files; take one out of the folder")
        told = prompts[file.stem]
        sound = _decode(data, kind, str(file), "record it again")
        _require_fit(sound, kind, file)
        sha256 = hashlib.sha256(data).hexdigest()
        found[told.key] = replace(told, pcm=_resample(sound, told.rate), sha256=sha256, replaced=True)
    return found


def _require_fit(sound: _Sound, kind: str, file: Path) -> None:
    """Raise PromptError, saying what to do, unless the camera can say it like its own."""
    low, high = _RATES
    if sound.form != _form(_CODECS[kind], sound.rate) or not low <= sound.rate <= high:
        raise PromptError(f"{file} is {sound.form}: save it as {kind.upper()}, one channel, 16 bit, {low} to {high} Hz")
    seconds = sound.samples.size / sound.rate
    if not _SECONDS[0] <= seconds <= _SECONDS[1]:
        raise PromptError(f"{file} lasts {seconds:.1f} s: make it {_SECONDS[0]:g} to {_SECONDS[1]:g} s long")
    if _is_clipped(sound.samples):
        raise PromptError(f"{file} is clipped: record it again with less gain")
    loudness = loudness_dbfs(sound.samples, sound.rate)
    peak = 20 * np.log10(max(1, int(np.abs(sound.samples.astype(np.int32)).max())) / _FULL_SCALE)
    least, most = _LOUDNESS_DBFS
    if not least <= loudness <= most or peak < _PEAK_DBFS:
        raise PromptError(
            f"{file} has a loudness of {loudness:.1f} dBFS and a peak of {peak:.1f} dBFS: bring speech to {least:g} to "
            f"{most:g} dBFS (-16 is best) and the peak above {_PEAK_DBFS:g} dBFS"
        )


def _is_clipped(samples: NDArray[np.int16]) -> bool:
    """Whether samples stand at full scale in a row."""
    at_end = (samples >= _FULL_SCALE - 1) | (samples <= -_FULL_SCALE)
    return bool(np.convolve(at_end, np.ones(_CLIPPED_SAMPLES), "valid").max(initial=0) >= _CLIPPED_SAMPLES)


class _Sound(NamedTuple):
    form: str  # codec, channels, kind of sample, rate
    rate: int
    samples: NDArray[np.int16]  # of all channels, if they are 16 bit


def _form(codec: str, rate: int) -> str:
    return f"{codec}, 1 channel(s), s16, {rate} Hz"


def _decode(data: bytes, container_format: str, name: str, advice: str) -> _Sound:
    try:
        with av.open(io.BytesIO(data), "r", format=container_format) as container:
            codec = container.streams.audio[0].codec_context.codec.canonical_name
            frames = list(container.decode(audio=0))
        first = frames[0]
        samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise PromptError(f"{name} cannot be decoded ({error}): {advice}") from error
    # WAV files tell how many channels they have, and seldom which.
    form = f"{codec}, {first.layout.nb_channels} channel(s), {first.format.name}, {first.sample_rate} Hz"
    return _Sound(form, first.sample_rate, samples)


def _resample(sound: _Sound, rate: int) -> bytes:
    if sound.rate == rate:
        return sound.samples.astype("<i2").tobytes()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    frame = av.AudioFrame.from_ndarray(sound.samples[np.newaxis], format="s16", layout="mono")
    frame.sample_rate = sound.rate
    blocks = [out.to_ndarray()[0] for part in (frame, None) for out in resampler.resample(part)]
    return np.concatenate(blocks).astype("<i2").tobytes()
