"""What the office signed: receipts, time anchors, and whether its times agree (step 10 of specification §7)."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from cryptography import x509

from evidence import jose, pki, shape
from evidence.account import Finding
from evidence.documents import Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.records import Record
from evidence.report import Report, not_after, not_before, printable

_STEP = 10
VERDICT_OF = {"unknown-version": "unknown version", "foreign": "foreign", "chain-untrusted": "foreign"}
_RECEIPT = re.compile(r"receipts/([0-9a-f]{8}-[0-9]+)/([0-9]{5})\.jws\Z")
_CERTIFICATES = re.compile(r"certs/[^/]+\.pem\Z")
OFFICE_FILES = (_RECEIPT, _CERTIFICATES)
_CERTIFICATES_LIMIT = 1 << 20  # bytes of all of them: an agency has a dozen of 1 KiB


class OfficeWord:
    """Carries out step 10: reads what an office signed and keeps, in the report, what verifies.

    `names`: the folder's files; `read`: a file's bytes, of a longer one at least one more than asked for.
    """

    def __init__(
        self,
        report: Report,
        roots: Sequence[x509.Certificate],
        names: Collection[str],
        read: Callable[[str, int], bytes],
    ) -> None:
        self._report = report
        self._roots = roots
        self._names = sorted(names)
        self._read = read
        self._certificates: list[x509.Certificate] = []
        self._chains: dict[str, list[pki.Chain]] = {}  # of the signers that were asked for, by key

    def run(self) -> None:
        """All of the step."""
        self._read_signers()
        self._read_receipts()
        self._read_anchors()
        self._compare_times()

    def _find(self, verdict: str, where: str, message: str) -> None:
        self._report.findings.append(Finding(_STEP, verdict, printable(where), printable(message)))

    def _note(self, verdict: str, where: str, message: str) -> None:
        self._report.notes.append(Finding(_STEP, verdict, printable(where), printable(message)))

    def _matching(self, pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
        return [(path, match) for path in self._names if (match := pattern.match(path))]

    def _read_signers(self) -> None:
        """Certificates beside the evidence: anybody's, so not more than helps, and none is checked before it is needed.

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
        for certificate in self._by_key.get(kid, ()):
            with contextlib.suppress(EvidenceError):  # issuing certificates and strangers: they help, or they do not
                yield pki.validate_chain(certificate, self._certificates, self._roots, role=pki.Role.SIGNER, at=None)

    @functools.cached_property
    def _by_key(self) -> dict[str, list[x509.Certificate]]:
        """The certificates by key, told once: receipts are anybody's, and each may name another key."""
        found: dict[str, list[x509.Certificate]] = {}
        for certificate in self._certificates:
            with contextlib.suppress(EvidenceError):
                found.setdefault(pki.key_id(pki.public_key(certificate)), []).append(certificate)
        return found

    def _read_receipts(self) -> None:
        """Step 10: receipts beside the evidence and inside the journal."""
        for path, match in self._matching(_RECEIPT):
            if self._report.only is None or match[1] in self._report.only:
                self._receipt(self._read(path, jose.LINE_LIMIT), path, (match[1], int(match[2])))
        for record in self._report.account.receipts:
            self._receipt(record.body["receipt"].encode(), f"record {record.seq}", None)

    def _receipt(self, text: bytes, where: str, key: tuple[str, int] | None) -> None:
        try:
            chains = self._signers(text, Receipt.TYP)
            receipt = Receipt.read(text, pki.public_key(chains[0].leaf))
            chain = _valid_at(chains, receipt.received)
        except EvidenceError as error:
            self._find(VERDICT_OF.get(error.code, "altered"), where, f"receipt: {error.message} ({error.code})")
            return
        found = (receipt.recording, receipt.segment)
        recording = self._report.account.recordings.get(receipt.recording)
        segment = recording.segments.get(receipt.segment) if recording else None
        told = segment.record.body if segment and segment.record else None
        if receipt.office != chain.id:
            self._find("foreign", where, f"the receipt names {receipt.office}, and {chain.id} signed it")
        elif receipt.device != self._report.device or key not in (None, found):
            self._find("foreign", where, "the receipt is for another camera or segment")
        elif told is None:
            self._find("missing", where, "the office holds a segment that no record here closes: records are cut off")
        elif (receipt.sha256, receipt.size) != (told["file_sha256"], told["file_size"]):
            self._find("altered", where, "the receipt is for other bytes than the camera signed")
        else:
            self._report.receipts[found] = receipt

    def _read_anchors(self) -> None:
        """Step 10: time anchors, and whether this chain extends the head that the office held."""
        for record in self._report.account.anchors:
            text, where = record.body["anchor"].encode(), f"record {record.seq}"
            try:
                chains = self._signers(text, TimeAnchor.TYP)
                anchor = TimeAnchor.read(text, pki.public_key(chains[0].leaf))
                chain = _valid_at(chains, anchor.utc)
            except EvidenceError as error:
                verdict = VERDICT_OF.get(error.code, "altered")
                self._find(verdict, where, f"time anchor: {error.message} ({error.code})")
                continue
            if anchor.office != chain.id:
                self._find("foreign", where, f"the time anchor names {anchor.office}, and {chain.id} signed it")
            elif anchor.device != self._report.device:
                self._find("foreign", where, "the time anchor is for another camera")
            elif not self._extends(record, anchor):
                self._find("altered", where, "fork: the office held another record in this place of the chain")
            else:
                self._report.anchors.append((record, anchor))

    def _compare_times(self) -> None:
        """Step 10: what the office says of the time of a recording, in anchors and receipts, does not contradict."""
        for recording in self._report.recordings():
            first, last = not_before(self._report, recording), not_after(self._report, recording)
            if first is not None and last is not None and last < first:
                self._find("altered", recording.id, f"by the office's word not before {first} and not after {last}")

    def _extends(self, record: Record, anchor: TimeAnchor) -> bool:
        return anchor.head_seq < record.seq and self._report.reader.sha256_of(anchor.head_seq) == anchor.head


def _valid_at(chains: Sequence[pki.Chain], utc: str) -> pki.Chain:
    """The first of a signer's chains that was valid at a time."""
    ms = shape.utc_ms(utc)
    for chain in chains:
        if chain.not_before.timestamp() * 1000 <= ms <= chain.not_after.timestamp() * 1000:
            return chain
    raise EvidenceError("chain-dates", f"the signer's certificate was not valid at {utc}")
