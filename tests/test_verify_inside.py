"""Step 12 against cameras that lie: what is inside a fragment is not of the time or kind that its record says.

Every byte is signed and every chain holds, so only who looks inside sees it. The boxes are found by their types.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from evidence import records
from tests.evidence_builder import Camera
from tests.evidence_keys import identity
from tests.pictures import findings, verify

OFFICE = identity("office")


class Liar(Camera):
    """Changes the second fragment's bytes before they are signed, or what its record says."""

    def __init__(self, change: Callable[[bytearray], None] | None, **members: Any) -> None:
        super().__init__()
        self._change, self._members, self._done = change, members, 0
        self.boot()
        self.start()
        self.segment(3)
        self.stop()

    def media(self, data: bytes) -> bytes:
        self._done += 1
        if self._done != 2 or self._change is None:
            return data
        spoiled = bytearray(data)
        self._change(spoiled)
        return bytes(spoiled)

    def line(self, kind: str, body: Any) -> records.Record:
        lies = self._members if kind == "fragment" and body["index"] == 1 else {}
        return super().line(kind, {**body, **lies})


def add(kind: bytes, offset: int, form: str, delta: int, nth: int = 0) -> Callable[[bytearray], None]:
    """Add to a number in the `nth` box of a type, counted from the box's type."""

    def change(data: bytearray) -> None:
        at = -1
        for _ in range(nth + 1):
            at = data.index(kind, at + 1)
        (value,) = struct.unpack_from(form, data, at + offset)
        struct.pack_into(form, data, at + offset, value + delta)

    return change


def retype(to: int) -> Callable[[bytearray], None]:
    """Change the type of the first picture's first unit, which is no key frame's."""

    def change(data: bytearray) -> None:
        data[data.index(b"mdat") + 8] = to

    return change


LIES: dict[str, Callable[[bytearray], None]] = {
    "pictures earlier": add(b"tfdt", 8, ">Q", -1),
    "pictures later": add(b"tfdt", 8, ">Q", 1),
    "a picture that lasts longer": add(b"trun", 16, ">I", 1),
    "a picture that lasts shorter": add(b"trun", 16, ">I", -1),
    "a key frame by its flags": add(b"trun", 24, ">I", 0x02000000 - 0x01010000),
    "flags that are none": add(b"trun", 24, ">I", 1),
    "a key frame by its unit": retype(0x65),
    "a parameter set for a picture": retype(0x67),
    "no picture": retype(0x06),
    "sound that overlaps": add(b"tfdt", 8, ">Q", -1, nth=1),
    "sound of another time": add(b"tfdt", 8, ">Q", 48_000 * 3, nth=1),
    "a capture time of another sample": add(b"prft", 20, ">Q", 1),
    "a capture time of another track": add(b"prft", 8, ">I", 1),
    "a capture time two seconds early": add(b"prft", 12, ">I", -2),
    "a capture time two seconds late": add(b"prft", 12, ">I", 2),
    "no capture time": add(b"prft", 0, ">I", 1),
}


@pytest.mark.parametrize("lie", LIES)
def test_media_that_is_not_what_its_record_says(lie: str) -> None:
    made = Liar(LIES[lie])
    assert findings(verify(made.files)) == ""
    assert findings(verify(made.files, OFFICE)) == "12:altered"


@pytest.mark.parametrize(("member", "value"), [("starts_with_idr", True), ("frames", 11), ("samples", 26_400)])
def test_a_record_that_says_something_else(member: str, value: object) -> None:
    assert "12:altered" in findings(verify(Liar(None, **{member: value}).files, OFFICE))


def test_a_segment_told_elsewhere_in_its_part_is_seen() -> None:
    """All of a segment shifted alike: nothing in it contradicts itself, only the part's begin tells."""
    made = Camera()
    made.boot()
    made.start()
    made.segment()
    made.media = lambda data: shifted(data, 100_000)  # type: ignore[method-assign]
    made.segment(2)
    made.stop()
    found = verify(made.files, OFFICE)
    assert findings(found) == "12:altered"
    assert found.segments[made.recording, 1].verdict == "altered"


def shifted(data: bytes, by_us: int) -> bytes:
    changed = bytearray(data)
    for kind, at in ((b"tfdt", 8), (b"prft", 20)):
        add(kind, at, ">Q", by_us)(changed)
    return bytes(changed)


def test_a_clock_that_was_set_while_it_recorded_is_no_lie() -> None:
    """The claim that stands before a fragment is the one that was in force when it was cut."""
    made = Camera()
    made.boot()
    made.start()
    made.segment()
    made.utc_ms += 3_600_000
    made.line("clock_set", {"source": "gnss", "stepped_ms": 3_600_000, "error_ms": 50})
    made.segment()
    made.stop()
    assert findings(verify(made.files, OFFICE)) == ""
