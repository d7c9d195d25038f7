"""One fragment's boxes against its record: times, key frames, units of the pictures (specification §7.3, step 12)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evidence import boxes, mp4
from evidence.errors import EvidenceError

_SLACK_MS = 1_000  # of a claim of UTC: a fragment's own is made some time before its record's
_SLACK_NS = 1_000_000_000  # that sound may stand behind the end of the pictures that it is cut with
_CAPTURE_TIME = 1 << 24 | 24  # version and flags of `prft`
_PRFT = struct.Struct(">IIQQ")
_SLICES = {mp4.SLICE, 2, 3, 4, mp4.IDR}  # those between are partitions of a slice
_KEPT_OUT = {mp4.SPS, mp4.PPS, mp4.DELIMITER}


@dataclass(frozen=True, slots=True)
class PartClock:
    """The clock of a part: when it began (ns since power-on), and by how much UTC was ahead of it (ms).

    UTC may be set in the middle of a boot: `utc_least_ms` and `utc_most_ms` bound what the boot's records claim.
    """

    begins_ns: int
    utc_least_ms: int
    utc_most_ms: int


class FragmentCheck:
    """Takes the fragments of one segment in order. Every contradiction is an `EvidenceError`."""

    def __init__(self, plain: bytes, clock: PartClock) -> None:
        self._plain = plain
        self._clock = clock
        self._claims = {found.end: found for found in boxes.boxes(plain) if found.kind == b"prft"}
        self._ends = {mp4.VIDEO_TRACK: 0, mp4.SOUND_TRACK: 0}

    def check(self, index: int, fragment: boxes.Fragment, told: Mapping[str, Any]) -> None:
        """Hold a fragment against its record's body."""
        runs = {run.track: run for run in fragment.runs}
        if len(runs) < len(fragment.runs) or runs.keys() - self._ends.keys():
            raise EvidenceError("mp4-box", f"fragment {index} holds a track twice, or one that evidence does not have")
        video, sound = runs.get(mp4.VIDEO_TRACK), runs.get(mp4.SOUND_TRACK)
        frames, blocks = len(video.samples) if video else 0, len(sound.samples) if sound else 0
        if frames != told["frames"] or blocks * mp4.BLOCK != told["samples"]:
            raise EvidenceError("mp4-box", f"fragment {index} holds other pictures or samples than its record says")
        if bool(video and any(video.keys[:1])) != told["starts_with_idr"]:
            raise EvidenceError("mp4-box", f"fragment {index} begins with another picture than its record says")
        for track, run in runs.items():
            if run.start < self._ends[track]:
                raise EvidenceError("mp4-box", f"fragment {index} begins before the one before it ends")
            self._ends[track] = run.end
        if video:
            self._check_pictures(index, video, told)
        if sound and sound.start > self._ticks(told["to_ns"] + _SLACK_NS, mp4.SOUND_TIMESCALE):
            raise EvidenceError("mp4-box", f"the sound of fragment {index} is not of the time that its record says")
        self._check_claim(index, fragment, told["from_ns"])

    def _check_pictures(self, index: int, run: boxes.TrackRun, told: Mapping[str, Any]) -> None:
        begins, ends = (self._ticks(told[name], mp4.VIDEO_TIMESCALE) for name in ("from_ns", "to_ns"))
        if run.start < begins or run.end != ends:
            raise EvidenceError("mp4-box", f"the pictures of fragment {index} are not of the time its record says")
        for (start, size, _), key in zip(run.samples, run.keys, strict=True):
            kinds = {unit[0] & mp4.NAL_TYPE for unit in boxes.units(self._plain, start, size)}
            slices = kinds & _SLICES
            if not slices or kinds & _KEPT_OUT or (slices == {mp4.IDR}) != key or (mp4.IDR in slices) != key:
                message = f"a picture of fragment {index} is not of the kind that its flags say"
                raise EvidenceError("mp4-box", message)

    def _ticks(self, ns: int, timescale: int) -> int:
        return (ns - self._clock.begins_ns) * timescale // 1_000_000_000

    def _check_claim(self, index: int, fragment: boxes.Fragment, from_ns: int) -> None:
        """`prft`: the reference track's first sample, and a time that this boot's clock claimed of it."""
        found, first = self._claims.get(fragment.start), fragment.runs[0]
        if found is None or found.end - found.body != _PRFT.size:
            raise EvidenceError("mp4-box", f"no time of capture stands before fragment {index}")
        form, track, ntp, media_time = _PRFT.unpack_from(self._plain, found.body)
        if (form, track, media_time) != (_CAPTURE_TIME, first.track, first.start):
            raise EvidenceError("mp4-box", f"the time of capture of fragment {index} is another sample's")
        least, most = (
            max(0, from_ns // 1_000_000 + ahead)
            for ahead in (self._clock.utc_least_ms - _SLACK_MS, self._clock.utc_most_ms + _SLACK_MS)
        )
        seconds = ((ntp >> 32) - mp4.NTP_EPOCH_S - least // 1000) % (1 << 32)  # they begin anew in 2036
        if (
            not least % 1000
            <= seconds * 1000 + ((ntp & 0xFFFFFFFF) * 1000 >> 32) + 1
            <= most - least + least % 1000 + 1
        ):
            raise EvidenceError("mp4-box", f"the time of capture of fragment {index} is none that this boot claimed")
