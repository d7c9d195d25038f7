"""One part of a recording: frames and sound in, jobs for the writer out. No IO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evidence import age, mp4
from evidence.errors import EvidenceError
from firmware.capture.cutter import Cutter, Fragment
from firmware.capture.media_signer import MediaSigner, PartSigning
from firmware.capture.sound_clock import SoundClock
from firmware.capture.writer import CloseSegment, Job, Place, WriteFragment
from firmware.hal.ports import Frame, Still

_WAIT_NS = 2_000_000_000  # how long sound waits for the first picture of a part


@dataclass(frozen=True, slots=True)
class Format:
    """How the recorder cuts and what its tracks are. `streaminfo` None: no sound."""

    width: int
    height: int
    frame_ns: int
    fragment_ns: int
    segment_ns: int
    streaminfo: bytes | None


class EncoderChangedError(Exception):
    """The encoder's configuration changed: a new part has to begin."""


class Part:
    """Feeds the cutter and numbers segments and fragments. `utc_ms` tells the UTC claim of a boot time.

    Without `pictures`, it is sound only from its first block on. Without `signer`, its pictures are not signed.
    """

    def __init__(
        self, recording: str, number: int, first_segment: int, form: Format, utc_ms: Callable[[int], int],
        *, pictures: bool = True, signer: MediaSigner | None = None,
    ) -> None:  # fmt: skip
        self.recording = recording
        self.number = number
        self.next_segment = first_segment
        self.start_ns: int | None = None
        self.last_ns = 0
        self._form = form
        self._pictures = pictures
        self._utc_ms = utc_ms
        self._signing = PartSigning(signer, utc_ms) if signer else None
        self._config: mp4.VideoConfig | None = None
        self._cutter: Cutter | None = None
        self._sound_clock: SoundClock | None = None
        self._segment: int | None = None
        self._sequence = 0
        self._waiting: list[tuple[bytes, int]] = []  # sound from before the first picture
        self._undecodable: list[int] = []  # times of pictures that came before any key frame, until the part begins
        self._stills: list[Still] = []  # until a fragment is cut that carries them

    def pre_event(self, before: Sequence[Frame], live_from_ns: int) -> list[Job]:
        """The ring's pictures as segments of their own, which end where live begins. Call before any `picture`."""
        if not before:
            return []
        self._begin(before[0].boot_ns)
        jobs = [job for frame in before for job in self._picture(frame)]
        jobs += self._place(self._cutter_or_fail().flush(live_from_ns))
        if self._segment is not None:
            jobs.append(CloseSegment(self.recording, self._segment))
            self._segment = None
        self._cutter = self._new_cutter(live_from_ns)
        return jobs

    def picture(self, frame: Frame) -> list[Job]:
        """The next picture. Until a key frame comes nothing can be decoded: nothing is kept, and that is told."""
        if self._config is None and not frame.keyframe:
            self._not_kept(frame.boot_ns)
            return []
        if self._config is None and self._segment is not None:
            raise EncoderChangedError  # sound began this part alone; its segment has no track for pictures
        if self._cutter is None:
            self._begin(min([frame.boot_ns, *(boot_ns for _, boot_ns in self._waiting[:1])]))
        jobs = self._picture(frame)
        return jobs + self._catch_up() if self._waiting else jobs

    def hurry(self) -> list[Job]:
        """Let what is there become durable at once: the button was pressed."""
        return self._place(self._cutter.hurry() if self._cutter else None)

    def sound(self, packet: bytes, boot_ns: int) -> list[Job]:
        """The next block of sound. It waits a moment for the first picture, then goes on alone."""
        self._waiting.append((packet, boot_ns))
        if self._cutter is None:
            if self._pictures and boot_ns - self._waiting[0][1] < _WAIT_NS:
                return []
            self._begin(self._waiting[0][1])
        return self._catch_up()

    def still(self, still: Still) -> None:
        """A still, for the fragment that is cut next. A fragment carries one, or others would wait for the disk."""
        self._stills.append(still)

    @property
    def stills(self) -> Sequence[Still]:
        """Those that wait. Some are left after `finish` only if the part had neither picture nor sound."""
        return self._stills

    def _catch_up(self) -> list[Job]:
        self._sound_clock = self._sound_clock or SoundClock(self.start_ns or 0)
        jobs: list[Job] = []
        for packet, boot_ns in self._waiting:
            jobs += self._place(self._cutter_or_fail().sound(packet, *self._sound_clock.place(boot_ns)))
        self._waiting.clear()
        return jobs

    def finish(self) -> list[Job]:
        """The last fragment, with all stills that wait, and the end of the open segment."""
        jobs: list[Job] = []
        if self._cutter is None and self._waiting:  # the first picture never came
            self._begin(self._waiting[0][1])
            jobs += self._catch_up()
        jobs += self._place(self._cutter.flush() if self._cutter else None, most_stills=len(self._stills))
        if self._segment is not None:
            jobs.append(CloseSegment(self.recording, self._segment))
        return jobs

    def _begin(self, start_ns: int) -> None:
        self.start_ns = start_ns
        self._cutter = self._new_cutter(start_ns)
        undecodable, self._undecodable = self._undecodable, []
        for boot_ns in undecodable:
            self._not_kept(boot_ns)

    def _not_kept(self, boot_ns: int) -> None:
        if self._cutter is None:
            self._undecodable.append(boot_ns)
        elif boot_ns >= (self.start_ns or 0):
            self._cutter.not_kept()

    def _new_cutter(self, from_ns: int) -> Cutter:
        form = self._form
        lengths = (form.fragment_ns, form.segment_ns, form.frame_ns)
        cutter = Cutter(self.start_ns or 0, *lengths, self._pictures, self._signing)
        cutter.begin(from_ns)
        return cutter

    def _cutter_or_fail(self) -> Cutter:
        if self._cutter is None:
            raise ValueError("the part has not begun")
        return self._cutter

    def _picture(self, frame: Frame) -> list[Job]:
        unit = mp4.access_unit(frame.data)
        if unit.sps and unit.pps:
            config = mp4.VideoConfig(unit.sps, unit.pps, self._form.width, self._form.height)
            if self._config not in (None, config):
                raise EncoderChangedError
            self._config = config
        if self._config is None:
            raise EvidenceError("h264-unit", "a part begins with a key frame and its parameter sets")
        return self._place(self._cutter_or_fail().picture(unit, frame.boot_ns))

    def _place(self, fragment: Fragment | None, most_stills: int = 1) -> list[Job]:
        if fragment is None:
            return []
        jobs: list[Job] = []
        init = None
        if fragment.opens_segment or self._segment is None:
            if self._segment is not None:
                jobs.append(CloseSegment(self.recording, self._segment))
            self._segment, self.next_segment = self.next_segment, self.next_segment + 1
            init = mp4.init(self._config, self._form.streaminfo, age.CHUNK)
        self._sequence += 1
        place = Place(self.recording, self.number, self._segment, self._sequence)
        stills, self._stills = tuple(self._stills[:most_stills]), self._stills[most_stills:]
        jobs.append(WriteFragment(place, fragment, self._utc_ms(fragment.from_ns), init, stills))
        self.last_ns = max(self.last_ns, fragment.to_ns)
        return jobs
