"""What the verifier found, and its JSON (specification §8)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from evidence import jose, pki, records, shape
from evidence.account import Account, RecordingAccount, SegmentAccount
from evidence.documents import Receipt, TimeAnchor
from evidence.finding import Attack, Finding, Footage
from evidence.journal import JournalReader
from evidence.revocation import Revocations
from evidence.segment_check import MISSING, TRUNCATED, SegmentVerdict
from evidence.session import Session
from evidence.time_bounds import SegmentTime, TimeBounds, Words, by_the_office
from evidence.timeline import Timeline, claimed
from evidence.timestamp import Stamp

_STORES = ("none", "extractable", "token")  # weakest first
_OF_RECORDINGS = range(6, 11)  # steps that look at every recording, asked about or not


@dataclass(frozen=True, slots=True)
class Head:
    """A record of this camera that somebody else holds: the office, a dock, another copy. `found`: of section 8."""

    seq: int
    sha256: str
    found: str = ""


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
    times: dict[tuple[str, int], SegmentTime] = field(default_factory=dict)
    bounds: TimeBounds = field(default_factory=lambda: TimeBounds(Words()))
    stamps: dict[int, Stamp] = field(default_factory=dict)  # by the size of the log that they are over
    revocations: Revocations = field(default_factory=Revocations)
    distrusted: set[tuple[str, int]] = field(default_factory=set)  # segments of a key taken back
    opened: bool = False  # decrypted as well
    only: frozenset[str] | None = None  # the recordings that were asked about; None: all
    broken: bool = False  # the journal was not read to its end
    heads: list[Head] = field(default_factory=list)
    _timelines: dict[str, Timeline] = field(default_factory=dict)
    _causes: dict[str, dict[int, str]] = field(default_factory=dict)

    def timeline(self, recording: RecordingAccount) -> Timeline:
        """Which seconds a segment of a recording is, once the journal has been read."""
        if recording.id not in self._timelines:
            self._timelines[recording.id] = Timeline(recording)
        return self._timelines[recording.id]

    def causes(self, recording: str) -> dict[int, str]:
        """By part of a recording, why it ended, once the journal has been read."""
        if recording not in self._causes:
            self._causes[recording] = self.account.recordings[recording].causes()
        return self._causes[recording]

    def rest(self) -> tuple[str | None, int | None, Footage | None]:
        """The recording that had not ended at the last verified record, its last segment, its unproven seconds."""
        recording = self.account.open_recording
        if recording is None:
            return None, None, None
        return recording.id, max(recording.segments, default=None), self.timeline(recording).rest()

    def find(self, finding: Finding, *, of_journal: bool = False) -> None:
        """Say that something is wrong, if it is of what was asked about; the journal always is."""
        other = self.only is not None and finding.recording in self.account.recordings.keys() - self.only
        if of_journal or not other or finding.step not in _OF_RECORDINGS:
            self.findings.append(_printable(finding))

    def note(self, note: Finding) -> None:
        """Say what the folder cannot prove."""
        self.notes.append(_printable(note))

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


def _printable(finding: Finding) -> Finding:
    return replace(finding, where=printable(finding.where), message=printable(finding.message))


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
        "heads": [{"seq": head.seq, "sha256": head.sha256, "found": head.found} for head in report.heads],
        "findings": [finding.to_json() for finding in report.findings],
        "notes": [finding.to_json() for finding in report.notes],
        "revocation_lists": [
            {"issuer": one.crl.issuer.rfc4514_string(), "number": one.number, "as_of": shape.utc_of(one.as_of)}
            for one in report.revocations.lists
        ],
        "stamps": [_stamp(size, stamp) for size, stamp in sorted(report.stamps.items())],
        "recordings": [to_json_recording(report, recording) for recording in report.recordings()],
    }


def to_json_recording(report: Report, recording: RecordingAccount) -> jose.Json:
    """One recording of the report."""
    clock = recording.started.clock
    sessions = report.sessions_of(recording)
    first, last = by_the_office([report.times[recording.id, index] for index in recording.segments])
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
            "valid_from": max((shape.utc_of(s.chain.not_before) for s in sessions if s.chain), default=None),
            "valid_to": min((shape.utc_of(s.chain.not_after) for s in sessions if s.chain), default=None),
            "revoked": _revoked(report, sessions),
        },
        "time": {
            "claimed": clock.to_json()["utc"],
            "source": clock.source,
            "error_ms": clock.error_ms,
            "not_before": None if first is None else first.utc,
            "not_after": None if last is None else last.utc,
        },
        "gaps": [dict(gap.body) for gap in recording.gaps],
        "stills": [_still(still) for still in recording.stills],
        "segments": [_segment(report, s) for _, s in sorted(recording.segments.items())],
    }


def _revoked(report: Report, sessions: list[Session]) -> jose.Json | None:
    """The earliest revocation in its keys' chains."""
    found = [one for session in sessions if session.chain and (one := report.revocations.of(session.chain))]
    if not found:
        return None
    first = min(found, key=lambda one: one.entry.since)
    role, name = pki.role_and_id(first.certificate)
    entry = first.entry
    told = {"revoked": shape.utc_of(entry.at), "since": shape.utc_of(entry.since), "reason": entry.reason.value}
    return {"certificate": f"{role}/{name}", **told}


def _still(record: records.Record) -> jose.Json:
    named = {name: record.body[name] for name in ("segment", "at_ns", "size", "sha256")}
    return {**named, "claimed": claimed(record, record.body["at_ns"]), "record": record.seq}


def _stamp(size: int, stamp: Stamp) -> jose.Json:
    return {"log_size": size, **stamp.bound.to_json(), "authority": stamp.authority}


def cut_by(report: Report, segment: SegmentAccount) -> str | None:
    """Why a segment is not here to its end, None if it is: what the camera tells, or `tampering`, or `unaccounted`.

    What the camera tells is the cause of the gap behind the segment's part: a loss of power takes what nobody had
    attested. Bytes that were durable when their record was made are taken by somebody, or by a damaged disk.
    """
    verdict = report.segments[segment.recording, segment.index]
    if verdict.attack is Attack.CUT_SHORT or verdict.verdict == MISSING:
        return "tampering"
    if verdict.verdict != TRUNCATED:
        return None
    if (cause := report.causes(segment.recording).get(segment.part)) is not None:
        return cause
    return "unaccounted" if segment.record is None else "unknown"


def _segment(report: Report, segment: SegmentAccount) -> jose.Json:
    verdict = report.segments[segment.recording, segment.index]
    return {
        "segment": segment.index,
        "part": segment.part,
        "verdict": verdict.verdict,
        "cut_by": cut_by(report, segment),
        "message": verdict.message,
        "bad_fragment": verdict.bad_fragment,
        "bad_from_ns": verdict.at_ns,
        "fragments": len(segment.fragments),
        "receipt": (segment.recording, segment.index) in report.receipts,
        "time": report.times[segment.recording, segment.index].to_json(),
        "media_signing": verdict.media_signing.to_json() if verdict.media_signing else None,
    }
