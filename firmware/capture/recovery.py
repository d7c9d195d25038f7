"""What a start finds on the disk, and how it accounts for it (specification §6). Reads; never changes a byte."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence import age, records
from evidence.errors import EvidenceError
from evidence.journal import open_session
from evidence.records import Record, Stamp
from firmware.capture.journal_writer import torn_tail
from runtime.disk import Disk

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A segment whose books nobody closed: `last` is its last attested fragment, None if it has none."""

    recording: str
    part: int
    segment: int
    fragments: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Hole:
    """Pre-event pictures that a cut kept from being written: a gap inside a part, between two of its segments."""

    part: int
    last_ns: int
    first_ns: int


@dataclass(frozen=True, slots=True)
class OpenRecording:
    """A recording that was cut: what a new part needs to go on with it."""

    id: str
    part: int  # the last one
    next_segment: int
    activity: str | None
    last_ns: int  # attested end, on the clock of the boot that was cut
    last_utc_ms: int
    last_error_ms: int | None
    kernel_boot: str
    unfinished: tuple[Unfinished, ...]
    holes: tuple[Hole, ...]


@dataclass(slots=True)
class Recovered:
    """Where the journal goes on, and the recording that has to."""

    seq: int = 0
    prev: str = records.GENESIS
    next_file: int = 0
    torn: list[Mapping[str, Any]] = field(default_factory=list)
    recording: OpenRecording | None = None


@dataclass(frozen=True, slots=True)
class _File:
    number: int
    records: tuple[Record, ...]
    good: int
    tail: bytes


def recover(disk: Disk) -> Recovered:
    """Steps R1 to R3: the head of the chain, torn tails behind it, the recording that was open."""
    numbers = [int(name[:8]) for name in disk.list("journal")]
    found = Recovered(next_file=numbers[-1] + 1 if numbers else 0)
    history: list[_File] = []
    for number in reversed(numbers):
        file = _read(disk, number)
        if not history and (file.tail or not file.records):
            found.torn.append(torn_tail(number, file.good, file.tail))
        if not file.records:
            continue
        if not history:
            last = file.records[-1]
            found.seq, found.prev = last.seq + 1, last.sha256
        history.insert(0, file)
        if _settled(file):
            break
    found.torn.reverse()
    found.recording = _open_recording(disk, history)
    return found


def late_segment(disk: Disk, unfinished: Unfinished) -> dict[str, Any]:
    """Step R5: the body of the `segment` record that closes the books of a segment that was cut."""
    path = records.segment_path(unfinished.recording, unfinished.segment)
    whole, attested = hashlib.sha256(), hashlib.sha256()
    last = unfinished.fragments[-1].body if unfinished.fragments else None
    mark = last["cipher_len"] if last else 0
    size, head = 0, b""
    for block in _blocks(disk, path):
        head = head or block
        whole.update(block)
        attested.update(block[: max(0, mark - size)])
        size += len(block)
    return {
        "recording": unfinished.recording,
        "part": unfinished.part,
        "segment": unfinished.segment,
        "closed": False,
        "fragments": len(unfinished.fragments),
        "frames": sum(f.body["frames"] for f in unfinished.fragments),
        "samples": sum(f.body["samples"] for f in unfinished.fragments),
        "from_ns": unfinished.fragments[0].body["from_ns"] if last else 0,
        "to_ns": last["to_ns"] if last else 0,
        "plain_len": last["plain_offset"] + last["plain_len"] if last else 0,
        "plain_sha256": last["plain_sha256"] if last else hashlib.sha256().hexdigest(),
        "attested_len": mark,
        "attested_sha256": attested.hexdigest(),
        "file_size": size,
        "file_sha256": whole.hexdigest(),
        "recipients": [],
        **_header(head),
    }


def gap_bounds(cut: OpenRecording, first_ns: int, now: Stamp, kernel_boot: str) -> tuple[int, int | None]:
    """Step R4: least and greatest length of the gap in milliseconds; the greatest is None if no clock bounds it.

    On one kernel boot the boot clock ran on and tells it exactly. Over a power cut, the time since power-on is the
    least, and two UTC claims with known bounds give the greatest.
    """
    if cut.kernel_boot == kernel_boot:
        exact = max(0, first_ns - cut.last_ns) // 1_000_000
        return exact, exact
    least = first_ns // 1_000_000
    if cut.last_error_ms is None or now.error_ms is None:
        return least, None
    first_utc_ms = now.utc_ms - (now.boot_ns - first_ns) // 1_000_000
    between = first_utc_ms - cut.last_utc_ms
    spread = cut.last_error_ms + now.error_ms
    return max(least, between - spread), max(least, between + spread)


