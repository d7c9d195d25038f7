"""The numbered invariants of the specification (section 11), held against what lies on a card after all is over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from evidence import jose
from evidence.report import Report

Snapshot = Mapping[str, bytes]


def snapshot(store: Path) -> Snapshot:
    """Every durable byte."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def no_finding(report: Report) -> None:
    """1, 3, 5, 7, 8, 9, 13: what the verifier sees by itself, with the office's key."""
    assert report.ok, "\n".join(f"{f.step} {f.verdict} {f.where}: {f.message}" for f in report.findings)


def confirmed_lines_are_there(now: Snapshot, confirmed: Iterable[tuple[int, bytes]]) -> None:
    """2: every record that was confirmed durable, at its number, with its hash."""
    held = {hashlib.sha256(line).digest() for name, data in now.items() if name.startswith("journal/")
            for line in data.split(b"\n")[:-1]}  # fmt: skip
    for seq, line in confirmed:
        assert hashlib.sha256(line).digest() in held, f"record {seq} was confirmed and is gone"


def nothing_changed(before: Snapshot, now: Snapshot, released: Iterable[str] = ()) -> None:
    """4 and 11: what was durable stays as it was; files only grow, and go with a `released` record alone."""
    for name in before.keys() - set(released):
        assert name in now, f"{name} was durable and is gone"
        assert now[name].startswith(before[name]), f"{name} was durable and was changed"


def books_are_closed(report: Report) -> None:
    """6: one `segment` record for each number of a recording that has ended."""
    for recording in report.account.recordings.values():
        if recording.ended is not None:
            assert sorted(recording.segments) == list(range(len(recording.segments)))
            assert all(segment.record is not None for segment in recording.segments.values())


def verdicts(report: Report) -> dict[tuple[str, int], str]:
    """12: what must not change when the camera starts again."""
    return {key: str(verdict.verdict) for key, verdict in report.segments.items()}


def no_plaintext(now: Snapshot, secrets: Iterable[bytes]) -> None:
    """14: nothing that was recorded, and no key, lies open, not as base64url either."""
    for secret in secrets:
        for name, data in now.items():
            assert secret not in data, name
            assert jose.b64(secret)[:-2].encode() not in data, name
