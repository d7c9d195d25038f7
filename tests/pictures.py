"""Evidence as pictures, for tests of the verifier: a string for what was recorded, a string for what the verifier says.

Recorded: as in `evidence_builder`. Said of each segment: i intact, t truncated, a altered, m missing, r released,
u unsigned, x revoked. `step:verdict` words are the findings that must be there, and the only ones.
"""

from __future__ import annotations

from typing import Any

from evidence import records
from evidence.report import Report
from evidence.segment_check import SegmentVerdict
from evidence.verify import Verifier
from tests.evidence_builder import Camera, MemoryFolder
from tests.evidence_keys import AGENCY

JOURNAL = records.journal_path(0)


def camera(story: str, *, signed: bool = True, **how: Any) -> Camera:
    """A camera that recorded the story in one boot, or as many as it has cuts."""
    made = Camera(**how)
    made.boot(signed=signed)
    made.record(story)
    made.line("shutdown", {"clean": True})
    return made


def verify(files: dict[str, bytes], identity: str | None = None, **how: Any) -> Report:
    return Verifier(MemoryFolder(files), [AGENCY.root], identity, **how).run()


def picture(found: Report) -> str:
    return "".join(letter(verdict) for _, verdict in sorted(found.segments.items()))


def letter(verdict: SegmentVerdict) -> str:
    return "x" if verdict.verdict == "revoked" else verdict.verdict[0]


def findings(found: Report) -> str:
    assert all(finding.attack is not None for finding in found.findings)  # whatever is wrong has a name
    return " ".join(sorted({f"{finding.step}:{finding.verdict}" for finding in found.findings}))


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def path(made: Camera, segment: int) -> str:
    """Where a segment of the last recording lies."""
    return records.segment_path(made.recording, segment)
