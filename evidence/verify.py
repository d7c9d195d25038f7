"""The verifier: the numbered steps of specification §7 over an evidence folder.

No key is needed; with one, it looks deeper. It says what was proven, what was not, and names what is wrong: step,
verdict, place. It never says more than the bytes do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, pki, records, segment_check
from evidence.account import Account, Finding, RecordingAccount, SegmentAccount
from evidence.documents import Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.journal import JournalReader
from evidence.segment_check import SegmentCheck, SegmentVerdict

_STEP_OF = {"chain-broken": 4, "foreign": 4, "fork": 4, "jws-signature": 3, "journal-torn": 5, "unknown-version": 1}
_VERDICT_OF = {"unknown-version": "unknown version", "foreign": "foreign", "journal-torn": "altered"}
_JOURNAL = re.compile(r"journal/([0-9]{8})\.jws\Z")
_SEGMENT = re.compile(r"segments/([0-9a-f]{8}-[0-9]+)/([0-9]{5})\.mp4\.age\Z")
_RECEIPT = re.compile(r"receipts/([0-9a-f]{8}-[0-9]+)/([0-9]{5})\.jws\Z")


class Folder(Protocol):
    """An evidence folder: a camera's, a dock's spool, an office's export."""

    def names(self) -> Iterable[str]:
        """Relative paths of all files, with `/`."""

    def blocks(self, path: str) -> Iterator[bytes]:
        """A file's bytes, in order, in pieces of any size."""


@dataclass(slots=True)
class Report:
    """What the verifier found. `ok` only if nothing that was handed to it contradicts anything else."""

    device: str | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    segments: dict[tuple[str, int], SegmentVerdict] = field(default_factory=dict)
    account: Account = field(default_factory=Account)
    reader: JournalReader | None = None
    receipts: dict[tuple[str, int], Receipt] = field(default_factory=dict)
    anchors: list[tuple[records.Record, TimeAnchor]] = field(default_factory=list)
    opened: bool = False  # decrypted as well

    @property
    def ok(self) -> bool:
        """No finding, and no segment worse than cut by a power loss."""
        return not self.findings and self.reader is not None and self.reader.head is not None


