"""Targets of what others defined and sign: ONVIF Media Signing inside the video, RFC 3161 stamps, revocation lists."""

from __future__ import annotations

import functools

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from evidence import age, boxes, media_signing, pki, revocation, signature_sei, timestamp
from evidence.revocation import Entry, Revocations
from tests.evidence_keys import AGENCY, identity
from tests.fuzz.signed import certified, example, folder, vector
from tests.fuzz.target import attempt, target


@functools.cache
def _film() -> bytes:
    """A segment of the vectors without its padding: pictures with signatures."""
    path = max(path for path in example().files if path.startswith("segments/"))
    plain = age.open_file(example().files[path], identity("office")).plain
    return b"".join(plain[box.start : box.end] for box in boxes.boxes(plain) if box.kind != b"free")


@target(lambda: [bytes(unit) for unit in media_signing.units(_film()) if unit[0] & 31 == signature_sei.SEI])
def sei(data: bytes) -> None:
    """One unit: there is one way to write what it says."""
    attempt(signature_sei.parse, data)


@target(lambda: [_film()])
def signed_video(data: bytes) -> None:
    """The units of any segment, judged by the certificates that stand in them."""
    for key_of in (media_signing.chain_to([AGENCY.root]), media_signing.chain_is(None)):
        attempt(lambda key_of=key_of: media_signing.check(media_signing.units(data), key_of))


@target(lambda: [bytes.fromhex(vector("log")["stamp"]), folder()["log/checkpoints/2.tsr"]])
def time_stamp(data: bytes) -> None:
    """The answer of a time-stamp authority."""
    note, pool = folder()["log/checkpoints/2.note"], [AGENCY.issuing, AGENCY.signer]
    attempt(timestamp.read, data, note, [AGENCY.root], pool)
    attempt(timestamp.read, data, note, [AGENCY.root], pool, [AGENCY.root], 5)


def _list() -> x509.CertificateRevocationList:
    at, signer = AGENCY.signer.not_valid_before_utc, AGENCY.signer.serial_number
    entries = [Entry(signer, at, x509.ReasonFlags.key_compromise, at), Entry(5, at, x509.ReasonFlags.unspecified, None)]
    return revocation.make_list(AGENCY.issuing, AGENCY.key("issuing"), entries, 1, at, deterministic=True)


def _judge(data: bytes) -> None:
    chain = pki.validate_chain(AGENCY.signer, [AGENCY.issuing], [AGENCY.root], role=pki.Role.SIGNER, at=None)
    for one in attempt(revocation.parse_lists, data) or ():
        attempt(Revocations([one]).narrowed, chain)


@target(
    lambda: [_list().public_bytes(encoding) for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)]
)
def revocation_list(data: bytes) -> None:
    """Lists of what was taken back, in PEM or DER."""
    _judge(data)


@target(lambda: [_list().tbs_certlist_bytes])
def revocation_content(data: bytes) -> None:
    """A list that the issuing key signed, with any content."""
    _judge(certified(data, AGENCY.key("issuing")))
