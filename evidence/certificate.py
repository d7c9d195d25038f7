"""One certificate: its role, its name, its profile, and how its bytes are read. No IO."""

from __future__ import annotations

import contextlib
import enum
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, SignatureAlgorithmOID

from evidence import shape
from evidence.errors import EvidenceError

DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336


Certified = x509.Certificate | x509.CertificateSigningRequest


class Role(enum.StrEnum):
    """What the holder of a key may be."""

    ROOT = "root"
    ISSUING = "issuing"
    EVIDENCE = "evidence"
    SESSION = "session"
    CAMERA = "camera"
    DOCK = "dock"
    OFFICE = "office"
    DESK = "desk"
    SIGNER = "signer"
    STAMP = "stamp"


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """What the certificates of one role say, and by which role they are issued."""

    issuer: Role
    path_length: int | None  # None: not a CA
    usages: frozenset[str]
    extended: frozenset[x509.ObjectIdentifier]

    @property
    def stamps(self) -> bool:
        """Whether it is for time stamps: then its extended key usage is critical (RFC 3161 §2.3)."""
        return self.extended == _STAMPS

    @property
    def constraints(self) -> x509.BasicConstraints:
        """Its basic constraints extension."""
        return x509.BasicConstraints(self.path_length is not None, self.path_length)

    @property
    def key_usage(self) -> x509.KeyUsage:
        """Its key usage extension."""
        return x509.KeyUsage(
            **{usage: usage in self.usages for usage in _USAGES}, encipher_only=False, decipher_only=False
        )


_CA = frozenset({"key_cert_sign", "crl_sign"})
_SIGN = frozenset({"digital_signature"})
_DOCUMENTS = frozenset({DOCUMENT_SIGNING})
_STAMPS = frozenset({ExtendedKeyUsageOID.TIME_STAMPING})
_LINK = Profile(
    Role.ISSUING, None, _SIGN, frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH})
)
PROFILES = {
    Role.ROOT: Profile(Role.ROOT, 2, _CA, frozenset()),
    Role.ISSUING: Profile(Role.ROOT, 1, _CA, frozenset()),
    Role.EVIDENCE: Profile(Role.ISSUING, 0, _SIGN | {"key_cert_sign"}, _DOCUMENTS),
    Role.SESSION: Profile(Role.EVIDENCE, None, _SIGN, _DOCUMENTS),
    Role.SIGNER: Profile(Role.ISSUING, None, _SIGN, _DOCUMENTS),
    Role.STAMP: Profile(Role.ISSUING, None, _SIGN, _STAMPS),
    Role.CAMERA: _LINK,
    Role.DOCK: _LINK,
    Role.OFFICE: _LINK,
    # Speaks to the office's broker and is spoken to by nobody: it could not pass for an office.
    Role.DESK: Profile(Role.ISSUING, None, _SIGN, frozenset({ExtendedKeyUsageOID.CLIENT_AUTH})),
}


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever `cryptography` raises on bad bytes, at once or on first use, into the one error."""
    try:
        yield
    except (
        ValueError,
        TypeError,
        OverflowError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise EvidenceError("certificate-form", f"{what} cannot be read ({error}); it is damaged") from error


def parse_certificates(data: bytes) -> list[x509.Certificate]:
    """Read all certificates of a PEM text in their order, or the one of a DER. Raises `EvidenceError`."""
    with reading("certificate"):
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]


def parse_certificate(data: bytes) -> x509.Certificate:
    """Read the only, or the first, certificate of PEM or DER `data`. Raises `EvidenceError`."""
    return parse_certificates(data)[0]


def parse_requests(data: bytes) -> list[x509.CertificateSigningRequest]:
    """Read the PEM requests of one device, each signed by its own key, at least one. Raises `EvidenceError`."""
    found = [_parse_request(pem) for pem in pem_blocks(data, b"CERTIFICATE REQUEST")]
    names = [role_and_id(request) for request in found]
    if not found:
        raise EvidenceError("request-form", "there is no certificate request in it")
    if len({name for _, name in names}) > 1 or len({role for role, _ in names}) < len(names):
        raise EvidenceError("request-form", "the requests are not those of one device, one for each role")
    return found


def pem_blocks(data: bytes, label: bytes) -> Iterator[bytes]:
    """The blocks of a PEM text under one label."""
    # Split at the ends: a pattern from each begin to the next end would read a file of begins over and over.
    begin, end = (b"-----%b %b-----" % (word, label) for word in (b"BEGIN", b"END"))
    for piece in data.split(end)[:-1]:
        _, found, text = piece.rpartition(begin)
        if found:
            yield begin + text + end + b"\n"


def _parse_request(pem: bytes) -> x509.CertificateSigningRequest:
    with reading("request"):
        request = x509.load_pem_x509_csr(pem)
        require_p256(request.public_key())
        if not request.is_signature_valid:
            raise EvidenceError("request-unproven", "the request is not signed by its own key; make it again")
        return request


def to_pem(*certificates: x509.Certificate) -> bytes:
    """Write PEM text, in the order given."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def thumbprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of the DER, 64 hex digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_id(public_key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of the key's SubjectPublicKeyInfo, 64 hex digits: the `kid` of all it signs."""
    spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def public_key(certificate: Certified) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key that `certificate` certifies. Raises `EvidenceError` for any other kind."""
    with reading("certificate's key"):
        return require_p256(certificate.public_key())


def role_and_id(certificate: Certified) -> tuple[Role, str]:
    """Return role and id as the common name tells them; says nothing about trust. Raises `EvidenceError`."""
    with reading("certificate's name"):
        return _name(certificate.subject)


def parse_common_name(text: str) -> tuple[Role, str]:
    """Split `<role>/<ID>`. Raises `EvidenceError`."""
    role, _, name = text.partition("/")
    if role not in list(Role) or not shape.identifier(name):
        raise EvidenceError("certificate-name", f"common name {text!r} is not <role>/<ID>, id of 3 to 32 A-Z 0-9 -")
    return Role(role), name


def agency_of(certificate: x509.Certificate) -> str:
    """Return the agency's name as the certificate tells it, "" if it has none. Raises `EvidenceError`."""
    with reading("certificate's name"):
        return "".join(
            str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        )


