"""Revocation lists (X.509 CRL, RFC 5280): which certificates their issuer has taken back, since when and why. No IO.

A list is believed for what its own issuer signed, wherever it lay, and only while that issuer stands in a chain that
holds. A list never expires here: an old one says less, and its date is told. Footage outlives certificates, so a list
keeps its entries for good.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import SignatureAlgorithmOID

from evidence import pki
from evidence.certificate import extension_of, pem_blocks, reading
from evidence.errors import EvidenceError
from evidence.pki import Chain, Role

REASONS: Mapping[str, x509.ReasonFlags] = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "superseded": x509.ReasonFlags.superseded,
    "cessation": x509.ReasonFlags.cessation_of_operation,
}
"""Why a certificate is taken back, by the words of `bodycam provision revoke`."""

_HARMLESS = (
    x509.ReasonFlags.superseded,
    x509.ReasonFlags.cessation_of_operation,
    x509.ReasonFlags.affiliation_changed,
)
_ISSUERS = (Role.ROOT, Role.ISSUING)


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate that was taken back at `at`; `invalid_from`: since when its key may be in other hands."""

    serial: int
    at: datetime
    reason: x509.ReasonFlags
    invalid_from: datetime | None

    @property
    def since(self) -> datetime:
        """From when on nothing is believed that its key signed."""
        return self.at if self.invalid_from is None else min(self.at, self.invalid_from)

    @property
    def stolen(self) -> bool:
        """Whether somebody else may have the key, who can sign any date."""
        return self.reason not in _HARMLESS


@dataclass(frozen=True, slots=True)
class RevocationList:
    """One list, its form checked, its signature not yet: that takes its issuer."""

    crl: x509.CertificateRevocationList
    entries: Mapping[int, Entry]
    number: int | None
    as_of: datetime

    @property
    def age(self) -> tuple[datetime, int]:
        """What orders the lists of one issuer: dates are whole seconds, and a number grows with each list."""
        return self.as_of, self.number or 0

    def is_by(self, issuer: x509.Certificate) -> bool:
        """Tell whether `issuer` signed it."""
        with reading("revocation list"):
            return self.crl.issuer == issuer.subject and self.crl.is_signature_valid(pki.public_key(issuer))


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate of a chain that was taken back: the one with the earliest date."""

    certificate: x509.Certificate
    entry: Entry

    @property
    def role(self) -> Role:
        """What its holder was."""
        return pki.role_and_id(self.certificate)[0]

    def __str__(self) -> str:
        role, name = pki.role_and_id(self.certificate)
        entry = self.entry
        lost = "" if entry.since == entry.at else f", its key not to be believed since {_utc(entry.since)}"
        return f"{role}/{name} was revoked on {_utc(entry.at)} ({entry.reason.value}){lost}"


@dataclass(slots=True)
class Revocations:
    """All lists at hand. None comes once something has been asked: the answers are kept."""

    lists: list[RevocationList] = field(default_factory=list)
    _latest: dict[bytes, RevocationList | None] = field(default_factory=dict)  # by issuer

    def of(self, chain: Chain) -> Revocation | None:
        """The earliest of `all_of`."""
        return min(self.all_of(chain), key=lambda one: one.entry.since, default=None)

    def all_of(self, chain: Chain) -> list[Revocation]:
        """What in a chain that holds was taken back, as far as lists are at hand; the leaf first."""
        found = []
        for certificate, issuer in itertools.pairwise(chain.certificates):
            latest = self._latest_by(issuer)
            entry = latest.entries.get(certificate.serial_number) if latest else None
            if entry is not None:
                found.append(Revocation(certificate, entry))
        return found

    def narrowed(self, chain: Chain) -> Chain:
        """The chain, valid no longer than until its revocation. For what says its own time: documents and stamps.

        Raises `EvidenceError` ("certificate-revoked") if a key may be in other hands: they can write any time.
        """
        for revoked in self.all_of(chain):  # each: the earliest may be of a key that nobody else has
            if revoked.entry.stolen:
                raise EvidenceError("certificate-revoked", f"{revoked}: whoever has its key can tell any time")
            chain = replace(chain, not_after=min(chain.not_after, revoked.entry.since))
        return chain

    def _latest_by(self, issuer: x509.Certificate) -> RevocationList | None:
        if pki.role_and_id(issuer)[0] not in _ISSUERS:
            return None
        name = issuer.fingerprint(hashes.SHA256())
        if name not in self._latest:
            own = (one for one in self.lists if one.is_by(issuer))
            self._latest[name] = max(own, key=lambda one: one.age, default=None)
        return self._latest[name]


def parse_lists(data: bytes) -> list[RevocationList]:
    """Read all lists of a PEM text, or the one of a DER. Raises `EvidenceError` ("revocation-form")."""
    try:
        with reading("revocation list"):
            if b"-----BEGIN" in data:
                found = [_read(x509.load_pem_x509_crl(pem)) for pem in pem_blocks(data, b"X509 CRL")]
            else:
                found = [_read(x509.load_der_x509_crl(data))]
    except EvidenceError as error:
        raise EvidenceError("revocation-form", error.message) from error
    if not found:
        raise EvidenceError("revocation-form", "there is no revocation list in it")
    return found


def _read(crl: x509.CertificateRevocationList) -> RevocationList:
    entries: dict[int, Entry] = {}
    if crl.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise EvidenceError("revocation-form", "a revocation list is signed by ECDSA with SHA-256")
    for revoked in crl:
        entry = _entry(revoked)
        known = entries.get(entry.serial)
        if known is None or entry.since < known.since:
            entries[entry.serial] = entry
    _refuse_critical(crl.extensions)
    number = extension_of(crl.extensions, x509.CRLNumber)
    _ = crl.issuer  # read now what cannot be read at all
    return RevocationList(crl, entries, number.crl_number if number else None, crl.last_update_utc)


def _entry(revoked: x509.RevokedCertificate) -> Entry:
    _refuse_critical(revoked.extensions)
    reason, lost = (
        extension_of(revoked.extensions, x509.CRLReason),
        extension_of(revoked.extensions, x509.InvalidityDate),
    )
    return Entry(
        revoked.serial_number,
        revoked.revocation_date_utc,
        reason.reason if reason else x509.ReasonFlags.unspecified,
        lost.invalidity_date_utc if lost else None,
    )


def _refuse_critical(extensions: x509.Extensions) -> None:
    """What must be understood and is not: a list of another issuer's certificates, of a part, or of changes only."""
    if any(extension.critical for extension in extensions):
        raise EvidenceError("revocation-form", "a revocation list with critical extensions is not one of ours")


def make_list(
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    entries: Iterable[Entry],
    number: int,
    now: datetime,
    *,
    deterministic: bool = False,
) -> x509.CertificateRevocationList:
    """Sign the list of everything that `issuer` ever took back.

    Its next update is when the issuer's certificate ends: an offline authority must not stop anybody by being late.
    `deterministic` (test vectors): sign by RFC 6979.
    """
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now)
        .next_update(issuer.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    for entry in entries:
        builder = builder.add_revoked_certificate(_revoked(entry))
    return builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=deterministic or None)


def _revoked(entry: Entry) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.at)
    if entry.reason is not x509.ReasonFlags.unspecified:  # RFC 5280 §5.3.1: then it is left out
        builder = builder.add_extension(x509.CRLReason(entry.reason), critical=False)
    if entry.invalid_from is not None:
        builder = builder.add_extension(x509.InvalidityDate(entry.invalid_from), critical=False)
    return builder.build()


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
