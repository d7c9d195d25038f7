"""Which link certificates were taken back, as programs must know before they speak: lists in use, verified. No IO.

`evidence.revocation` judges what was signed once; this is about who is at the other end now. No date counts here: a key
that was taken back opens no link, whatever the reason, and whatever a camera's clock says.

Lists travel with the certificates of those who signed them, in one PEM text, so that whoever holds the agency's roots
can check them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from evidence import pki, revocation
from evidence.certificate import authority_identifier, reading, subject_identifier
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revocation import Entry, RevocationList

BUNDLE_LIMIT = 1 << 20  # bytes: 10,000 entries

_Issuer = tuple[bytes, bytes]  # name and key identifier, as what it issued tells them


@dataclass(frozen=True, slots=True)
class Revoked:
    """The issuers of an agency and the latest list of each. A value: `taking` makes another one."""

    roots: Sequence[x509.Certificate]
    _issuing: Mapping[_Issuer, x509.Certificate] = field(default_factory=dict)
    _lists: Mapping[_Issuer, RevocationList] = field(default_factory=dict)

    def taking(self, bundle: bytes) -> Revoked:
        """With what is newer in a PEM text of issuers and lists.

        An older list than the one known changes nothing: nobody takes a revocation back by playing the list before it.
        Raises `EvidenceError`: revocation-form; chain-untrusted for what nobody of the agency signed.
        """
        issuing = dict(self._issuing)
        if b"-----BEGIN CERTIFICATE-----" in bundle:
            for one in pki.parse_certificates(bundle):
                if one not in self.roots:
                    pki.validate_chain(one, (), self.roots, role=Role.ISSUING, at=None)
                    issuing[_name(one)] = one
        lists = dict(self._lists)
        for one_list in revocation.parse_lists(bundle) if b"-----BEGIN X509 CRL-----" in bundle else ():
            signer = next((issuer for issuer in (*self.roots, *issuing.values()) if one_list.is_by(issuer)), None)
            if signer is None:
                raise EvidenceError("chain-untrusted", "a revocation list was signed by nobody of this agency")
            former = lists.get(_name(signer))
            if former is None or former.age < one_list.age:
                lists[_name(signer)] = one_list
        return replace(self, _issuing=issuing, _lists=lists)

    def entry(self, certificate: x509.Certificate) -> Entry | None:
        """How a certificate, or the one above it, was taken back; None: it was not, as far as lists are at hand.

        Raises `EvidenceError` (certificate-form).
        """
        with reading("certificate"):
            issuer = (certificate.issuer.public_bytes(), authority_identifier(certificate) or b"")
        found = self._lists.get(issuer)
        if found is not None and (entry := found.entries.get(certificate.serial_number)) is not None:
            return entry
        above = self._issuing.get(issuer)
        return None if above is None else self.entry(above)

    def lists_for(self, issuer: x509.Certificate) -> bytes:
        """For programs that check leaves only: PEM of the list by `issuer`, which they then ask for; else empty."""
        found = self._lists.get(_name(issuer))
        return b"" if found is None else found.crl.public_bytes(serialization.Encoding.PEM)

    @property
    def bundle(self) -> bytes:
        """All of it as `taking` takes it; empty if there is no list. The same lists give the same bytes."""
        if not self._lists:
            return b""
        lists = [self._lists[name].crl.public_bytes(serialization.Encoding.PEM) for name in sorted(self._lists)]
        return bundle_of([self._issuing[name] for name in sorted(self._issuing)], lists)


def bundle_of(issuers: Iterable[x509.Certificate], lists: Iterable[bytes]) -> bytes:
    """Put issuers and lists (PEM) into one text for `Revoked.taking`."""
    return pki.to_pem(*issuers) + b"".join(lists)


def _name(issuer: x509.Certificate) -> _Issuer:
    return issuer.subject.public_bytes(), subject_identifier(issuer) or b""
