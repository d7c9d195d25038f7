"""What a folder cannot prove of its own end, and what a head that somebody else holds shows (step 11)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from evidence.errors import EvidenceError
from evidence.finding import Attack, Finding
from evidence.report import Head, Report

_STEP = 11
_HEAD = re.compile(r"([0-9]{1,19}):([0-9a-f]{64})\Z")
SAME, FORK, DELETED, UNPROVEN = "same", "fork", "deleted", "unproven"


def parse_head(text: str) -> Head:
    """A head as people hand it on: `SEQ:SHA256`, the number of a record and the hash of its line."""
    if (match := _HEAD.match(text)) is None:
        raise EvidenceError("head-form", "a head is SEQ:SHA256, a record's number and the 64 hex digits of its hash")
    return Head(int(match[1]), match[2])


def judge(report: Report, heads: Iterable[Head]) -> None:
    """Step 11: nobody can prove from a camera alone that its last records were not cut off; a later head can."""
    report.heads = [Head(head.seq, head.sha256, _hold_against(report, head)) for head in heads]
    for before, boot in report.account.unclean:
        where = f"records {before.seq} and {boot.seq}"
        message = "the boot did not end by itself: what followed before the next is unknown"
        report.note(Finding(_STEP, "unaccounted", where, message))
    last = report.account.last
    if last is not None:
        message = "what the camera recorded after its last record here, if anything, is not accounted for"
        report.note(Finding(_STEP, "unaccounted", f"record {last.seq}", message))


def _hold_against(report: Report, head: Head) -> str:
    seq, where = -1 if report.reader.head is None else report.reader.head[0], f"record {head.seq}"
    if head.seq <= seq:
        if report.reader.sha256_of(head.seq) == head.sha256:
            return SAME
        message = "the head held elsewhere is another record of this number: one of the two journals is not the first"
        report.find(Finding(_STEP, "altered", where, message, Attack.FORK))
        return FORK
    if report.broken:
        message = f"a head held elsewhere is behind record {seq}, where what is proven here ends"
        report.note(Finding(_STEP, "unaccounted", where, message))
        return UNPROVEN
    message = f"the camera went on to record {head.seq}, as a head held elsewhere proves; here it ends with {seq}"
    report.find(Finding(_STEP, "missing", where, message, Attack.DELETED, *report.rest()))
    return DELETED
