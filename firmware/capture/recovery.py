"""What a start finds on the disk, and how it accounts for it (specification §6). Never changes a byte.

A camera whose recording was cut records again before anything else, so this is quick: the last line is verified, and
of the fragments only those of segments that nobody closed are looked at.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence import jose, records
from evidence.errors import EvidenceError
from evidence.records import Record, Stamp
from evidence.session import open_session
from firmware.capture import journal_writer
from firmware.capture.journal_writer import torn_tail
from firmware.capture.late import Unfinished
from runtime.disk import Disk

_SEGMENT = re.compile(r"([0-9]{5})\.mp4\.age\Z")
_WARNINGS = ("battery_low", "heat")
_TORN_LIMIT = 32  # an opening can declare 64: half of them are left to what a failing disk does from now on
_FRAGMENT = re.compile(rb'"kind":"fragment","body":{"recording":"([^"]*)","part":[0-9]+,"segment":([0-9]+),')


@dataclass(frozen=True, slots=True)
class Hole:
    """Pre-event pictures that a cut kept from being written: a gap inside a part, before one of its segments."""

    part: int
    last_ns: int
    first_ns: int


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a part came: its attested end on its own boot's clock, and what was known of UTC there."""

    part: int
    ns: int
    utc_ms: int
    error_ms: int | None
    kernel_boot: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap to record: from where `reach` ends to `first_ns` (None: open), told by a boot at `clock`."""

    reach: Reach
    first_ns: int | None
    clock: Stamp
    kernel_boot: str
    cause: str


@dataclass(frozen=True, slots=True)
class OpenRecording:
    """A recording that was cut: what a new part needs to go on with it."""

    id: str
    next_segment: int
    mode: str
    activity: str | None
    stopped: str | None  # the ground on which the officer had stopped it
    warned: str | None  # what the camera had warned of before the cut, which is then the likely cause
    reach: Reach  # of its last part
    unfinished: tuple[Unfinished, ...]
    holes: tuple[Hole, ...]
    owed: tuple[Gap, ...]
    unexplained: tuple[int, ...]  # records of gaps whose reason was not given before the cut
    ending: bool  # the gap it ends in was told already: it is not gone on with, its books are closed


@dataclass(slots=True)
class Recovered:
    """Where the journal goes on, and the recording that has to."""

    seq: int = 0
    prev: str = records.GENESIS
    next_file: int = 0
    torn: list[Mapping[str, Any]] = field(default_factory=list)
    recording: OpenRecording | None = None


def recover(disk: Disk) -> Recovered:
    """Steps R1 to R3: the head of the chain, torn tails behind it, the recording that was open."""
    numbers = journal_writer.files(disk)
    found = Recovered(next_file=numbers[-1] + 1 if numbers else 0)
    while numbers:
        number = numbers.pop()
        disk.persist(records.journal_path(number))  # what the chain goes on from must not vanish with the next cut
        data = disk.read(records.journal_path(number))
        good, last = _last_line(data)
        if good < len(data) or last is None:
            found.torn.insert(0, torn_tail(number, good, data[good:]))
        if last is not None:
            found.seq, found.prev = last.seq + 1, last.sha256
            history = _History()
            history.read(number, data[:good])
            while numbers and not history.settled:
                number = numbers.pop()
                history.read(number, disk.read(records.journal_path(number)))
            found.recording = history.open_recording(disk)
            break
    _use_again(disk, found)
    return found


def _use_again(disk: Disk, found: Recovered) -> None:
    """Take back files without a byte, at the journal's end, if they are more than an opening ought to declare.

    Each start that a full or failing disk refuses leaves one. With too many the camera would never start again.
    """
    while len(found.torn) > _TORN_LIMIT and found.torn[-1]["offset"] == found.torn[-1]["length"] == 0:
        number = int(found.torn[-1]["file"])
        try:
            disk.remove(records.journal_path(number))
        except OSError:
            return  # it is declared like the others, while there is room
        found.torn.pop()
        found.next_file = number


def gap_bounds(reach: Reach, first_ns: int, now: Stamp, kernel_boot: str) -> tuple[int, int | None]:
    """Step R4: least and greatest length of the gap in milliseconds; the greatest is None if no clock bounds it.

    On one kernel boot the boot clock ran on and tells it exactly. Over a power cut, the time since power-on is the
    least, and two UTC claims with known bounds give the greatest.
    """
    if reach.kernel_boot == kernel_boot:
        exact = max(0, first_ns - reach.ns) // 1_000_000
        return exact, exact
    least = first_ns // 1_000_000
    if reach.error_ms is None or now.error_ms is None:
        return least, None
    first_utc_ms = now.utc_at(first_ns)
    between = first_utc_ms - reach.utc_ms
    spread = reach.error_ms + now.error_ms
    if between + spread < least:
        return least, None  # one of the claims is wrong: a clock that was set back bounds nothing
    return max(least, between - spread), between + spread


def holes(part: int, spans: Mapping[int, tuple[int, int]], ring_from_ns: int | None) -> Iterator[Hole]:
    """Where a part's attested segments, by number, do not touch. `ring_from_ns`: where its first one should begin."""
    ordered = [span for _, span in sorted(spans.items())]
    if ring_from_ns is not None and ordered and ordered[0][0] > ring_from_ns:
        yield Hole(part, ring_from_ns, ordered[0][0])
    for (_, to_ns), (from_ns, _) in itertools.pairwise(ordered):
        if to_ns != from_ns:
            yield Hole(part, to_ns, from_ns)


