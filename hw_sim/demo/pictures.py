"""Holds the recording against what the lens delivered: which pictures, in which order, and what they show."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from hw_sim import world as worlds
from hw_sim.deliveries import Delivery, read_deliveries
from hw_sim.demo.stage import Stage
from hw_sim.scene import read_number

_SMALL = (160, 90)
_OVERLAY_ROWS = 12  # of 90: the caption is ours, not the scene's
_ROUNDING_NS = 1_000_000  # a part ends one nominal frame after its last picture, where the next delivery may stand
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Frames:
    """Figures of one recording. `shown` counts pictures whose content is that of their own delivery."""

    delivered: int  # by the lens, within the recorded spans
    missed: int  # exposures in them that the lens could not deliver: no buffer was free
    encoded: int  # told by the journal
    dropped: int  # missing between recorded pictures, told by the journal: missed, or delivered and not encoded
    decoded: int  # by FFmpeg, from the exported file
    matched: int  # decoded pictures with a delivery at exactly their time
    shown: int
    drawn: bool

    def checks(self, make: Callable[[str, str, bool, str], _T]) -> list[_T]:
        """What has to hold of them."""
        counts = (
            f"{self.delivered} delivered, {self.missed} missed, {self.encoded} encoded, {self.dropped} dropped, "
            f"{self.decoded} decoded"
        )
        every = self.delivered + self.missed == self.encoded + self.dropped
        every = every and self.encoded == self.decoded == self.matched
        told = "画面编号连续 the numbers in the pictures are those of the lens" if self.drawn else _CLIP
        return [
            make("frames", "无丢帧、无重帧 no picture lost or doubled", every and self.decoded > 0, counts),
            make("pictures", told, self.shown == self.decoded, f"{self.shown} of {self.decoded}"),
        ]


_CLIP = "画面与镜头一致 each picture matches its own source frame best"


def look(stage: Stage, out: Path, export: Path) -> Frames:
    """Decode the export and compare it with the lens's own log."""
    parts = json.loads((export / "map.json").read_text("utf-8"))["parts"]
    records = [json.loads(line) for line in (out / "journal.jsonl").read_text("utf-8").splitlines()]
    fragments = [record["body"] for record in records if record["kind"] == "fragment"]
    boots = _boots(read_deliveries(stage.world / "deliveries.jsonl"))
    exposures = [_within(boots[index], part) for index, part in enumerate(parts)]
    spans = [{us: d for us, d in span.items() if d.n is not None} for span in exposures]
    drawn = worlds.load(stage.world).lens.scene == "drawn"
    judge = _drawn if drawn else _Clip(Path(worlds.scene(stage.world))).judge
    decoded = matched = shown = 0
    for number, (part, ns, luma) in enumerate(_decode(out / "recording.mp4", parts)):
        decoded = number + 1
        delivery = spans[part].get(ns // 1000)
        if delivery is not None:
            matched += 1
            shown += judge(luma, delivery)
    return Frames(
        sum(map(len, spans)),
        sum(map(len, exposures)) - sum(map(len, spans)),
        sum(fragment["frames"] for fragment in fragments),
        sum(fragment["drops"] for fragment in fragments),
        decoded,
        matched,
        shown,
        drawn,
    )


def _boots(deliveries: list[Delivery]) -> list[list[Delivery]]:
    """Split the log at power-ons: the clock begins anew."""
    boots: list[list[Delivery]] = [[]]
    for before, after in itertools.pairwise([None, *deliveries]):
        if before is not None and after is not None and after.sensor_ns < before.sensor_ns:
            boots.append([])
        if after is not None:
            boots[-1].append(after)
    return boots


def _within(deliveries: list[Delivery], part: dict[str, Any]) -> dict[int, Delivery]:
    """Exposures of a part's span, by their time in microseconds since the part's first picture, on its clock."""
    end_ns = part["to_ns"] - _ROUNDING_NS
    span = [d for d in deliveries if part["from_ns"] <= d.sensor_ns < end_ns]
    return {(d.sensor_ns - part["from_ns"]) // 1000: d for d in span}


def _decode(video: Path, parts: list[dict[str, Any]]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Each picture: index of its part, time since the part's beginning in ns, luma."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.pts is None or frame.time_base is None:
                continue
            us = round(frame.pts * frame.time_base * 1_000_000)
            index = max(i for i, part in enumerate(parts) if part["play_from_us"] <= us)
            yield index, (us - parts[index]["play_from_us"]) * 1000, _luma(frame)


def _luma(frame: Any) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def _drawn(luma: NDArray[np.uint8], delivery: Delivery) -> bool:
    return read_number(luma) == delivery.source


class _Clip:
    """The source's frames, small and without the overlay's rows, to find the one that a picture is nearest to."""

    def __init__(self, video: Path) -> None:
        with av.open(str(video)) as container:
            frames = [_small(_luma(frame.reformat(format="gray"))) for frame in container.decode(video=0)]
        self._frames = np.stack(frames)
        self._squares = np.einsum("ij,ij->i", self._frames, self._frames)

    def judge(self, luma: NDArray[np.uint8], delivery: Delivery) -> bool:
        """Whether the picture is nearest to its own source frame, of all."""
        distances = self._squares - 2 * (self._frames @ _small(luma))
        return delivery.source is not None and int(np.argmin(distances)) == delivery.source


def _small(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    small: NDArray[np.float32] = cv2.resize(luma, _SMALL, interpolation=cv2.INTER_AREA)[_OVERLAY_ROWS:].astype(
        np.float32
    )
    return small.ravel()
