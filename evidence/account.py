"""What the records say happened: recordings, their parts, segments and gaps (specification §7.2, steps 6 to 8).

Fed with verified records only. Every second of a recording is in a fragment, in a gap, or found to be unaccounted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence import mp4
from evidence.records import Record


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an inspector must know. `step` is the specification's; `verdict` the word for it."""

    step: int
    verdict: str
    where: str
    message: str

    def to_json(self) -> dict[str, object]:
        """As in the verifier's JSON output."""
        return {"step": self.step, "verdict": self.verdict, "where": self.where, "message": self.message}


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

    def part_segments(self, part: int) -> list[SegmentAccount]:
        """The segments of a part, in order."""
        return [s for _, s in sorted(self.segments.items()) if s.part == part]

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
        told = [*self.gaps, *self.reasons, *self.notices, *self.markers, *([self.ended] if self.ended else [])]
        told += [segment.record for segment in self.segments.values() if segment.record]
        return {part.boot for part in self.parts.values()} | {record.boot for record in told}

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
        self._findings: list[Finding] = []

    def add(self, record: Record) -> None:
        """Take in the next verified record."""
        handler = getattr(self, f"_on_{record.kind}", None)
        if handler is not None:
            handler(record)
        self.last = record

    def findings(self) -> Iterator[Finding]:
        """What does not add up, of every recording."""
        yield from self._findings
        clocks = {boot.boot: str(boot.body["kernel_boot"]) for boot in self.boots}
        for recording in self.recordings.values():
            attested = recording.attested()
            yield from _check_parts(recording, attested)
            yield from _check_gaps(recording, attested, clocks)
            yield from _check_reasons(recording)
            for segment in recording.segments.values():
                yield from _check_segment(segment)
                yield from _check_stills(segment)

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
        found = recording.segments.setdefault(index, SegmentAccount(recording.id, index, part.number, part.boot))
        late = record.kind == "segment" and not body["closed"]  # written by the boot that recovered it
        if found.part != body["part"] or (part.boot != record.boot and not late):
            self._odd(record, f"segment {index} of {recording.id} is told by another part or boot")
            return None
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
        self._findings.append(Finding(6, "altered", f"record {record.seq}", message))


def _check_segment(segment: SegmentAccount) -> Iterator[Finding]:
    """Step 7: fragments follow each other without a hole, and the segment's record sums them up."""
    where = f"{segment.recording} segment {segment.index}"
    plain = cipher = 0
    to_ns: int | None = None
    for index, record in enumerate(segment.fragments):
        body = record.body
        if body["index"] != index:
            yield Finding(7, "altered", where, f"fragment {index} is missing or out of order")
            return
        if index and body["plain_offset"] != plain:
            yield Finding(7, "altered", where, f"fragment {index} does not begin where the one before it ends")
        if body["to_ns"] < body["from_ns"]:
            yield Finding(7, "altered", where, f"fragment {index} ends before it begins")
        if body["cipher_len"] <= cipher:
            yield Finding(7, "altered", where, f"fragment {index} adds nothing to the file")
        if to_ns is not None and body["from_ns"] != to_ns:
            yield Finding(
                7, "unaccounted", where, f"time between fragments {index - 1} and {index} is not accounted for"
            )
        plain, cipher, to_ns = body["plain_offset"] + body["plain_len"], body["cipher_len"], body["to_ns"]
    if segment.record is not None:
        yield from _check_sum(segment, segment.record, where)


def _check_stills(segment: SegmentAccount) -> Iterator[Finding]:
    """Step 7: each still lies whole in one fragment that was told before it, and none in another's place."""
    where, taken = f"{segment.recording} segment {segment.index}", 0
    if len(segment.stills) > mp4.STILLS_LIMIT:  # each is looked for among all fragments
        yield Finding(7, "altered", where, f"more than {mp4.STILLS_LIMIT} stills are told of")
        return
    for record in sorted(segment.stills, key=lambda still: int(still.body["plain_offset"])):
        begin, end = record.body["plain_offset"] - mp4.STILL_HEAD, record.body["plain_offset"] + record.body["size"]
        before = (f.body for f in segment.fragments if f.seq < record.seq)
        if not any(f["plain_offset"] <= begin and end <= f["plain_offset"] + f["plain_len"] for f in before):
            yield Finding(7, "altered", where, f"the still of record {record.seq} lies in no fragment before it")
        if begin < taken:
            yield Finding(7, "altered", where, f"the still of record {record.seq} overlaps another")
        taken = max(taken, end)


