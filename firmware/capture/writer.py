"""The writer: one thread that makes fragments durable and then says so in the journal.

Live fragments go first; the pre-event ring follows when nothing live waits. The caller watches `backlog_ns` and ends
the part when the disk is too slow: nothing is dropped here.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evidence import age, mp4
from firmware.capture.cutter import Fragment
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.segment_writer import SegmentWriter
from runtime.disk import Disk


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


@dataclass(frozen=True, slots=True)
class CloseSegment:
    """Close a segment after its last fragment."""

    recording: str
    segment: int


@dataclass(frozen=True, slots=True)
class Run:
    """Do something in the writer's order, e.g. write a record after all that was queued before."""

    action: Callable[[], object]


Job = WriteFragment | CloseSegment | Run


class StorageError(Exception):
    """The disk refused; `cause` is the specification's cause of the gap that follows."""

    def __init__(self, cause: str, error: OSError) -> None:
        super().__init__(f"{cause}: {error.strerror or error}")
        self.cause = cause


class Writer:
    """Owns the open segments.

    `on_failure` is called from its thread when the disk refuses; later jobs of the segments that were open are then
    dropped, because their recording has a gap there.
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
    ) -> None:
        self._disk = disk
        self._journal = journal
        self._recipients = recipients
        self._reserve = reserve_bytes
        self._make_room = make_room
        self._on_failure = on_failure
        self._live: deque[Job] = deque()
        self._later: deque[Job] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._stopping = False
        self._open: dict[tuple[str, int], SegmentWriter] = {}
        self._failed: set[tuple[str, int]] = set()
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, *jobs: Job, later: bool = False) -> None:
        """Queue jobs; `later` ones wait until nothing live is queued."""
        with self._changed:
            (self._later if later else self._live).extend(jobs)
            self._changed.notify_all()

    def backlog_ns(self) -> int:
        """Recorded time that waits to become durable."""
        with self._changed:
            spans = [job.fragment.to_ns - job.fragment.from_ns for job in self._live if isinstance(job, WriteFragment)]
        return sum(spans)

    def has_room(self) -> bool:
        """Whether the disk has more free than the reserve."""
        return self._disk.free() >= self._reserve

    def drain(self, timeout_seconds: float) -> bool:
        """Wait until everything queued is done."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._live or self._later or self._busy), timeout_seconds)

    def stop(self) -> None:
        """Finish what is queued and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._live or self._later or self._stopping)
                if not (self._live or self._later):
                    return
                job = (self._live or self._later).popleft()
                self._busy = True
            try:
                self._do(job)
            except OSError as error:
                self._fail(error)

    def _do(self, job: Job) -> None:
        if isinstance(job, Run):
            job.action()
        elif isinstance(job, CloseSegment):
            writer = self._open.pop((job.recording, job.segment), None)
            if writer is not None:
                self._journal.append("segment", writer.close())
        else:
            self._write(job)

    def _write(self, job: WriteFragment) -> None:
        key = (job.place.recording, job.place.segment)
        if key in self._failed:
            return
        if not self.has_room() and not self._make_room():
            # The reserve is for the journal: it must be able to say how the recording ended.
            raise OSError(errno.ENOSPC, "the card is full of segments that no receipt covers yet")
        writer = self._open.get(key)
        if job.init is not None and writer is None:
            writer = SegmentWriter(self._disk, key[0], job.place.part, key[1], job.init, self._recipients)
            self._open[key] = writer
        if writer is None:
            return  # its opening failed
        fragment = job.fragment
        data = mp4.fragment(job.place.sequence, fragment.video, fragment.sound, job.utc_ms, age.CHUNK)
        self._journal.append("fragment", writer.write(fragment, data))

    def _fail(self, error: OSError) -> None:
        for key, writer in self._open.items():
            writer.abandon()
            self._failed.add(key)
        self._open.clear()
        cause = "storage_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "storage_failing"
        self._on_failure(StorageError(cause, error))
