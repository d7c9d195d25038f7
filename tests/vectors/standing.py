"""Keys that are certified late, or were taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import serialization

from evidence import jose, records
from evidence.records import Chain
from evidence.revocation import REASONS, Entry, make_list
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY, key, kid
from tests.vectors.invalid import DEVICE

LOST = datetime(2026, 11, 24, 6, 0, 5, tzinfo=UTC)  # after the first boot, before anything was handed in


def late() -> bytes:
    """A boot that begins unsigned, and whose session the evidence key certifies when it answers."""
    camera = Camera(DEVICE)
    camera.boot(signed=False)
    camera.line("docked", {"docked": True})
    camera.certify()
    return camera.files[records.journal_path(0)]


def invalid_keys(camera: Camera) -> Iterator[dict[str, Any]]:
    """A revocation list beside the evidence, and a certificate that the camera itself records a second time."""
    issuing, issuing_key = AGENCY.issuing, AGENCY.key("issuing")
    revoked = (
        ("the evidence key revoked, and nothing held before", 2, AGENCY.evidence(DEVICE)),
        ("the office's signer revoked: it may write any time", 10, AGENCY.signer),
        ("the agency's stamping authority revoked", 10, AGENCY.stamp),
    )
    for name, step, certificate in revoked:
        entry = Entry(certificate.serial_number, LOST, REASONS["key-compromise"], None)
        made = make_list(issuing, issuing_key, [entry], 1, LOST, deterministic=True)
        text = made.public_bytes(serialization.Encoding.PEM).decode()
        steps = [{"do": "append", "path": "certs/issuing.crl", "text": text}]
        yield {"name": name, "steps": steps, "step": step, "verdict": "revoked", "attack": "revoked-key"}
    last = camera.records[-1]
    chain = Chain(DEVICE, last.boot, key(camera.session_key), kid(camera.session_key), seq=last.seq + 1,
                  prev=last.sha256)  # fmt: skip
    again = AGENCY.session(DEVICE, last.boot, camera.session_key)
    body = {"chain": [jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in again], "key_store": "token"}
    line = chain.append("certified", body, last.clock, deterministic=True)
    steps = [{"do": "append", "path": records.journal_path(camera.file), "text": line.decode() + "\n"}]
    yield {"name": "a session certified twice", "steps": steps, "step": 2, "verdict": "altered", "attack": "replayed"}
