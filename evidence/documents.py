"""What the office signs: receipts, a camera's configuration, time anchors, its log's key (docs/spec/evidence.md §5).

Each is a compact JWS with a `typ` of its own, signed by the office's `signer` key. A reader passes the public key of a
certificate whose chain it has validated to its own trust store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Self

from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, jose, shape
from evidence.errors import EvidenceError
from evidence.records import ACTIVITIES
from evidence.shape import SHA256, Check

VERSION = 1
ERROR_LIMIT_MS = 86_400_000  # a bound of more than a day bounds nothing


@dataclass(frozen=True, slots=True)
class _Document:
    TYP: ClassVar[str]
    SHAPE: ClassVar[Mapping[str, Check]]

    def sign(self, key: ec.EllipticCurvePrivateKey, kid: str, *, deterministic: bool = False) -> str:
        """The document as a compact JWS."""
        return jose.sign(
            jose.dump_json({"v": VERSION, **self._members()}), key, self.TYP, kid, deterministic=deterministic
        )

    @classmethod
    def read(cls, text: str | bytes, key: ec.EllipticCurvePublicKey) -> Self:
        """Parse, verify and check a document. Raises `EvidenceError`."""
        jws = jose.parse(text, cls.TYP)
        jws.verify(key)
        return cls.from_payload(jws.payload)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """The members of a payload whose signature was verified."""
        value = jose.parse_json(payload)
        if value.get("v") != VERSION:
            raise EvidenceError(
                "unknown-version", f"the {cls.TYP} has version {value.get('v')!r}, this program knows {VERSION}"
            )
        shape.require(cls.TYP, value, {"v": shape.number(), **cls.SHAPE})
        return cls(**cls._arguments({name: item for name, item in value.items() if name != "v"}))

    def _members(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def _arguments(cls, members: dict[str, Any]) -> dict[str, Any]:
        return members


@dataclass(frozen=True, slots=True)
class Receipt(_Document):
    """The office holds this segment, durable and under lock (rule 19). Only a receipt lets a camera give it up."""

    TYP: ClassVar[str] = "bodycam-receipt"
    SHAPE: ClassVar[Mapping[str, Check]] = {
        "office": shape.identifier,
        "device": shape.identifier,
        "recording": shape.recording_id,
        "segment": shape.number(0, 99_999),
        "sha256": SHA256,
        "size": shape.number(),
        "received": shape.utc,
        "retain_until": shape.utc,
        "leaf_index": shape.number(),
    }

    office: str
    device: str
    recording: str
    segment: int
    sha256: str  # of the whole file as stored
    size: int  # bytes
    received: str  # UTC
    retain_until: str  # UTC; nothing is disposed of before (rule 20)
    leaf_index: int  # of this ingest in the office's log


@dataclass(frozen=True, slots=True)
class TimeAnchor(_Document):
    """The office's time for a camera's own nonce: what the camera records after it was made after `utc`."""

    TYP: ClassVar[str] = "bodycam-time-anchor"
    SHAPE: ClassVar[Mapping[str, Check]] = {
        "office": shape.identifier,
        "device": shape.identifier,
        "nonce": shape.hexadecimal(32),
        "head_seq": shape.number(),
        "head": SHA256,
        "utc": shape.utc,
        "error_ms": shape.number(0, ERROR_LIMIT_MS),
    }

    office: str
    device: str
    nonce: str
    head_seq: int  # the last journal record handed in when the anchor was made, and its hash
    head: str
    utc: str
    error_ms: int


@dataclass(frozen=True, slots=True)
class LogKey(_Document):
    """The key of the office's log, certified by its signer: whose word a checkpoint is."""

    TYP: ClassVar[str] = "bodycam-log-key"
    SHAPE: ClassVar[Mapping[str, Check]] = {"office": shape.identifier, "log_key": shape.text, "issued": shape.utc}

    office: str
    log_key: str  # C2SP verifier key: origin, key id, Ed25519 key
    issued: str  # UTC


NOBODY: Final = "000000"
"""The officer number of a camera that is not assigned."""


