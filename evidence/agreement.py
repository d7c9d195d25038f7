"""Whether the records of a recording agree with each other (specification §7.2, steps 6 to 8).

Each is signed and in its place. What disagrees was written by somebody who had the camera's key, or by a faulty one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from evidence import mp4
from evidence.account import Account, RecordingAccount, SegmentAccount
from evidence.finding import Attack, Finding, Footage
from evidence.records import Record
from evidence.timeline import Timeline


def disagreements(account: Account) -> Iterator[Finding]:
    """What does not add up, of every recording."""
    yield from account.odd
    clocks = {boot.boot: str(boot.body["kernel_boot"]) for boot in account.boots}
    for recording in account.recordings.values():
        timeline = Timeline(recording)
        yield from _Recording(recording, clocks, timeline).findings()
        for segment in recording.segments.values():
            yield from _Segment(segment, timeline).findings()


class _Segment:
    """Step 7: one segment's fragments, stills and record."""

    def __init__(self, segment: SegmentAccount, timeline: Timeline) -> None:
        self._segment = segment
        self._timeline = timeline

    def findings(self) -> Iterator[Finding]:
        yield from self._fragments()
        yield from self._stills()

    def _altered(self, message: str, fragment: int = 0) -> Finding:
        return self._found("altered", message, Attack.CONTRADICTION, self._timeline.footage(self._index, fragment))

    def _found(self, verdict: str, message: str, attack: Attack, footage: Footage | None) -> Finding:
        name = self._segment.recording
        return Finding(7, verdict, f"{name} segment {self._index}", message, attack, name, self._index, footage)

    @property
    def _index(self) -> int:
        return self._segment.index

    def _fragments(self) -> Iterator[Finding]:
        """Fragments follow each other without a hole, and the segment's record sums them up."""
        plain = cipher = 0
        before: Record | None = None
        for index, record in enumerate(self._segment.fragments):
            body = record.body
            if body["index"] != index:
                yield self._altered(f"fragment {index} is missing or out of order", index)
                return
            if index and body["plain_offset"] != plain:
                yield self._altered(f"fragment {index} does not begin where the one before it ends", index)
            if body["to_ns"] < body["from_ns"]:
                yield self._altered(f"fragment {index} ends before it begins", index)
            if body["cipher_len"] <= cipher:
                yield self._altered(f"fragment {index} adds nothing to the file", index)
            if before is not None and body["from_ns"] != before.body["to_ns"]:
                message = f"time between fragments {index - 1} and {index} is not accounted for"
                footage = self._timeline.hole((self._index, index - 1), (self._index, index))
                yield self._found("unaccounted", message, Attack.TIME_HOLE, footage)
            plain, cipher, before = body["plain_offset"] + body["plain_len"], body["cipher_len"], record
        if self._segment.record is not None and (wrong := self._sums(self._segment.record)):
            yield self._altered(f"the segment's record disagrees with its fragments in {', '.join(wrong)}")

    def _stills(self) -> Iterator[Finding]:
        """Each still lies whole in one fragment that was told before it, and none in another's place."""
        taken = 0
        if len(self._segment.stills) > mp4.STILLS_LIMIT:  # each is looked for among all fragments
            yield self._altered(f"more than {mp4.STILLS_LIMIT} stills are told of")
            return
        for record in sorted(self._segment.stills, key=lambda still: int(still.body["plain_offset"])):
            at, size = record.body["plain_offset"], record.body["size"]
            begin, end = at - mp4.STILL_HEAD, at + size
            before = (f.body for f in self._segment.fragments if f.seq < record.seq)
            if not any(f["plain_offset"] <= begin and end <= f["plain_offset"] + f["plain_len"] for f in before):
                yield self._altered(f"the still of record {record.seq} lies in no fragment before it")
            if begin < taken:
                yield self._altered(f"the still of record {record.seq} overlaps another")
            taken = max(taken, end)

    def _sums(self, record: Record) -> list[str]:
        """The members of the segment's record that are not as its fragments tell."""
        body, fragments = record.body, self._segment.fragments
        last = fragments[-1].body if fragments else None
        told = {
            "fragments": len(fragments),
            "frames": sum(f.body["frames"] for f in fragments),
            "samples": sum(f.body["samples"] for f in fragments),
        }
        if last is not None:
            told |= {"from_ns": fragments[0].body["from_ns"], "to_ns": last["to_ns"]}
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
        return wrong


