"""Bodies that name people or places: sealed to the office, with a hash that may be shown to anyone (§3.5).

The record keeps `sha256`, the hash of the plaintext. Names and places are few enough to be guessed and hashed one by
one, so each plaintext carries 32 random bytes; padding keeps its length from telling them apart. Who is later shown the
plaintext can hold it against the signed record without any key.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from evidence import age, jose, shape
from evidence.errors import EvidenceError
from evidence.shape import Check

VERSION = 1
LIMIT = 16_384  # bytes of a plaintext
_SALT = 32
_PAD_TO = 256

BODIES: Final[Mapping[str, Mapping[str, Check]]] = {
    "assigned": {"officer_number": shape.text, "officer_name": shape.text, "unit": shape.text},
    "position": {
        "latitude_e7": shape.number(-900_000_000, 900_000_000),  # degrees × 10^7, WGS 84
        "longitude_e7": shape.number(-1_800_000_000, 1_800_000_000),
        "altitude_mm": shape.optional(shape.number(-(2**31), 2**31)),
        "error_mm": shape.optional(shape.number()),  # radius that holds the place in 95 of 100 cases
        "fix_utc": shape.optional(shape.utc),  # what the satellites tell
    },
}
"""What the sealed kinds hold, beneath their seal."""


def seal(kind: str, body: Mapping[str, Any], recipients: Sequence[str], random: age.Random = os.urandom) -> jose.Json:
    """The body of a sealed record. `random` is injected by test vectors only."""
    shape.require(kind, dict(body), _shape_of(kind))
    salt = jose.b64(random(_SALT))
    plain = jose.dump_json({"v": VERSION, "kind": kind, "salt": salt, "body": dict(body)})
    plain += b" " * (-len(plain) % _PAD_TO)
    if len(plain) > LIMIT:
        raise EvidenceError("sealed-form", f"the body of a sealed {kind} record is longer than {LIMIT} bytes")
    sealed = age.seal_small(plain, recipients, random)
    return {"sealed": jose.b64(sealed), "sha256": hashlib.sha256(plain).hexdigest()}


def open_sealed(kind: str, body: Mapping[str, Any], identity: str) -> jose.Json:
    """What a sealed record holds. Raises `EvidenceError` unless it is what the record's hash says."""
    opened = age.open_file(jose.unb64(body["sealed"].encode()), identity)
    if not opened.complete:
        raise EvidenceError("age-chunk", f"the seal of a {kind} record is damaged")
    return check_plain(kind, opened.plain, body["sha256"])


def check_plain(kind: str, plain: bytes, sha256: str) -> jose.Json:
    """The body in a disclosed plaintext, held against the hash in the signed record. Needs no key."""
    if hashlib.sha256(plain).hexdigest() != sha256:
        raise EvidenceError("sealed-hash", f"this is not what the camera sealed into its {kind} record")
    if len(plain) > LIMIT:
        raise EvidenceError("sealed-form", f"the body of a sealed {kind} record is longer than {LIMIT} bytes")
    value = jose.parse_json(plain)
    if value.get("v") != VERSION:
        raise EvidenceError("unknown-version", f"the sealed body has version {value.get('v')!r}")
    members = {"v": shape.number(), "kind": shape.one_of(kind), "salt": shape.text, "body": shape.anything}
    shape.require(f"sealed {kind}", value, members)
    if len(jose.unb64(value["salt"].encode())) != _SALT:
        raise EvidenceError("sealed-form", f"the salt of a sealed {kind} record has not {_SALT} bytes")
    return shape.require(kind, value["body"], _shape_of(kind))


def _shape_of(kind: str) -> Mapping[str, Check]:
    if kind not in BODIES:
        raise EvidenceError("sealed-form", f"a {kind} record is not a sealed one")
    return BODIES[kind]
