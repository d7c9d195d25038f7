"""The approval of a viewing: what an approver signs in his own browser, and keyd checks (rules 22, 23 and 25). No IO.

A compact JWS as evidence uses it, by the approver's key, which no part of the office but his browser holds. It names
everything that counts, so that the office's page, which carries it, can neither stretch it nor use it for another.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, shape
from evidence.errors import EvidenceError
from evidence.shape import Check

TYP: Final = "bodycam-approval"
PURPOSES: Final = {"case": "办案调阅 for a case", "supervision": "监督调阅 supervision"}
"""Why somebody watches: rules 22 and 23; rule 9."""

SECRECY: Final = {
    "open": "一般 none",
    "work": "工作秘密 work secret",
    "commercial": "商业秘密 commercial secret",
    "privacy": "个人隐私 privacy",
    "state": "国家秘密 state secret",
}
"""Secrecy classes (rule 25), each stricter than `open`: two approvals, named viewers."""

REASON_LIMIT: Final = 500
_VERSION = 1
_VIEWERS = 5
_ACCOUNT_LIMIT = 64
_HALF = 32
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # n of P-256


def account(value: Any) -> bool:
    """The name of an account: a short text without control characters."""
    return (
        isinstance(value, str) and 0 < len(value) <= _ACCOUNT_LIMIT and value.isprintable() and value == value.strip()
    )


def short_text(value: Any) -> bool:
    """A text that people wrote, within `REASON_LIMIT`; of control characters, only line feeds are in it."""
    return isinstance(value, str) and bool(value.strip()) and len(value) <= REASON_LIMIT and no_controls(value)


def no_controls(text: str) -> bool:
    """Whether of control characters and lone surrogates there are only line feeds."""
    return all(letter == "\n" or unicodedata.category(letter) not in ("Cc", "Cs") for letter in text)


_SHAPE: Final[Mapping[str, Check]] = {
    "v": shape.number(_VERSION, _VERSION),
    "origin": shape.text,
    "request": shape.number(),
    "review": shape.number(),
    "device": shape.identifier,
    "recording": shape.recording_id,
    "purpose": shape.one_of(*PURPOSES),
    "case": shape.optional(short_text),
    "reason": short_text,
    "secrecy": shape.one_of(*SECRECY),
    "requester": account,
    "reviewer": account,
    "viewers": shape.list_of(account, 1, _VIEWERS),
    "approver": account,
    "at": shape.utc,
    "until": shape.utc,
}


@dataclass(frozen=True, slots=True)
class Statement:
    """What is approved. `request` and `review` are leaves of the log of `origin`; `until`: the last moment to watch."""

    origin: str
    request: int
    review: int
    device: str
    recording: str
    purpose: str
    case: str | None
    reason: str
    secrecy: str
    requester: str
    reviewer: str
    viewers: list[str]
    approver: str
    at: str
    until: str

    def payload(self) -> bytes:
        """The bytes that are signed, in a JWS."""
        return jose.dump_json({"v": _VERSION, **asdict(self)})

    @classmethod
    def read(cls, payload: bytes) -> Statement:
        """Raises `EvidenceError`."""
        members = shape.require("approval", jose.parse_json(payload), _SHAPE)
        return cls(**{name: value for name, value in members.items() if name != "v"})

    @property
    def subject(self) -> dict[str, Any]:
        """What two approvals of one viewing must agree about: all but who signs, and when."""
        return {name: value for name, value in asdict(self).items() if name not in ("approver", "at", "until")}

    def signing_input(self, kid: str) -> str:
        """What the approver's browser signs with ECDSA P-256 and SHA-256."""
        header = jose.dump_json({"alg": "ES256", "kid": kid, "typ": TYP})
        return f"{jose.b64(header)}.{jose.b64(self.payload())}"


def assemble(signing_input: str, signature: bytes) -> str:
    """The JWS of a browser's signature, `r ‖ s`, brought to its low form. Raises `EvidenceError`."""
    if len(signature) != 2 * _HALF:
        raise EvidenceError("jws-form", "the signature has the wrong length")
    s = int.from_bytes(signature[_HALF:], "big")
    if s < _ORDER:
        s = min(s, _ORDER - s)
    return f"{signing_input}.{jose.b64(signature[:_HALF] + s.to_bytes(_HALF, 'big'))}"


def sha256(jws: str) -> str:
    """How the registration of a viewing names an approval."""
    return hashlib.sha256(jws.encode()).hexdigest()


def sign(statement: Statement, key: ec.EllipticCurvePrivateKey, kid: str) -> str:
    """As the browser does it, for programs that hold a key (a token's, a test's)."""
    return jose.sign(statement.payload(), key, TYP, kid)


REGISTERED: Final[Mapping[str, Check]] = {
    "act": shape.one_of("view-registered"),
    "by": account,
    "at": shape.utc,
    "request": shape.number(),
    "approvals": shape.list_of(shape.SHA256, 1, 2),
    "device": shape.identifier,
    "recording": shape.recording_id,
    "viewers": shape.list_of(account, 1, _VIEWERS),
    "from": shape.utc,
    "until": shape.utc,
}
"""The leaf by which the keeper registers a viewing: `by` is the keeper."""
