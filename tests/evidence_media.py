"""Tiny real pictures and sound for tests, encoded once (`vectors/media.json`), as fragments of half a second."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from evidence import age, mp4
from firmware.capture.media_signer import PartSigning, sealed

FRAGMENT_NS = 500_000_000
PICTURES, BLOCKS = 10, 10  # in a fragment
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Media:
    """Real pictures and sound, encoded once (`vectors/media.json`), taken round and round."""

    video: mp4.VideoConfig
    streaminfo: bytes
    pictures: Sequence[mp4.AccessUnit]
    blocks: Sequence[bytes]
    still: bytes  # a JPEG


@functools.cache
def media() -> Media:
    stored = json.loads((Path(__file__).parent / "vectors" / "media.json").read_text(encoding="utf-8"))
    pictures = [mp4.access_unit(base64.b64decode(text)) for text in stored["pictures"]]
    first = pictures[0]
    assert first.sps is not None
    assert first.pps is not None
    return Media(
        mp4.VideoConfig(first.sps, first.pps, stored["width"], stored["height"]),
        base64.b64decode(stored["streaminfo"]),
        pictures,
        [base64.b64decode(text) for text in stored["blocks"]],
        base64.b64decode(stored["still"]),
    )


def media_init() -> bytes:
    return mp4.init(media().video, media().streaminfo, age.CHUNK)


def media_fragment(
    index: int, in_segment: int, utc_ms: int, stills: mp4.Pieces = (), signed: Sequence[mp4.Pieces] | None = None
) -> bytes:
    """The `index`-th half second of a part, the `in_segment`-th of a segment, which begins with a key frame.

    `signed` are its pictures with what `signed_pictures` adds.
    """
    units = taken(media().pictures, in_segment * PICTURES, PICTURES)
    blocks = taken(media().blocks, index * BLOCKS, BLOCKS)
    pictures = signed or [unit.data for unit in units]
    samples = [mp4.Sample(data, 50_000, unit.idr) for data, unit in zip(pictures, units, strict=True)]
    sound = mp4.Run(index * 24_000, [mp4.Sample((block,), mp4.BLOCK) for block in blocks])
    return b"".join(mp4.fragment(index + 1, mp4.Run(index * 500_000, samples), sound, utc_ms, age.CHUNK, stills))


def signed_pictures(signing: PartSigning, in_segment: int, from_ns: int, *, last: bool) -> list[mp4.Pieces]:
    """The pictures of a fragment with their signatures; the `last` one of a closed segment leaves nothing unsigned."""
    units = taken(media().pictures, in_segment * PICTURES, PICTURES)
    step = FRAGMENT_NS // PICTURES
    seals = [signing.picture(unit.data, from_ns + n * step, key=unit.idr) for n, unit in enumerate(units)]
    pictures = [sealed(unit.data, seal, ()) for unit, seal in zip(units, seals, strict=True)]
    closing = signing.close(from_ns + FRAGMENT_NS) if last else ()
    return [*pictures[:-1], sealed(pictures[-1], None, closing)]


def taken(items: Sequence[_Item], start: int, count: int) -> list[_Item]:
    return [items[(start + n) % len(items)] for n in range(count)]
