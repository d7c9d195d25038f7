"""The time line of a recording as people see it: when each part ran, what is missing between, what happened when.

Seconds count from the first moment recorded. Between two parts lies what their clocks say, but no less than what the
gap's record proves, and nothing that no clock tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from evidence.records import Record
from office.reel import Part, Piece, Reel

_DAY_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Run:
    """A part on the line. `media_from`: seconds in its film where the line is at `begin`."""

    part: int
    boot: str
    begin: float
    end: float
    media_from: float
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Something that was not recorded, or is not held (`cause` "missing"). `least`: seconds that are proven.

    `open`: no clock bounds its length; what the line shows is what the clocks before and behind it claim.
    """

    begin: float
    end: float
    cause: str
    reason: str | None
    open: bool
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: `kind` of its record; `still`: number of the picture among the recording's stills."""

    begin: float
    end: float
    kind: str
    detail: str | None
    still: int | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """The whole line. `start_ms`: UTC of its begin as the camera's clock had it; None if that was never set."""

    start_ms: int | None
    length: float
    runs: tuple[Run, ...]
    holes: tuple[Hole, ...]
    moments: tuple[Moment, ...]


def lay(reel: Reel, held: Collection[int]) -> Axis:
    """Lay out a recording; `held`: segments that the archive has."""
    parts = [part for _, part in sorted(reel.parts.items()) if part.pieces]
    runs: list[Run] = []
    holes: list[Hole] = []
    gaps = {(gap.body["after_part"], gap.body["before_part"]): gap for gap in reel.moments if gap.kind == "gap"}
    reasons = {record.body["gap_seq"]: record.body["basis"] for record in reel.moments if record.kind == "gap_reason"}
    for part in parts:
        gap = gaps.get((runs[-1].part, part.number)) if runs else None
        begin = runs[-1].end + _apart(reel.parts[runs[-1].part], part, gap) if runs else 0.0
        if runs:
            holes.append(_hole(runs[-1].end, begin, gap, reasons))
        run = _run(part, begin)
        runs.append(run)
        holes += _missing(run, part.pieces, held)
        inner = [one for one in reel.moments if one.kind == "gap" and one.body["after_part"] == part.number]
        for one in inner:
            if one.body["before_part"] == part.number:
                holes.append(_hole(_at(run, one.body["last_ns"]), _at(run, one.body["first_ns"]), one, reasons))
    if runs and (last := gaps.get((runs[-1].part, None))) is not None:
        holes.append(_hole(runs[-1].end, runs[-1].end, last, reasons))
    length = runs[-1].end if runs else 0.0
    first = parts[0] if parts else None
    known = first is not None and first.started.clock.source != "none"
    start = first.started.clock.utc_at(first.pieces[0].from_ns) if first and known else None
    moments = tuple(sorted(_moments(reel, runs), key=lambda moment: moment.begin))
    return Axis(start, length, tuple(runs), tuple(sorted(holes, key=lambda hole: hole.begin)), moments)


def _run(part: Part, begin: float) -> Run:
    first, last = part.pieces[0], part.pieces[-1]
    length = (last.to_ns - first.from_ns) / 1e9
    media = (first.from_ns - part.begins_ns) / 1e9
    return Run(part.number, part.started.boot, begin, begin + length, media, first.from_ns, last.to_ns)


def _apart(before: Part, after: Part, gap: Record | None) -> float:
    """Seconds between two parts."""
    if before.started.boot == after.started.boot:
        return max(after.pieces[0].from_ns - before.pieces[-1].to_ns, 0) / 1e9
    least = gap.body["min_ms"] / 1000 if gap else 0.0
    most = gap.body["max_ms"] / 1000 if gap and gap.body["max_ms"] is not None else _DAY_S
    clocks = before.started.clock, after.started.clock
    if any(clock.source == "none" for clock in clocks):
        return float(least)
    told = (clocks[1].utc_at(after.pieces[0].from_ns) - clocks[0].utc_at(before.pieces[-1].to_ns)) / 1000
    return float(min(max(told, least), max(most, least)))


def _hole(begin: float, end: float, gap: Record | None, reasons: dict[int, str]) -> Hole:
    if gap is None:
        return Hole(begin, end, "unknown", None, open=True)
    return Hole(
        begin, end, gap.body["cause"], reasons.get(gap.seq), gap.body["max_ms"] is None, gap.body["min_ms"] / 1000
    )


def _missing(run: Run, pieces: Sequence[Piece], held: Collection[int]) -> Iterator[Hole]:
    """Spans whose segments are not held."""
    begin: int | None = None
    end = 0
    for piece in pieces:
        if piece.segment in held:
            if begin is not None:
                yield Hole(_at(run, begin), _at(run, end), "missing", None, open=False)
            begin = None
            continue
        begin, end = (piece.from_ns if begin is None else begin), piece.to_ns
    if begin is not None:
        yield Hole(_at(run, begin), _at(run, end), "missing", None, open=False)


def _moments(reel: Reel, runs: Sequence[Run]) -> Iterator[Moment]:
    still = -1
    for record in reel.moments:
        if record.kind == "gap":
            continue
        still += record.kind == "still"
        body = record.body
        begin = body.get("at_ns", body.get("from_ns", record.clock.boot_ns))
        run = _run_at(runs, record.boot, begin)
        if run is None:
            continue
        number = still if record.kind == "still" else None
        yield Moment(_at(run, begin), _at(run, body.get("to_ns", begin)), record.kind, _detail(record), number)


def _detail(record: Record) -> str | None:
    match record.kind:
        case "notice":
            return "heard" if record.body["heard"] else "not_heard"
        case "gap_reason":
            return str(record.body["basis"])
        case "view_quality":
            return str(record.body["finding"])
        case "activity":
            return str(record.body["activity"])
        case "stopped":
            return str(record.body["ground"])
    return None


def _run_at(runs: Sequence[Run], boot: str, ns: int) -> Run | None:
    """The run of that boot which is nearest to a time."""
    found = [run for run in runs if run.boot == boot]
    return min(found, key=lambda run: max(run.from_ns - ns, ns - run.to_ns, 0), default=None)


def _at(run: Run, ns: int) -> float:
    """A time of its boot's clock on the line."""
    return run.begin + min(max(ns - run.from_ns, 0), run.to_ns - run.from_ns) / 1e9
