"""What the camera says: the package's recordings, checked when they are loaded."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import av
import av.error
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

_ADVICE = "install the camera's software again"


class PromptError(Exception):
    """The spoken prompts are incomplete or damaged; the text says which file and what to do."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One thing the camera says: mono signed 16 bit little endian `pcm` at `rate` Hz."""

    key: str
    text: str
    pcm: bytes
    rate: int

    @property
    def seconds(self) -> float:
        """How long it takes to say."""
        return len(self.pcm) / 2 / self.rate


def load(folder: Traversable | None = None) -> Mapping[str, Prompt]:
    """Load every prompt by its key (about 0.1 s), the package's own Chinese ones if no `folder` is named.

    Raises PromptError for a file that is missing, altered, or of another format than `prompts.json` says.
    """
    folder = folder or resources.files("firmware.voice") / "prompts" / "zh"
    try:
        catalogue = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))
        rate = int(catalogue["sample_rate_hz"])
        return {str(entry["key"]): _prompt(folder, entry, rate) for entry in catalogue["prompts"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PromptError(f"{folder}: prompts.json cannot be read ({error!r}): {_ADVICE}") from error


def _prompt(folder: Traversable, entry: Mapping[str, Any], rate: int) -> Prompt:
    file = folder / entry["file"]
    try:
        data = file.read_bytes()
    except OSError as error:
        raise PromptError(f"{file} cannot be read ({error}): {_ADVICE}") from error
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise PromptError(f"{file} is not the file that prompts.json names (SHA-256): {_ADVICE}")
    pcm = _decode(data, str(file), rate)
    if len(pcm) != 2 * entry["samples"]:
        raise PromptError(f"{file} has {len(pcm) // 2} samples instead of {entry['samples']}: {_ADVICE}")
    return Prompt(entry["key"], entry["text"], pcm, rate)


def _decode(data: bytes, name: str, rate: int) -> bytes:
    try:
        with av.open(io.BytesIO(data), "r", format="flac") as container:
            codec = container.streams.audio[0].codec_context
            form = (codec.sample_rate, codec.layout.name, codec.format.name)
            if form != (rate, "mono", "s16"):
                raise PromptError(f"{name} is {form}, not ({rate}, mono, s16): {_ADVICE}")
            blocks = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    except (av.error.FFmpegError, IndexError) as error:
        raise PromptError(f"{name} cannot be decoded ({error}): {_ADVICE}") from error
    return np.concatenate(blocks).astype("<i2").tobytes()