def hosts_of(certificate: Certified) -> list[str]:
    """Return the DNS names and addresses it is (to be) valid for. Raises `EvidenceError`."""
    with reading("certificate's host names"):
        found = extension_of(certificate.extensions, x509.SubjectAlternativeName)
        return [] if found is None else [str(name.value) for name in found if isinstance(name, _HOST_NAMES)]


def boot_id(session: x509.Certificate) -> str:
    """Return the boot, 32 hex digits, whose session key this certifies. Raises `EvidenceError`."""
    with reading("certificate's serial number"):
        found = f"{session.serial_number:032x}"
    if not shape.BOOT(found):
        raise EvidenceError("certificate-profile", "a session certificate's serial number is not a boot id")
    return found


def _name(subject: x509.Name) -> tuple[Role, str]:
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1:
        raise EvidenceError("certificate-name", f"a subject has {len(names)} common names instead of one")
    return parse_common_name(str(names[0].value))


def require_p256(key: object) -> ec.EllipticCurvePublicKey:
    """Return `key` if it is a P-256 key. Raises `EvidenceError`."""
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise EvidenceError("certificate-profile", "the key is not a P-256 key")
    return key


def check_profile(certificate: x509.Certificate, role: Role) -> None:
    """Hold `certificate` to the profile of `role`. Raises `EvidenceError` and what `reading` converts."""
    profile = PROFILES[role]
    extensions = certificate.extensions
    require_p256(certificate.public_key())
    rules = {
        "signature algorithm": certificate.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        "basic constraints": extension_of(extensions, x509.BasicConstraints) == profile.constraints,
        "key usage": extension_of(extensions, x509.KeyUsage) == profile.key_usage,
        "extended key usage": frozenset(extension_of(extensions, x509.ExtendedKeyUsage) or ()) == profile.extended,
        "subject key identifier": extension_of(extensions, x509.SubjectKeyIdentifier) is not None,
        "critical extensions": all(item.oid in _KNOWN_CRITICAL for item in extensions if item.critical),
    }
    for name, right in rules.items():
        if not right:
            raise EvidenceError("certificate-profile", f"{name} of a certificate with role {role} is not as laid down")


_KNOWN_CRITICAL = {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE}
_HOST_NAMES = (x509.DNSName, x509.IPAddress)
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def extension_of(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    """Return the extension of that kind, None if there is none."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def subject_identifier(certificate: x509.Certificate) -> bytes | None:
    """Return the identifier of the certified key, if told."""
    found = extension_of(certificate.extensions, x509.SubjectKeyIdentifier)
    return found.digest if found else None


def authority_identifier(certificate: x509.Certificate) -> bytes | None:
    """Return the identifier of the issuer's key, if told."""
    found = extension_of(certificate.extensions, x509.AuthorityKeyIdentifier)
    return found.key_identifier if found else None
