"""Whether keyd gives a file key: every check, in one place, without IO (docs/keyd.md has the same numbers).

What comes in is from the office's own web process, and none of it is believed: what counts is the approvers'
signatures, the log's proof, the camera's signature over the header of its file, and keyd's own clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evidence import age, jose, records, shape
from evidence.checkpoint import Checkpoint, Proof
from evidence.errors import EvidenceError
from evidence.records import Record
from evidence.session import open_session
from evidence.shape import Check
from office import approval
from office.approval import Statement
from office.errors import OfficeError

TERM_LIMIT: Final = timedelta(days=7)
"""From the approval's signature to the last moment that it may name."""

_CLOCKS = timedelta(minutes=2)  # two machines may differ by so much
_APPROVALS_OF_SECRETS = 2

ASKED: Final[Mapping[str, Check]] = {
    "viewer": approval.account,
    "segment": shape.number(0, 99_999),
    "header": shape.long_text,  # base64url of the age header with its nonce
    "approvals": shape.list_of(shape.long_text, 0, _APPROVALS_OF_SECRETS),
    "proof": shape.optional(shape.long_text),  # tlog-proof of the registration
    "opening": shape.long_text,  # the camera's line that opens the session which signed `line`
    "line": shape.long_text,  # its `segment` record
}
"""A request, a JSON object; nothing else may stand in it."""


@dataclass(frozen=True, slots=True)
class Approver:
    """A line of the roster that counts."""

    account: str
    kid: str
    key: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Judge:
    """What keyd knows by itself."""

    origin: str
    log_key: Ed25519PublicKey
    roots: Sequence[x509.Certificate]


@dataclass(frozen=True, slots=True)
class Granted:
    """A request that holds: the header whose key is given, and what is noted of it."""

    header: age.Header
    viewer: str
    device: str
    recording: str
    segment: int
    request: int
    registered: int  # leaf of the registration
    checkpoint: Checkpoint

    def note(self) -> jose.Json:
        """What keyd's own record says of it."""
        return {
            "viewer": self.viewer, "device": self.device, "recording": self.recording, "segment": self.segment,
            "request": self.request, "registered": self.registered, "header": self.header.sha256,
            "log_size": self.checkpoint.size, "log_root": self.checkpoint.root.hex(),
        }  # fmt: skip


def judge(known: Judge, roster: Mapping[str, Approver], asked: bytes, now: datetime) -> Granted:
    """Take a request, or raise `OfficeError` with the code of what does not hold; `now` is keyd's own clock."""
    request = told(asked)  # 1: shape
    statements = [_signed(text, roster) for text in request["approvals"]]  # 2: approvers' signatures
    statement = _agreed(statements, known.origin)  # 3: enough of them, and over one thing
    leaf, index, checkpoint = _registered(known, request, statement)  # 4: registered in the log
    _different(statements, leaf["by"])  # 5: persons
    if request["viewer"] not in statement.viewers or request["viewer"] not in leaf["viewers"]:  # 6: viewer
        raise OfficeError("viewer-not-named", "the approval names other viewers", 403)
    _in_time(statements, leaf, now)  # 7: term
    header = _header(known, request, statement)  # 8: the camera's word that this header is of this recording
    return Granted(
        header, request["viewer"], statement.device, statement.recording, request["segment"], statement.request, index,
        checkpoint,
    )  # fmt: skip


def told(asked: bytes) -> dict[str, Any]:
    """The members of a request, unjudged. Raises `OfficeError` ("keyd-request")."""
    try:
        return shape.require("request", jose.parse_json(asked), ASKED)
    except EvidenceError as error:
        raise OfficeError("keyd-request", error.message, 400) from error


def _signed(text: str, roster: Mapping[str, Approver]) -> Statement:
    try:
        jws = jose.parse(text, approval.TYP)
        approver = roster.get(jws.kid)
        if approver is None:
            raise OfficeError("approver-unknown", "no approver in keyd's roster has the key of this approval", 403)
        jws.verify(approver.key)
        statement = Statement.read(jws.payload)
    except EvidenceError as error:
        raise OfficeError("approval-signature", f"an approval does not hold: {error.message}", 403) from error
    if statement.approver != approver.account:
        raise OfficeError("approval-signature", "an approval names another approver than its key's", 403)
    return statement


