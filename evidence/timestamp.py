"""RFC 3161 time stamps over the office's checkpoints: asked for, read, verified. No IO.

A token proves that the stamped bytes were there when its authority says. By the agency's own authority (role `stamp`)
it is *self-stamped*: worth as much as the agency's word. Dates are judged at the token's time: footage outlives
certificates.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from evidence import pki
from evidence.errors import EvidenceError
from evidence.time_bounds import AUTHORITY, SELF_STAMPED, Bound

TOKEN_LIMIT = 1 << 16  # bytes of a response; one with its authority's chain has a few KiB
_SHA256 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_SECOND_MS = 1_000
_VERIFY_ERROR = re.compile(r"Verify error: ([^\"]+)")


@dataclass(frozen=True, slots=True)
class Query:
    """What an authority is asked: `der` is the request over some bytes, `nonce` must come back."""

    der: bytes
    nonce: int | None


@dataclass(frozen=True, slots=True)
class Stamp:
    """A token that holds. What it stamps was there by `latest_ms`, UTC."""

    latest_ms: int  # its time, to the end of the second, and its accuracy
    authority: str  # the subject of its signer
    own: pki.Chain | None  # of an authority of the agency itself

    @property
    def self_stamped(self) -> bool:
        """Whether it is worth as much as the agency's word."""
        return self.own is not None

    @property
    def bound(self) -> Bound:
        """By when what it stamps was there, and by whose word."""
        return Bound(self.latest_ms, SELF_STAMPED if self.self_stamped else AUTHORITY)


def ask(data: bytes) -> Query:
    """Make the request for a stamp over `data`, which asks for the authority's certificate."""
    request = TimestampRequestBuilder(data, hash_algorithm=HashAlgorithm.SHA256).build()
    return Query(request.as_bytes(), request.nonce)


def read(
    token: bytes,
    data: bytes,
    roots: Sequence[x509.Certificate],
    pool: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate] = (),
    nonce: int | None = None,
) -> Stamp:
    """Verify a response over `data`. Raises `EvidenceError`.

    `roots`: the agency's; `authorities`: roots of other authorities; `pool`: certificates that help to build chains.
    `nonce`: the one that was asked with, if the answer is fresh.
    """
    with _library():
        response = decode_timestamp_response(token)
        _check_answer(response, data, nonce)
        signer = _signer_of(response)
        stamp = Stamp(_latest_ms(response), signer.subject.rfc4514_string(), _own_chain(signer, roots, pool))
        trusted = roots if stamp.self_stamped else authorities
        if not trusted:
            raise EvidenceError("stamp-unknown", f"stamped by {stamp.authority}, whose root is not given")
        _verify(response, data, trusted, pool)
        return stamp


def _check_answer(response: TimeStampResponse, data: bytes, nonce: int | None) -> None:
    if response.status != PKIStatus.GRANTED:
        reasons = "; ".join(response.status_string) or "without a reason"
        raise EvidenceError("stamp-refused", f"the authority answers with status {response.status}, {reasons}")
    imprint = response.tst_info.message_imprint
    if imprint.hash_algorithm != _SHA256:
        raise EvidenceError("stamp-form", "the stamp is over another hash than SHA-256")
    if imprint.message != hashlib.sha256(data).digest():
        raise EvidenceError("stamp-imprint", "the stamp is over other bytes")
    if nonce is not None and response.tst_info.nonce != nonce:
        raise EvidenceError("stamp-form", "the stamp does not answer this request")


def _signer_of(response: TimeStampResponse) -> x509.Certificate:
    """The certificate that the token's signature names, out of the token itself."""
    (signer,) = response.signed_data.signer_infos
    for der in response.signed_data.certificates:
        certificate = x509.load_der_x509_certificate(der)
        if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number):
            return certificate
    raise EvidenceError("stamp-form", "the stamp does not carry its signer's certificate")


def _own_chain(
    signer: x509.Certificate, roots: Sequence[x509.Certificate], pool: Sequence[x509.Certificate]
) -> pki.Chain | None:
    with contextlib.suppress(EvidenceError):
        return pki.validate_chain(signer, pool, roots, role=pki.Role.STAMP, at=None)
    return None


def _latest_ms(response: TimeStampResponse) -> int:
    """The end of the second that the token tells, since fractions are cut off, and its accuracy."""
    told, accuracy = response.tst_info, response.tst_info.accuracy
    error_ms = 0
    if accuracy is not None:
        error_ms = (accuracy.seconds or 0) * _SECOND_MS + (accuracy.millis or 0) + bool(accuracy.micros)
    return int(told.gen_time.timestamp()) * _SECOND_MS + _SECOND_MS - 1 + error_ms


def _verify(
    response: TimeStampResponse,
    data: bytes,
    trusted: Sequence[x509.Certificate],
    pool: Sequence[x509.Certificate],
) -> None:
    # The library trusts whatever it is given that signs itself, so helpers must not.
    helpers = [one for one in pool if one.issuer != one.subject]
    try:
        VerifierBuilder(roots=list(trusted), intermediates=helpers).build().verify_message(response, data)
    except VerificationError as error:
        why = _VERIFY_ERROR.search(str(error))
        told = why[1] if why else _first_line(error)
        raise EvidenceError("stamp-untrusted", f"the stamp does not verify: {told}") from error


@contextlib.contextmanager
def _library() -> Iterator[None]:
    """Turn whatever the library raises on bad bytes into the one error."""
    try:
        yield
    except EvidenceError:
        raise
    except Exception as error:  # a parser in another language: its errors are not of few kinds
        raise EvidenceError(
            "stamp-form", f"this is no answer of a time-stamp authority ({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
