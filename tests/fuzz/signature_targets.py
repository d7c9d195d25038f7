"""Targets of signatures that others defined: ONVIF Media Signing inside the video, RFC 3161 stamps."""

from __future__ import annotations

import functools

from evidence import age, boxes, media_signing, signature_sei, timestamp
from tests.evidence_keys import AGENCY, identity
from tests.fuzz.signed import example, folder, vector
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
