"""Which seconds of a recording a segment or fragment is: offsets in attested footage, and what the clock claimed."""

from __future__ import annotations

import functools

from evidence import shape
from evidence.account import RecordingAccount
from evidence.finding import Footage
from evidence.records import Record

_MS = 1_000_000


class Timeline:
    """The attested footage of a recording that is told to its end, in the order of its segments, gaps left out."""

    def __init__(self, recording: RecordingAccount) -> None:
        self._recording = recording

    @functools.cached_property
    def _from_ns(self) -> dict[tuple[int, int], int]:
        """Where each fragment begins, by segment and number. Found when first asked: nobody asks of a clean folder."""
        found: dict[tuple[int, int], int] = {}
        at_ns = 0
        for index, segment in sorted(self._recording.segments.items()):
            for number, fragment in enumerate(segment.fragments):
                found[index, number] = at_ns
                at_ns += _length(fragment)
        return found

    @functools.cached_property
    def _length_ns(self) -> int:
        return sum(_length(f) for segment in self._recording.segments.values() for f in segment.fragments)

    def footage(self, segment: int, fragment: int = 0, *, last: int | None = None) -> Footage | None:
        """The seconds from a fragment of a segment to the end of that or of a `last` one; None if not attested."""
        segments = self._recording.segments
        end = segment if last is None or not segments[last].fragments else last
        if (segment, fragment) not in self._from_ns:
            return None
        first, final = segments[segment].fragments[fragment], segments[end].fragments[-1]
        to_ns = self._from_ns[end, len(segments[end].fragments) - 1] + _length(final)
        claims = claimed(first, first.body["from_ns"]), claimed(final, final.body["to_ns"])
        return Footage(self._from_ns[segment, fragment] // _MS, to_ns // _MS, *claims)

    def hole(self, before: tuple[int, int], after: tuple[int, int]) -> Footage:
        """The place between two fragments (segment, number) that do not touch: of no length in what is attested."""
        one, other = (self._recording.segments[segment].fragments[number] for segment, number in (before, after))
        at_ms = (self._from_ns[before] + _length(one)) // _MS
        return Footage(at_ms, at_ms, claimed(one, one.body["to_ns"]), claimed(other, other.body["from_ns"]))

    def rest(self) -> Footage:
        """Everything behind what is attested: what a journal that is broken, or ends too early, does not tell."""
        told = [segment.fragments[-1] for segment in self._recording.segments.values() if segment.fragments]
        last = max(told, key=lambda fragment: fragment.seq, default=self._recording.started)
        end_ns = int(last.body.get("to_ns", last.clock.boot_ns))
        return Footage(self._length_ns // _MS, None, claimed(last, end_ns), None)


def claimed(record: Record, at_ns: int) -> str:
    """UTC of a moment of the boot clock, as the clock claimed it when the record was made."""
    return shape.utc_text(record.clock.utc_at(at_ns))


def _length(fragment: Record) -> int:
    """Nanoseconds; what somebody made end before it begins has none."""
    return max(0, int(fragment.body["to_ns"]) - int(fragment.body["from_ns"]))
