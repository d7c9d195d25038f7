"""What the verifier found, and its JSON (specification §8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from evidence import jose, records, shape
from evidence.account import Account, Finding, RecordingAccount, SegmentAccount
from evidence.documents import Receipt, TimeAnchor
from evidence.journal import JournalReader
from evidence.segment_check import SegmentVerdict
from evidence.session import Session

_STORES = ("none", "extractable", "token")  # weakest first


@dataclass(slots=True)
class Report:
    """What the verifier found. `ok` only if nothing that was handed to it contradicts anything else."""

    reader: JournalReader
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    segments: dict[tuple[str, int], SegmentVerdict] = field(default_factory=dict)
    account: Account = field(default_factory=Account)
    receipts: dict[tuple[str, int], Receipt] = field(default_factory=dict)
    anchors: list[tuple[records.Record, TimeAnchor]] = field(default_factory=list)
    opened: bool = False  # decrypted as well
    only: frozenset[str] | None = None  # the recordings that were asked about; None: all

    @property
    def device(self) -> str | None:
        """The camera that the journal is of."""
        return self.reader.device

    @property
    def ok(self) -> bool:
        """No finding, and no segment worse than cut by a power loss."""
        return not self.findings and self.reader.head is not None

    def recordings(self) -> list[RecordingAccount]:
        """The recordings that were asked about, in the order in which they began."""
        found = self.account.recordings.values()
        return [recording for recording in found if self.only is None or recording.id in self.only]

    def sessions_of(self, recording: RecordingAccount) -> list[Session]:
        """The signing keys of the boots that recorded it or told of it."""
        return [self.reader.sessions[boot] for boot in recording.boots]


def not_before(report: Report, recording: RecordingAccount) -> str | None:
    """UTC after which the recording began, by the last time anchor in the journal before it."""
    times = [_moved(a.utc, -a.error_ms) for r, a in report.anchors if r.seq < recording.started.seq]
    return max(times, default=None)


def not_after(report: Report, recording: RecordingAccount) -> str | None:
    """UTC before which the whole recording was made, by the office's word.

    That is the latest of its receipts, if every segment has one; or the first anchor over a head behind its end.
    """
    found = [report.receipts.get((recording.id, index)) for index in recording.segments]
    received = [receipt.received for receipt in found if receipt is not None]
    times = [max(received)] if received and len(received) == len(found) else []
    if (ended := recording.ended) is not None:
        times += [_moved(a.utc, a.error_ms) for _, a in report.anchors if a.head_seq >= ended.seq]
    return min(times, default=None)


def _moved(utc: str, ms: int) -> str:
    return shape.utc_text(shape.utc_ms(utc) + ms)


def printable(text: str) -> str:
    """Spell control characters, directions of writing and bytes that are no text: names of files are anybody's."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def to_json(report: Report) -> jose.Json:
    """The report with stable keys."""
    head = report.reader.head
    return {
        "version": records.VERSION,
        "ok": report.ok,
        "device": report.device,
        "decrypted": report.opened,
        "head": None if head is None else {"seq": head[0], "sha256": head[1]},
        "findings": [finding.to_json() for finding in report.findings],
        "notes": [finding.to_json() for finding in report.notes],
        "recordings": [to_json_recording(report, recording) for recording in report.recordings()],
    }


def to_json_recording(report: Report, recording: RecordingAccount) -> jose.Json:
    """One recording of the report."""
    clock = recording.started.clock
    sessions = report.sessions_of(recording)
    return {
        "recording": recording.id,
        "recorded_ms": recording.recorded_ns // 1_000_000,
        "frames": recording.total("frames"),
        "samples": recording.total("samples"),
        "drops": recording.total("drops"),
        "parts": len(recording.parts),
        "ended": recording.ended is not None,
        "notice_heard": any(notice.body["heard"] for notice in recording.notices),
        "key": {
            "certified": all(session.signed for session in sessions),
            "store": min((session.key_store for session in sessions), key=_STORES.index),
            "valid_from": max((_utc(s.chain.not_before) for s in sessions if s.chain), default=None),
            "valid_to": min((_utc(s.chain.not_after) for s in sessions if s.chain), default=None),
        },
        "time": {
            "claimed": clock.to_json()["utc"],
            "source": clock.source,
            "error_ms": clock.error_ms,
            "not_before": not_before(report, recording),
            "not_after": not_after(report, recording),
        },
        "gaps": [dict(gap.body) for gap in recording.gaps],
        "stills": [_still(still) for still in recording.stills],
        "segments": [_segment(report, s) for _, s in sorted(recording.segments.items())],
    }


def _still(record: records.Record) -> jose.Json:
    claimed = record.clock.utc_ms - (record.clock.boot_ns - record.body["at_ns"]) // 1_000_000
    named = {name: record.body[name] for name in ("segment", "at_ns", "size", "sha256")}
    return {**named, "claimed": shape.utc_text(claimed), "record": record.seq}


def _utc(moment: datetime) -> str:
    return shape.utc_text(int(moment.timestamp() * 1000))


def _segment(report: Report, segment: SegmentAccount) -> jose.Json:
    verdict = report.segments[segment.recording, segment.index]
    return {
        "segment": segment.index,
        "part": segment.part,
        "verdict": verdict.verdict,
        "message": verdict.message,
        "bad_fragment": verdict.bad_fragment,
        "bad_from_ns": verdict.at_ns,
        "fragments": len(segment.fragments),
        "receipt": (segment.recording, segment.index) in report.receipts,
        "media_signing": verdict.media_signing.to_json() if verdict.media_signing else None,
    }