@dataclass(frozen=True, slots=True)
class Configuration(_Document):
    """What the office decides for one camera: whose it is, to whom it encrypts, how it records."""

    TYP: ClassVar[str] = "bodycam-configuration"
    SHAPE: ClassVar[Mapping[str, Check]] = {
        "office": shape.identifier,
        "device": shape.identifier,
        "agency": shape.text,
        "issued": shape.utc,
        "unit": shape.text,
        "officer_number": shape.text,
        "officer_name": shape.text,
        "activity": shape.optional(shape.one_of(*ACTIVITIES)),
        "recipients": shape.list_of(age.is_recipient, at_least=1, at_most=age.STANZA_LIMIT),
        "segment_seconds": shape.number(2, 60),
        "fragment_ms": shape.number(100, 2_000),
        "pre_event_seconds": shape.number(0, 120),
        "pre_event_bytes": shape.number(0, 512 * 1024 * 1024),
        "pre_event_sound": shape.boolean,
        "notice_attempts": shape.number(1, 5),
        "answer_seconds": shape.number(2, 60),
        "release_after_seconds": shape.number(0, 30 * 24 * 3600),
        "planned_shift_minutes": shape.number(30, 24 * 60),
        "quiet": shape.boolean,
    }

    office: str
    device: str
    agency: str
    issued: str
    unit: str
    officer_number: str
    officer_name: str
    activity: str | None  # kind chosen at check-out (rule 5)
    recipients: tuple[str, ...]  # age recipients: the office's and the recovery key's
    segment_seconds: int = 60
    fragment_ms: int = 500
    pre_event_seconds: int = 30
    pre_event_bytes: int = 64 * 1024 * 1024
    pre_event_sound: bool = False
    notice_attempts: int = 2
    answer_seconds: int = 10
    release_after_seconds: int = 0  # how long a segment stays on the camera after its receipt
    planned_shift_minutes: int = 540  # what battery and storage are checked against (rule 10)
    quiet: bool = False  # vibration and lamps instead of voice; the notice is said all the same

    @property
    def assigned(self) -> bool:
        """Whether it is somebody's."""
        return self.officer_number not in ("", NOBODY)

    def _members(self) -> dict[str, Any]:
        return {**asdict(self), "recipients": list(self.recipients)}

    @classmethod
    def _arguments(cls, members: dict[str, Any]) -> dict[str, Any]:
        return {**members, "recipients": tuple(members["recipients"])}


ORDERS: Final = ("hold", "first", "usual", "find")
"""Acts of an order: let a recording go before all others; a camera or segment before most; take that back; be found."""

ORDER_LIMIT_MS: Final = 3_600_000  # an order that counts for longer could be held back and brought later


@dataclass(frozen=True, slots=True)
class Order(_Document):
    """What the office orders of one dock (docs/spec/messages.md §5). Of two for one thing the later issued counts."""

    TYP: ClassVar[str] = "bodycam-order"
    SHAPE: ClassVar[Mapping[str, Check]] = {
        "office": shape.identifier,
        "order": shape.hexadecimal(32),
        "dock": shape.identifier,
        "device": shape.identifier,
        "act": shape.one_of(*ORDERS),
        "recording": shape.optional(shape.recording_id),
        "segment": shape.optional(shape.number(0, 99_999)),
        "issued": shape.utc,
        "expires": shape.utc,
    }

    office: str
    order: str  # its id: the same for each dock and each time it is sent
    dock: str
    device: str
    act: str
    recording: str | None
    segment: int | None
    issued: str  # UTC
    expires: str  # UTC, at most an hour after `issued`

    @property
    def target(self) -> tuple[str, str | None, int | None]:
        """Camera, recording, segment: what the order is about."""
        return self.device, self.recording, self.segment

    @classmethod
    def _arguments(cls, members: dict[str, Any]) -> dict[str, Any]:
        act, recording, segment = members["act"], members["recording"], members["segment"]
        wrong = {
            "hold": recording is None or segment is not None,
            "first": recording is not None and segment is None,
            "usual": recording is None and segment is not None,
            "find": (recording, segment) != (None, None),
        }[act] or (recording is None and segment is not None)
        lasts = shape.utc_ms(members["expires"]) - shape.utc_ms(members["issued"])
        if wrong or not 0 < lasts <= ORDER_LIMIT_MS:
            raise EvidenceError("shape", f"bodycam-order: {act!r} of this target, or for this time, is no order")
        return members
