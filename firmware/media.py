"""From frames and sound to the writer: the ring while armed, a part while recording. Called from the runner only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware.capture.part import EncoderChangedError, Format, Part
from firmware.capture.ring import Ring
from firmware.capture.writer import Job, Run, Writer
from firmware.hal.ports import Frame, SoundBlock, SoundEncoder


@dataclass(frozen=True, slots=True)
class PartPlan:
    """What a part is of: `on_began(start_ns, ring_from_ns)` runs in the writer's order, before its first fragment."""

    recording: str
    number: int
    first_segment: int
    sound_from_ns: int  # blocks that began before are not the recording's: sound waits for the press
    on_began: Callable[[int, int | None], None]


class Media:
    """Owns the ring, the sound encoder and the part that is being recorded."""

    def __init__(
        self, ring: Ring, encoder: SoundEncoder, form: Format, writer: Writer, utc_ms: Callable[[int], int]
    ) -> None:
        self._ring = ring
        self._encoder = encoder
        self._form = form
        self._writer = writer
        self._utc_ms = utc_ms
        self._part: Part | None = None
        self._plan: PartPlan | None = None
        self._announced = False
        self._pre_event: list[Job] = []
        self._ring_from_ns: int | None = None

    @property
    def recording(self) -> bool:
        """Whether a part is being recorded."""
        return self._part is not None

    def begin(self, plan: PartPlan, *, with_ring: bool) -> None:
        """Begin a part; live begins at the last key frame before now, so that nothing after it is lost."""
        self._plan, self._announced = plan, False
        part = Part(plan.recording, plan.number, plan.first_segment, self._form, self._utc_ms)
        before, live = self._ring.take()
        self._ring_from_ns = None
        if with_ring and before and live:
            self._pre_event = part.pre_event(before, live[0].boot_ns)
            self._ring_from_ns = before[0].boot_ns
        self._part = part
        for frame in live:
            self.picture(frame)

    def picture(self, frame: Frame) -> None:
        """The next picture. Raises `EncoderChangedError` when a new part has to begin with it."""
        if self._part is None:
            self._ring.add(frame)
            return
        try:
            self._submit(self._part.picture(frame))
        except EncoderChangedError:
            self._ring.add(frame)  # a key frame: the next part begins with it
            raise

    def sound(self, block: SoundBlock) -> None:
        """The next block of sound."""
        if self._part is not None and self._plan is not None and block.boot_ns >= self._plan.sound_from_ns:
            self._submit(self._part.sound(self._encoder.encode(block.pcm), block.boot_ns))

    def end(self) -> tuple[int, int] | None:
        """End the part; return its end on the boot clock and the next free segment number."""
        part, self._part = self._part, None
        if part is None:
            return None
        self._submit(part.finish(), part)
        return part.last_ns, part.next_segment

    def _submit(self, jobs: list[Job], part: Part | None = None) -> None:
        part = part or self._part
        if not jobs or part is None:
            return
        plan, start_ns, ring_from_ns = self._plan, part.start_ns, self._ring_from_ns
        if plan is not None and start_ns is not None and not self._announced:
            self._announced = True
            self._writer.submit(Run(lambda: plan.on_began(start_ns, ring_from_ns)))
        self._writer.submit(*jobs)
        if self._pre_event:
            # The ring follows when the first live fragment is safe.
            self._writer.submit(*self._pre_event, later=True)
            self._pre_event = []
