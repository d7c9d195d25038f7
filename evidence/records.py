"""Journal records: what a line is, how lines chain, what each kind's body holds (docs/spec/evidence.md §3).

A journal is one append-only chain for each camera. A line is a compact JWS over JSON, signed by the session key of the
boot that wrote it; `prev` is the SHA-256 of the previous line, so that nothing can be cut out, moved or put in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, shape
from evidence.errors import EvidenceError
from evidence.shape import BOOT, SHA256, Check

VERSION = 1
TYP = "bodycam-journal"
GENESIS = "0" * 64
FILE_LIMIT = 16 * 1024 * 1024  # bytes of one journal file

OPENING_LIMIT = 65_536  # bytes of a file's first line: the session's chain is 3 KiB, 64 torn tails are 12

ACTIVITIES: Final = ("inspection", "complaint", "case", "service", "coercion", "other")
"""The six kinds of activity of rule 5."""

PAUSES: Final = ("weather", "change_of_site", "privacy")
"""Grounds on which an officer stops a recording that is to go on later: the gap's cause (rules 6 and 15)."""

GROUNDS: Final = ("end_of_activity", *PAUSES, "other")
"""Grounds to choose from when a recording is stopped. `privacy` is privacy or secrecy (rule 6)."""

MODES: Final = ("picture_and_sound", "sound_only")

CAUSES: Final = (
    "power_cut", "crash", "encoder_changed", "camera_stall", "camera_lost", "microphone_lost", "encoder_stall",
    "storage_full", "storage_failing", "slow_storage", "battery_low", "heat", *PAUSES, "shutdown", "unknown",
)  # fmt: skip
"""Causes of a gap (rule 15): what the camera found out, or what the officer chose."""

_count = shape.number()
_ns = shape.number()
_part = shape.number(1, 100_000)
_segment = shape.number(0, 99_999)  # five digits in a path; 69 days of whole segments

_OPENING: dict[str, Check] = {
    "file": shape.number(0, 99_999_999),
    "session_key": shape.long_text,  # base64url of the DER SubjectPublicKeyInfo
    "chain": shape.list_of(shape.long_text),  # base64url DER: session, evidence, issuing; empty: unsigned
    # Only where the chain is empty: the link key's word for the session key (evidence/session.py).
    "voucher?": shape.optional(shape.nested({"chain": shape.list_of(shape.long_text), "jws": shape.long_text})),
    "kernel_boot": BOOT,
    "torn": shape.list_of(shape.nested({"file": _count, "offset": _count, "length": _count, "sha256": SHA256})),
}
SEALED: dict[str, Check] = {"sealed": shape.long_text, "sha256": SHA256}

