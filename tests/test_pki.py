from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import pki
from evidence.errors import EvidenceError
from evidence.pki import Role
from tests.agency import BOOT, NOW, Agency, Holder, new_key, openssl_verify, rebuild

LEAVES = [Role.CAMERA, Role.DOCK, Role.OFFICE, Role.SIGNER, Role.SESSION, Role.EVIDENCE]
LINKS = {Role.CAMERA, Role.DOCK, Role.OFFICE}


@pytest.fixture(scope="module")
def agency() -> Agency:
    return Agency()


@pytest.fixture(scope="module")
def session(agency: Agency) -> Holder:
    return agency.issue(Role.SESSION, "BWC-0001")


def validate(holder: Holder, agency: Agency, role: Role, **options: Any) -> pki.Chain:
    options = {"at": NOW} | options
    return pki.validate_chain(holder.certificate, holder.above, [agency.root.certificate], role=role, **options)


def refused(code: str, *arguments: Any, **options: Any) -> str:
    with pytest.raises(EvidenceError) as caught:
        pki.validate_chain(*arguments, **options)
    assert caught.value.code == code
    return caught.value.message


@pytest.mark.parametrize("role", LEAVES)
def test_each_role_has_a_chain_that_openssl_accepts_too(agency: Agency, role: Role, tmp_path: Path) -> None:
    holder = agency.issue(role, "DEV-1")
    chain = validate(holder, agency, role)
    assert (chain.role, chain.id) == (role, "DEV-1")
    assert chain.certificates == (holder.certificate, *holder.above, agency.root.certificate)
    root = agency.root.certificate
    at = ("-attime", str(int(NOW.timestamp())))
    accepted, said = openssl_verify(tmp_path, holder.certificate, holder.above, root, *at)
    assert accepted, said
    for purpose in ("sslclient", "sslserver"):
        accepted, said = openssl_verify(tmp_path, holder.certificate, holder.above, root, *at, "-purpose", purpose)
        assert accepted == (role in LINKS), said


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_stolen_evidence_key_makes_no_tls_identity(agency: Agency, purpose: str, tmp_path: Path) -> None:
    evidence = agency.issue(Role.EVIDENCE, "BWC-0001")
    link = agency.issue(Role.DOCK, "DOCK-1")
    forged = rebuild(
        link.certificate,
        evidence.key,
        x509.AuthorityKeyIdentifier.from_issuer_public_key(evidence.key.public_key()),
        issuer_name=evidence.certificate.subject,
    )
    at = ("-attime", str(int(NOW.timestamp())))
    above, root = [evidence.certificate, *evidence.above], agency.root.certificate
    # Without a purpose OpenSSL finds nothing wrong with the chain: it is the purpose that stops it.
    assert openssl_verify(tmp_path, forged, above, root, *at)[0]
    accepted, said = openssl_verify(tmp_path, forged, above, root, *at, "-purpose", purpose)
    assert not accepted
    assert "purpose" in said
    refused("chain-untrusted", forged, above, [root], role=Role.DOCK, at=NOW)


def test_dates_are_reported_when_no_time_is_given(agency: Agency, session: Holder) -> None:
    chain = validate(session, agency, Role.SESSION, at=None)
    assert (chain.not_before, chain.not_after) == (agency.first, agency.last)
    for at in (agency.first - timedelta(seconds=1), agency.last + timedelta(seconds=1)):
        arguments = (session.certificate, session.above, [agency.root.certificate])
        assert "valid from" in refused("chain-dates", *arguments, role=Role.SESSION, at=at)


def test_of_two_issuing_certificates_for_one_key_the_valid_one_is_found(agency: Agency) -> None:
    dock = agency.issue(Role.DOCK, "DOCK-1")
    issuing = agency.issuing.certificate
    expired = rebuild(issuing, agency.root.key, not_valid_after=NOW - timedelta(minutes=1))
    later = rebuild(
        issuing, agency.root.key, not_valid_before=NOW + timedelta(days=1), not_valid_after=NOW + timedelta(days=900)
    )
    for bundle in ([expired, later, issuing], [issuing, later, expired]):
        chain = pki.validate_chain(dock.certificate, bundle, [agency.root.certificate], role=Role.DOCK, at=NOW)
        assert chain.certificates[1] == issuing
        undated = pki.validate_chain(dock.certificate, bundle, [agency.root.certificate], role=Role.DOCK, at=None)
        assert undated.certificates[1] == later


def test_session_serial_number_is_the_boot(session: Holder, agency: Agency) -> None:
    assert pki.boot_id(session.certificate) == BOOT
    evidence = agency.issue(Role.EVIDENCE, "BWC-0001")
    for boot in ("f" * 32, "0" * 31 + "1"):
        made = pki.make_session_certificate(evidence.certificate, evidence.key, new_key().public_key(), boot)
        assert pki.boot_id(pki.parse_certificate(pki.to_pem(made))) == boot
    for boot in ("0" * 32, "F" * 32, "f" * 31, ""):
        with pytest.raises(EvidenceError, match="boot id"):
            pki.make_session_certificate(evidence.certificate, evidence.key, new_key().public_key(), boot)


@pytest.mark.parametrize("role", [Role.EVIDENCE, Role.SESSION, Role.SIGNER])
def test_signing_keys_are_for_documents_only(agency: Agency, role: Role) -> None:
    usage = agency.issue(role, "DEV-1").certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [oid.dotted_string for oid in usage] == ["1.3.6.1.5.5.7.3.36"]


def test_only_an_evidence_key_certifies_sessions(agency: Agency) -> None:
    dock = agency.issue(Role.DOCK, "DOCK-1")
    with pytest.raises(EvidenceError, match="cannot certify a session"):
        pki.make_session_certificate(dock.certificate, dock.key, new_key().public_key(), BOOT)


class TokenKey(ec.EllipticCurvePrivateKey):
    """A key like that of a token: it signs, and nothing else of it comes out."""

    def __init__(self) -> None:
        self._key = new_key()

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self._key.sign(data, signature_algorithm)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def exchange(self, *_: Any) -> bytes:
        raise AssertionError

    def private_numbers(self) -> Any:
        raise AssertionError

    def private_bytes(self, *_: Any) -> bytes:
        raise AssertionError

    def __copy__(self) -> TokenKey:
        raise AssertionError

    def __deepcopy__(self, _: Any) -> TokenKey:
        raise AssertionError


def test_evidence_key_may_live_in_a_token(agency: Agency) -> None:
    token = TokenKey()
    issuing = agency.issuing
    evidence = pki.make_certificate(
        Role.EVIDENCE, "BWC-7", token.public_key(), issuing.certificate, issuing.key, agency.first, agency.last
    )
    made = pki.make_session_certificate(evidence, token, new_key().public_key(), BOOT)
    assert validate(Holder(made, new_key(), [evidence, issuing.certificate]), agency, Role.SESSION).id == "BWC-7"


def test_vectors_can_be_made_again_byte_for_byte(agency: Agency) -> None:
    evidence, key = agency.issue(Role.EVIDENCE, "BWC-1"), new_key()
    first, second = (
        pki.make_session_certificate(evidence.certificate, evidence.key, key.public_key(), BOOT, deterministic=True)
        for _ in range(2)
    )
    assert first == second