class Verifier:
    """Runs the steps over one folder."""

    def __init__(self, folder: Folder, roots: Sequence[x509.Certificate], identity: str | None = None) -> None:
        self._folder = folder
        self._roots = roots
        self._identity = identity
        self._names = sorted(folder.names())
        self._signers: dict[str, pki.Chain] = {}
        self._tails: dict[int, bytes] = {}
        self.report = Report(opened=identity is not None)

    def run(self) -> Report:
        """Every step; a step that fails does not keep the later ones from looking."""
        self._read_signers()
        self._read_journal()
        self._compare_torn()
        self.report.findings += list(self.report.account.findings())  # steps 6 to 8
        self._read_segments()
        self._read_receipts()
        self._judge_tail()
        self._judge_boots()
        return self.report

    def _find(self, step: int, verdict: str, where: str, message: str) -> None:
        self.report.findings.append(Finding(step, verdict, where, message))

    def _note(self, step: int, verdict: str, where: str, message: str) -> None:
        self.report.notes.append(Finding(step, verdict, where, message))

    def _whole(self, path: str) -> bytes:
        return b"".join(self._folder.blocks(path))

    def _read_signers(self) -> None:
        pool: list[x509.Certificate] = []
        for path in self._names:
            if path.startswith("certs/"):
                try:
                    pool += pki.parse_certificates(self._whole(path))
                except EvidenceError as error:
                    self._note(10, "foreign", path, error.message)
        for certificate in pool:
            try:
                chain = pki.validate_chain(certificate, pool, self._roots, role=pki.Role.SIGNER, at=None)
            except EvidenceError:
                continue  # issuing certificates and strangers: they help to build chains, or they do not
            self._signers[pki.key_id(pki.public_key(certificate))] = chain

    def _read_journal(self) -> None:
        """Steps 1 to 5."""
        report, reader = self.report, JournalReader(self._roots)
        report.reader = reader
        files = {int(match[1]): self._whole(name) for name in self._names if (match := _JOURNAL.match(name))}
        if not files:
            self._find(1, "missing", "journal", "there is no journal here")
        declared = _declared_torn(files.values())
        for file, data in files.items():
            error = self._feed(reader, file, data)
            good = reader.good_len(file)
            if error is not None and declared.get(file) != good:
                self._name_error(error, file, reader)
                break
            self._judge_torn(file, data[good:], explained=declared.get(file) == good)
        report.device = reader.device

    def _feed(self, reader: JournalReader, file: int, data: bytes) -> EvidenceError | None:
        start = 0
        try:
            while (end := data.find(b"\n", start) + 1) > 0:
                for record in reader.feed(file, data[start:end]):
                    self.report.account.add(record)
                start = end
        except EvidenceError as error:
            return error
        return None

    def _name_error(self, error: EvidenceError, file: int, reader: JournalReader) -> None:
        after = "the beginning" if reader.head is None else f"record {reader.head[0]}"
        self._find(
            _STEP_OF.get(error.code, 1),
            _VERDICT_OF.get(error.code, "altered"),
            records.journal_path(file),
            f"after {after}: {error.message}; nothing beyond it is proven",
        )

    def _judge_torn(self, file: int, tail: bytes, *, explained: bool) -> None:
        if tail and not explained:
            where = records.journal_path(file)
            self._find(5, "altered", where, f"{len(tail)} bytes after the last line are declared by nobody")
        self._tails[file] = tail

    def _compare_torn(self) -> None:
        """Step 5, once every opening that declares a tail has been verified."""
        torn = self.report.reader.torn if self.report.reader else {}
        for file, told in torn.items():
            where, tail = records.journal_path(file), self._tails.get(file, b"")
            if tail and (len(tail), hashlib.sha256(tail).hexdigest()) != (told.length, told.sha256):
                self._find(5, "altered", where, "the torn tail is not the one that the next boot declared")
            else:
                self._note(5, "torn", where, f"{told.length} bytes cut by a power loss, as the next boot declares")

    def _read_segments(self) -> None:
        """Steps 9, 12 and 13."""
        known = set()
        for recording in self.report.account.recordings.values():
            for segment in recording.segments.values():
                path = records.segment_path(recording.id, segment.index)
                known.add(path)
                verdict = self._check_segment(segment, path)
                self.report.segments[recording.id, segment.index] = verdict
                if verdict.verdict in (segment_check.ALTERED, segment_check.MISSING):
                    self._find(9, verdict.verdict, path, _with_place(verdict))
        for path in self._names:
            if path.startswith("segments/") and path not in known:
                self._find(13, "foreign", path, "no record of this camera's journal names this file")

    def _check_segment(self, segment: SegmentAccount, path: str) -> SegmentVerdict:
        if path not in self._names:
            if (segment.recording, segment.index) in self.report.account.released:
                return SegmentVerdict(segment_check.RELEASED, "given up against the office's receipt")
            if segment.record is not None and segment.record.body["file_size"] == 0:
                return SegmentVerdict(segment_check.TRUNCATED, "cut before anything of it was written")
            return SegmentVerdict(segment_check.MISSING, "the file is not here, and no record gives it up")
        check = SegmentCheck(segment)
        for block in self._folder.blocks(path):
            check.update(block)
        verdict = check.finish()
        if self._identity is not None and verdict.verdict != segment_check.ALTERED and segment.fragments:
            try:
                segment_check.open_segment(segment, self._whole(path), self._identity)
            except EvidenceError as error:
                return SegmentVerdict(segment_check.ALTERED, f"step 12: {error.message}")
        session = self.report.reader.sessions[segment.boot] if self.report.reader else None
        if verdict.verdict == segment_check.INTACT and (session is None or not session.signed):
            return SegmentVerdict(segment_check.UNSIGNED, "every byte is as recorded, but no certified key signed it")
        return verdict

    def _read_receipts(self) -> None:
        """Step 10: receipts beside the evidence and inside the journal, and the time anchors."""
        for path in self._names:
            if path.startswith("receipts/"):
                match = _RECEIPT.match(path)
                self._receipt(self._whole(path), path, (match[1], int(match[2])) if match else None)
        for record in self.report.account.receipts:
            self._receipt(record.body["receipt"].encode(), f"record {record.seq}", None)
        for record in self.report.account.anchors:
            try:
                anchor = TimeAnchor.read(
                    record.body["anchor"], self._signer(record.body["anchor"].encode(), TimeAnchor.TYP)
                )
            except EvidenceError as error:
                self._find(10, "altered", f"record {record.seq}", f"time anchor: {error.message}")
                continue
            if anchor.device != self.report.device:
                self._find(10, "foreign", f"record {record.seq}", "the time anchor is for another camera")
            else:
                self.report.anchors.append((record, anchor))

    def _receipt(self, text: bytes, where: str, key: tuple[str, int] | None) -> None:
        try:
            receipt = Receipt.read(text, self._signer(text, Receipt.TYP))
        except EvidenceError as error:
            self._find(10, "altered", where, f"receipt: {error.message}")
            return
        found = (receipt.recording, receipt.segment)
        recording = self.report.account.recordings.get(receipt.recording)
        segment = recording.segments.get(receipt.segment) if recording else None
        if receipt.device != self.report.device or segment is None or key not in (None, found):
            self._find(10, "foreign", where, "the receipt is for another camera or segment")
        elif segment.record is None or receipt.sha256 != segment.record.body["file_sha256"]:
            self._find(10, "altered", where, "the receipt is for other bytes than the camera signed")
        else:
            self.report.receipts[found] = receipt

    def _signer(self, text: bytes, typ: str) -> ec.EllipticCurvePublicKey:
        kid = jose.parse(text, typ).kid
        chain = self._signers.get(kid)
        if chain is None:
            raise EvidenceError(
                "signer-unknown", "no certificate here, trusted by the given root, has the key that signed"
            )
        return pki.public_key(chain.leaf)

    def _judge_tail(self) -> None:
        """Step 11: nobody can prove from a camera alone that its last records were not cut off."""
        last = self.report.account.last
        if last is not None and last.kind != "shutdown":
            self._note(
                11, "unaccounted", f"record {last.seq}", "what came after the last record is not accounted for here"
            )

    def _judge_boots(self) -> None:
        for record in self.report.account.boots:
            session = self.report.reader.sessions.get(record.boot) if self.report.reader else None
            where = f"boot {record.boot}"
            if session is not None and not session.signed:
                self._find(2, "unsigned", where, "no certified evidence key stands behind this boot")
            if record.body["simulated"]:
                self._note(2, "simulated", where, "the hardware of this boot is simulated")


