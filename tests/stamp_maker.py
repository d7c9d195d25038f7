"""An RFC 3161 authority for tests, written from the RFC: at any time, the same bytes each time. OpenSSL accepts it."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_SHA256 = "2.16.840.1.101.3.4.2.1"
_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_TST_INFO = "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"
_POLICY = "1.2.3.4.1"


def stamp(
    data: bytes, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, at: datetime, error_ms: int = 1_500
) -> bytes:
    """The response of an authority, which carries its certificate alone."""
    imprint = _seq(_seq(_oid(_SHA256)), _der(0x04, hashlib.sha256(data).digest()))
    told = at.strftime("%Y%m%d%H%M%SZ").encode()
    seconds, rest = divmod(error_ms, 1000)
    accuracy = _seq(_int(seconds), *([_int(rest, 0x80)] if rest else []))
    info = _seq(_int(1), _oid(_POLICY), imprint, _int(7), _der(0x18, told), accuracy)
    certified = certificate.public_bytes(serialization.Encoding.DER)
    named = _seq(_seq(_seq(_der(0x04, hashlib.sha256(certified).digest()))))
    attributes = b"".join(
        sorted(
            (
                _attribute(_CONTENT_TYPE, _oid(_TST_INFO)),
                _attribute(_MESSAGE_DIGEST, _der(0x04, hashlib.sha256(info).digest())),
                _attribute(_SIGNING_CERTIFICATE, named),
            )
        )
    )
    signature = key.sign(_der(0x31, attributes), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    signer = _seq(
        _int(1),
        _seq(certificate.issuer.public_bytes(), _int(certificate.serial_number)),
        _seq(_oid(_SHA256)),
        _der(0xA0, attributes),
        _seq(_oid(_ECDSA_WITH_SHA256)),
        _der(0x04, signature),
    )
    content = _seq(_oid(_TST_INFO), _der(0xA0, _der(0x04, info)))
    signed = _seq(_int(3), _der(0x31, _seq(_oid(_SHA256))), content, _der(0xA0, certified), _der(0x31, signer))
    return _seq(_seq(_int(0)), _seq(_oid(_SIGNED_DATA), _der(0xA0, signed)))


def _attribute(name: str, value: bytes) -> bytes:
    return _seq(_oid(name), _der(0x31, value))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _seq(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _int(value: int, tag: int = 0x02) -> bytes:
    return _der(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    content = bytes([40 * first + second])
    for arc in rest:
        groups = [arc >> shift & 0x7F for shift in range(0, max(arc.bit_length(), 1), 7)][::-1]
        content += bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])
    return _der(0x06, content)