def _agreed(statements: Sequence[Statement], origin: str) -> Statement:
    if not statements:
        raise OfficeError("approval-missing", "nobody has approved this viewing", 403)
    first = statements[0]
    if any(one.subject != first.subject for one in statements):
        raise OfficeError("approval-differs", "the two approvals are of different things", 403)
    if first.origin != origin:
        raise OfficeError("approval-differs", "the approval is of another office", 403)
    if len({one.approver for one in statements}) < (1 if first.secrecy == "open" else _APPROVALS_OF_SECRETS):
        raise OfficeError("approval-missing", "what is secret needs the approval of two people (rule 25)", 403)
    return first


def _registered(known: Judge, told: dict[str, Any], statement: Statement) -> tuple[dict[str, Any], int, Checkpoint]:
    if told["proof"] is None:
        raise OfficeError("proof-missing", "there is no proof that the viewing is registered in the log", 403)
    try:
        proof = Proof.read(told["proof"].encode())
        checkpoint = proof.verify(known.origin, known.log_key)
        leaf = shape.require("registration", jose.parse_json(proof.entry), approval.REGISTERED)
    except EvidenceError as error:
        raise OfficeError("proof-refused", f"the proof is none of this office's log: {error.message}", 403) from error
    names = (leaf["request"], leaf["device"], leaf["recording"], leaf["approvals"])
    approvals = [approval.sha256(text) for text in told["approvals"]]
    if names != (statement.request, statement.device, statement.recording, approvals):
        raise OfficeError("proof-of-another", "what the log has registered is another viewing", 403)
    if not statement.request < statement.review < proof.index:
        raise OfficeError("proof-of-another", "request, review and registration are not in this order", 403)
    return leaf, proof.index, checkpoint


def _different(statements: Sequence[Statement], keeper: str) -> None:
    """Requester, reviewer, approvers and keeper are different people; who watches is none of the last three."""
    first = statements[0]
    approvers = [one.approver for one in statements]
    if first.requester in approvers:
        raise OfficeError("own-approval", "who asks does not approve", 403)
    if first.reviewer in approvers:
        raise OfficeError("reviewer-approves", "who reviews does not approve", 403)
    if first.requester == first.reviewer:
        raise OfficeError("own-review", "who asks does not review", 403)
    if keeper in {first.requester, first.reviewer, *approvers}:
        raise OfficeError("keeper-takes-part", "who registers neither asks, reviews nor approves", 403)
    if not {first.reviewer, keeper, *approvers}.isdisjoint(first.viewers):
        raise OfficeError("viewer-takes-part", "who watches neither reviews, approves nor registers", 403)


def _in_time(statements: Sequence[Statement], leaf: Mapping[str, Any], now: datetime) -> None:
    for one in statements:
        at, until = datetime.fromisoformat(one.at), datetime.fromisoformat(one.until)
        if at > now + _CLOCKS or datetime.fromisoformat(leaf["from"]) > now + _CLOCKS:
            raise OfficeError("not-yet", "the viewing has not begun, or this machine's clock is behind", 403)
        if until - at > TERM_LIMIT:
            raise OfficeError("term-too-long", f"an approval counts for {TERM_LIMIT.days} days at most", 403)
        if now >= min(until, datetime.fromisoformat(leaf["until"])):
            raise OfficeError("approval-expired", "the time that was approved is over: ask again", 403)


def _header(known: Judge, told: Mapping[str, Any], statement: Statement) -> age.Header:
    try:
        raw = jose.unb64(told["header"].encode())
        header = age.parse_header(raw)
        line = _camera_word(told, known.roots)
    except EvidenceError as error:
        message = f"the camera's word for this file does not hold: {error.message}"
        raise OfficeError("header-unproven", message, 403) from error
    named = (line.device, line.body["recording"], line.body["segment"])
    if named != (statement.device, statement.recording, told["segment"]):
        raise OfficeError("header-of-another", "the camera's line is of another recording or segment", 403)
    if header.size != len(raw) or header.sha256 != line.body["header_sha256"]:
        raise OfficeError("header-of-another", "the camera signed another header for this segment", 403)
    return header


def _camera_word(told: Mapping[str, Any], roots: Sequence[x509.Certificate]) -> Record:
    """The `segment` record, signed by a session that a key of the camera stands behind. Raises `EvidenceError`."""
    opening, line = records.parse(told["opening"].encode()), records.parse(told["line"].encode())
    if opening.kind not in ("boot", "summary") or line.kind != "segment":
        raise EvidenceError("shape", "these are not an opening and a segment")
    session = open_session(opening.body, opening.device, opening.boot, roots)
    if session.stranger:
        raise EvidenceError("session-stranger", "no key of the camera stands behind this boot")
    if (line.device, line.boot) != (opening.device, opening.boot):
        raise EvidenceError("foreign", "the line is of another camera or boot than its opening")
    line.jws.verify(session.key)
    return line
