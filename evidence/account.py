"""What the records say happened: recordings, their parts, segments and gaps. Step 6 of specification §7.2 is here.

Fed with verified records only. Whether they agree with each other is `evidence.agreement`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evidence.finding import Attack, Finding
from evidence.records import Record


@dataclass(slots=True)
class SegmentAccount:
    """A segment as the journal tells it. `record` is None if neither the writer nor a recovery closed its books."""

    recording: str
    index: int
    part: int
    boot: str
    fragments: list[Record] = field(default_factory=list)
    stills: list[Record] = field(default_factory=list)
    record: Record | None = None

    @property
    def from_ns(self) -> int:
        """Boot time of its first picture or sample."""
        return int((self.fragments[0] if self.fragments else self.record_or_fail()).body["from_ns"])

    @property
    def to_ns(self) -> int:
        """Boot time of its attested end."""
        return int((self.fragments[-1] if self.fragments else self.record_or_fail()).body["to_ns"])

    @property
    def attested_len(self) -> int:
        """Bytes of its file that its fragments, or if it was closed its record, answer for."""
        if self.record is not None and self.record.body["closed"]:
            return int(self.record.body["file_size"])
        return int(self.fragments[-1].body["cipher_len"]) if self.fragments else 0

    def record_or_fail(self) -> Record:
        """The `segment` record of a segment that has no fragments."""
        if self.record is None:
            raise ValueError("a segment has a record or fragments")
        return self.record


@dataclass(slots=True)
class Part:
    """One boot and one encoder configuration of a recording."""

    number: int
    boot: str
    started: Record


@dataclass(slots=True)
class RecordingAccount:
    """Everything the journal says of one recording."""

    id: str
    started: Record
    parts: dict[int, Part] = field(default_factory=dict)
    segments: dict[int, SegmentAccount] = field(default_factory=dict)
    gaps: list[Record] = field(default_factory=list)
    reasons: list[Record] = field(default_factory=list)
    notices: list[Record] = field(default_factory=list)
    markers: list[Record] = field(default_factory=list)
    ended: Record | None = None

    def causes(self) -> dict[int, str]:
        """By part, the cause of the first gap behind it."""
        gaps = (gap.body for gap in reversed(self.gaps))
        return {gap["after_part"]: gap["cause"] for gap in gaps if gap["after_part"] != gap["before_part"]}

    def part_segments(self, part: int) -> list[SegmentAccount]:
        """The segments of a part, in order."""
        return [s for _, s in sorted(self.segments.items()) if s.part == part]

    def part_begins(self, part: int) -> int:
        """Boot time of a part's first sample: its ring's, or its first fragment's."""
        ring_ns = self.parts[part].started.body["ring_from_ns"]
        return int(ring_ns) if ring_ns is not None else min(s.from_ns for s in self.attested()[part])

    @property
    def stills(self) -> list[Record]:
        """The `still` records, in the order of its segments."""
        return [still for _, segment in sorted(self.segments.items()) for still in segment.stills]

    @property
    def recorded_ns(self) -> int:
        """Attested length without gaps, nanoseconds."""
        return self.total("to_ns") - self.total("from_ns")

    @property
    def boots(self) -> set[str]:
        """The boots that recorded it, and those that told something of it."""
        return {record.boot for record in self.told()}

    def told(self) -> list[Record]:
        """What is told of it beside its fragments and stills, which are of the boots that began its parts."""
        told = [*self.gaps, *self.reasons, *self.notices, *self.markers, *([self.ended] if self.ended else [])]
        told += [segment.record for segment in self.segments.values() if segment.record]
        return told + [part.started for part in self.parts.values()]

    def attested(self) -> dict[int, list[SegmentAccount]]:
        """The segments of each part that have fragments, in order."""
        found: dict[int, list[SegmentAccount]] = {}
        for _, segment in sorted(self.segments.items()):
            if segment.fragments:
                found.setdefault(segment.part, []).append(segment)
        return found

    def total(self, member: str) -> int:
        """Sum of a number over all attested fragments, e.g. `frames`."""
        return sum(int(f.body[member]) for s in self.segments.values() for f in s.fragments)