def _last_line(data: bytes) -> tuple[int, Record | None]:
    """Where a file's whole lines end, and the last of them.

    Each line was durable before the next was begun, so a cut can have damaged the last one only.
    """
    try:
        session = _session(data)
    except EvidenceError:
        return 0, None  # no line of a file whose opening is gone can be verified
    good = data.rfind(b"\n") + 1
    while good:
        start = data.rfind(b"\n", 0, good - 1) + 1
        try:
            record = records.parse(data[start : good - 1])
            record.jws.verify(session.key)
        except EvidenceError:
            good = start
            continue
        return good, record
    return 0, None


def _session(data: bytes) -> Any:
    opening = records.parse(data.partition(b"\n")[0])
    if opening.kind not in ("boot", "summary"):
        raise EvidenceError("chain-broken", "a journal file opens with a boot or summary record")
    return open_session(opening.body, opening.device, opening.boot, None)


def _is_warning(record: Record, boot: str) -> bool:
    return record.kind == "alert" and record.boot == boot and record.body["what"] in _WARNINGS


class _History:
    """Reads the journal backwards, file by file, until it is known how the latest recording stands."""

    def __init__(self) -> None:
        self.settled = False
        self._lines: list[Record] = []  # newest first
        self._closed: set[tuple[str, int]] = set()
        self._torn: dict[int, int] = {}

    def read(self, number: int, data: bytes) -> None:
        """Take the lines of the file before those read so far. A later opening tells where a torn tail begins."""
        for line in reversed(data[: self._torn.get(number)].split(b"\n")):
            with contextlib.suppress(EvidenceError):  # what rotted in the middle is the verifier's to name
                if self._matters(line):
                    self._take(records.parse(line))

    def _matters(self, line: bytes) -> bool:
        """Whether a line has to be parsed: nearly all lines are fragments of segments that were closed."""
        match = _FRAGMENT.search(jose.payload_of(line))
        return match is None or (match[1].decode(), int(match[2])) not in self._closed

    def _take(self, record: Record) -> None:
        self._lines.append(record)
        if record.kind == "segment":
            self._closed.add((record.body["recording"], record.body["segment"]))
        elif record.kind in ("boot", "summary"):
            self._torn |= {tail["file"]: tail["offset"] for tail in record.body["torn"]}
        elif record.kind == "recording_ended" or (record.kind == "recording_started" and not record.body["resumed"]):
            self.settled = True

    def open_recording(self, disk: Disk) -> OpenRecording | None:
        """The recording that no record ends."""
        states = (record for record in self._lines if record.kind in ("recording_started", "recording_ended"))
        latest = next(states, None)
        if latest is None or latest.kind == "recording_ended":
            return None
        name = latest.body["recording"]
        mine = [record for record in reversed(self._lines) if record.body.get("recording") == name]
        kernels = {r.boot: r.body["kernel_boot"] for r in self._lines if r.kind in ("boot", "summary")}
        return _Books(name, mine, kernels).open_recording(disk)