BODIES: Final[Mapping[str, Mapping[str, Check]]] = {
    "boot": {
        **_OPENING,
        "software": shape.text,
        "configuration": SHA256,
        "key_store": shape.one_of("extractable", "token", "none"),
        "hardware": shape.anything,
        "simulated": shape.boolean,
    },
    "summary": _OPENING,
    # What an opening with an empty chain lacked, once it is there: the evidence key may be slow, or come back.
    "certified": {"chain": shape.list_of(shape.long_text), "key_store": shape.one_of("extractable", "token")},
    "self_check": {"passed": shape.boolean, "checks": shape.anything},
    "assigned": SEALED,
    "time_anchor": {"anchor": shape.long_text, "stepped_ms": shape.optional(shape.number(-(2**62), 2**62))},
    "clock_set": {
        "source": shape.one_of("rtc", "gnss", "dock"),
        "stepped_ms": shape.number(-(2**62), 2**62),
        "error_ms": _count,
    },
    "armed": {"ring_seconds": _count},
    "heartbeat": {"free_bytes": _count, "figures": shape.anything},
    "recording_started": {
        "recording": shape.recording_id,
        "part": _part,
        "resumed": shape.boolean,
        "mode": shape.one_of(*MODES),
        "activity": shape.optional(shape.one_of(*ACTIVITIES)),
        "pressed_ns": shape.optional(_ns),
        "ring_from_ns": shape.optional(_ns),
    },
    "activity": {"recording": shape.recording_id, "activity": shape.one_of(*ACTIVITIES)},  # chosen while it ran
    "notice": {
        "recording": shape.recording_id,
        "attempt": _count,
        "heard": shape.boolean,
        "score_permille": shape.number(-1000, 1000),
        "from_ns": _ns,
        "to_ns": _ns,
    },
    "fragment": {
        "recording": shape.recording_id,
        "part": _part,
        "segment": _segment,
        "index": _count,
        "plain_offset": _count,
        "plain_len": _count,
        "cipher_len": _count,
        "plain_sha256": SHA256,
        "cipher_sha256": SHA256,
        "frames": _count,
        "samples": _count,
        "drops": _count,
        "from_ns": _ns,
        "to_ns": _ns,
        "starts_with_idr": shape.boolean,
    },
    "segment": {
        "recording": shape.recording_id,
        "part": _part,
        "segment": _segment,
        "closed": shape.boolean,
        "fragments": _count,
        "frames": _count,
        "samples": _count,
        "from_ns": _ns,
        "to_ns": _ns,
        "plain_len": _count,
        "plain_sha256": SHA256,
        "attested_len": _count,
        "attested_sha256": SHA256,
        "file_size": _count,
        "file_sha256": SHA256,
        "recipients": shape.list_of(SHA256),
        "stanzas": _count,
        "header_sha256": SHA256,
    },
    "marker": {"recording": shape.recording_id, "at_ns": _ns},
    "still": {  # a JPEG inside a segment's plaintext (docs/adr/0006)
        "recording": shape.recording_id,
        "segment": _segment,
        "at_ns": _ns,
        "plain_offset": _count,
        "size": _count,
        "sha256": SHA256,
    },
    "position": SEALED,
    "view_quality": {"recording": shape.optional(shape.recording_id), "finding": shape.text, "figures": shape.anything},
    "gap": {
        "recording": shape.recording_id,
        "after_part": _part,
        "before_part": shape.optional(_part),
        "cause": shape.one_of(*CAUSES),
        "last_ns": _ns,  # end of the last attested fragment, on its own boot's clock
        "first_ns": shape.optional(_ns),  # first sample afterwards, on this boot's clock; null: not resumed
        "same_clock": shape.boolean,
        "min_ms": _count,
        "max_ms": shape.optional(_count),  # null: open
    },
    "gap_reason": {
        "recording": shape.recording_id,
        "gap_seq": _count,
        "basis": shape.one_of("button_held", "speech_followed", "unanswered", "chosen"),
        "from_ns": _ns,
        "to_ns": _ns,
    },
    "stopped": {"recording": shape.recording_id, "ground": shape.one_of(*PAUSES), "at_ns": _ns},  # until it goes on
    "recording_ended": {
        "recording": shape.recording_id,
        "ground": shape.optional(shape.one_of(*GROUNDS)),  # null: nobody chose one
        "parts": _part,
        "segments": _count,
        "frames_delivered": _count,
        "frames_encoded": _count,
        "frames_dropped": _count,
    },
    "alert": {"what": shape.text, "recording": shape.optional(shape.recording_id), "detail": shape.text},
    "docked": {"docked": shape.boolean},
    "receipt": {"receipt": shape.long_text},
    "released": {"recording": shape.recording_id, "segment": _segment, "receipt_sha256": SHA256},
    "fault": {"where": shape.text, "what": shape.text},
    "shutdown": {"clean": shape.boolean},
}
"""Each kind of record and the members of its body. A new member or kind is a new version of the format."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Both clocks at the time of a record: nanoseconds since power-on, and the UTC claim with source and bound."""

    boot_ns: int
    utc_ms: int
    source: str
    error_ms: int | None

    def utc_at(self, boot_ns: int) -> int:
        """The claim for another time of the same boot clock: UTC in ms since 1970."""
        return self.utc_ms - (self.boot_ns - boot_ns) // 1_000_000

    def to_json(self) -> jose.Json:
        """As the record's `clock` member."""
        return {
            "boot_ns": self.boot_ns,
            "utc": shape.utc_text(self.utc_ms),
            "source": self.source,
            "error_ms": self.error_ms,
        }


