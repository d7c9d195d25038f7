"""Reads ONVIF Media Signing back: what the signatures inside the video say of its pictures (specification §10). Pure.

It stands beside the verdict from the records, never in its place: sound, times and gaps are covered by records alone.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import boxes, mp4, pki, signature_sei
from evidence.errors import EvidenceError
from evidence.signature_sei import Sei

ABSENT, VALID, INCOMPLETE, MISSING, INVALID = VERDICTS = ("absent", "valid", "incomplete", "missing", "invalid")
"""No signature · all pictures signed · signed up to the last signature · some were taken out · not what was signed."""

_FIRST = 0x80  # of the byte behind a slice's type: its first macroblock is the picture's

KeyOf = Callable[[bytes], ec.EllipticCurvePublicKey]
"""The key that signed, of the certificates in the stream (PEM). Raises `EvidenceError` if they are not trusted."""


@dataclass(frozen=True, slots=True)
class MediaSigning:
    """What the signatures in a stream say. `pictures` are covered by one, `unsigned` follow the last one."""

    verdict: str
    signatures: int
    pictures: int
    unsigned: int
    message: str

    def to_json(self) -> dict[str, Any]:
        """As in the verifier's JSON output."""
        return {
            "verdict": self.verdict,
            "signatures": self.signatures,
            "pictures": self.pictures,
            "unsigned": self.unsigned,
            "message": self.message,
        }


def check(units: Iterable[bytes | memoryview], key_of: KeyOf) -> MediaSigning:
    """Judge the units of a stream in order: a segment's, or those of a part's segments one after another."""
    stream = _Stream(key_of)
    for unit in units:
        stream.unit(unit)
    return stream.result()


def units(data: bytes | memoryview) -> Iterable[memoryview]:
    """The units of the pictures of a segment, or of joined segments. Raises `EvidenceError`."""
    for fragment in boxes.fragments(data):
        for run in fragment.runs:
            if run.track == mp4.VIDEO_TRACK:
                for start, size, _ in run.samples:
                    yield from boxes.units(data, start, size)


def chain_is(chain: pki.Chain | None) -> KeyOf:
    """Trust the certificates of one boot, which its opening record holds, and no other. None: it has none."""

    def key_of(certificates: bytes) -> ec.EllipticCurvePublicKey:
        if chain is None or certificates != pki.to_pem(*chain.certificates[:-1]):
            raise EvidenceError("foreign", "the certificates in the video are not those of the boot that recorded it")
        return pki.public_key(chain.leaf)

    return key_of


def chain_to(roots: Sequence[x509.Certificate]) -> KeyOf:
    """Trust any camera's session under given roots: for a film whose journal is not at hand."""

    def key_of(certificates: bytes) -> ec.EllipticCurvePublicKey:
        leaf, *above = pki.parse_certificates(certificates)
        return pki.public_key(pki.validate_chain(leaf, above, roots, role=pki.Role.SESSION, at=None).leaf)

    return key_of


@dataclass(frozen=True, slots=True)
class _Slice:
    digest: bytes | None  # None: it depends on a key frame from before the stream
    opens_picture: bool