def _read(disk: Disk, number: int) -> _File:
    data = disk.read(records.journal_path(number))
    found: list[Record] = []
    good = 0
    with contextlib.suppress(EvidenceError):
        while (end := data.find(b"\n", good)) >= 0:
            record = records.parse(data[good:end])
            if found and (record.prev != found[-1].sha256 or record.seq != found[-1].seq + 1):
                break
            if not found:
                session = open_session(record.body, record.device, record.boot, None)
            record.jws.verify(session.key)
            found.append(record)
            good = end + 1
    return _File(number, tuple(found), good, data[good:])


def _settled(file: _File) -> bool:
    """Whether this file tells how the latest recording stands: ended, or begun here."""
    for record in reversed(file.records):
        if record.kind == "recording_ended":
            return True
        if record.kind == "recording_started" and not record.body["resumed"]:
            return True
    return False


def _open_recording(disk: Disk, history: list[_File]) -> OpenRecording | None:
    lines = [record for file in history for record in file.records]
    started = next((r for r in reversed(lines) if r.kind in ("recording_started", "recording_ended")), None)
    if started is None or started.kind == "recording_ended":
        return None
    name, part = started.body["recording"], started.body["part"]
    mine = [r for r in lines if r.body.get("recording") == name]
    fragments = [r for r in mine if r.kind == "fragment"]
    unfinished = tuple(_unfinished(disk, name, part, mine))
    indices = [r.body["segment"] for r in mine if r.kind in ("fragment", "segment")] + [u.segment for u in unfinished]
    live = [f for f in fragments if f.body["part"] == part] or [f for f in fragments if f.body["to_ns"]]
    last = max(live, key=lambda f: (f.body["part"], f.body["to_ns"])) if live else started
    last_ns = last.body["to_ns"] if last is not started else started.clock.boot_ns
    opening = next(r for r in reversed(lines) if r.kind in ("boot", "summary") and r.boot == last.boot)
    return OpenRecording(
        name,
        part,
        max(indices, default=-1) + 1,
        started.body["activity"],
        last_ns,
        last.clock.utc_ms - (last.clock.boot_ns - last_ns) // 1_000_000,
        last.clock.error_ms,
        opening.body["kernel_boot"],
        unfinished,
        tuple(_holes(part, fragments)),
    )


def _holes(part: int, fragments: list[Record]) -> Iterator[Hole]:
    ends: dict[int, int] = {}
    starts: dict[int, int] = {}
    for body in (f.body for f in fragments if f.body["part"] == part):
        ends[body["segment"]] = max(ends.get(body["segment"], 0), body["to_ns"])
        starts[body["segment"]] = min(starts.get(body["segment"], body["from_ns"]), body["from_ns"])
    for before, after in itertools.pairwise(sorted(ends)):
        if ends[before] != starts[after]:
            yield Hole(part, ends[before], starts[after])


def _unfinished(disk: Disk, name: str, part: int, mine: list[Record]) -> Iterator[Unfinished]:
    closed = {r.body["segment"] for r in mine if r.kind == "segment"}
    open_fragments: dict[int, list[Record]] = {}
    for record in mine:
        if record.kind == "fragment" and record.body["segment"] not in closed:
            open_fragments.setdefault(record.body["segment"], []).append(record)
    on_disk = {int(file[:5]) for file in disk.list(f"segments/{name}")}
    told = {r.body["segment"] for r in mine if r.kind in ("fragment", "segment")} | on_disk
    for segment in sorted(set(range(max(told, default=-1) + 1)) - closed):
        found = tuple(open_fragments.get(segment, ()))
        yield Unfinished(name, found[0].body["part"] if found else part, segment, found)


def _blocks(disk: Disk, path: str) -> Iterator[bytes]:
    offset = 0
    with contextlib.suppress(FileNotFoundError):
        while block := disk.read(path, offset, _BLOCK):
            yield block
            offset += len(block)


def _header(head: bytes) -> dict[str, Any]:
    try:
        header = age.parse_header(head)
    except EvidenceError:
        return {"stanzas": 0, "header_sha256": hashlib.sha256().hexdigest()}
    return {"stanzas": len(header.stanzas), "header_sha256": header.sha256}