class _Books:
    """One recording's records, in order."""

    def __init__(self, name: str, mine: list[Record], kernels: Mapping[str, str]) -> None:
        self._name = name
        self._mine = mine
        self._kernels = kernels
        self._started = {r.body["part"]: r for r in mine if r.kind == "recording_started"}
        self._segments = {r.body["segment"]: r for r in mine if r.kind == "segment"}
        self._gaps = [r for r in mine if r.kind == "gap"]
        self._activity = next((r.body["activity"] for r in reversed(mine) if r.kind == "activity"), None)
        turns = (r for r in reversed(mine) if r.kind in ("recording_started", "stopped"))
        latest = next(turns)
        self._stopped = latest.body["ground"] if latest.kind == "stopped" else None
        self._warned = next((r.body["what"] for r in reversed(mine) if _is_warning(r, latest.boot)), None)
        self._explained = {r.body["gap_seq"] for r in mine if r.kind == "gap_reason"}
        self._unfinished: dict[int, Unfinished] = {}
        self._last: dict[int, Record] = {}  # by part, what tells its attested end
        for record in mine:
            body = record.body
            if record.kind == "fragment" and body["segment"] not in self._segments:
                before = self._unfinished.get(body["segment"], Unfinished(name, body["part"], body["segment"]))
                self._unfinished[body["segment"]] = before.with_fragment(body)
            attests = record.kind == "fragment" or (record.kind == "segment" and body["fragments"])
            if attests and body["to_ns"] >= self._last.get(body["part"], record).body["to_ns"]:
                self._last[body["part"]] = record

    def open_recording(self, disk: Disk) -> OpenRecording:
        first, last = self._started[min(self._started)], max(self._started)
        unfinished = tuple(self._nobody_closed(disk, last))
        told = [*self._segments, *(segment.segment for segment in unfinished)]
        return OpenRecording(
            self._name,
            max(told, default=-1) + 1,
            self._started[last].body["mode"],
            self._activity or first.body["activity"],
            self._stopped,
            self._warned,
            self._reach(last),
            unfinished,
            tuple(self._holes()),
            tuple(self._owed()),
            tuple(gap.seq for gap in self._between() if gap.seq not in self._explained),
            any(gap.body["before_part"] is None for gap in self._gaps),
        )

    def _nobody_closed(self, disk: Disk, last_part: int) -> Iterator[Unfinished]:
        """Also those that have no record at all: a number that was given needs one."""
        names = disk.list(f"segments/{self._name}")
        on_disk = [int(match[1]) for name in names if (match := _SEGMENT.match(name))]
        count = max([*self._segments, *self._unfinished, *on_disk], default=-1) + 1
        for segment in range(count):
            if segment not in self._segments:
                yield self._unfinished.get(segment, Unfinished(self._name, last_part, segment))

    def _reach(self, part: int) -> Reach:
        """How far a part came. One without any fragment came to its beginning."""
        started, last = self._started[part], self._last.get(part)
        begun = next(
            (g.body["first_ns"] for g in self._between() if g.body["before_part"] == part), started.clock.boot_ns
        )
        told = last if last is not None and last.boot == started.boot else started
        ns = last.body["to_ns"] if last is not None else begun
        utc_ms = told.clock.utc_at(ns)
        return Reach(part, ns, utc_ms, told.clock.error_ms, self._kernel(started))

    def _between(self) -> list[Record]:
        """The gaps between parts: those inside a part are nobody's to explain."""
        return [gap for gap in self._gaps if gap.body["after_part"] != gap.body["before_part"]]

    def _holes(self) -> Iterator[Hole]:
        told = {(g.body["last_ns"], g.body["first_ns"]) for g in self._gaps if g.body["same_clock"]}
        for part, started in sorted(self._started.items()):
            closed = {n: r.body for n, r in self._segments.items() if r.body["part"] == part and r.body["fragments"]}
            spans = {number: (body["from_ns"], body["to_ns"]) for number, body in closed.items()}
            for number, segment in self._unfinished.items():
                if segment.part == part and segment.last:
                    spans[number] = (segment.from_ns, segment.last["to_ns"])
            for hole in holes(part, spans, started.body["ring_from_ns"]):
                if (hole.last_ns, hole.first_ns) not in told:
                    yield hole

    def _owed(self) -> Iterator[Gap]:
        """Gaps whose record a second cut kept from being written."""
        told = {gap.body["before_part"] for gap in self._between()}
        for before, part in itertools.pairwise(sorted(self._started)):
            if part not in told:
                started = self._started[part]
                cause = self._cause(self._started[before], started)
                yield Gap(self._reach(before), started.clock.boot_ns, started.clock, self._kernel(started), cause)

    def _kernel(self, started: Record) -> str:
        """The kernel's boot that a part was on. One whose opening rotted away is on no clock but its own."""
        return str(self._kernels.get(started.boot, started.boot))

    def _cause(self, before: Record, after: Record) -> str:
        """Why the part that began with `before` ended (step R4), long ago: what is recovered from now came later."""
        meanwhile = [r for r in self._mine if before.seq < r.seq < after.seq]
        stopped = [r.body["ground"] for r in meanwhile if r.kind == "stopped"]
        if stopped:
            return str(stopped[-1])
        if before.boot == after.boot:
            return "unknown"  # the boot knew, and its word is lost
        if self._kernel(before) == self._kernel(after):
            return "crash"
        warned = [r.body["what"] for r in meanwhile if _is_warning(r, before.boot)]
        return str(warned[-1]) if warned else "power_cut"