def _declared_torn(files: Iterable[bytes]) -> dict[int, int]:
    """Where openings say that a torn tail begins, by file; believed only once the opening itself is verified."""
    declared = {}
    for data in files:
        try:
            record = records.parse(data.partition(b"\n")[0])
        except EvidenceError:
            continue
        declared.update({tail["file"]: tail["offset"] for tail in record.body.get("torn", [])})
    return declared


def _with_place(verdict: SegmentVerdict) -> str:
    if verdict.bad_fragment is None:
        return verdict.message
    return f"{verdict.message}, from fragment {verdict.bad_fragment} on"


def not_before(report: Report, recording: RecordingAccount) -> str | None:
    """UTC after which the recording was made: the office's last time anchor before it, if it was verified."""
    return max((a.utc for r, a in report.anchors if r.seq < recording.started.seq), default=None)


def not_after(report: Report, recording: RecordingAccount) -> str | None:
    """UTC before which the whole recording was made: the latest of its receipts, if every segment has one."""
    found = [report.receipts.get((recording.id, index)) for index in recording.segments]
    times = [receipt.received for receipt in found if receipt is not None]
    return max(times) if times and len(times) == len(found) else None


def to_json(report: Report) -> jose.Json:
    """The report with stable keys (docs/spec/evidence.md §8)."""
    reader = report.reader
    return {
        "version": records.VERSION,
        "ok": report.ok,
        "device": report.device,
        "decrypted": report.opened,
        "head": None if reader is None or reader.head is None else {"seq": reader.head[0], "sha256": reader.head[1]},
        "findings": [finding.to_json() for finding in report.findings],
        "notes": [finding.to_json() for finding in report.notes],
        "recordings": [_recording(report, recording) for recording in report.account.recordings.values()],
    }


def _recording(report: Report, recording: RecordingAccount) -> jose.Json:
    clock = recording.started.clock
    session = report.reader.sessions.get(recording.started.boot) if report.reader else None
    return {
        "recording": recording.id,
        "recorded_ms": recording.recorded_ns // 1_000_000,
        "frames": recording.total("frames"),
        "samples": recording.total("samples"),
        "parts": len(recording.parts),
        "ended": recording.ended is not None,
        "key": {
            "certified": session is not None and session.signed,
            "store": session.key_store if session else "none",
        },
        "time": {
            "claimed": clock.to_json()["utc"],
            "source": clock.source,
            "error_ms": clock.error_ms,
            "not_before": not_before(report, recording),
            "not_after": not_after(report, recording),
        },
        "gaps": [dict(gap.body) for gap in recording.gaps],
        "segments": [_segment(report, s) for _, s in sorted(recording.segments.items())],
    }


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
    }