class _Recording:
    """Steps 6 and 8: one recording's parts, gaps and their reasons."""

    def __init__(self, recording: RecordingAccount, clocks: Mapping[str, str], timeline: Timeline) -> None:
        self._recording = recording
        self._timeline = timeline
        self._clocks = clocks
        self._attested = recording.attested()
        parts = self._attested.items()  # worked out once: there may be as many gaps as segments
        self._begins = {part: min(s.from_ns for s in segments) for part, segments in parts}
        self._ends = {part: max(s.to_ns for s in segments) for part, segments in parts}

    def findings(self) -> Iterator[Finding]:
        yield from self._parts()
        yield from self._touching()
        for gap in self._recording.gaps:
            yield from self._gap(gap.body)
        yield from self._reasons()

    def _found(
        self, step: int, verdict: str, where: str, message: str, attack: Attack, footage: Footage | None = None
    ) -> Finding:
        place = f"{self._recording.id} {where}".rstrip()
        return Finding(step, verdict, place, message, attack, self._recording.id, None, footage)

    def _parts(self) -> Iterator[Finding]:
        """Parts and segments are numbered without a hole, and a gap lies between each two parts."""
        numbers, indices = sorted(self._recording.parts), sorted(self._recording.segments)
        if numbers != list(range(1, len(numbers) + 1)):
            yield self._found(8, "missing", "", "a part of the recording is missing", Attack.DELETED)
        gaps = {(g.body["after_part"], g.body["before_part"]) for g in self._recording.gaps}
        for number in numbers[1:]:
            if (number - 1, number) not in gaps:
                message = f"no gap is recorded between parts {number - 1} and {number}"
                yield self._found(8, "unaccounted", "", message, Attack.TIME_HOLE)
        if indices != list(range(len(indices))):
            message = "a segment of the recording is missing from the journal"
            yield self._found(8, "missing", "", message, Attack.DELETED)

    def _touching(self) -> Iterator[Finding]:
        """Segments of a part touch in time, or a gap inside the part names the hole.

        A ring that a power cut kept from being written leaves such a gap.
        """
        holes = [gap.body for gap in self._recording.gaps if gap.body["after_part"] == gap.body["before_part"]]
        told = {(hole["after_part"], hole["last_ns"], hole["first_ns"]) for hole in holes}
        for number, segments in self._attested.items():
            for before, after in itertools.pairwise(segments):
                if before.to_ns != after.from_ns and (number, before.to_ns, after.from_ns) not in told:
                    where = f"segments {before.index} and {after.index}"
                    message = "time between the two segments is not accounted for"
                    last = before.index, len(before.fragments) - 1
                    footage = self._timeline.hole(last, (after.index, 0))
                    yield self._found(8, "unaccounted", where, message, Attack.TIME_HOLE, footage)

    def _gap(self, body: Mapping[str, Any]) -> Iterator[Finding]:
        """A gap begins where its part's attested end is, ends where the next begins, and is as long as it says."""
        after, before, parts = body["after_part"], body["before_part"], self._recording.parts
        where, lies, hole = f"gap after part {after}", Attack.CONTRADICTION, Attack.TIME_HOLE
        for message in _wrong_length(body):
            yield self._found(8, "altered", where, message, lies)
        if after not in parts:
            yield self._found(6, "altered", where, "the part before the gap was never started", lies)
            return
        if after == before:
            return  # a hole inside a part, held against its segments by `_touching`
        # A gap that a cut kept from being recorded is recorded by a later boot: the parts' boots tell of its ends.
        clocks = {self._clocks[parts[number].boot] for number in (after, before) if number in parts}
        if before in parts and body["same_clock"] != (len(clocks) == 1):
            yield self._found(8, "altered", where, "whether its ends are on one clock is not as the boots tell", lies)
        if (own := self._attested.get(after)) and self._ends[after] != body["last_ns"]:
            message = "the gap does not begin where the part before it ends"
            yield self._found(8, "unaccounted", where, message, hole, self._timeline.footage(own[-1].index))
        if (own := self._attested.get(before)) and self._begins[before] != body["first_ns"]:
            message = "the gap does not end where the part after it begins"
            yield self._found(8, "unaccounted", where, message, hole, self._timeline.footage(own[0].index))

    def _reasons(self) -> Iterator[Finding]:
        """Step 6: a reason is given for a gap of this recording."""
        gaps = {gap.seq for gap in self._recording.gaps}
        for reason in self._recording.reasons:
            if reason.body["gap_seq"] not in gaps:
                message = f"the reason is for record {reason.body['gap_seq']}, which is no gap of {self._recording.id}"
                yield self._found(6, "altered", f"record {reason.seq}", message, Attack.CONTRADICTION)


def _wrong_length(body: Mapping[str, Any]) -> Iterator[str]:
    if body["max_ms"] is not None and body["max_ms"] < body["min_ms"]:
        yield "the gap is at most shorter than it is at least"
    if body["same_clock"] and body["first_ns"] is not None:
        exact = max(0, body["first_ns"] - body["last_ns"]) // 1_000_000
        if (body["min_ms"], body["max_ms"]) != (exact, exact):
            yield "the gap's length is not that between its ends"
    if body["after_part"] == body["before_part"] and (body["first_ns"] is None or body["first_ns"] < body["last_ns"]):
        yield "a hole inside a part ends before it begins"
