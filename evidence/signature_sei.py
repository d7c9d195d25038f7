"""The SEI unit of ONVIF Media Signing: made and parsed (specification §10.2). Pure.

One form only: what this module does not write itself, it does not read either.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from evidence.errors import EvidenceError

SEI = 6  # type of the unit
SIGNATURE_BYTES = 72  # an ES256 signature in DER is never longer

_UUID = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
_USER_DATA = 5  # payload type: user data, unregistered
_ESCAPED_BEFORE_SIGNING = 0x40  # the byte behind the UUID
_RELEASE = bytes((25, 12, 0))  # of the ONVIF specification that this follows
_SHA256_OID = bytes.fromhex("0609608648016503040201")
_GENERAL, _HASHES, _SIGNATURE, _ALGORITHM, _VENDOR, _CERTIFICATES = range(1, 7)
_ORDER = (_ALGORITHM, _VENDOR, _CERTIFICATES, _GENERAL, _HASHES, _SIGNATURE)
_FIGURES = struct.Struct(">B3sBqqIH32s32s")
_STOP = b"\x80"
_LIMIT = 65_536  # bytes of one unit
_HASH = 32
_FROM_1601_MS = 11_644_473_600_000
_NEEDS_ESCAPE = re.compile(rb"\x00\x00(?=[\x00-\x03])")
_ESCAPED = b"\0\0\3"


@dataclass(frozen=True, slots=True)
class Signed:
    """What one signature covers: a GOP, or a piece of one (`cut`: no key frame ended it).

    `number` counts through the part from 1; times in 100 ns since 1601; `linked` is the first hash of the one before.
    """

    number: int
    cut: bool
    begins: int
    ends: int
    hashes: Sequence[bytes]
    linked: bytes


@dataclass(frozen=True, slots=True)
class Sei:
    """A parsed unit: what it says, who says so (PEM, leaf first), and the signature (DER) over `document`."""

    signed: Signed
    certificates: bytes
    document: bytes
    signature: bytes


def time_of(utc_ms: int) -> int:
    """Milliseconds since 1970 as ONVIF counts: 100 ns since 1601."""
    return (utc_ms + _FROM_1601_MS) * 10_000


def head(certificates: bytes, software: str, serial: str) -> bytes:
    """What is the same in every unit of a boot: algorithm, maker, certificates."""
    names = b"".join(bytes([len(name)]) + name for name in (software.encode(), serial.encode(), b"bodycam"))
    return (
        _tlv(_ALGORITHM, b"\1" + bytes([len(_SHA256_OID)]) + _SHA256_OID + bytes(3))
        + _tlv(_VENDOR, b"\1" + names)
        + _tlv(_CERTIFICATES, b"\1\0" + certificates)
    )


def make(same: bytes, signed: Signed, sign: Callable[[bytes], bytes]) -> bytes:
    """The unit, without start code. `same` is `head`'s; `sign` gives the DER signature of a document."""
    hashes = b"".join(signed.hashes)
    figures = _FIGURES.pack(
        2, _RELEASE, signed.cut, signed.begins, signed.ends, signed.number, len(signed.hashes),
        hashlib.sha256(hashes).digest(), signed.linked,
    )  # fmt: skip
    told = same + _tlv(_GENERAL, figures) + _tlv(_HASHES, b"\1" + hashes)
    size = len(_UUID) + 1 + len(told) + 6 + SIGNATURE_BYTES
    start = bytes((SEI, _USER_DATA)) + b"\xff" * (size // 255) + bytes([size % 255]) + _UUID
    document = start + bytes([_ESCAPED_BEFORE_SIGNING]) + _escaped(told)
    signature = sign(document)
    padded = signature + b"\1" * (SIGNATURE_BYTES - len(signature))
    # What is escaped depends on the two bytes before it.
    tail = _escaped(document[-2:] + _tlv(_SIGNATURE, b"\1" + struct.pack(">H", len(signature)) + padded))[2:]
    return document + tail + _STOP


def parse(unit: bytes) -> Sei | None:
    """Take a unit apart; None if it is another SEI. Raises `EvidenceError` if it is one of these and is not whole."""
    start = _payload(unit)
    if start is None:
        return None
    if len(unit) > _LIMIT:
        raise EvidenceError("media-signing", f"a signature's SEI has {len(unit)} bytes, and {_LIMIT} are the most")
    told = unit[start:].replace(_ESCAPED, b"\0\0")
    size = 255 * (start - len(_UUID) - 4) + unit[start - len(_UUID) - 2]
    if unit[start - 1] != _ESCAPED_BEFORE_SIGNING or told[-1:] != _STOP or len(told) != size - len(_UUID):
        raise EvidenceError("media-signing", "a signature's SEI is cut short or has another form")
    values = dict(_tlvs(told[:-1]))
    if tuple(values) != _ORDER:
        raise EvidenceError("media-signing", "a signature's SEI lacks a part, or has them in another order")
    # The signature covers what was written, escapes included; there is one way to write it.
    document = unit[:start] + _escaped(told[: -len(values[_SIGNATURE]) - 4])
    if not unit.startswith(document):
        raise EvidenceError("media-signing", "a signature's SEI is not written as it has to be")
    return Sei(
        _signed(values[_GENERAL], values[_HASHES]),
        values[_CERTIFICATES][2:],
        document,
        _signature(values[_SIGNATURE]),
    )


def _payload(unit: bytes) -> int | None:
    """Where the payload of a Media Signing SEI begins, behind the UUID and the byte that follows it."""
    if unit[:2] != bytes((SEI, _USER_DATA)):
        return None
    start = 2
    while unit[start : start + 1] == b"\xff":
        start += 1
    start += 1 + len(_UUID) + 1
    return start if len(unit) > start and unit[start - 17 : start - 1] == _UUID else None


def _signed(figures: bytes, listed: bytes) -> Signed:
    hashes = [listed[at : at + _HASH] for at in range(1, len(listed), _HASH)]
    if len(figures) != _FIGURES.size or listed[:1] != b"\1" or not hashes or len(hashes[-1]) != _HASH:
        raise EvidenceError("media-signing", "a signature's figures or hashes are cut short")
    version, _, cut, begins, ends, number, count, whole, linked = _FIGURES.unpack(figures)
    if version != 2 or cut > 1 or count != len(hashes) or hashlib.sha256(listed[1:]).digest() != whole:  # noqa: PLR2004
        raise EvidenceError("media-signing", "a signature's figures contradict each other")
    return Signed(number, bool(cut), begins, ends, hashes, linked)


def _signature(value: bytes) -> bytes:
    size = int.from_bytes(value[1:3], "big")
    signature, padding = value[3 : 3 + size], value[3 + size :]
    if value[:1] != b"\1" or len(value) != 3 + SIGNATURE_BYTES or padding.strip(b"\1") or not signature:
        raise EvidenceError("media-signing", "a signature has another form")
    return signature


def _tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">BH", tag, len(value)) + value


def _tlvs(data: bytes) -> Iterator[tuple[int, bytes]]:
    at, found = 0, 0
    while at < len(data):
        if len(data) - at < 3 or found == len(_ORDER):  # noqa: PLR2004 - a tag and a length
            raise EvidenceError("media-signing", "a signature's SEI has more parts than it may, or one is cut short")
        tag, size = struct.unpack_from(">BH", data, at)
        at += 3 + size
        found += 1
        if at > len(data):
            raise EvidenceError("media-signing", "a part of a signature's SEI is longer than the SEI")
        yield tag, data[at - size : at]


def _escaped(data: bytes) -> bytes:
    """Bytes as they stand in a unit, where no three zeros and no start code may be."""
    return _NEEDS_ESCAPE.sub(_ESCAPED, data)
