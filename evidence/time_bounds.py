"""Between which times a segment was made, by whose word, and whether the camera's clock agrees (specification §8.1).

The time sandwich. *Not before*: the office's anchor over the camera's own nonce is in the chain in front of it. *Not
after*: somebody held a hash that fixes it. UTC as the camera tells it is a claim with a bound, and orders nothing.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from evidence import jose, shape
from evidence.account import SegmentAccount
from evidence.documents import Receipt, TimeAnchor
from evidence.records import Record

ANCHOR, RECEIPT, LOG = "anchor", "receipt", "log"
"""By the office's word."""
SELF_STAMPED, AUTHORITY = "self-stamped", "authority"
"""By an RFC 3161 token: of the agency's own authority, of another."""

_OFFICE = (ANCHOR, RECEIPT, LOG)
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Bound:
    """A time, UTC in ms since 1970, and by whose word."""

    ms: int
    by: str

    def to_json(self) -> jose.Json:
        return {"utc": self.utc, "by": self.by}

    @property
    def utc(self) -> str:
        """The time as records write it."""
        return shape.utc_text(self.ms)

    def __str__(self) -> str:
        return f"{self.utc} ({self.by})"


@dataclass(frozen=True, slots=True)
class Claim:
    """The camera's own word for a moment: UTC in ms since 1970; `error_ms` None: nothing bounds it."""

    ms: int
    source: str
    error_ms: int | None

    @classmethod
    def of(cls, record: Record, boot_ns: int) -> Claim:
        """For a boot-clock time of the boot that wrote the record."""
        clock = record.clock
        return cls(clock.utc_at(boot_ns), clock.source, clock.error_ms)

    def to_json(self) -> jose.Json:
        return {"utc": self.utc, "source": self.source, "error_ms": self.error_ms}

    @property
    def utc(self) -> str:
        """The time as records write it."""
        return shape.utc_text(self.ms)

    def __str__(self) -> str:
        bound = "no bound" if self.error_ms is None else f"±{self.error_ms} ms"
        return f"{self.utc} ({self.source}, {bound})"


@dataclass(frozen=True, slots=True)
class HeldHead:
    """A head of this camera's chain that the office's log holds, and by when each word says that it did."""

    seq: int
    bounds: tuple[Bound, ...]


@dataclass(slots=True)
class Words:
    """Everything verified that bounds time: what step 10 found."""

    anchors: list[tuple[Record, TimeAnchor]] = field(default_factory=list)
    receipts: dict[tuple[str, int], Receipt] = field(default_factory=dict)
    heads: list[HeldHead] = field(default_factory=list)
    ingests: dict[tuple[str, int], tuple[Bound, ...]] = field(default_factory=dict)  # stamps over receipts' leaves


@dataclass(frozen=True, slots=True)
class SegmentTime:
    """What is known of when a segment was made. Each word once, the tightest bound first."""

    first: Claim | None  # of its first moment; None: nothing of it is attested
    last: Claim | None
    not_before: tuple[Bound, ...]
    not_after: tuple[Bound, ...]

    @property
    def agrees(self) -> bool | None:
        """Whether the claim, with its error, can be true. None: there is nothing to hold against each other."""
        told = [wrong for wrong in (self._begins_too_early, self._ends_too_late) if wrong is not None]
        return not any(told) if told else None

    @property
    def _begins_too_early(self) -> bool | None:
        if self.first is None or self.first.error_ms is None or not self.not_before:
            return None
        return self.first.ms + self.first.error_ms < self.not_before[0].ms

    @property
    def _ends_too_late(self) -> bool | None:
        if self.last is None or self.last.error_ms is None or not self.not_after:
            return None
        return self.last.ms - self.last.error_ms > self.not_after[0].ms

    @property
    def contradiction(self) -> str:
        """What cannot be true of the claim, if it does not agree."""
        if self._begins_too_early:
            return f"the clock was backdated: it told {self.first}, and this was made not before {self.not_before[0]}"
        return f"the clock was ahead: it told {self.last}, and this was made not after {self.not_after[0]}"

    @property
    def possible(self) -> bool:
        """Whether the words do not contradict each other."""
        return not (self.not_before and self.not_after) or self.not_before[0].ms <= self.not_after[0].ms

    def to_json(self) -> jose.Json:
        """As in the verifier's JSON output."""
        return {
            "from": None if self.first is None else self.first.to_json(),
            "to": None if self.last is None else self.last.to_json(),
            "not_before": [bound.to_json() for bound in self.not_before],
            "not_after": [bound.to_json() for bound in self.not_after],
            "agrees": self.agrees,
        }