@dataclass(frozen=True, slots=True)
class Record:
    """A parsed line. `sha256` is the hash of the line itself, without its line feed: the next record's `prev`."""

    device: str
    seq: int
    prev: str
    boot: str
    clock: Stamp
    kind: str
    body: Mapping[str, Any]
    sha256: str
    jws: jose.Jws

    @property
    def kid(self) -> str:
        """Id of the session key that signed the line."""
        return self.jws.kid


class Chain:
    """Builds the lines of one boot; pure but for the key. A line counts only once `append` has returned it."""

    def __init__(
        self, device: str, boot: str, key: ec.EllipticCurvePrivateKey, kid: str, *, seq: int, prev: str
    ) -> None:
        self.device = device
        self.boot = boot
        self.seq = seq  # of the next line
        self.prev = prev
        self._key = key
        self._kid = kid

    def append(self, kind: str, body: Mapping[str, Any], stamp: Stamp, *, deterministic: bool = False) -> bytes:
        """The next line, without its line feed. Raises EvidenceError, or ValueError, for what no reader would take.

        `figures` have no shape, and clocks come from outside: one line that a reader refuses, and whatever stands
        behind it is proven no more.
        """
        shape.require(kind, dict(body), BODIES[kind])
        payload = jose.dump_json(
            {
                "v": VERSION,
                "device": self.device,
                "seq": self.seq,
                "prev": self.prev,
                "boot": self.boot,
                "clock": stamp.to_json(),
                "kind": kind,
                "body": dict(body),
            }
        )
        shape.require("record", jose.parse_json(payload), _RECORD)
        line = jose.sign(payload, self._key, TYP, self._kid, deterministic=deterministic).encode("ascii")
        if len(line) > jose.LINE_LIMIT:
            raise EvidenceError("jws-form", "the line is too long")
        self.seq += 1
        self.prev = line_sha256(line)
        return line


_CLOCK: dict[str, Check] = {
    "boot_ns": _ns,
    "utc": shape.utc,
    "source": shape.one_of("none", "rtc", "gnss", "dock"),
    "error_ms": shape.optional(_count),
}
_RECORD: dict[str, Check] = {
    "v": shape.number(),
    "device": shape.identifier,
    "seq": shape.number(),
    "prev": SHA256,
    "boot": BOOT,
    "clock": shape.nested(_CLOCK),
    "kind": shape.one_of(*BODIES),
    "body": shape.anything,
}


def parse(line: bytes) -> Record:
    """Parse a line. Its signature is not verified: the caller knows which key the boot has."""
    jws = jose.parse(line, TYP)
    value = jose.parse_json(jws.payload)
    if value.get("v") != VERSION:
        raise EvidenceError(
            "unknown-version", f"the record has version {value.get('v')!r}, this program knows {VERSION}"
        )
    shape.require("record", value, _RECORD)
    shape.require(value["kind"], value["body"], BODIES[value["kind"]])
    clock = value["clock"]
    stamp = Stamp(clock["boot_ns"], shape.utc_ms(clock["utc"]), clock["source"], clock["error_ms"])
    return Record(
        value["device"], value["seq"], value["prev"], value["boot"], stamp, value["kind"], value["body"],
        line_sha256(line), jws,
    )  # fmt: skip


def line_sha256(line: bytes) -> str:
    """Hash of a line without its line feed, in hex."""
    return hashlib.sha256(line).hexdigest()


def recording_id(boot: str, number: int) -> str:
    """Id of the `number`-th recording (from 1) that was begun in a boot."""
    return f"{boot[:8]}-{number}"


def journal_path(file: int) -> str:
    """Path of a journal file in an evidence folder."""
    return f"journal/{file:08d}.jws"


def segment_path(recording: str, segment: int) -> str:
    """Path of a segment in an evidence folder."""
    return f"segments/{recording}/{segment:05d}.mp4.age"


def receipt_path(recording: str, segment: int) -> str:
    """Path of a receipt in an evidence folder."""
    return f"receipts/{recording}/{segment:05d}.jws"
