"""Signs the pictures inside the video, by ONVIF Media Signing (specification §10).

What is to be signed is known in the order of time, and is noted then (`PartSigning`); hashing and signing are the
writer's, when it writes (`Seal.unit`): the pre-event ring would otherwise keep the first live picture waiting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, mp4, pki, signature_sei
from evidence.signature_sei import Signed

UNITS_LIMIT = 200  # slices that one signature covers: a longer GOP is cut
_NOTHING = bytes(32)
_ES256 = ec.ECDSA(hashes.SHA256())

Unit = bytes | memoryview


class MediaSigner:
    """One boot's key and what vouches for it. `sign` gives the DER signature of a document."""

    def __init__(self, sign: Callable[[bytes], bytes], chain: Sequence[str], software: str, device: str) -> None:
        """`chain` is the session's, base64url DER. Without one there is nothing that a validator could trust."""
        certificates = [pki.parse_certificate(jose.unb64(text.encode())) for text in chain]
        self._sign = sign
        self._head = signature_sei.head(pki.to_pem(*certificates), software, device)

    def unit(self, signed: Signed) -> bytes:
        """The signed SEI unit."""
        return signature_sei.make(self._head, signed, self._sign)


def signer(key: ec.EllipticCurvePrivateKey, chain: Sequence[str], software: str, device: str) -> MediaSigner | None:
    """A boot's signer; None if its session is certified by nothing."""
    return MediaSigner(lambda document: key.sign(document, _ES256), chain, software, device) if chain else None


class _Digest:
    """Hash of a slice, together with its GOP's first one; worked out once, when it is asked for."""

    __slots__ = ("_anchor", "_unit", "_value")

    def __init__(self, unit: Unit, anchor: _Digest | None) -> None:
        self._unit: Unit | None = unit
        self._anchor = anchor
        self._value = _NOTHING

    def value(self) -> bytes:
        if self._unit is not None:
            own = hashlib.sha256(self._unit).digest()
            self._value = hashlib.sha256(self._anchor.value() + own).digest() if self._anchor else own
            self._unit = self._anchor = None  # pictures do not stay in memory for their hash
        return self._value


@dataclass(slots=True)
class _Gop:
    number: int
    from_ns: int
    begins: int
    linked: _Digest | None
    digests: list[_Digest] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seal:
    """An SEI that is to stand here."""

    _signer: MediaSigner
    _gop: _Gop
    _ends: int
    _cut: bool

    def unit(self) -> bytes:
        """Hash and sign what it covers."""
        gop = self._gop
        values = [digest.value() for digest in gop.digests]
        linked = gop.linked.value() if gop.linked else _NOTHING
        return self._signer.unit(Signed(gop.number, self._cut, gop.begins, self._ends, values, linked))


class PartSigning:
    """Notes what each signature of one part covers. `utc_ms` tells the UTC claim of a boot time."""

    def __init__(self, signer: MediaSigner, utc_ms: Callable[[int], int]) -> None:
        self._signer = signer
        self._utc_ms = utc_ms
        self._number = 0
        self._anchor: _Digest | None = None  # the first slice of the last key frame
        self._linked: _Digest | None = None  # the first of what was signed before
        self._gop: _Gop | None = None
        self._waiting: Seal | None = None

    def picture(self, data: mp4.Pieces, ns: int, *, key: bool) -> Seal | None:
        """Take the next picture; what is to stand before its first slice.

        That is the signature of the GOP before the picture before it: in a segment that is looked at alone, none
        comes before the first GOP that is there.
        """
        slices = [unit for unit in data[1::2] if _is_slice(unit)]
        if not slices:
            return None
        seal, self._waiting = self._waiting, None
        if self._gop and (key or len(self._gop.digests) >= UNITS_LIMIT):
            self._waiting = self._end(self._gop, ns, cut=not key)
        if key:
            self._anchor = None
        if self._gop is None:
            self._number += 1
            begins = signature_sei.time_of(self._utc_ms(ns))
            self._gop = _Gop(self._number, ns, begins, self._linked)
        for unit in slices:
            digest = _Digest(unit, self._anchor)
            self._anchor = self._anchor or digest
            self._gop.digests.append(digest)
        return seal

    def close(self, ns: int) -> tuple[Seal, ...]:
        """What is to stand behind the newest picture, which ends at `ns`, so that everything so far is signed."""
        waiting, self._waiting = self._waiting, None
        last = self._end(self._gop, ns, cut=True) if self._gop else None
        return tuple(seal for seal in (waiting, last) if seal)

    def _end(self, gop: _Gop, ns: int, *, cut: bool) -> Seal:
        self._gop, self._linked = None, gop.digests[0]
        return Seal(self._signer, gop, gop.begins + (ns - gop.from_ns) // 100, cut)


def sealed(data: mp4.Pieces, before: Seal | None, behind: Iterable[Seal]) -> mp4.Pieces:
    """A picture's units with the SEIs that belong to it, made now."""
    pieces = list(data)
    if before is not None:
        first = next(at for at in range(1, len(pieces), 2) if _is_slice(pieces[at])) - 1
        pieces[first:first] = _stored(before)
    for seal in behind:
        pieces += _stored(seal)
    return tuple(pieces)


def _is_slice(unit: Unit) -> bool:
    return unit[0] & mp4.NAL_TYPE in (mp4.SLICE, mp4.IDR)


def _stored(seal: Seal) -> tuple[bytes, bytes]:
    unit = seal.unit()
    return len(unit).to_bytes(4, "big"), unit
