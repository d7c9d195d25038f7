"""The books of a recording: which one is open, and the records of its parts, gaps and end.

Called from the runner's loop. The records are made in the writer's order, when what they tell is durable; each job
writes one record, so that a disk that refuses it can be asked again.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from evidence import records
from firmware.capture import recovery
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.late import LateSegment
from firmware.capture.recovery import Gap, Hole, OpenRecording, Reach
from firmware.capture.vocabulary import BeginPart, PartBegan
from firmware.capture.writer import Job, Run, Writer
from firmware.hal.ports import Clock
from firmware.media import Media, PartPlan
from runtime.disk import Disk

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Book:
    """The open recording. The loop owns the numbers."""

    id: str
    activity: str | None
    pressed_ns: int | None = None
    began_ns: int | None = None  # in this boot
    part: int = 0  # the last one that began
    next_segment: int = 0
    counted: Mapping[str, int] | None = None  # the lens's counts when the recording began in this boot
    cut: OpenRecording | None = None  # as recovery found it, until a part goes on from it
    causes: dict[int, str] = field(default_factory=dict)  # of the gap after each part
    marks: list[int] = field(default_factory=list)  # made before the recording's first record
    # In the writer's order:
    reach: Reach | None = None  # of the last part
    rings: dict[int, int | None] = field(default_factory=dict)  # by part of this boot, where its ring begins
    told: set[Hole] = field(default_factory=set)


class Books:
    """One recording is open at a time. `on_part` is called from the writer's thread."""

    def __init__(
        self,
        clock: Clock,
        disk: Disk,
        journal: JournalWriter,
        writer: Writer,
        media: Media,
        counts: Callable[[], Mapping[str, int]],
        cut: OpenRecording | None,
        on_part: Callable[[PartBegan], None],
    ) -> None:
        self._clock = clock
        self._disk = disk
        self._journal = journal
        self._writer = writer
        self._media = media
        self._counts = counts
        self._on_part = on_part
        self._numbers = itertools.count(1)
        self._book: _Book | None = None
        self._due: dict[int, str] = {}  # gaps whose reason is not recorded yet; in the writer's order only
        if cut is not None:
            part, segment = cut.reach.part, cut.next_segment
            self._book = _Book(cut.id, cut.activity, part=part, next_segment=segment, cut=cut, reach=cut.reach)
            self._due = dict.fromkeys(cut.unexplained, cut.id)
            if cut.ending:
                self.end(None)

    @property
    def recording(self) -> str | None:
        """Id of the open recording, once something of it is recorded."""
        return self._book.id if self._book and self._book.part else None

    @property
    def began_ns(self) -> int | None:
        """When the open recording began, or was gone on with, in this boot; None: there is none."""
        return self._book.began_ns if self._book else None

    def record(self, kind: str, body: Mapping[str, Any]) -> None:
        """Queue a record behind what is recorded so far."""
        self._writer.submit(self._run(kind, body))

    def begin_part(self, told: BeginPart) -> None:
        """Begin a recording, or the next part of the open one, which is after a gap."""
        cause, mode = told.cause, told.mode
        if self._book is None:
            boot = self._journal.chain.boot
            self._book = _Book(records.recording_id(boot, next(self._numbers)), told.activity, told.pressed_ns)
        book = self._book
        book.activity = told.activity
        book.began_ns = book.began_ns or self._clock.boot_ns()
        book.counted = book.counted or self._counts()
        resumed, number = book.part > 0, book.part + 1
        pressed_ns = told.pressed_ns if resumed else book.pressed_ns
        _log.info("recording", extra={"recording": book.id, "part": number})

        def opening(start_ns: int, ring_from_ns: int | None) -> list[Job]:
            why = self._why(book, cause)
            cut, book.cut, book.part = book.cut, None, number
            book.causes[number - 1] = why
            started = {
                "recording": book.id,
                "part": number,
                "resumed": resumed,
                "mode": mode,
                "activity": book.activity,
                "pressed_ns": pressed_ns,
                "ring_from_ns": ring_from_ns,
            }
            jobs: list[Job] = [self._run("recording_started", started)]
            if cut is not None:
                jobs += self._owed(book, cut)
                self._writer.submit(*self._late(book, cut, why), later=True)
            if resumed:
                jobs.append(Run(lambda: self._gap_before(book, number, why, start_ns)))
            jobs += [self._run("marker", {"recording": book.id, "at_ns": at_ns}) for at_ns in book.marks]
            book.marks.clear()
            return [*jobs, Run(lambda: self._began(book, number, start_ns, ring_from_ns))]

        gone_on = cause in records.PAUSES  # nothing of the time for which it was stopped
        from_ns = (told.pressed_ns or pressed_ns or 0) if gone_on or not resumed else 0
        pictures = mode == "picture_and_sound"
        if cause == "privacy":
            self._media.forget()  # what the officer had stopped for is in no part, not even its last second
        now_ns = self._clock.boot_ns()
        plan = PartPlan(book.id, number, book.next_segment, now_ns, from_ns, opening, pictures)
        self._media.begin(plan, with_ring=pictures and not resumed and not gone_on)

    def end_part(self) -> None:
        """End the part; the recording stays open."""
        next_segment = self._media.end()
        if self._book is not None and next_segment is not None:
            self._book.next_segment = next_segment

    def end(self, interrupted: str | None, ground: str | None = None) -> None:
        """Close the books. `interrupted`: the recording ends inside a gap of that cause. `ground`: chosen on ending."""
        recording = self._media.recording
        self.end_part()
        book, self._book = self._book, None
        if book is None or book.part == 0:
            return  # neither picture nor sound ever came: there is no recording
        self._writer.hurry()
        why = self._why(book, interrupted)
        jobs: list[Job] = []
        if book.cut is not None:  # no part went on from the cut
            jobs += [*self._owed(book, book.cut), *self._late(book, book.cut, why)]
        jobs.append(Run(lambda: self._holes(book, why)))
        told = book.cut is not None and book.cut.ending
        if not told and (book.cut is not None or (interrupted is not None and not recording)):
            jobs.append(Run(lambda: self._gap_before(book, None, why, None)))
        jobs.append(Run(lambda: self._explain(book)))
        before, now = book.counted or {}, self._counts()
        body = {
            "recording": book.id,
            "ground": ground,
            "parts": book.part,
            "segments": book.next_segment,
            **{f"frames_{name}": now[name] - before.get(name, 0) for name in ("delivered", "encoded", "dropped")},
        }
        self._writer.submit(*jobs, self._run("recording_ended", body))

    def mark(self, at_ns: int) -> None:
        """Record a marked moment."""
        if self.recording is not None:
            self.record("marker", {"recording": self.recording, "at_ns": at_ns})
        elif self._book is not None:
            self._book.marks.append(at_ns)

    def keep_stop(self, ground: str, at_ns: int) -> None:
        """Record that the officer stopped the recording, to go on later."""
        if self.recording is not None:
            self.record("stopped", {"recording": self.recording, "ground": ground, "at_ns": at_ns})

    def keep_activity(self, activity: str) -> None:
        """Record the kind of activity that was chosen."""
        if self._book is None:
            return
        if self._book.part:
            self.record("activity", {"recording": self._book.id, "activity": activity})
        else:
            self._book.activity = activity  # its beginning will tell

    def keep_reason(self, gap_seq: int, basis: str, from_ns: int, to_ns: int) -> None:
        """Record how a gap's reason was given; once for each gap."""
        self._writer.submit(Run(lambda: self._reason(gap_seq, basis, from_ns, to_ns)))

    def _why(self, book: _Book, cause: str | None) -> str:
        if book.cut is not None:
            crashed = book.cut.reach.kernel_boot == self._clock.kernel_boot
            return book.cut.stopped or ("crash" if crashed else book.cut.warned or "power_cut")
        return cause or "unknown"

    def _run(self, kind: str, body: Mapping[str, Any]) -> Run:
        return Run(lambda: self._journal.append(kind, body))

    def _owed(self, book: _Book, cut: OpenRecording) -> list[Job]:
        """Records of gaps that a second cut kept from being written."""
        return [Run(partial(self._gap, book, owed, owed.reach.part + 1)) for owed in cut.owed]

    def _late(self, book: _Book, cut: OpenRecording, cause: str) -> list[Job]:
        """Step R5: late records for what a cut left open."""
        late = [LateSegment(self._disk, unfinished) for unfinished in cut.unfinished]
        segments = [Run(partial(self._late_segment, segment)) for segment in late]
        return [*segments, *(Run(partial(self._hole, book, hole, cause)) for hole in cut.holes)]

    # In the writer's order.

    def _began(self, book: _Book, part: int, start_ns: int, ring_from_ns: int | None) -> None:
        book.reach = Reach(part, start_ns, 0, None, self._clock.kernel_boot)
        book.rings[part] = ring_from_ns
        self._on_part(PartBegan(start_ns, tuple(gap for gap, of in self._due.items() if of == book.id)))

    def _gap_before(self, book: _Book, part: int | None, cause: str, first_ns: int | None) -> None:
        """The gap between the last part and `part`, which begins at `first_ns`; None: the recording ends in it."""
        reach = book.reach
        if reach is None:
            raise ValueError("a gap is after a part")
        spans = self._writer.spans(book.id, reach.part)
        if spans:
            reach = replace(reach, ns=max(to_ns for _, to_ns in spans.values()))
        self._gap(book, Gap(reach, first_ns, self._journal.stamp(), self._clock.kernel_boot, cause), part)

    def _gap(self, book: _Book, gap: Gap, before_part: int | None) -> None:
        until_ns = gap.clock.boot_ns if gap.first_ns is None else gap.first_ns
        least, most = recovery.gap_bounds(gap.reach, until_ns, gap.clock, gap.kernel_boot)
        body = {
            "recording": book.id,
            "after_part": gap.reach.part,
            "before_part": before_part,
            "cause": gap.cause,
            "last_ns": gap.reach.ns,
            "first_ns": gap.first_ns,
            "same_clock": gap.reach.kernel_boot == gap.kernel_boot,
            "min_ms": least,
            "max_ms": None if gap.first_ns is None else most,
        }
        self._due[self._journal.append("gap", body)] = book.id

    def _late_segment(self, segment: LateSegment) -> None:
        self._journal.append("segment", segment.body())

    def _holes(self, book: _Book, cause: str) -> None:
        """The ring of a part that failed was not written to its end."""
        for part, ring_from_ns in book.rings.items():
            for hole in recovery.holes(part, self._writer.spans(book.id, part), ring_from_ns):
                self._hole(book, hole, book.causes.get(part, cause))

    def _hole(self, book: _Book, hole: Hole, cause: str) -> None:
        if hole in book.told:
            return
        length_ms = (hole.first_ns - hole.last_ns) // 1_000_000
        body = {
            "recording": book.id,
            "after_part": hole.part,
            "before_part": hole.part,
            "cause": cause,
            "last_ns": hole.last_ns,
            "first_ns": hole.first_ns,
            "same_clock": True,
            "min_ms": length_ms,
            "max_ms": length_ms,
        }
        self._journal.append("gap", body)
        book.told.add(hole)

    def _reason(self, gap_seq: int, basis: str, from_ns: int, to_ns: int) -> None:
        recording = self._due.get(gap_seq)
        if recording is None:
            return
        body = {"recording": recording, "gap_seq": gap_seq, "basis": basis, "from_ns": from_ns, "to_ns": to_ns}
        self._journal.append("gap_reason", body)
        del self._due[gap_seq]

    def _explain(self, book: _Book) -> None:
        """Gaps whose reason never came have to be explained in writing, and the record says so."""
        for gap_seq in [gap for gap, of in self._due.items() if of == book.id]:
            self._reason(gap_seq, "unanswered", 0, 0)
