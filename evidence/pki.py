"""Certificates: who may be what, who may sign what, and how a chain is checked. No IO.

Every certificate has one role, told by its common name `<role>/<ID>` and by the profile in `evidence.certificate`,
from which it may differ in nothing. Each role is issued by exactly one other, so the shape of every chain is known:

    session -> evidence -> issuing -> root        what a camera signs
    camera | dock | office | signer -> issuing -> root

An evidence key certifies one session key at each boot, so it is a small CA. Its extended key usage is document signing
only, which TLS libraries take as "no TLS identity below this": a stolen evidence key opens no link.

The walk is our own because dates must be told apart from trust (a camera's clock may stand at 1970, and footage
outlives certificates), which `cryptography.x509.verification` cannot do; the tests hold it against OpenSSL.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from evidence import shape
from evidence.certificate import (
    PROFILES,
    Role,
    agency_of,
    authority_identifier,
    boot_id,
    check_profile,
    hosts_of,
    key_id,
    parse_certificate,
    parse_certificates,
    parse_common_name,
    parse_requests,
    public_key,
    reading,
    role_and_id,
    subject_identifier,
    thumbprint,
    to_pem,
)
from evidence.errors import EvidenceError

__all__ = [
    "Chain",
    "Role",
    "agency_of",
    "boot_id",
    "hosts_of",
    "key_id",
    "make_certificate",
    "make_request",
    "make_root",
    "make_session_certificate",
    "parse_certificate",
    "parse_certificates",
    "parse_common_name",
    "parse_requests",
    "public_key",
    "role_and_id",
    "subject",
    "thumbprint",
    "to_pem",
    "validate_chain",
]


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that holds, leaf first, and the time in which every certificate of it is valid (bounds included)."""

    certificates: tuple[x509.Certificate, ...]
    role: Role
    id: str
    not_before: datetime
    not_after: datetime

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that was asked about."""
        return self.certificates[0]

    @property
    def root(self) -> x509.Certificate:
        """The trusted root it ends at."""
        return self.certificates[-1]

    def covers(self, utc: str) -> bool:
        """Whether every certificate of it was valid at a time as records write it."""
        return self.not_before <= datetime.fromisoformat(utc) <= self.not_after


# --- making -----------------------------------------------------------------------------------------------------------


def subject(role: Role, name: str, agency: str | None = None) -> x509.Name:
    """Name a certificate, or without `agency` a request. Raises `EvidenceError` for a bad id or agency name."""
    common_name = f"{role}/{name}"
    parse_common_name(common_name)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if agency is not None:
        if not agency.strip() or len(agency) > 64:  # noqa: PLR2004 - the upper bound of X.520
            raise EvidenceError("certificate-name", "an agency's name has 1 to 64 characters")
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, agency))
    return x509.Name(attributes)


def make_request(
    role: Role, name: str, key: ec.EllipticCurvePrivateKey, hosts: Iterable[str] = ()
) -> x509.CertificateSigningRequest:
    """Ask for a certificate; the signature proves that `key` is at hand."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(role, name))
    if names := _general_names(hosts):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


def make_root(
    key: ec.EllipticCurvePrivateKey, name: str, agency: str, not_before: datetime, not_after: datetime
) -> x509.Certificate:
    """Make a root that certifies its own key."""
    return _make(Role.ROOT, subject(Role.ROOT, name, agency), key.public_key(), None, key, (not_before, not_after))


def make_certificate(
    role: Role,
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    not_before: datetime,
    not_after: datetime,
    hosts: Iterable[str] = (),
) -> x509.Certificate:
    """Make a certificate of `role` by `issuer`, of its agency and ending no later than it.

    `hosts` are DNS names and addresses for programs that check them (browsers); ours go by role and id.
    """
    window = (not_before, min(not_after, issuer.not_valid_after_utc))
    return _make(role, subject(role, name, agency_of(issuer)), key, issuer, issuer_key, window, hosts=hosts)


def make_session_certificate(
    evidence: x509.Certificate,
    evidence_key: ec.EllipticCurvePrivateKey,
    session_key: ec.EllipticCurvePublicKey,
    boot: str,
    *,
    deterministic: bool = False,
) -> x509.Certificate:
    """Certify the key of one boot. The serial number is the boot id; the dates are the evidence certificate's.

    `boot`: 32 hex digits, not all zero: a 128-bit number always fits the 159 bits of a serial number.
    `evidence_key` may be any implementation of the interface, a token's too; only its `sign` is called.
    `deterministic` (test vectors): sign by RFC 6979.
    """
    role, device = role_and_id(evidence)
    if role is not Role.EVIDENCE:
        raise EvidenceError("certificate-role", f"{role}/{device} cannot certify a session; use the evidence key")
    if not shape.BOOT(boot) or int(boot, 16) == 0:
        raise EvidenceError("certificate-profile", "a boot id is 32 hex digits, not all zero")
    window = (evidence.not_valid_before_utc, evidence.not_valid_after_utc)
    name = subject(Role.SESSION, device, agency_of(evidence))
    serial = int(boot, 16)
    return _make(Role.SESSION, name, session_key, evidence, evidence_key, window, serial=serial, rfc6979=deterministic)


