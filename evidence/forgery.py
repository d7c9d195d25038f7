"""Which attack a line or a document that was refused looks like (specification §7.5).

Only names: what is refused, and at which step, is decided elsewhere, and nothing here is trusted. Where bytes cannot
tell two attacks apart the answer is their common name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from cryptography import x509

from evidence import jose, pki, records
from evidence.errors import EvidenceError
from evidence.finding import Attack
from evidence.journal import JournalReader
from evidence.pki import Role
from evidence.records import Record

_FORM, _KEY, _PLACE = 1, 2, 4  # steps
_PLACED = {"chain-broken", "session-key"}  # what a line is refused with that stands where it does not belong


def of_line(line: bytes, error: EvidenceError, reader: JournalReader, later: Iterable[bytes]) -> Attack:
    """What was done to the first line that a reader refused; `later`: the lines behind it, in all files."""
    if reader.step == _FORM:
        return of_text(line, error)
    record = records.parse(line)
    if reader.device not in (None, record.device):
        return Attack.OTHER_CAMERA
    if reader.sha256_of(record.seq) == record.sha256:
        return Attack.REPLAYED
    if error.code in _PLACED and (moved := _moved(record, reader, later)):
        return moved
    if reader.step == _KEY:
        return _of_opening(record, error, reader)
    if reader.step == _PLACE:  # in its turn and not after the record before it, or back in time
        head = reader.head
        return Attack.FORK if head is not None and record.prev != head[1] else Attack.BACKDATED
    return Attack.EDITED if error.code == "jws-signature" else Attack.CONTRADICTION


def of_text(text: bytes, error: EvidenceError) -> Attack:
    """What was done to a JWS that cannot be read, or does not verify."""
    if error.code == "jws-header":
        return Attack.PASSED_OFF if _is_our_header(text) else Attack.ALGORITHM_CONFUSION
    return of_code(error.code)


def of_code(code: str) -> Attack:
    """What was done to something of the office's, if nothing but the error is known."""
    return {
        "jws-header": Attack.PASSED_OFF,
        "unknown-version": Attack.DOWNGRADED,
        "chain-dates": Attack.BACKDATED,
        "certificate-revoked": Attack.REVOKED_KEY,
        "signer-unknown": Attack.FALSE_ARCHIVE,
        "foreign": Attack.FALSE_ARCHIVE,
    }.get(code, Attack.EDITED)


def of_signer(kid: str, certificates: Iterable[x509.Certificate]) -> Attack:
    """Who signed a document, if it was no trusted signer: who the certificates say that has the key."""
    roles = _roles(c for c in certificates if _key_of(c) == kid)
    if not roles:
        return Attack.FALSE_ARCHIVE
    return Attack.OTHER_AGENCY if Role.SIGNER in {role for role, _ in roles} else Attack.WRONG_ROLE


def _is_our_header(text: bytes) -> bool:
    """Whether only the type is another: a document, or a line, in the place of another kind."""
    header = jose.parse_json(jose.unb64(text.partition(b".")[0]))
    return header.keys() == {"alg", "kid", "typ"} and header["alg"] == "ES256"


def _moved(record: Record, reader: JournalReader, later: Iterable[bytes]) -> Attack | None:
    """Whether a line stands in the place of another; None if it is its turn."""
    due, prev = (0, records.GENESIS) if reader.head is None else (reader.head[0] + 1, reader.head[1])
    if record.seq == due:
        return None
    if record.seq < due:
        return Attack.FORK
    return Attack.REORDERED if any(_follows(line, due, prev) for line in later) else Attack.DELETED


def _follows(line: bytes, seq: int, prev: str) -> bool:
    with contextlib.suppress(EvidenceError):
        if prev.encode() in jose.payload_of(line):  # one look: there may be a hundred thousand lines
            record = records.parse(line)
            return (record.seq, record.prev) == (seq, prev)
    return False


def _of_opening(record: Record, error: EvidenceError, reader: JournalReader) -> Attack:
    """What was done to a line whose key is not the one that it ought to have, and whose turn it is."""
    if record.kind not in ("boot", "summary", "certified"):
        # Its number is right: another key wrote it, or it was moved into a file of its own.
        return Attack.FORGED_KEY if error.code == "session-key" else Attack.REORDERED
    named = _roles(_certificates(record))
    if Role.CAMERA in {role for role, _ in named}:
        return Attack.LINK_KEY
    if any(name != record.device for role, name in named if role in (Role.SESSION, Role.EVIDENCE)):
        return Attack.OTHER_CAMERA
    if error.code == "chain-broken":
        return _of_place(record, reader)
    return {
        "chain-untrusted": Attack.OTHER_AGENCY,
        "foreign": Attack.REPLAYED,  # the certificate of another boot
        "session-key": Attack.FORGED_KEY,
        "jws-signature": Attack.FORGED_KEY,
        "certificate-role": Attack.WRONG_ROLE,
        "certificate-profile": Attack.WRONG_ROLE,
    }.get(error.code, Attack.EDITED)


def _of_place(record: Record, reader: JournalReader) -> Attack:
    """An opening that is the next record, in a file that does not go on so."""
    if record.kind == "certified" or (record.kind == "boot" and record.boot in reader.sessions):
        return Attack.REPLAYED
    if record.kind == "summary" and reader.session is not None and record.kid != reader.session.kid:
        return Attack.FORGED_KEY
    return Attack.REORDERED


def _certificates(record: Record) -> list[x509.Certificate]:
    found: list[x509.Certificate] = []
    for text in record.body["chain"]:
        with contextlib.suppress(EvidenceError):
            found.append(pki.parse_certificate(jose.unb64(text.encode())))
    return found


def _roles(certificates: Iterable[x509.Certificate]) -> set[tuple[Role, str]]:
    found = set()
    for certificate in certificates:
        with contextlib.suppress(EvidenceError):
            found.add(pki.role_and_id(certificate))
    return found


def _key_of(certificate: x509.Certificate) -> str | None:
    with contextlib.suppress(EvidenceError):
        return pki.key_id(pki.public_key(certificate))
    return None
