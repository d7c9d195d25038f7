"""The writer: one thread that makes fragments durable and then says so in the journal.

Live fragments go first; the pre-event ring follows when nothing live waits. What the disk refuses of a part ends that
part: nothing of it is written any more, and its gap begins at its last attested fragment. Records are never given up:
they wait, in order, until the disk takes them. The caller watches `backlog_ns` and ends the part when the disk is too
slow: nothing is dropped for that here.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evidence import age, mp4
from firmware.capture.cutter import Fragment
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.late import LateSegment, Unfinished
from firmware.capture.segment_writer import SegmentWriter
from firmware.hal.ports import Still
from runtime.disk import Disk

_log = logging.getLogger(__name__)

# When refused records are tried again if nothing else is to be written: ever later, for each try may cost a journal
# file that the next opening has to declare, and it can declare only so many.
_RETRY_SECONDS = (2.0, 32.0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fragment belongs, and its number within the part."""

    recording: str
    part: int
    segment: int
    sequence: int


@dataclass(frozen=True, slots=True)
class WriteFragment:
    """Write a fragment; `init` opens a segment. `utc_ms`: the UTC claim of its first picture or sample."""

    place: Place
    fragment: Fragment
    utc_ms: int
    init: bytes | None
    stills: tuple[Still, ...] = ()


@dataclass(frozen=True, slots=True)
class CloseSegment:
    """Close a segment after its last fragment."""

    recording: str
    segment: int


@dataclass(frozen=True, slots=True)
class Run:
    """Write one record, or do something else, in the writer's order. Done again from the start if it raises OSError."""

    action: Callable[[], object]


Job = WriteFragment | CloseSegment | Run
PartKey = tuple[str, int]  # recording and part
Span = tuple[int, int]


class StorageError(Exception):
    """A part could not be kept; `cause` is the specification's cause of the gap that follows."""

    def __init__(self, cause: str, error: Exception) -> None:
        text = error.strerror if isinstance(error, OSError) else None
        super().__init__(f"{cause}: {text or error}")
        self.cause = cause