class Account:
    """The recordings of one camera, built record by record."""

    def __init__(self) -> None:
        self.recordings: dict[str, RecordingAccount] = {}
        self.released: dict[tuple[str, int], Record] = {}
        self.receipts: list[Record] = []
        self.anchors: list[Record] = []
        self.faults: list[Record] = []
        self.boots: list[Record] = []
        self.unclean: list[tuple[Record, Record]] = []  # last record of a cut boot, the next boot
        self.last: Record | None = None
        self.odd: list[Finding] = []  # step 6: what refers to nothing, or comes a second time
        self.utc_ahead_ms: dict[str, tuple[int, int]] = {}  # of the boot clock, in each boot: least and most

    def add(self, record: Record) -> None:
        """Take in the next verified record."""
        handler = getattr(self, f"_on_{record.kind}", None)
        if handler is not None:
            handler(record)
        ahead = record.clock.utc_ms - record.clock.boot_ns // 1_000_000
        least, most = self.utc_ahead_ms.get(record.boot, (ahead, ahead))
        self.utc_ahead_ms[record.boot] = min(least, ahead), max(most, ahead)
        self.last = record

    @property
    def open_recording(self) -> RecordingAccount | None:
        """The recording that had begun and not ended when the last record was made."""
        going = [recording for recording in self.recordings.values() if recording.ended is None]
        return going[-1] if going else None

    def _on_boot(self, record: Record) -> None:
        self.boots.append(record)
        if self.last is not None and self.last.kind != "shutdown":
            self.unclean.append((self.last, record))

    def _on_recording_started(self, record: Record) -> None:
        name, number = record.body["recording"], record.body["part"]
        if name not in self.recordings and not name.startswith(f"{record.boot[:8]}-"):
            self._odd(record, f"{name} begins in boot {record.boot}, whose name it does not bear")
        recording = self.recordings.setdefault(name, RecordingAccount(name, record))
        if number in recording.parts:
            self._odd(record, f"part {number} of {name} starts twice")
        if record.body["resumed"] != (number > 1):
            self._odd(record, f"part {number} of {name} begins a recording and resumes it")
        if recording.ended is not None:
            self._odd(record, f"part {number} of {name} starts after the recording has ended")
        recording.parts.setdefault(number, Part(number, record.boot, record))

    def _on_fragment(self, record: Record) -> None:
        segment = self._segment(record)
        if segment is not None:
            segment.fragments.append(record)

    def _on_segment(self, record: Record) -> None:
        segment = self._segment(record)
        if segment is None:
            return
        if segment.record is not None:
            self._odd(record, f"segment {segment.index} of {segment.recording} is closed twice")
            return
        segment.record = record

    def _segment(self, record: Record) -> SegmentAccount | None:
        body = record.body
        recording = self.recordings.get(body["recording"])
        part = recording.parts.get(body["part"]) if recording else None
        if recording is None or part is None:
            self._odd(record, f"part {body['part']} of {body['recording']} was never started")
            return None
        index = body["segment"]
        found = recording.segments.get(index) or SegmentAccount(recording.id, index, part.number, part.boot)
        late = record.kind == "segment" and not body["closed"]  # written by the boot that recovered it
        if found.part != body["part"] or (part.boot != record.boot and not late):
            self._odd(record, f"segment {index} of {recording.id} is told by another part or boot")
            return None
        recording.segments[index] = found  # only what is told of it in its place makes it one
        return found

    def _on_gap(self, record: Record) -> None:
        self._of(record, "gaps")

    def _on_gap_reason(self, record: Record) -> None:
        self._of(record, "reasons")

    def _on_notice(self, record: Record) -> None:
        self._of(record, "notices")

    def _on_marker(self, record: Record) -> None:
        self._of(record, "markers")

    def _on_still(self, record: Record) -> None:
        name, index = record.body["recording"], record.body["segment"]
        recording = self.recordings.get(name)
        segment = recording.segments.get(index) if recording else None
        if segment is None or segment.boot != record.boot:
            self._odd(record, f"a still in segment {index} of {name}, of which this boot has told nothing")
            return
        segment.stills.append(record)

    def _of(self, record: Record, member: str) -> None:
        recording = self.recordings.get(record.body["recording"])
        if recording is None:
            self._odd(record, f"{record.kind} of {record.body['recording']}, which was never started")
            return
        getattr(recording, member).append(record)

    def _on_recording_ended(self, record: Record) -> None:
        recording = self.recordings.get(record.body["recording"])
        if recording is None or recording.ended is not None:
            self._odd(record, f"{record.body['recording']} ends without having been open")
            return
        recording.ended = record

    def _on_released(self, record: Record) -> None:
        self.released[record.body["recording"], record.body["segment"]] = record

    def _on_receipt(self, record: Record) -> None:
        self.receipts.append(record)

    def _on_time_anchor(self, record: Record) -> None:
        self.anchors.append(record)

    def _on_fault(self, record: Record) -> None:
        self.faults.append(record)

    def _odd(self, record: Record, message: str) -> None:
        name = record.body["recording"]
        found = Finding(6, "altered", f"record {record.seq}", message, Attack.CONTRADICTION, name)
        self.odd.append(found)
