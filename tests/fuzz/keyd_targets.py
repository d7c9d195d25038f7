"""Targets of keyd: what the office's web process asks, and what stands in its files."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, pki
from office import approval, keyd_judge, roster
from office.errors import OfficeError
from office.keyd_judge import Approver, Judge
from tests.evidence_keys import AGENCY
from tests.fuzz.format_targets import _LOG
from tests.fuzz.signed import folder
from tests.fuzz.target import attempt, target
from tests.people_kit import spki

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
ORIGIN = "bodycam/AGENCY-1/OFFICE-1"


@functools.cache
def _key() -> ec.EllipticCurvePrivateKey:
    return AGENCY.key("approver")


def _statement() -> approval.Statement:
    return approval.Statement(
        ORIGIN, 0, 1, "BWC-0001", "bfe3b5b1-1", "case", "17号", "核对", "open", "zhang", "wang", ["zhang"], "li",
        "2026-05-01T11:59:00.000Z", "2026-05-01T13:00:00.000Z",
    )  # fmt: skip


def _request() -> bytes:
    opening, line, *_ = folder()["journal/00000000.jws"].splitlines()
    kid = pki.key_id(_key().public_key())
    return jose.dump_json(
        {"viewer": "zhang", "segment": 0, "header": "YWJj", "approvals": [approval.sign(_statement(), _key(), kid)],
         "proof": "c2sp.org/tlog-proof@v1\nextra e30=\nindex 2\n\n", "opening": opening.decode(),
         "line": line.decode()}
    )  # fmt: skip


@target(lambda: [_request()])
def keyd_request(data: bytes) -> None:
    """Whatever is asked, is granted or refused by its one error."""
    key = _key().public_key()
    approver = Approver("li", pki.key_id(key), key)
    attempt(keyd_judge.told, data, error=OfficeError)
    known = Judge(ORIGIN, _LOG.public_key(), [AGENCY.root])
    attempt(keyd_judge.judge, known, {approver.kid: approver}, data, NOW, error=OfficeError)


@target(lambda: [_statement().payload()])
def approval_payload(data: bytes) -> None:
    """What an approver has signed: read, it says the same again."""
    read = attempt(approval.Statement.read, data)
    assert read is None or approval.Statement.read(read.payload()) == read


@target(lambda: [spki(_key()).encode()])
def approver_key(data: bytes) -> None:
    """A public key that a browser sends."""
    attempt(roster.read_key, data.decode("latin-1"), error=OfficeError)
