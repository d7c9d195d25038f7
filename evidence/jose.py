"""Compact JWS (RFC 7515) in the one form that evidence uses, and strict JSON.

ES256 only. The protected header holds exactly `alg`, `kid`, `typ`: nothing that brings a key along (`jwk`, `x5u`,
`jku`) and no `crit` can be in it. `typ` separates the uses, so that no document passes for another.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from evidence.errors import EvidenceError

LINE_LIMIT = 262144  # bytes of one JWS; a fragment line is about 900
_DEPTH_LIMIT = 8
_INTEGER_LIMIT = 2**63
_WORD = 32
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # n of P-256
_HALF_ORDER = _ORDER // 2

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Jws:
    """A parsed, not yet verified JWS."""

    kid: str
    typ: str
    payload: bytes
    signing_input: bytes
    signature: bytes  # r ‖ s, 64 bytes

    def verify(self, key: ec.EllipticCurvePublicKey) -> None:
        """Raise `EvidenceError` ("jws-signature") unless `key` made the signature."""
        r, s = (int.from_bytes(part, "big") for part in (self.signature[:_WORD], self.signature[_WORD:]))
        if s > _HALF_ORDER:
            # n - s would verify as well: whoever carries a line could change its hash and break the chain behind it.
            raise EvidenceError("jws-signature", "the signature is not in its low form")
        try:
            key.verify(encode_dss_signature(r, s), self.signing_input, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise EvidenceError("jws-signature", "the signature does not match") from error


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey, typ: str, kid: str, *, deterministic: bool = False) -> str:
    """Sign `payload`; `deterministic` (RFC 6979) is for test vectors."""
    text = _header(typ, kid) + "." + b64(payload)
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True) if deterministic else _ECDSA
    r, s = decode_dss_signature(key.sign(text.encode("ascii"), algorithm))
    return text + "." + b64(r.to_bytes(_WORD, "big") + min(s, _ORDER - s).to_bytes(_WORD, "big"))


def parse(text: str | bytes, typ: str) -> Jws:
    """Parse a compact JWS whose `typ` must be the given one. Does not verify the signature."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > LINE_LIMIT:
        raise EvidenceError("jws-form", "the line is too long")
    parts = raw.split(b".")
    if len(parts) != 3:  # noqa: PLR2004 - header.payload.signature
        raise EvidenceError("jws-form", "a JWS has three parts")
    header = parse_json(unb64(parts[0]))
    if header.keys() != {"alg", "kid", "typ"}:
        raise EvidenceError("jws-header", "the header must hold alg, kid and typ, and nothing else")
    if header["alg"] != "ES256":
        raise EvidenceError("jws-header", "the only algorithm is ES256")
    if header["typ"] != typ or not isinstance(header["kid"], str):
        raise EvidenceError("jws-header", f"this is not a {typ}")
    signature = unb64(parts[2])
    if len(signature) != 2 * _WORD:
        raise EvidenceError("jws-form", "the signature has the wrong length")
    return Jws(header["kid"], typ, unb64(parts[1]), raw[: len(parts[0]) + 1 + len(parts[1])], signature)


def payload_of(line: bytes) -> bytes:
    """The payload of a compact JWS, unverified: to tell lines that matter from those that need not be parsed."""
    return unb64(line.partition(b".")[2].partition(b".")[0])


def dump_json(value: Json) -> bytes:
    """Serialise compactly, keys in the order given, UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse_json(data: bytes) -> Json:
    """Parse one JSON object strictly: UTF-8, no duplicate keys, integers only and within 63 bits, bounded depth."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
            parse_int=_integer,
        )
    except EvidenceError:
        raise
    except (ValueError, RecursionError) as error:
        raise EvidenceError("json-form", "the JSON is malformed") from error
    if not isinstance(value, dict):
        raise EvidenceError("json-form", "a JSON object is expected")
    _check(value, _DEPTH_LIMIT)
    return value


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64(text: bytes) -> bytes:
    """Decode canonical base64url without padding: exactly one text for each value, so that no byte may be changed."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError("jws-form", "base64url is malformed") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=") != text:
        raise EvidenceError("jws-form", "base64url is not canonical")
    return data


_ECDSA = ec.ECDSA(hashes.SHA256())


@functools.lru_cache(maxsize=64)
def _header(typ: str, kid: str) -> str:
    return b64(dump_json({"alg": "ES256", "kid": kid, "typ": typ}))


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise EvidenceError("json-form", "a key stands twice in one object")
    return value


def _refuse_number(_: str) -> Any:
    raise EvidenceError("json-form", "numbers are whole numbers")


def _integer(text: str) -> int:
    if len(text) > 20:  # noqa: PLR2004 - digits of 2^63 and a sign; bounds the work of int()
        raise EvidenceError("json-form", "a number is too large")
    value = int(text)
    if not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise EvidenceError("json-form", "a number is too large")
    return value


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise EvidenceError("json-form", "the JSON is nested too deeply")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise EvidenceError("json-form", "a string holds a lone surrogate") from error
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
