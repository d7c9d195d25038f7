"""The verifier: the numbered steps of specification §7 over an evidence folder.

No key is needed; with one, it looks deeper. It says what was proven, what was not, and names what is wrong: step,
verdict, place. It never says more than the bytes do.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from cryptography import x509

from evidence import jose, pki, records, segment_check, shape
from evidence.account import Finding, SegmentAccount
from evidence.documents import Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.journal import JournalReader
from evidence.records import Record
from evidence.report import Report, not_after, not_before, printable
from evidence.segment_check import SegmentCheck, SegmentVerdict

_VERDICT_OF = {"unknown-version": "unknown version", "foreign": "foreign", "chain-untrusted": "foreign"}
_JOURNAL = re.compile(r"journal/([0-9]{8})\.jws\Z")
_SEGMENT = re.compile(r"segments/([0-9a-f]{8}-[0-9]+)/([0-9]{5})\.mp4\.age\Z")
_RECEIPT = re.compile(r"receipts/([0-9a-f]{8}-[0-9]+)/([0-9]{5})\.jws\Z")
_CERTIFICATES = re.compile(r"certs/[^/]+\.pem\Z")
_CERTIFICATES_LIMIT = 1 << 20  # bytes of all of them: an agency has a dozen of 1 KiB


class Folder(Protocol):
    """An evidence folder: a camera's, a dock's spool, an office's export."""

    def names(self) -> Iterable[str]:
        """Relative paths of all files, with `/`."""

    def blocks(self, path: str) -> Iterator[bytes]:
        """A file's bytes, in order, in pieces of any size."""


