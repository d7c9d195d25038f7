"""Bytes behind a signature or a seal: made good again after they were changed, by the keys of the test vectors."""

from __future__ import annotations

import functools
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, records
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY, key, kid
from tests.vectors import make

DEVICE = "BWC-0001"
VECTORS = make.HERE
OWN = f"{AGENCY.seed} session {DEVICE} 1"
_SHA256_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")


@functools.cache
def vector(name: str) -> Any:
    """The content of a file of vectors."""
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


@functools.cache
def folder() -> dict[str, bytes]:
    """The vectors' evidence folder, path → bytes."""
    root = VECTORS / "folder"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@functools.cache
def example() -> Camera:
    """The camera that wrote the vectors' folder."""
    return make.example()[0]


@functools.cache
def payloads() -> list[bytes]:
    """The payloads of the lines of the vectors' journal."""
    return [jose.payload_of(line) for path, data in folder().items() if ".jws" in path for line in data.splitlines()]


def line_of(payload: bytes) -> bytes:
    """A journal line over any payload, signed by the session key of the vectors' first boot."""
    return jose.sign(payload, key(OWN), records.TYP, kid(OWN), deterministic=True).encode()


def document_of(payload: bytes, typ: str) -> bytes:
    """A document over any payload, signed by the vectors' office."""
    return jose.sign(payload, AGENCY.key("signer"), typ, AGENCY.kid("signer"), deterministic=True).encode()


def der(tag: int, body: bytes) -> bytes:
    """A DER value of any length."""
    length = len(body)
    if length < 0x80:
        return bytes([tag, length]) + body
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + body


def certified(content: bytes, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate, or a request, over any content: what a hostile holder of that key can make."""
    signature = signer.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return der(0x30, content + _SHA256_ECDSA + der(0x03, b"\0" + signature))
