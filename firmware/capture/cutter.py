"""Cuts the stream of pictures and sound of one part into fragments and segments. Pure: samples in, fragments out.

A fragment is cut by time at any picture; a segment begins at a key frame. A picture's duration is known when the next
one comes, so one picture is always held back, and where sound goes on alone, one block: once begun, a part can always
be flushed, and what has to lie in its last fragment finds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evidence.mp4 import BLOCK, SOUND_TIMESCALE, AccessUnit, Pieces, Run, Sample
from firmware.capture import media_signer
from firmware.capture.media_signer import PartSigning, Seal

_KEY_FRAME_NS = 1_000_000_000  # the port promises a key frame at least this often
_STOPPED_NS = 250_000_000  # an encoder is never so far behind
_NO_PICTURE_NS = 1_000_000_000  # sound goes on alone when no picture came for so long


@dataclass(frozen=True, slots=True)
class Fragment:
    """What goes into one `moof` and `mdat`, and the figures its record tells. Times on the boot clock, ns.

    `seals` are signatures of the pictures, each before the picture of that index; `closing` stand behind the last one.
    """

    opens_segment: bool
    video: Run | None
    sound: Run | None
    from_ns: int
    to_ns: int
    drops: int
    seals: Mapping[int, Seal] = field(default_factory=dict)
    closing: tuple[Seal, ...] = ()

    @property
    def frames(self) -> int:
        """Pictures in it."""
        return len(self.video.samples) if self.video else 0

    @property
    def samples(self) -> int:
        """Sound samples in it."""
        return len(self.sound.samples) * BLOCK if self.sound else 0

    @property
    def starts_with_idr(self) -> bool:
        """Whether its first picture can be decoded alone."""
        return bool(self.video and self.video.samples[0].key)

    def signed_video(self) -> Run | None:
        """The pictures with their signatures, which are made now."""
        if self.video is None or not (self.seals or self.closing):
            return self.video
        samples = list(self.video.samples)
        last = len(samples) - 1
        for index in {*self.seals, last}:
            behind = self.closing if index == last else ()
            data = media_signer.sealed(samples[index].data, self.seals.get(index), behind)
            samples[index] = replace(samples[index], data=data)
        return Run(self.video.start, samples)


@dataclass(slots=True)
class _Picture:
    ns: int
    data: Pieces
    key: bool
    seal: Seal | None


@dataclass(slots=True)
class _Block:
    start: int
    duration: int
    data: bytes


@dataclass(slots=True)
class Cutter:
    """One part's cutter. All lengths in nanoseconds; `frame_ns` is the nominal distance of two pictures."""

    start_ns: int
    fragment_ns: int
    segment_ns: int
    frame_ns: int
    pictures: bool = True  # False: none will come, and sound waits for none
    signing: PartSigning | None = None
    _from_ns: int = field(init=False)
    _segment_from_ns: int = field(init=False)
    _opens: bool = True
    _hurried: bool = False
    _needs_key: bool = False  # what the next pictures refer to is not in their segment
    _drops: int = 0
    _counted_ns: int | None = None  # so far each picture that the lens's rate would have is told: encoded, or dropped
    _pictures: list[_Picture] = field(default_factory=list)
    _blocks: list[_Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin(self.start_ns)

    def begin(self, from_ns: int) -> None:
        """Begin the first fragment at `from_ns`, which is later than the part's start when a ring came before."""
        self._from_ns = self._segment_from_ns = from_ns

    def picture(self, unit: AccessUnit, boot_ns: int) -> Fragment | None:
        """Take the next picture; return the fragment that it completes.

        One that comes when sound alone has closed its time is not shown at another: it is told there as a drop already,
        and so is what depends on it.
        """
        if boot_ns < self._from_ns - self.frame_ns and not self._pictures:
            self._needs_key = True
            return None
        if self._needs_key and not unit.idr:
            return None
        self._needs_key = False
        ns = max(boot_ns, self._from_ns, self._pictures[-1].ns + 1 if self._pictures else 0)
        cut = None
        segment_over = unit.idr and ns - self._segment_from_ns + _KEY_FRAME_NS > self.segment_ns
        due = segment_over or self._hurried or ns - self._from_ns >= self.fragment_ns
        if due and self._has_before(ns):
            cut = self._cut(ns, new_segment=segment_over, goes_on=not segment_over)
        else:
            self._count_missing(ns)
            if segment_over:  # what is open has no picture yet, and so can be the new segment's first itself
                self._opens, self._segment_from_ns = True, self._from_ns
        self._counted_ns = ns
        seal = self.signing.picture(unit.data, ns, key=unit.idr) if self.signing else None
        self._pictures.append(_Picture(ns, unit.data, unit.idr, seal))
        return cut

    def not_kept(self) -> None:
        """Tell a picture that was there and cannot be decoded as missing."""
        self._drops += 1

    def sound(self, packet: bytes, start: int, duration: int) -> Fragment | None:
        """Take the next block (ticks since the part's start); return a fragment of sound if pictures have stopped."""
        if start < 0:
            return None  # taken before the part begins
        self._blocks.append(_Block(start, duration, packet))
        end_ns = self.start_ns + (start + duration) * 1_000_000_000 // SOUND_TIMESCALE
        last = self._pictures[-1].ns if self._pictures else self._from_ns
        hold_ns = _STOPPED_NS if self.pictures else 0  # a picture may still come that belongs before what is held
        if (self.pictures and end_ns - last < _NO_PICTURE_NS) or end_ns - hold_ns - self._from_ns < self.fragment_ns:
            return None
        held = self._edge(end_ns - hold_ns)
        first = next(block for block in self._blocks if block.start + block.duration >= held)
        if not self._pictures and first is self._blocks[0]:
            return None
        begins_ns = self.start_ns + first.start * 1_000_000_000 // SOUND_TIMESCALE
        to_ns = max(self._from_ns, min(begins_ns, end_ns - hold_ns))  # where sound is missing, no further either
        new_segment = end_ns - self._segment_from_ns + _KEY_FRAME_NS > self.segment_ns
        self._needs_key |= new_segment
        return self._cut(to_ns, new_segment=new_segment)

    def hurry(self) -> Fragment | None:
        """Cut at the newest picture: what came before it is not to wait. With one picture only, cut at the next."""
        if len(self._pictures) < 2:  # noqa: PLR2004 - a picture lasts until the next one
            self._hurried = True
            return None
        newest = self._pictures.pop()
        cut = self._cut(newest.ns, new_segment=False, goes_on=True)
        self._pictures.append(newest)
        return cut

    def flush(self, to_ns: int | None = None) -> Fragment | None:
        """The last fragment. `to_ns`: where the next one begins, if it is known."""
        if not self._pictures and not self._blocks:
            return None
        if to_ns is None:
            to_ns = self._end_ns()
        return self._cut(to_ns, new_segment=False, everything=True)

    def _end_ns(self) -> int:
        """The end of the last picture: a span must not claim pictures that the encoder had not given yet.

        Sound runs a little past it and is kept. Only where pictures had stopped does the sound tell the end.
        """
        last = self._blocks[-1] if self._blocks else None
        sound_ns = self.start_ns + (last.start + last.duration) * 1_000_000_000 // SOUND_TIMESCALE if last else 0
        if not self._pictures:
            return sound_ns
        picture_ns = self._pictures[-1].ns + self.frame_ns
        return picture_ns if sound_ns - picture_ns < _STOPPED_NS else sound_ns

    def _edge(self, ns: int) -> int:
        """A boot time in sound ticks since the part's start."""
        return (ns - self.start_ns) * SOUND_TIMESCALE // 1_000_000_000

    def _has_before(self, ns: int) -> bool:
        """Whether a fragment that ends at `ns` holds anything: where both sources stopped, sound may begin later."""
        return bool(self._pictures or (self._blocks and self._blocks[0].start < self._edge(ns)))

    def _cut(self, to_ns: int, *, new_segment: bool, goes_on: bool = False, everything: bool = False) -> Fragment:
        """`goes_on`: the segment's next picture is here already. Otherwise nobody knows whether it has one."""
        self._count_missing(to_ns)
        closing = self.signing.close(to_ns) if self.signing and self._pictures and not goes_on else ()
        seals = {index: picture.seal for index, picture in enumerate(self._pictures) if picture.seal}
        edge = self._edge(to_ns)
        taken = self._blocks if everything else [block for block in self._blocks if block.start < edge]
        video, sound = self._video(to_ns), _sound(taken)
        fragment = Fragment(self._opens, video, sound, self._from_ns, to_ns, self._drops, seals, closing)
        self._blocks = self._blocks[len(taken) :]
        self._pictures, self._drops, self._opens, self._from_ns = [], 0, new_segment, to_ns
        self._hurried = False
        if new_segment:
            self._segment_from_ns = to_ns
        return fragment

    def _video(self, to_ns: int) -> Run | None:
        if not self._pictures:
            return None
        edges = [self._us(picture.ns) for picture in self._pictures] + [self._us(to_ns)]
        samples = [
            Sample(picture.data, max(after - before, 0), picture.key)
            for picture, before, after in zip(self._pictures, edges[:-1], edges[1:], strict=True)
        ]
        return Run(edges[0], samples)

    def _us(self, ns: int) -> int:
        return (ns - self.start_ns) // 1000

    def _count_missing(self, to_ns: int) -> None:
        """Count what is missing before `to_ns`, also where sound alone is cut; before the first picture nothing is."""
        if self._counted_ns is None:
            return
        missing = max(0, (to_ns - self._counted_ns + self.frame_ns // 2) // self.frame_ns - 1)
        self._drops += missing
        self._counted_ns += missing * self.frame_ns


def _sound(blocks: list[_Block]) -> Run | None:
    if not blocks:
        return None
    # Where sound is missing, the block before lasts until the next one, or all that follow would come too early.
    ends = [block.start for block in blocks[1:]] + [blocks[-1].start + blocks[-1].duration]
    samples = [Sample((block.data,), end - block.start) for block, end in zip(blocks, ends, strict=True)]
    return Run(blocks[0].start, samples)