def by_the_office(times: Sequence[SegmentTime]) -> tuple[Bound | None, Bound | None]:
    """Between which times a whole recording was made, by the office's word; None: it says nothing of some segment."""
    begins = [time.not_before for time in times if time.first is not None]
    ends = [[bound for bound in time.not_after if bound.by in _OFFICE] for time in times]
    not_before = min((bounds[0] for bounds in begins), default=None) if all(begins) else None
    return not_before, max((bounds[0] for bounds in ends), default=None) if all(ends) else None


class TimeBounds:
    """Finds the bounds of segments; built once, since a camera's life has many anchors and more segments."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._anchors = [record for record, _ in words.anchors]  # in the order of the journal
        after = [Bound(shape.utc_ms(anchor.utc) - anchor.error_ms, ANCHOR) for _, anchor in words.anchors]
        self._latest = list(itertools.accumulate(after, max))
        fixed: list[tuple[int, tuple[Bound, ...]]]
        fixed = [(anchor.head_seq, (_held(anchor),)) for _, anchor in words.anchors]
        fixed += [(head.seq, head.bounds) for head in words.heads]
        self._ends = {by: _Ends(by, fixed) for by in (ANCHOR, LOG, SELF_STAMPED, AUTHORITY)}

    def of(self, segment: SegmentAccount) -> SegmentTime:
        """The bounds of one segment."""
        if not segment.fragments:
            return SegmentTime(None, None, (), self._not_after(segment, segment.record_or_fail().seq))
        first, last = segment.fragments[0], segment.fragments[-1]
        return SegmentTime(
            Claim.of(first, segment.from_ns),
            Claim.of(last, segment.to_ns),
            self._not_before(segment, first),
            self._not_after(segment, last.seq),
        )

    def held(self, seq: int) -> list[Bound]:
        """Of each word over heads, by when a record was there."""
        return [bound for ends in self._ends.values() if (bound := ends.since(seq)) is not None]

    def _not_before(self, segment: SegmentAccount, first: Record) -> tuple[Bound, ...]:
        """Anchors in front of it. In a ring's segments are pictures older than their records: by the boot clock."""
        count = bisect.bisect_left(self._anchors, first.seq, key=lambda record: record.seq)
        while count and _is_younger(self._anchors[count - 1], segment):
            count -= 1
        return (self._latest[count - 1],) if count else ()

    def _not_after(self, segment: SegmentAccount, seq: int) -> tuple[Bound, ...]:
        """Words over the segment itself, or over a head at or behind `seq`, the record that fixes its last byte."""
        key = (segment.recording, segment.index)
        found = [*self._words.ingests.get(key, ())]
        if (receipt := self._words.receipts.get(key)) is not None:
            found.append(Bound(shape.utc_ms(receipt.received), RECEIPT))
        found += self.held(seq)
        by_word: dict[str, Bound] = {}
        for bound in sorted(found):
            by_word.setdefault(bound.by, bound)
        return tuple(by_word.values())


class _Ends:
    """Of one word, the earliest time that it tells for a head at or behind a record."""

    def __init__(self, by: str, heads: Sequence[tuple[int, tuple[Bound, ...]]]) -> None:
        held = sorted((seq, bound) for seq, bounds in heads for bound in bounds if bound.by == by)
        self._seqs = [seq for seq, _ in held]
        self._earliest = list(itertools.accumulate((bound for _, bound in reversed(held)), min))[::-1]

    def since(self, seq: int) -> Bound | None:
        place = bisect.bisect_left(self._seqs, seq)
        return self._earliest[place] if place < len(self._seqs) else None


def _held(anchor: TimeAnchor) -> Bound:
    return Bound(shape.utc_ms(anchor.utc) + anchor.error_ms, ANCHOR)


def _is_younger(anchor: Record, segment: SegmentAccount) -> bool:
    """Whether an anchor came after the segment's first moment, on one boot clock."""
    return anchor.boot == segment.boot and anchor.clock.boot_ns > segment.from_ns