class _Stream:
    """Holds the slices that no signature has covered yet, and takes them out as signatures come.

    A signature costs what it covers, not what waits: a stream may repeat one over millions of slices.
    """

    def __init__(self, key_of: KeyOf) -> None:
        self._key_of = key_of
        self._key: ec.EllipticCurvePublicKey | None = None
        self._certificates: bytes | None = None
        self._anchor: bytes | None = None
        self._pending: deque[_Slice] = deque()
        self._taken = 0  # slices that are no longer pending
        self._gops: deque[int] = deque()  # which slices of the stream open a GOP, if they are not taken
        self._last: Sei | None = None
        self._signatures = 0
        self._pictures = 0
        self._verdict, self._message = ABSENT, ""

    def unit(self, unit: bytes | memoryview) -> None:
        kind = unit[0] & mp4.NAL_TYPE
        if kind in (mp4.SLICE, mp4.IDR):
            self._slice(unit, kind == mp4.IDR)
        elif kind == signature_sei.SEI:
            try:
                sei = signature_sei.parse(bytes(unit))
                if sei is not None:
                    self._sei(sei)
            except EvidenceError as error:
                self._say(INVALID, error.message)

    def result(self) -> MediaSigning:
        unsigned = sum(entry.opens_picture for entry in self._pending)
        if self._verdict == ABSENT:
            self._message = "no signature stands in the video"
        elif unsigned:
            self._say(INCOMPLETE, f"the last {unsigned} pictures follow the last signature")
        message = self._message or "every picture is as signed"
        return MediaSigning(self._verdict, self._signatures, self._pictures, unsigned, message)

    def _say(self, verdict: str, message: str) -> None:
        """The worst verdict counts, with the first message of it."""
        if VERDICTS.index(verdict) > VERDICTS.index(self._verdict):
            self._verdict, self._message = verdict, message

    def _slice(self, unit: bytes | memoryview, idr: bool) -> None:
        opens_picture = len(unit) > 1 and bool(unit[1] & _FIRST)
        opens_gop = idr and opens_picture
        digest = hashlib.sha256(unit).digest()
        if opens_gop:
            self._anchor = digest
            self._gops.append(self._taken + len(self._pending))
        bound = digest if opens_gop else hashlib.sha256(self._anchor + digest).digest() if self._anchor else None
        self._pending.append(_Slice(bound, opens_picture))

    def _sei(self, sei: Sei) -> None:
        number, before = sei.signed.number, self._last
        self._check_signature(sei)
        self._say(VALID, "")
        self._signatures += 1
        covered = self._covered(sei)
        if covered is None and before is None:
            return  # the stream begins with the key frame of the next GOP
        self._last = sei
        if covered is None:
            raise EvidenceError("media-signing", f"the key frame behind GOP {number} is not where it was signed")
        taken = self._take(covered)
        pictures = sum(entry.opens_picture for entry in taken)
        if before is not None and number != before.signed.number + 1:
            raise EvidenceError("media-signing", f"the signature of GOP {number} follows GOP {before.signed.number}'s")
        if before is not None and sei.signed.linked != before.signed.hashes[0]:
            raise EvidenceError("media-signing", f"what stands before GOP {number} is not what stood there")
        there = [entry.digest for entry in taken if entry.digest]
        if len(there) < len(taken):
            self._say(INCOMPLETE, f"{pictures} pictures stand before the first key frame")
        else:
            self._pictures += pictures
            self._compare(number, there, sei.signed.hashes)

    def _check_signature(self, sei: Sei) -> None:
        if self._key is None:
            self._key, self._certificates = self._key_of(sei.certificates), sei.certificates
        if sei.certificates != self._certificates:
            raise EvidenceError(
                "media-signing", f"GOP {sei.signed.number} is signed by another boot than what precedes"
            )
        try:
            self._key.verify(sei.signature, sei.document, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            message = f"the signature of GOP {sei.signed.number} does not match it"
            raise EvidenceError("media-signing", message) from error

    def _covered(self, sei: Sei) -> int | None:
        """How many of the slices that wait it is about. A GOP that a key frame ended reaches to that one."""
        if sei.signed.cut:
            return min(len(sei.signed.hashes), len(self._pending))
        starts = (start - self._taken for start in itertools.islice(self._gops, 2))  # the first may be its own
        return next((start for start in starts if start > 0), None)

    def _take(self, count: int) -> list[_Slice]:
        taken = [self._pending.popleft() for _ in range(count)]
        self._taken += count
        while self._gops and self._gops[0] < self._taken:
            self._gops.popleft()
        return taken

    def _compare(self, number: int, there: Sequence[bytes], signed: Sequence[bytes]) -> None:
        if there == signed:
            return
        rest = iter(signed)
        if not all(digest in rest for digest in there):  # each behind the one before
            raise EvidenceError("media-signing", f"GOP {number} holds pictures that are not those that were signed")
        self._say(MISSING, f"{len(signed) - len(there)} slices of GOP {number} were taken out")