def _make(
    role: Role,
    name: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    window: tuple[datetime, datetime],
    *,
    serial: int | None = None,
    hosts: Iterable[str] = (),
    rfc6979: bool = False,
) -> x509.Certificate:
    profile = PROFILES[role]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(window[0])
        .not_valid_after(window[1])
        .add_extension(profile.constraints, critical=True)
        .add_extension(profile.key_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    if profile.extended:
        order = sorted(profile.extended, key=lambda oid: oid.dotted_string)
        builder = builder.add_extension(x509.ExtendedKeyUsage(order), critical=profile.stamps)
    if issuer:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        builder = builder.add_extension(authority, critical=False)
    if names := _general_names(hosts):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=rfc6979 or None)


def _general_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    return [_general_name(host) for host in hosts]


def _general_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    with reading(f"host name {host!r}"):
        return x509.DNSName(host)


# --- checking ---------------------------------------------------------------------------------------------------------


def validate_chain(
    leaf: x509.Certificate,
    untrusted: Iterable[x509.Certificate],
    roots: Iterable[x509.Certificate],
    *,
    role: Role,
    at: datetime | None,
) -> Chain:
    """Find the chain from `leaf`, which must have `role`, through any of `untrusted` to one of `roots`.

    With `at` every certificate of the chain must be valid then. Without, dates are reported and not judged.
    Raises `EvidenceError`: certificate-form, certificate-name, certificate-role, certificate-profile,
    chain-untrusted, chain-dates.
    """
    found, name = role_and_id(leaf)
    if found is not role:
        raise EvidenceError("certificate-role", f"the certificate is of {found}/{name}, expected role {role}")
    certificates = _Walk(untrusted, roots, at).up(leaf)
    return Chain(
        certificates,
        role,
        name,
        max(certificate.not_valid_before_utc for certificate in certificates),
        min(certificate.not_valid_after_utc for certificate in certificates),
    )


class _Walk:
    """One search for a chain."""

    def __init__(
        self, untrusted: Iterable[x509.Certificate], roots: Iterable[x509.Certificate], at: datetime | None
    ) -> None:
        self._roots = list(roots)
        self._at = at
        # Of two certificates for one key, the one that is valid longer is tried first.
        issuers = [certificate for certificate in untrusted if _may_issue(certificate)]
        self._issuers = sorted(issuers, key=lambda certificate: certificate.not_valid_after_utc, reverse=True)
        self._budget = _SIGNATURE_CHECKS

    def up(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """Return `certificate` and what stands above it. Ends, since each step goes to another role of the table."""
        role, name = role_and_id(certificate)
        with reading(f"certificate of {role}/{name}"):
            check_profile(certificate, role)
            self._check_dates(certificate)
        if role is Role.ROOT:
            self._check_trusted(certificate)
            return (certificate,)
        failure = EvidenceError("chain-untrusted", f"no certificate at hand has issued that of {role}/{name}")
        for candidate in self._roots if PROFILES[role].issuer is Role.ROOT else self._issuers:
            try:
                if self._issued(candidate, certificate):
                    return (certificate, *self.up(candidate))
            except EvidenceError as error:
                failure = error
        raise failure

    def _check_dates(self, certificate: x509.Certificate) -> None:
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if self._at and not first <= self._at <= last:
            role, name = role_and_id(certificate)
            raise EvidenceError(
                "chain-dates", f"the certificate of {role}/{name} is valid from {first} to {last}, not at {self._at}"
            )

    def _check_trusted(self, root: x509.Certificate) -> None:
        if root not in self._roots:
            raise EvidenceError("chain-untrusted", f"the root {role_and_id(root)[1]} is not one of the trusted roots")

    def _issued(self, candidate: x509.Certificate, certificate: x509.Certificate) -> bool:
        """Tell whether `candidate` issued `certificate`: by role, name, key identifier and signature."""
        role, device = role_and_id(certificate)
        issuer_role, issuer_device = role_and_id(candidate)
        if issuer_role is not PROFILES[role].issuer:
            return False
        with reading(f"certificate of {role}/{device}"):
            if candidate.subject != certificate.issuer:
                return False
            if authority_identifier(certificate) not in (None, subject_identifier(candidate)):
                return False
            self._spend()
            try:
                certificate.verify_directly_issued_by(candidate)
            except InvalidSignature:
                return False
        if role is Role.SESSION and device != issuer_device:
            raise EvidenceError("certificate-role", f"{issuer_role}/{issuer_device} may not certify {role}/{device}")
        return True

    def _spend(self) -> None:
        if not self._budget:
            raise EvidenceError("chain-untrusted", "too many certificates of one name; leave only those needed")
        self._budget -= 1


_SIGNATURE_CHECKS = 256  # in one search: a hostile bundle costs 20 ms at most


def _may_issue(certificate: x509.Certificate) -> bool:
    with contextlib.suppress(EvidenceError), reading("certificate"):
        role, _ = role_and_id(certificate)
        return certificate.not_valid_after_utc is not None and role in {Role.ISSUING, Role.EVIDENCE}
    return False