def _check_sum(segment: SegmentAccount, record: Record, where: str) -> Iterator[Finding]:
    body = record.body
    last = segment.fragments[-1].body if segment.fragments else None
    told = {
        "fragments": len(segment.fragments),
        "frames": sum(f.body["frames"] for f in segment.fragments),
        "samples": sum(f.body["samples"] for f in segment.fragments),
    }
    if last is not None:
        told |= {"from_ns": segment.fragments[0].body["from_ns"], "to_ns": last["to_ns"]}
        if not body["closed"]:
            told |= {"attested_len": last["cipher_len"], "attested_sha256": last["cipher_sha256"]}
            told |= {"plain_len": last["plain_offset"] + last["plain_len"], "plain_sha256": last["plain_sha256"]}
    if body["closed"]:
        told |= {"attested_len": body["file_size"], "attested_sha256": body["file_sha256"]}
        told |= {"stanzas": len(body["recipients"])}
    elif last is None:
        told |= {"attested_len": 0, "plain_len": 0}
    wrong = [name for name, value in told.items() if body[name] != value]
    if body["file_size"] < (last["cipher_len"] if last else 0):
        wrong.append("file_size")
    if wrong:
        yield Finding(7, "altered", where, f"the segment's record disagrees with its fragments in {', '.join(wrong)}")


def _check_parts(recording: RecordingAccount, attested: dict[int, list[SegmentAccount]]) -> Iterator[Finding]:
    """Step 8: parts are numbered without a hole, a gap lies between each two, segments of a part touch in time."""
    numbers = sorted(recording.parts)
    if numbers != list(range(1, len(numbers) + 1)):
        yield Finding(8, "missing", recording.id, "a part of the recording is missing")
    gaps = {(g.body["after_part"], g.body["before_part"]) for g in recording.gaps}
    for number in numbers[1:]:
        if (number - 1, number) not in gaps:
            yield Finding(8, "unaccounted", recording.id, f"no gap is recorded between parts {number - 1} and {number}")
    indices = sorted(recording.segments)
    if indices != list(range(len(indices))):
        yield Finding(8, "missing", recording.id, "a segment of the recording is missing from the journal")
    # A ring that a power cut kept from being written leaves a gap inside its part.
    holes = [gap.body for gap in recording.gaps if gap.body["after_part"] == gap.body["before_part"]]
    told = {(hole["after_part"], hole["last_ns"], hole["first_ns"]) for hole in holes}
    for number, segments in attested.items():
        for before, after in itertools.pairwise(segments):
            if before.to_ns != after.from_ns and (number, before.to_ns, after.from_ns) not in told:
                where = f"{recording.id} segments {before.index} and {after.index}"
                yield Finding(8, "unaccounted", where, "time between the two segments is not accounted for")


def _check_gaps(
    recording: RecordingAccount, attested: dict[int, list[SegmentAccount]], clocks: dict[str, str]
) -> Iterator[Finding]:
    """Step 8: a gap begins where its part's attested end is, ends where the next begins, and is as long as it says."""
    spans = {n: (min(s.from_ns for s in own), max(s.to_ns for s in own)) for n, own in attested.items()}
    for body in (gap.body for gap in recording.gaps):
        after, before = body["after_part"], body["before_part"]
        where = f"{recording.id} gap after part {after}"
        yield from _check_length(body, where)
        if after not in recording.parts:
            yield Finding(6, "altered", where, "the part before the gap was never started")
            continue
        if after == before:
            continue  # a hole inside a part, held against its segments by `_check_parts`
        # A gap that a cut kept from being recorded is recorded by a later boot: the parts' boots tell of its ends.
        parts = [recording.parts[number] for number in (after, before) if number in recording.parts]
        if before in recording.parts and body["same_clock"] != (len({clocks[part.boot] for part in parts}) == 1):
            yield Finding(8, "altered", where, "whether its ends are on one clock is not as the boots tell")
        if after in spans and spans[after][1] != body["last_ns"]:
            yield Finding(8, "unaccounted", where, "the gap does not begin where the part before it ends")
        if before in spans and spans[before][0] != body["first_ns"]:
            yield Finding(8, "unaccounted", where, "the gap does not end where the part after it begins")


def _check_length(body: Mapping[str, Any], where: str) -> Iterator[Finding]:
    if body["max_ms"] is not None and body["max_ms"] < body["min_ms"]:
        yield Finding(8, "altered", where, "the gap is at most shorter than it is at least")
    if body["same_clock"] and body["first_ns"] is not None:
        exact = max(0, body["first_ns"] - body["last_ns"]) // 1_000_000
        if (body["min_ms"], body["max_ms"]) != (exact, exact):
            yield Finding(8, "altered", where, "the gap's length is not that between its ends")
    if body["after_part"] == body["before_part"] and (body["first_ns"] is None or body["first_ns"] < body["last_ns"]):
        yield Finding(8, "altered", where, "a hole inside a part ends before it begins")


def _check_reasons(recording: RecordingAccount) -> Iterator[Finding]:
    """Step 6: a reason is given for a gap of this recording."""
    gaps = {gap.seq for gap in recording.gaps}
    for reason in recording.reasons:
        if reason.body["gap_seq"] not in gaps:
            message = f"the reason is for record {reason.body['gap_seq']}, which is no gap of {recording.id}"
            yield Finding(6, "altered", f"{recording.id} record {reason.seq}", message)
