"""One playable MP4 from the segments of a recording, and the map from play time to record time.

Inside a part, segments join byte by byte. Between parts lies a gap: playback collapses it, the map names it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evidence import boxes, mp4
from evidence.errors import EvidenceError

_TIME_LIMIT = 2**64  # what a tfdt holds


@dataclass(frozen=True, slots=True)
class PartSource:
    """A part's segments in order, each the plaintext of an age file (the correct prefix of a truncated one)."""

    part: int
    segments: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a part begins and ends on the play time line, in microseconds."""

    part: int
    play_from_us: int
    play_to_us: int


class Joiner:
    """Writes the joined MP4: `header` first, then the parts in order; `placed` is the map."""

    def __init__(self, inits: Sequence[bytes]) -> None:
        """`inits`: the start of each part's first segment, through its `moov`."""
        self._video: list[bytes] = []
        self._entry_of: list[int] = []
        sound = None
        for init in inits:
            entries = boxes.sample_entries(init)
            video = entries.get(b"vide")
            if video is not None and video not in self._video:
                self._video.append(video)
            self._entry_of.append(self._video.index(video) + 1 if video is not None else 1)
            sound = sound or entries.get(b"soun")
        size = boxes.picture_size(self._video[0]) if self._video else (0, 0)
        self.header = mp4.init_with(self._video, sound, size, 0)
        self.placed: list[Placed] = []
        self._sequence = 0
        self._offset_us = 0

    def part(self, source: PartSource) -> Iterator[bytes]:
        """The fragments of one part, moved to the play time line; padding and stills are left out."""
        entry = self._entry_of[len(self.placed)]
        end_us = start_us = self._offset_us
        for segment in source.segments:
            for found in boxes.fragments(whole_boxes(segment)):
                data = bytearray(segment[found.start : found.end])
                self._sequence += 1
                struct.pack_into(">I", data, found.sequence_at - found.start, self._sequence)
                for run in found.runs:
                    end_us = max(end_us, start_us + self._move(data, found.start, run, entry))
                yield bytes(data)
        self._offset_us = end_us
        self.placed.append(Placed(source.part, start_us, end_us))

    def _move(self, data: bytearray, base: int, run: boxes.TrackRun, entry: int) -> int:
        """Patch a run onto the play time line; return its end within the part, in microseconds."""
        if run.track == mp4.VIDEO_TRACK:
            struct.pack_into(">I", data, run.entry_at - base, entry)
            scale = mp4.VIDEO_TIMESCALE
        elif run.track == mp4.SOUND_TRACK:
            scale = mp4.SOUND_TIMESCALE
        else:
            raise EvidenceError("mp4-box", "a fragment names a track that evidence does not have")
        moved = run.start + self._offset_us * scale // 1_000_000
        if moved >= _TIME_LIMIT:
            raise EvidenceError("mp4-box", "a fragment tells a time that is beyond any film")
        struct.pack_into(">Q", data, run.tfdt_at - base, moved)
        return run.end * 1_000_000 // scale


def whole_boxes(data: bytes) -> memoryview:
    """The leading part of a truncated segment that consists of whole boxes and whole fragments."""
    end = position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size < 8 or position + size > len(data):  # noqa: PLR2004 - a box header
            break
        position += size
        if kind != b"moof":
            end = position
    return memoryview(data)[:end]
