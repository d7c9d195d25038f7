"""What the office signed: receipts, time anchors, its log; whether the times agree (step 10 of specification §7)."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

from cryptography import x509

from evidence import forgery, jose, office_log, pki, shape, timestamp
from evidence.documents import LogKey, Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.finding import Attack, Finding
from evidence.note import read_verifier_key
from evidence.office_log import OfficeLog
from evidence.records import Record
from evidence.report import Report, printable
from evidence.time_bounds import LOG, Bound, HeldHead, SegmentTime, TimeBounds, Words

_STEP = 10
D = TypeVar("D", Receipt, TimeAnchor, LogKey)
VERDICT_OF = {
    "unknown-version": "unknown version", "foreign": "foreign", "chain-untrusted": "foreign",
    "certificate-revoked": "revoked",
}  # fmt: skip
_RECEIPT = re.compile(r"receipts/([0-9a-f]{8}-[0-9]+)/([0-9]{5})\.jws\Z")
_CERTIFICATES = re.compile(r"certs/[^/]+\.pem\Z")
OFFICE_FILES = (_RECEIPT, _CERTIFICATES, *office_log.NAMES)
_CERTIFICATES_LIMIT = 1 << 20  # bytes of all of them: an agency has a dozen of 1 KiB


class OfficeWord:
    """Carries out step 10: reads what an office signed and keeps, in the report, what verifies.

    `authorities`: roots of time-stamp authorities other than the agency's own. `names`: the folder's files; `read`: a
    file's bytes, of a longer one at least one more than asked for.
    """

    def __init__(
        self,
        report: Report,
        roots: Sequence[x509.Certificate],
        names: Collection[str],
        read: Callable[[str, int], bytes],
        authorities: Sequence[x509.Certificate] = (),
    ) -> None:
        self._report = report
        self._roots = roots
        self._names = sorted(names)
        self._read = read
        self._authorities = authorities
        self._certificates: list[x509.Certificate] = []
        self._chains: dict[str, list[pki.Chain]] = {}  # of the signers that were asked for, by key
        self._revoked: dict[str, EvidenceError] = {}
        self._strangers: dict[str, Attack] = {}  # what a key looks like that no trusted chain has
        self._words = Words(report.anchors, report.receipts)

    def run(self) -> None:
        """All of the step."""
        self._read_signers()
        self._read_receipts()
        self._read_anchors()
        if any(pattern.match(name) for name in self._names for pattern in office_log.NAMES):
            self._read_log()
        self._compare_times()

    def _find(
        self, verdict: str, where: str, message: str, attack: Attack, key: tuple[str, int | None] | None = None
    ) -> None:
        """Say what is wrong; `key`: with the office's word for which recording and segment."""
        recording, segment = key or (None, None)
        told, footage = self._report.account.recordings.get(recording or ""), None
        if told is not None and segment is not None:
            footage = self._report.timeline(told).footage(segment)
        self._report.find(Finding(_STEP, verdict, where, message, attack, recording, segment, footage))

    def _note(self, verdict: str, where: str, message: str) -> None:
        self._report.note(Finding(_STEP, verdict, where, message))

    def _attack(self, text: bytes, typ: str, error: EvidenceError) -> Attack:
        if error.code != "signer-unknown":
            return forgery.of_text(text, error)
        kid = jose.parse(text, typ).kid
        if kid not in self._strangers:
            self._strangers[kid] = forgery.of_signer(kid, self._by_key.get(kid, ()))
        return self._strangers[kid]

    def _matching(self, pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
        return [(path, match) for path in self._names if (match := pattern.match(path))]

    def _read_signers(self) -> None:
        """Certificates beside the evidence: anybody's, so not more than helps, each once, and none is believed yet.

        Each is tried under the key that it names; an office may have renewed a certificate and kept its key.
        """
        left = _CERTIFICATES_LIMIT
        for path, _ in self._matching(_CERTIFICATES):
            data = self._read(path, left)
            if len(data) > left:
                self._note("foreign", path, "more certificates than help; this and what follows is not read")
                break
            left -= len(data)
            try:
                self._certificates += pki.parse_certificates(data)
            except EvidenceError as error:
                self._note("foreign", path, error.message)
        self._certificates = list(dict.fromkeys(self._certificates))

    @functools.cached_property
    def _helpers(self) -> list[x509.Certificate]:
        """The certificates that can stand in a chain. Of issuing ones those alone that a given root made.

        Anybody can make a thousand of that name, and each signer's chain would try them all.
        """
        return [certificate for certificate in self._certificates if self._may_help(certificate)]

    def _may_help(self, certificate: x509.Certificate) -> bool:
        try:
            if pki.role_and_id(certificate)[0] is not pki.Role.ISSUING:
                return False
        except EvidenceError:
            return True  # not of an agency: a foreign authority's, or a stranger
        with contextlib.suppress(EvidenceError):
            pki.validate_chain(certificate, (), self._roots, role=pki.Role.ISSUING, at=None)
            return True
        return False

    def _signers(self, text: bytes, typ: str) -> list[pki.Chain]:
        """The trusted chains of the key that signed, at least one."""
        kid = jose.parse(text, typ).kid
        if kid not in self._chains:
            self._chains[kid] = list(self._chains_of(kid))
        if not self._chains[kid]:
            if kid in self._revoked:
                raise self._revoked[kid]
            message = "no certificate here, trusted by the given root, has the key that signed"
            raise EvidenceError("signer-unknown", message)
        return self._chains[kid]

    def _chains_of(self, kid: str) -> Iterator[pki.Chain]:
        for certificate in self._by_key.get(kid, ()):
            try:  # issuing certificates and strangers: they help, or they do not
                chain = pki.validate_chain(certificate, self._helpers, self._roots, role=pki.Role.SIGNER, at=None)
                yield self._report.revocations.narrowed(chain)
            except EvidenceError as error:
                if error.code == "certificate-revoked":
                    self._revoked[kid] = error

    @functools.cached_property
    def _by_key(self) -> dict[str, list[x509.Certificate]]:
        """The certificates by key, told once: receipts are anybody's, and each may name another key."""
        found: dict[str, list[x509.Certificate]] = {}
        for certificate in self._certificates:
            with contextlib.suppress(EvidenceError):
                found.setdefault(pki.key_id(pki.public_key(certificate)), []).append(certificate)
        return found

    def _signed(self, kind: type[D], text: bytes, time_of: Callable[[D], str]) -> tuple[D, pki.Chain]:
        """What the office signed, and its signer's chain at the time that it tells. Raises `EvidenceError`."""
        chains = self._signers(text, kind.TYP)
        told = kind.read(text, pki.public_key(chains[0].leaf))
        return told, _valid_at(chains, time_of(told))

    def _read_receipts(self) -> None:
        """Step 10: receipts beside the evidence and inside the journal."""
        for path, match in self._matching(_RECEIPT):
            if self._report.only is None or match[1] in self._report.only:
                self._receipt(self._read(path, jose.LINE_LIMIT), path, (match[1], int(match[2])))
        for record in self._report.account.receipts:
            self._receipt(record.body["receipt"].encode(), f"record {record.seq}", None)

    def _receipt(self, text: bytes, where: str, key: tuple[str, int] | None) -> None:
        try:
            receipt, chain = self._signed(Receipt, text, lambda told: told.received)
        except EvidenceError as error:
            verdict, attack = VERDICT_OF.get(error.code, "altered"), self._attack(text, Receipt.TYP, error)
            self._find(verdict, where, f"receipt: {error.message} ({error.code})", attack, key)
            return
        found = (receipt.recording, receipt.segment)
        recording = self._report.account.recordings.get(receipt.recording)
        segment = recording.segments.get(receipt.segment) if recording else None
        told = segment.record.body if segment and segment.record else None
        if receipt.office != chain.id:
            message = f"the receipt names {receipt.office}, and {chain.id} signed it"
            self._find("foreign", where, message, Attack.FALSE_ARCHIVE, found)
        elif receipt.device != self._report.device:
            self._find("foreign", where, f"the receipt is for {receipt.device}", Attack.OTHER_CAMERA, key)
        elif key not in (None, found):
            message = f"the receipt is for segment {receipt.segment} of {receipt.recording}"
            self._find("foreign", where, message, Attack.SWAPPED, key)
        elif told is None:
            message = "the office holds a segment that no record here closes: records are cut off"
            self._find("missing", where, message, Attack.DELETED, found)
        elif (receipt.sha256, receipt.size) != (told["file_sha256"], told["file_size"]):
            message = "the receipt is for other bytes than the camera signed"
            self._find("altered", where, message, Attack.FORK, found)
        else:
            self._report.receipts[found] = receipt

    def _read_anchors(self) -> None:
        """Step 10: time anchors, and whether this chain extends the head that the office held."""
        nonces: set[str] = set()
        for record in self._report.account.anchors:
            text, where = record.body["anchor"].encode(), f"record {record.seq}"
            try:
                anchor, chain = self._signed(TimeAnchor, text, lambda told: told.utc)
            except EvidenceError as error:
                verdict, attack = VERDICT_OF.get(error.code, "altered"), self._attack(text, TimeAnchor.TYP, error)
                self._find(verdict, where, f"time anchor: {error.message} ({error.code})", attack)
                continue
            if anchor.office != chain.id:
                message = f"the time anchor names {anchor.office}, and {chain.id} signed it"
                self._find("foreign", where, message, Attack.FALSE_ARCHIVE)
            elif anchor.device != self._report.device:
                self._find("foreign", where, f"the time anchor is for {anchor.device}", Attack.OTHER_CAMERA)
            elif not self._extends(record, anchor):
                message = "fork: the office held another record in this place of the chain"
                self._find("altered", where, message, Attack.FORK)
            elif anchor.nonce in nonces or (self._report.anchors and _is_older(anchor, self._report.anchors[-1][1])):
                message = "a time anchor that was given before one that stands earlier in the chain, or twice"
                self._find("altered", where, message, Attack.REPLAYED)
            else:
                nonces.add(anchor.nonce)
                self._report.anchors.append((record, anchor))

    # --- the office's log

    def _read_log(self) -> None:
        """Step 10: the log's key, its checkpoints and their stamps, and what is proven to be in it."""
        log = self._certified_log()
        if log is None:
            return
        self._read_stamps(log)
        for path, match in self._matching(office_log.HEAD):
            with self._naming(path):
                self._take_head(path, int(match[1]), *log.head(self._read(path, office_log.PROOF_LIMIT)))
        for path, match in self._matching(office_log.INGEST):
            key = (match[1], int(match[2]))
            if self._report.only is None or key[0] in self._report.only:
                with self._naming(path, key):
                    self._take_ingest(log, path, key)
        for path in {office_log.EXPORT} & set(self._names):
            with self._naming(path):
                leaf, _ = log.export(self._read(path, office_log.PROOF_LIMIT))
                if leaf["device"] != self._report.device:
                    message = "this is the export of another camera's recording"
                    self._find("foreign", path, message, Attack.OTHER_CAMERA)

    @contextlib.contextmanager
    def _naming(self, path: str, key: tuple[str, int] | None = None) -> Iterator[None]:
        try:
            yield
        except EvidenceError as error:
            verdict, message = VERDICT_OF.get(error.code, "altered"), f"{error.message} ({error.code})"
            self._find(verdict, path, message, forgery.of_code(error.code), key)

    def _certified_log(self) -> OfficeLog | None:
        if office_log.KEY not in self._names:
            message = "there is none: nobody certifies the key of the log that is here"
            self._find("foreign", office_log.KEY, message, Attack.FALSE_ARCHIVE)
            return None
        with self._naming(office_log.KEY):
            text = self._read(office_log.KEY, jose.LINE_LIMIT)
            told, chain = self._signed(LogKey, text, lambda key: key.issued)
            origin, key = read_verifier_key(told.log_key)
            if told.office != chain.id or origin != f"bodycam/{pki.role_and_id(chain.root)[1]}/{chain.id}":
                raise EvidenceError("foreign", f"this is the key of {printable(origin)}, and {chain.id} signed it")
            log = OfficeLog(origin, key, {})
            return OfficeLog(origin, key, dict(self._read_checkpoints(log)))
        return None

    def _read_checkpoints(self, log: OfficeLog) -> Iterator[tuple[int, bytes]]:
        for path, match in self._matching(office_log.CHECKPOINT):
            with self._naming(path):
                note = self._read(path, office_log.NOTE_LIMIT)
                if log.checkpoint(note).size != int(match[1]):
                    raise EvidenceError("log-checkpoint", "the checkpoint is over another size than its name says")
                yield int(match[1]), note

    def _read_stamps(self, log: OfficeLog) -> None:
        """Of each checkpoint that has one: by when the stamp says that it was there."""
        for path, match in self._matching(office_log.STAMP):
            size = int(match[1])
            with self._naming(path):
                if size not in log.notes:
                    raise EvidenceError("stamp-imprint", "the checkpoint that it would be over is not here")
                token = self._read(path, timestamp.TOKEN_LIMIT)
                try:
                    stamp = timestamp.read(token, log.notes[size], self._roots, self._helpers, self._authorities)
                except EvidenceError as error:
                    if error.code != "stamp-unknown":
                        raise
                    self._note("foreign", path, f"{error.message}: it counts for nothing here")
                    continue
                if stamp.own is not None and stamp.latest_ms > self._ends_ms(stamp.own):
                    raise EvidenceError("certificate-revoked", "stamped by an authority that had been taken back")
                self._report.stamps[size] = stamp

    def _ends_ms(self, chain: pki.Chain) -> int:
        """Until when a chain of the agency counts. Raises `EvidenceError` if somebody else may have its key."""
        return int(self._report.revocations.narrowed(chain).not_after.timestamp() * 1000)

    def _take_head(self, path: str, seq: int, leaf: jose.Json, size: int) -> None:
        here = self._report.reader.sha256_of(leaf["seq"])
        if leaf["device"] != self._report.device:
            self._find("foreign", path, f"the log's entry is for {leaf['device']}", Attack.OTHER_CAMERA)
        elif leaf["seq"] != seq:
            self._find("foreign", path, f"the log's entry is for record {leaf['seq']}", Attack.SWAPPED)
        elif here is None:
            message = f"the office's log holds record {seq}, and the journal here has none: records are cut off"
            found = Finding(_STEP, "missing", path, message, Attack.DELETED, *self._report.rest())
            self._report.find(found, of_journal=True)
        elif here != leaf["sha256"]:
            message = "fork: the office's log holds another record in this place of the chain"
            self._find("altered", path, message, Attack.FORK)
        else:
            bounds = [Bound(shape.utc_ms(leaf["at"]) + leaf["error_ms"], LOG)]
            stamp = self._report.stamps.get(size)
            bounds += [] if stamp is None else [stamp.bound]
            self._words.heads.append(HeldHead(seq, tuple(bounds)))

    def _take_ingest(self, log: OfficeLog, path: str, key: tuple[str, int]) -> None:
        receipt = self._report.receipts.get(key)
        if receipt is None:
            message = "no verified receipt is here for the ingest that the log tells of"
            self._find("missing", path, message, Attack.DELETED, key)
            return
        size = log.ingest(self._read(path, office_log.PROOF_LIMIT), receipt)
        if (stamp := self._report.stamps.get(size)) is not None:
            self._words.ingests[key] = (stamp.bound,)

    # --- the time sandwich

    def _compare_times(self) -> None:
        """Step 10: what is told of the time of a segment, by whomever, is possible, and the camera's clock agrees."""
        bounds = self._report.bounds = TimeBounds(self._words)
        for recording in self._report.recordings():
            impossible: list[tuple[int, SegmentTime]] = []
            contradicted: list[tuple[int, SegmentTime]] = []
            for segment in recording.segments.values():
                time = bounds.of(segment)
                self._report.times[recording.id, segment.index] = time
                if not time.possible:
                    impossible.append((segment.index, time))
                elif time.agrees is False:
                    contradicted.append((segment.index, time))
            for index, time in impossible[:1]:
                said = f"not before {time.not_before[0]} and not after {time.not_after[0]}"
                message = f"segment {index}: {said}: one of these words is false"
                self._find("altered", recording.id, message, Attack.BACKDATED, (recording.id, index))
            for index, time in contradicted[:1]:
                message = f"{len(contradicted)} segments, the first is {index}: {time.contradiction}"
                self._find("contradicted", f"{recording.id} clock", message, Attack.BACKDATED, (recording.id, index))

    def _extends(self, record: Record, anchor: TimeAnchor) -> bool:
        return anchor.head_seq < record.seq and self._report.reader.sha256_of(anchor.head_seq) == anchor.head


def _is_older(anchor: TimeAnchor, earlier: TimeAnchor) -> bool:
    """Whether an anchor cannot have been given after one that stands before it: an old one was brought again."""
    back_ms = shape.utc_ms(earlier.utc) - earlier.error_ms - shape.utc_ms(anchor.utc) - anchor.error_ms
    return anchor.head_seq < earlier.head_seq or back_ms > 0


def _valid_at(chains: Sequence[pki.Chain], utc: str) -> pki.Chain:
    """The first of a signer's chains that was valid at a time."""
    for chain in chains:
        if chain.covers(utc):
            return chain
    raise EvidenceError("chain-dates", f"the signer's certificate was not valid at {utc}")