class Verifier:
    """Runs the steps over one folder. `only`: the recordings whose files it asks for; the journal is always whole.

    `whole`: the folder has to hold the footage itself, as an evidence copy does; a receipt excuses nothing.
    """

    def __init__(
        self,
        folder: Folder,
        roots: Sequence[x509.Certificate],
        identity: str | None = None,
        only: Collection[str] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self._folder = folder
        self._roots = roots
        self._identity = identity
        self._whole = whole
        self._names = frozenset(folder.names())
        self._certificates: list[x509.Certificate] = []
        self._chains: dict[str, list[pki.Chain]] = {}  # of the signers that were asked for, by key
        self._tails: dict[int, bytes] = {}
        asked = None if only is None else frozenset(only)
        self.report = Report(JournalReader(roots), opened=identity is not None, only=asked)

    def run(self) -> Report:
        """Every step; a step that fails does not keep the later ones from looking."""
        report = self.report
        self._read_journal()  # steps 1 to 5
        self._judge_boots()
        report.findings += [f for f in report.account.findings() if self._asked_of(f.where)]  # steps 6 to 8
        self._read_signers()
        self._read_receipts()  # step 10, before 9: a receipt explains a file that is not here
        self._read_anchors()
        self._compare_times()
        self._read_segments()  # steps 9 and 12
        self._judge_tail()  # step 11
        self._look_for_strangers()  # step 13
        report.findings.sort(key=lambda finding: finding.step)
        report.notes.sort(key=lambda note: note.step)
        return report

    def _find(self, step: int, verdict: str, where: str, message: str) -> None:
        self.report.findings.append(Finding(step, verdict, printable(where), printable(message)))

    def _note(self, step: int, verdict: str, where: str, message: str) -> None:
        self.report.notes.append(Finding(step, verdict, printable(where), printable(message)))

    def _asked_of(self, where: str) -> bool:
        """Whether a finding about `where` belongs to what was asked: the journal always does."""
        only, recording = self.report.only, where.partition(" ")[0]
        return only is None or recording in only or recording not in self.report.account.recordings

    def _read(self, path: str, limit: int) -> bytes:
        """A small file whole; of a longer one, enough to tell that it is."""
        data = bytearray()
        for block in self._folder.blocks(path):
            data += block
            if len(data) > limit:
                break
        return bytes(data[: limit + 1])

    def _matching(self, pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
        return [(path, match) for path in sorted(self._names) if (match := pattern.match(path))]

    # --- the journal

    def _read_journal(self) -> None:
        files = {int(match[1]): path for path, match in self._matching(_JOURNAL)}
        if not files:
            self._find(1, "missing", "journal", "there is no journal here")
        declared = self._declared_torn(files)
        for file, path in files.items():
            data = self._read(path, records.FILE_LIMIT)
            if len(data) > records.FILE_LIMIT:
                self._find(1, "altered", path, "the file is longer than a journal file may be")
                break
            # A torn tail may hold a whole line, if the disk refused only to make it durable: it is no record.
            if not self._feed(file, data[: declared.get(file, len(data))]):
                break
            self._tails[file] = data[self.report.reader.good_len(file) :]
            if self._tails[file] and file not in declared:
                self._judge_undeclared(path, self._tails[file], last=file == max(files))
        self._compare_torn()

    def _declared_torn(self, files: dict[int, str]) -> dict[int, int]:
        """Where openings say that a torn tail begins, by file; step 5 believes it once the opening verified."""
        declared: dict[int, int] = {}
        for file, path in files.items():
            start = self._read(path, records.OPENING_LIMIT)
            try:
                torn = records.parse(start.partition(b"\n")[0]).body.get("torn", [])
            except EvidenceError:
                continue
            declared.update({tail["file"]: tail["offset"] for tail in torn if tail["file"] < file})
        return declared

    def _feed(self, file: int, data: bytes) -> bool:
        """Steps 1 to 5 for the lines of a file, up to the first bad one."""
        reader, start = self.report.reader, 0
        try:
            while (end := data.find(b"\n", start) + 1) > 0:
                for record in reader.feed(file, data[start:end]):
                    self.report.account.add(record)
                start = end
        except EvidenceError as error:
            after = "the beginning" if reader.head is None else f"record {reader.head[0]}"
            message = f"after {after}: {error.message} ({error.code}); nothing beyond it is proven"
            self._find(reader.step, _VERDICT_OF.get(error.code, "altered"), records.journal_path(file), message)
            return False
        return True

    def _judge_undeclared(self, path: str, tail: bytes, *, last: bool) -> None:
        if last and b"\n" not in tail:
            message = f"{len(tail)} bytes after the last line: cut by a power loss and not yet declared, or altered"
            self._find(5, "unaccounted", path, message)
        else:
            self._find(5, "altered", path, f"{len(tail)} bytes after the last line are declared by nobody")

    def _compare_torn(self) -> None:
        """Step 5, once every opening that declares a tail has been verified. A copy need not hold the tail itself.

        Nor need the camera: a tail that a failing disk did not make durable loses its end with the next power cut.
        """
        for file, told in self.report.reader.torn.items():
            where, tail = records.journal_path(file), self._tails.get(file, b"")
            whole = len(tail) == told.length and hashlib.sha256(tail).hexdigest() == told.sha256
            if not whole and len(tail) >= told.length:
                self._find(5, "altered", where, "the torn tail is not the one that the next boot declared")
            else:
                self._note(
                    5, "torn", where, f"{told.length} bytes that never became a record, as a later boot declares"
                )

    def _judge_boots(self) -> None:
        for record in self.report.account.boots:
            where = f"boot {record.boot}"
            if not self.report.reader.sessions[record.boot].signed:
                self._find(2, "unsigned", where, "no certified evidence key stands behind this boot")
            if record.body["simulated"]:
                self._note(2, "simulated", where, "the hardware of this boot is simulated")

    # --- what the office signed

    def _read_signers(self) -> None:
        """Certificates beside the evidence: anybody's, so not more than helps, and none is checked before it is needed.

        Each is tried under the key that it names; an office may have renewed a certificate and kept its key.
        """
        left = _CERTIFICATES_LIMIT
        for path, _ in self._matching(_CERTIFICATES):
            data = self._read(path, left)
            if len(data) > left:
                self._note(10, "foreign", path, "more certificates than help; this and what follows is not read")
                break
            left -= len(data)
            try:
                self._certificates += pki.parse_certificates(data)
            except EvidenceError as error:
                self._note(10, "foreign", path, error.message)

    def _signers(self, text: bytes, typ: str) -> list[pki.Chain]:
        """The trusted chains of the key that signed, at least one."""
        kid = jose.parse(text, typ).kid
        if kid not in self._chains:
            self._chains[kid] = list(self._chains_of(kid))
        if not self._chains[kid]:
            message = "no certificate here, trusted by the given root, has the key that signed"
            raise EvidenceError("signer-unknown", message)
        return self._chains[kid]

    def _chains_of(self, kid: str) -> Iterator[pki.Chain]:
        for certificate in self._certificates:
            with contextlib.suppress(EvidenceError):  # issuing certificates and strangers: they help, or they do not
                if pki.key_id(pki.public_key(certificate)) == kid:
                    yield pki.validate_chain(
                        certificate, self._certificates, self._roots, role=pki.Role.SIGNER, at=None
                    )

    def _read_receipts(self) -> None:
        """Step 10: receipts beside the evidence and inside the journal."""
        for path, match in self._matching(_RECEIPT):
            if self.report.only is None or match[1] in self.report.only:
                self._receipt(self._read(path, jose.LINE_LIMIT), path, (match[1], int(match[2])))
        for record in self.report.account.receipts:
            self._receipt(record.body["receipt"].encode(), f"record {record.seq}", None)

    def _receipt(self, text: bytes, where: str, key: tuple[str, int] | None) -> None:
        try:
            chains = self._signers(text, Receipt.TYP)
            receipt = Receipt.read(text, pki.public_key(chains[0].leaf))
            chain = _valid_at(chains, receipt.received)
        except EvidenceError as error:
            self._find(10, _VERDICT_OF.get(error.code, "altered"), where, f"receipt: {error.message} ({error.code})")
            return
        found = (receipt.recording, receipt.segment)
        recording = self.report.account.recordings.get(receipt.recording)
        segment = recording.segments.get(receipt.segment) if recording else None
        told = segment.record.body if segment and segment.record else None
        if receipt.office != chain.id:
            self._find(10, "foreign", where, f"the receipt names {receipt.office}, and {chain.id} signed it")
        elif receipt.device != self.report.device or key not in (None, found):
            self._find(10, "foreign", where, "the receipt is for another camera or segment")
        elif told is None:
            self._find(
                10, "missing", where, "the office holds a segment that no record here closes: records are cut off"
            )
        elif (receipt.sha256, receipt.size) != (told["file_sha256"], told["file_size"]):
            self._find(10, "altered", where, "the receipt is for other bytes than the camera signed")
        else:
            self.report.receipts[found] = receipt

    def _read_anchors(self) -> None:
        """Step 10: time anchors, and whether this chain extends the head that the office held."""
        for record in self.report.account.anchors:
            text, where = record.body["anchor"].encode(), f"record {record.seq}"
            try:
                chains = self._signers(text, TimeAnchor.TYP)
                anchor = TimeAnchor.read(text, pki.public_key(chains[0].leaf))
                chain = _valid_at(chains, anchor.utc)
            except EvidenceError as error:
                verdict = _VERDICT_OF.get(error.code, "altered")
                self._find(10, verdict, where, f"time anchor: {error.message} ({error.code})")
                continue
            if anchor.office != chain.id:
                self._find(10, "foreign", where, f"the time anchor names {anchor.office}, and {chain.id} signed it")
            elif anchor.device != self.report.device:
                self._find(10, "foreign", where, "the time anchor is for another camera")
            elif not self._extends(record, anchor):
                self._find(10, "altered", where, "fork: the office held another record in this place of the chain")
            else:
                self.report.anchors.append((record, anchor))

    def _compare_times(self) -> None:
        """Step 10: what the office says of the time of a recording, in anchors and receipts, does not contradict."""
        for recording in self.report.recordings():
            first, last = not_before(self.report, recording), not_after(self.report, recording)
            if first is not None and last is not None and last < first:
                self._find(10, "altered", recording.id, f"by the office's word not before {first} and not after {last}")

    def _extends(self, record: Record, anchor: TimeAnchor) -> bool:
        return anchor.head_seq < record.seq and self.report.reader.sha256_of(anchor.head_seq) == anchor.head

    # --- segments

    def _read_segments(self) -> None:
        for recording in self.report.recordings():
            for segment in recording.segments.values():
                path = records.segment_path(recording.id, segment.index)
                verdict = self._check_segment(segment, path)
                self.report.segments[recording.id, segment.index] = verdict
                if verdict.verdict in (segment_check.ALTERED, segment_check.MISSING):
                    self._find(verdict.step, verdict.verdict, path, verdict.told)

    def _check_segment(self, segment: SegmentAccount, path: str) -> SegmentVerdict:
        if path not in self._names:
            return self._absent(segment)
        check = SegmentCheck(segment)
        for block in self._folder.blocks(path):
            check.update(block)
            if check.done:
                break
        verdict = check.finish()
        if self._identity is not None and verdict.verdict != segment_check.ALTERED and segment.fragments:
            try:
                plain = segment_check.open_segment(segment, self._attested(path, segment), self._identity)
                for still in segment_check.unlisted_stills(segment, plain):
                    message = f"a still taken at {still.at_ns} ns that no record lists: a cut may have kept it out"
                    self._note(12, "unlisted", path, message)
            except EvidenceError as error:
                return SegmentVerdict(segment_check.ALTERED, f"{error.message} ({error.code})", step=12)
        if verdict.verdict == segment_check.INTACT and not self.report.reader.sessions[segment.boot].signed:
            return SegmentVerdict(segment_check.UNSIGNED, "every byte is as recorded, but no certified key signed it")
        return verdict

    def _attested(self, path: str, segment: SegmentAccount) -> bytes:
        """What of a file has to be read whole; anybody can make the rest as long as they like."""
        return self._read(path, segment.attested_len)[: segment.attested_len]

    def _absent(self, segment: SegmentAccount) -> SegmentVerdict:
        key = (segment.recording, segment.index)
        if key in self.report.receipts and self._whole:
            return SegmentVerdict(
                segment_check.MISSING, "not here; the office's receipt says that it holds these bytes"
            )
        if key in self.report.receipts:
            return SegmentVerdict(
                segment_check.RELEASED, "not here; the office's receipt says that it keeps these bytes"
            )
        if segment.record is not None and segment.record.body["file_size"] == 0:
            return SegmentVerdict(segment_check.TRUNCATED, "cut before anything of it was written")
        if key in self.report.account.released:
            return SegmentVerdict(segment_check.MISSING, "given up without a receipt that verifies here", step=10)
        return SegmentVerdict(segment_check.MISSING, "the file is not here, and no receipt explains it")

    # --- the tail, and strangers

    def _judge_tail(self) -> None:
        """Step 11: nobody can prove from a camera alone that its last records were not cut off."""
        for before, boot in self.report.account.unclean:
            where = f"records {before.seq} and {boot.seq}"
            self._note(
                11, "unaccounted", where, "the boot did not end by itself: what followed before the next is unknown"
            )
        last = self.report.account.last
        if last is not None:
            message = "what the camera recorded after its last record here, if anything, is not accounted for"
            self._note(11, "unaccounted", f"record {last.seq}", message)

    def _look_for_strangers(self) -> None:
        """Step 13: files that nothing names."""
        known = {
            records.segment_path(recording.id, index)
            for recording in self.report.account.recordings.values()
            for index in recording.segments
        }
        begun = self._next_segments()
        for path in sorted(self._names - known):
            if any(pattern.match(path) for pattern in (_JOURNAL, _RECEIPT, _CERTIFICATES)):
                continue
            if path in begun:
                message = "begun, and no record names it yet: let the camera start once, or it is foreign"
                self._find(13, "unaccounted", path, message)
            else:
                self._find(13, "foreign", path, "no verified record of this camera's journal names this file")

    def _next_segments(self) -> set[str]:
        """Segments that a cut may have kept from their first record: no boot has accounted for them yet."""
        return {
            records.segment_path(recording.id, max(recording.segments, default=-1) + 1)
            for recording in self.report.account.recordings.values()
            if recording.ended is None
        }


def _valid_at(chains: Sequence[pki.Chain], utc: str) -> pki.Chain:
    """The first of a signer's chains that was valid at a time."""
    ms = shape.utc_ms(utc)
    for chain in chains:
        if chain.not_before.timestamp() * 1000 <= ms <= chain.not_after.timestamp() * 1000:
            return chain
    raise EvidenceError("chain-dates", f"the signer's certificate was not valid at {utc}")
