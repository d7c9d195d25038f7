"""From frames and sound to the writer: the ring while armed, a part while recording. Called from the runner only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evidence import mp4
from evidence.errors import EvidenceError
from firmware.capture.media_signer import MediaSigner
from firmware.capture.part import EncoderChangedError, Format, Part
from firmware.capture.ring import STALE_NS, Ring
from firmware.capture.writer import Job, Writer
from firmware.hal.ports import Frame, SoundBlock, SoundEncoder, Still

_log = logging.getLogger(__name__)

_STILLS_BYTES = 2 * mp4.STILL_LIMIT  # that wait for the disk: memory is not to run out because a button is pressed


@dataclass(frozen=True, slots=True)
class PartPlan:
    """What a part is of. `opening(start_ns, ring_from_ns)` gives the records that go before its first fragment."""

    recording: str
    number: int
    first_segment: int
    now_ns: int
    sound_from_ns: int  # blocks and stills from before are not the recording's: they wait for the press
    opening: Callable[[int, int | None], Sequence[Job]]
    pictures: bool = True  # False: sound only, from the first block on


class Media:
    """Owns the ring, the sound encoder and the part that is being recorded.

    `on_fault(where, what)` hears of stills that cannot be kept. `signer` None: nothing certifies this boot's key.
    """

    def __init__(
        self,
        ring: Ring,
        encoder: SoundEncoder,
        form: Format,
        writer: Writer,
        utc_ms: Callable[[int], int],
        on_fault: Callable[[str, str], None],
        signer: MediaSigner | None = None,
    ) -> None:
        self._ring = ring
        self._encoder = encoder
        self._form = form
        self._writer = writer
        self._utc_ms = utc_ms
        self._on_fault = on_fault
        self._signer = signer
        self._part: Part | None = None
        self._plan: PartPlan | None = None
        self._opened = False
        self._pre_event: list[Job] = []
        self._ring_from_ns: int | None = None

    def sign_by(self, signer: MediaSigner | None) -> None:
        """From the next part on: the boot's key is certified by now. Any thread may."""
        self._signer = signer

    @property
    def recording(self) -> bool:
        """Whether a part is being recorded."""
        return self._part is not None

    def begin(self, plan: PartPlan, *, with_ring: bool) -> None:
        """Begin a part; live begins at the last key frame before now, so that nothing after it is lost."""
        before, live = self._ring.take()
        if live and plan.now_ns - live[-1].boot_ns > STALE_NS:
            before, live = [], []  # pictures stopped long ago: what was seen then is neither this moment nor before it
        self._plan, self._opened = plan, False
        self._part, self._pre_event, self._ring_from_ns = self._new_part(plan), [], None
        if with_ring and before and live:
            live = self._take_ring(plan, before, live)
        for frame in live if plan.pictures else ():
            self.picture(frame)
        self._submit(self._part, self._part.hurry())

    def _new_part(self, plan: PartPlan) -> Part:
        return Part(
            plan.recording, plan.number, plan.first_segment, self._form, self._utc_ms,
            pictures=plan.pictures, signer=self._signer,
        )  # fmt: skip

    def _take_ring(self, plan: PartPlan, before: Sequence[Frame], live: list[Frame]) -> list[Frame]:
        """Begin the part with the ring; returns the live pictures that it does not have yet."""
        part = self._new_part(plan)
        try:
            pre_event = part.pre_event(before, live[0].boot_ns)
            jobs = part.picture(live[0])  # raises if the encoder has changed since the ring
        except (EncoderChangedError, EvidenceError) as error:
            _log.warning("the pre-event ring cannot be used", extra={"error": repr(error)})
            return live  # what was before the press is a gift; what comes after it must be recorded
        self._part, self._pre_event, self._ring_from_ns = part, pre_event, before[0].boot_ns
        self._submit(part, jobs)
        return live[1:]

    def picture(self, frame: Frame) -> None:
        """The next picture. Raises `EncoderChangedError` when a new part has to begin with it."""
        if self._part is None:
            self._ring.add(frame)
            return
        if self._plan is not None and not self._plan.pictures:
            return
        try:
            self._submit(self._part, self._part.picture(frame))
        except EncoderChangedError:
            self._ring.add(frame)  # a key frame: the next part begins with it
            raise

    def sound(self, block: SoundBlock) -> None:
        """The next block of sound."""
        if self._part is not None and self._plan is not None and block.boot_ns >= self._plan.sound_from_ns:
            self._submit(self._part, self._part.sound(self._encoder.encode(block.pcm), block.boot_ns))

    def still(self, still: Still) -> None:
        """A still, which goes into the fragment that is cut next, whatever that one is of."""
        part, plan = self._part, self._plan
        if part is None or plan is None:
            self._on_fault("still", "not kept: nothing is recorded any more")
        elif not plan.pictures:
            self._on_fault("still", "not kept: only sound is recorded")
        elif still.boot_ns < plan.sound_from_ns:
            self._on_fault("still", "not kept: it was taken before the recording began")
        elif len(still.jpeg) > mp4.STILL_LIMIT:
            self._on_fault("still", f"not kept: it has {len(still.jpeg)} bytes, and {mp4.STILL_LIMIT} are the most")
        elif self._waiting(part) + len(still.jpeg) > _STILLS_BYTES:
            self._on_fault("still", "not kept: those before it still wait for the disk")
        else:
            part.still(still)

    def _waiting(self, part: Part) -> int:
        """Bytes of stills that are not durable yet."""
        return sum(len(still.jpeg) for still in (*part.stills, *self._writer.stills()))

    def forget(self) -> None:
        """Empty the ring: what was seen before is not of the next recording."""
        self._ring.take()

    def end(self) -> int | None:
        """End the part; return the next free segment number, or None if there was no picture and no sound for it."""
        part, self._part = self._part, None
        if part is None:
            return None
        self._submit(part, part.finish())
        if part.stills:
            self._on_fault("still", "not kept: neither picture nor sound came for the part")
        return part.next_segment if self._opened else None

    def _submit(self, part: Part, jobs: Sequence[Job]) -> None:
        if not jobs or self._plan is None or part.start_ns is None:
            return
        if not self._opened:
            self._opened = True
            self._writer.submit(*self._plan.opening(part.start_ns, self._ring_from_ns))
        self._writer.submit(*jobs)
        if self._pre_event:
            # The ring follows when the first live fragment is safe.
            self._writer.submit(*self._pre_event, later=True)
            self._pre_event = []