class Writer:
    """Owns the open segments.

    From its thread it calls `on_failure` when a part cannot be kept, and `on_fault(where, what)` for what harms only a
    record.
    """

    def __init__(
        self,
        disk: Disk,
        journal: JournalWriter,
        recipients: Sequence[str],
        *,
        reserve_bytes: int,
        make_room: Callable[[], bool],
        on_failure: Callable[[StorageError], None],
        on_fault: Callable[[str, str], None],
    ) -> None:
        self._disk = disk
        self._journal = journal
        self._recipients = recipients
        self._reserve = reserve_bytes
        self._make_room = make_room
        self._on_failure = on_failure
        self._on_fault = on_fault
        self._live: deque[Job] = deque()
        self._later: deque[Job] = deque()
        self._refused: deque[Run] = deque()  # a few a minute at most, while the disk takes nothing
        self._patience = _RETRY_SECONDS[0]
        self._changed = threading.Condition()
        self._stopping = False
        self._open: dict[tuple[str, int], SegmentWriter] = {}
        self._failed: set[PartKey] = set()
        self._spans: dict[PartKey, dict[int, Span]] = {}
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, *jobs: Job, later: bool = False) -> None:
        """Queue jobs; `later` ones wait until nothing live is queued."""
        with self._changed:
            (self._later if later else self._live).extend(jobs)
            self._changed.notify_all()

    def hurry(self) -> None:
        """Let what waits for a quiet moment go before anything that is queued from now on."""
        with self._changed:
            self._live.extend(self._later)
            self._later.clear()

    def backlog_ns(self) -> int:
        """Recorded time that waits to become durable."""
        with self._changed:
            spans = [job.fragment.to_ns - job.fragment.from_ns for job in self._live if isinstance(job, WriteFragment)]
        return sum(spans)

    def stills(self) -> list[Still]:
        """Those that wait to become durable."""
        with self._changed:
            return [still for job in self._live if isinstance(job, WriteFragment) for still in job.stills]

    def spans(self, recording: str, part: int) -> dict[int, Span]:
        """Attested span of each segment of a part of this boot, on the boot clock. In the writer's order only."""
        return self._spans.get((recording, part), {})

    def has_room(self) -> bool:
        """Whether the disk has more free than the reserve."""
        return self._disk.free() >= self._reserve

    def make_room(self) -> bool:
        """See to it that there is room, by giving up segments that have receipts. In the writer's order only."""
        while not self.has_room():
            if not self._make_room():
                return False
        return True

    def stop(self) -> None:
        """Finish what is queued and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def work_once(self) -> bool:
        """Do the next job, in the caller's thread; False if there is none. The writer's own thread does just this."""
        with self._changed:
            if not (self._live or self._later):
                return False
            job = (self._live or self._later).popleft()
        self._do(job)
        return True

    def retry(self) -> None:
        """Try refused records again, in the caller's thread; the writer's own does it now and then."""
        try:
            self._write_records()
        except OSError as error:
            self._patience = min(2 * self._patience, _RETRY_SECONDS[1])
            _log.debug("the disk still refuses records", extra={"error": str(error)})

    def _run(self) -> None:
        while True:
            with self._changed:
                patience = self._patience if self._refused else None
                self._changed.wait_for(lambda: self._live or self._later or self._stopping, patience)
                done = self._stopping and not (self._live or self._later)
            if not self.work_once():
                self.retry()
            if done:
                return

    def _do(self, job: Job) -> None:
        if isinstance(job, Run):
            self._record(job)
            return
        try:
            if isinstance(job, CloseSegment):
                self._close(job)
            elif self._key(job) not in self._failed:
                self._write(job)
            else:
                self._account_for(job)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._give_up(job, StorageError("storage_full" if full else "storage_failing", error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread that keeps evidence must live
            _log.exception("a part cannot be written")
            self._give_up(job, StorageError("unknown", error))

    def _record(self, job: Run) -> None:
        waiting = bool(self._refused)
        self._refused.append(job)
        try:
            self._write_records()
        except OSError as error:
            if not waiting:
                self._on_fault("storage", f"a record has to wait: {error.strerror or error}")

    def _write_records(self) -> None:
        while self._refused:
            try:
                self._refused[0].action()
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - this record can never be written; those behind it can
                _log.exception("a record cannot be written")
                self._on_fault("journal", f"a record was given up: {type(error).__name__}: {error}")
            self._refused.popleft()
            self._patience = _RETRY_SECONDS[0]

    def _write(self, job: WriteFragment) -> None:
        place, fragment = job.place, job.fragment
        self._write_records()  # nothing of a part is written before the record that begins it
        if not self.make_room():
            # The reserve is for the journal: it must be able to say how the recording ended.
            raise OSError(errno.ENOSPC, "the card is full of segments that no receipt covers yet")
        key = (place.recording, place.segment)
        writer = self._open.get(key)
        if writer is None:
            if job.init is None:
                raise ValueError(f"segment {place.segment} was never opened")
            writer = SegmentWriter(self._disk, key[0], place.part, key[1], job.init, self._recipients)
            self._open[key] = writer
        stills = tuple(piece for still in job.stills for piece in mp4.still(still.boot_ns, still.jpeg))
        data = mp4.fragment(place.sequence, fragment.signed_video(), fragment.sound, job.utc_ms, age.CHUNK, stills)
        body = writer.write(fragment, data)
        self._journal.append("fragment", body)
        writer.attested(body)
        for told in _still_bodies(body, job.stills):
            self._record(Run(partial(self._journal.append, "still", told)))
        spans = self._spans.setdefault(self._key(job), {})
        spans[place.segment] = (spans.get(place.segment, (fragment.from_ns, 0))[0], fragment.to_ns)

    def _close(self, job: CloseSegment) -> None:
        key = (job.recording, job.segment)
        writer = self._open.get(key)
        if writer is not None:
            body = writer.close()
            del self._open[key]
            self._record(Run(lambda: self._journal.append("segment", body)))

    @staticmethod
    def _key(job: WriteFragment) -> PartKey:
        return job.place.recording, job.place.part

    def _give_up(self, job: WriteFragment | CloseSegment, error: StorageError) -> None:
        """End every open part where its last attested fragment ends, and close the books of its segments."""
        parts = {(writer.recording, writer.part) for writer in self._open.values()}
        if isinstance(job, WriteFragment):
            parts.add(self._key(job))
        self._failed |= parts
        abandoned, self._open = self._open, {}
        for writer in abandoned.values():
            writer.abandon()
            self._close_late(writer.unfinished())
        if isinstance(job, WriteFragment):
            self._account_for(job, opened=(job.place.recording, job.place.segment) in abandoned)
        self._on_failure(error)

    def _account_for(self, job: WriteFragment, *, opened: bool = False) -> None:
        """A segment that a failed part would have opened has a number, and so needs a record; a lost still is told."""
        if job.stills:
            self._on_fault("still", f"{len(job.stills)} lost: the disk did not take the fragment that carries it")
        if job.init is not None and not opened:
            self._close_late(Unfinished(job.place.recording, job.place.part, job.place.segment, refused=True))

    def _close_late(self, unfinished: Unfinished) -> None:
        late = LateSegment(self._disk, unfinished)
        self._record(Run(lambda: self._journal.append("segment", late.body())))


def _still_bodies(fragment: Mapping[str, Any], stills: Sequence[Still]) -> Iterator[dict[str, Any]]:
    """The records of the stills that stand at the beginning of a fragment."""
    at = fragment["plain_offset"]
    for still in stills:
        yield {
            "recording": fragment["recording"],
            "segment": fragment["segment"],
            "at_ns": still.boot_ns,
            "plain_offset": at + mp4.STILL_HEAD,
            "size": len(still.jpeg),
            "sha256": hashlib.sha256(still.jpeg).hexdigest(),
        }
        at += mp4.STILL_HEAD + len(still.jpeg)
