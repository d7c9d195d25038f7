from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

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


# --- hostile chains ---------------------------------------------------------------------------------------------------


def test_wrong_role_is_refused(agency: Agency, session: Holder) -> None:
    arguments = (session.certificate, session.above, [agency.root.certificate])
    assert "session/BWC-0001, expected role camera" in refused("certificate-role", *arguments, role=Role.CAMERA, at=NOW)


def test_session_of_another_device_is_refused(agency: Agency) -> None:
    evidence = agency.issue(Role.EVIDENCE, "BWC-0001")
    other = agency.issue(Role.SESSION, "BWC-0002")
    forged = rebuild(
        other.certificate,
        evidence.key,
        x509.AuthorityKeyIdentifier.from_issuer_public_key(evidence.key.public_key()),
        issuer_name=evidence.certificate.subject,
    )
    bundle = [evidence.certificate, *evidence.above, *other.above]
    refused("certificate-role", forged, bundle, [agency.root.certificate], role=Role.SESSION, at=NOW)


def test_role_without_its_issuer_is_refused(agency: Agency) -> None:
    """An evidence key, and a root past its issuing authority, sign a signer: neither may."""
    evidence, signer = agency.issue(Role.EVIDENCE, "BWC-1"), agency.issue(Role.SIGNER, "OFFICE-1")
    for issuer in (evidence, agency.root):
        forged = rebuild(
            signer.certificate,
            issuer.key,
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            issuer_name=issuer.certificate.subject,
        )
        bundle = [evidence.certificate, *evidence.above]
        refused("chain-untrusted", forged, bundle, [agency.root.certificate], role=Role.SIGNER, at=NOW)


def test_foreign_root_is_refused(agency: Agency, session: Holder) -> None:
    """Another agency with the very same names."""
    refused("chain-untrusted", session.certificate, session.above, [], role=Role.SESSION, at=None)
    foreign = Agency().root.certificate
    refused("chain-untrusted", session.certificate, session.above, [foreign], role=Role.SESSION, at=None)
    bundle = [*session.above, agency.root.certificate]
    refused("chain-untrusted", session.certificate, bundle, [foreign], role=Role.SESSION, at=None)
    refused("chain-untrusted", agency.root.certificate, [], [foreign], role=Role.ROOT, at=None)


def test_issuing_certificate_is_no_trust_anchor(agency: Agency, session: Holder) -> None:
    refused(
        "chain-untrusted", session.certificate, session.above, [agency.issuing.certificate], role=Role.SESSION, at=NOW
    )


CERTIFYING = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
ALTERATIONS: dict[str, tuple[Role, list[x509.ExtensionType], tuple[type[x509.ExtensionType], ...]]] = {
    "evidence is not a CA": (Role.EVIDENCE, [x509.BasicConstraints(ca=False, path_length=None)], ()),
    "evidence with a longer path": (Role.EVIDENCE, [x509.BasicConstraints(ca=True, path_length=1)], ()),
    "evidence with an open path": (Role.EVIDENCE, [x509.BasicConstraints(ca=True, path_length=None)], ()),
    "evidence without constraints": (Role.EVIDENCE, [], (x509.BasicConstraints,)),
    "evidence for TLS": (Role.EVIDENCE, [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])], ()),
    "evidence without extended usage": (Role.EVIDENCE, [], (x509.ExtendedKeyUsage,)),
    "evidence without key usage": (Role.EVIDENCE, [], (x509.KeyUsage,)),
    "dock that signs certificates": (Role.DOCK, [CERTIFYING], ()),
    "dock that is a CA": (Role.DOCK, [x509.BasicConstraints(ca=True, path_length=0)], ()),
    "dock without extended usage": (Role.DOCK, [], (x509.ExtendedKeyUsage,)),
    "signer for TLS": (Role.SIGNER, [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])], ()),
    "signer without key identifier": (Role.SIGNER, [], (x509.SubjectKeyIdentifier,)),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_profile_is_kept_to_the_letter(agency: Agency, name: str) -> None:
    role, extensions, without = ALTERATIONS[name]
    holder = agency.issue(role, "DEV-1")
    # Unaltered, the same forger's certificate is accepted: so it is the alteration that is refused.
    same = rebuild(holder.certificate, agency.issuing.key)
    altered = rebuild(holder.certificate, agency.issuing.key, *extensions, without=without)
    roots = [agency.root.certificate]
    assert pki.validate_chain(same, holder.above, roots, role=role, at=NOW).id == "DEV-1"
    refused("certificate-profile", altered, holder.above, roots, role=role, at=NOW)


def test_altered_issuer_takes_its_sessions_with_it(agency: Agency, session: Holder) -> None:
    evidence, *above = session.above
    altered = rebuild(evidence, agency.issuing.key, x509.BasicConstraints(ca=False, path_length=None))
    roots = [agency.root.certificate]
    refused("certificate-profile", session.certificate, [altered, *above], roots, role=Role.SESSION, at=NOW)


def test_unknown_critical_extension_is_refused(agency: Agency) -> None:
    dock = agency.issue(Role.DOCK, "DOCK-1")
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    tolerated = rebuild(dock.certificate, agency.issuing.key, unknown)
    roots = [agency.root.certificate]
    assert pki.validate_chain(tolerated, dock.above, roots, role=Role.DOCK, at=NOW)  # not critical: let be
    extensions = [*dock.certificate.extensions]
    builder = (
        x509.CertificateBuilder()
        .subject_name(dock.certificate.subject)
        .issuer_name(dock.certificate.issuer)
        .public_key(pki.public_key(dock.certificate))
        .serial_number(7)
        .not_valid_before(agency.first)
        .not_valid_after(agency.last)
        .add_extension(unknown, critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    refused(
        "certificate-profile",
        builder.sign(agency.issuing.key, hashes.SHA256()),
        dock.above,
        roots,
        role=Role.DOCK,
        at=NOW,
    )


def test_other_algorithms_are_refused(agency: Agency) -> None:
    dock = agency.issue(Role.DOCK, "DOCK-1")
    roots = [agency.root.certificate]
    for key in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        altered = rebuild(dock.certificate, agency.issuing.key, public_key=key.public_key())
        refused("certificate-profile", altered, dock.above, roots, role=Role.DOCK, at=NOW)


def test_loops_end(agency: Agency) -> None:
    """Two evidence certificates that certify each other, and one that certifies itself."""
    first, second = agency.issue(Role.EVIDENCE, "BWC-1"), agency.issue(Role.EVIDENCE, "BWC-2")
    loop = [
        rebuild(a.certificate, b.key, issuer_name=b.certificate.subject, without=(x509.AuthorityKeyIdentifier,))
        for a, b in ((first, second), (second, first), (first, first))
    ]
    roots = [agency.root.certificate]
    for leaf in loop:
        refused("chain-untrusted", leaf, loop, roots, role=Role.EVIDENCE, at=NOW)


def test_decoys_do_not_hide_the_chain(agency: Agency, session: Holder) -> None:
    """Certificates of the right names, by wrong keys or with a wrong profile, stand before the right ones."""
    decoy = Agency()
    evidence = session.above[0]
    altered = rebuild(evidence, agency.issuing.key, x509.BasicConstraints(ca=False, path_length=None))
    bundle = [*decoy.issue(Role.SESSION, "BWC-0001").above, decoy.issuing.certificate, altered, *session.above]
    assert validate(Holder(session.certificate, session.key, bundle), agency, Role.SESSION).id == "BWC-0001"


def test_flood_of_decoys_is_bounded(agency: Agency) -> None:
    dock = agency.issue(Role.DOCK, "DOCK-1")
    decoy = rebuild(agency.issuing.certificate, agency.root.key, public_key=new_key().public_key())
    message = refused(
        "chain-untrusted", dock.certificate, [decoy] * 5000, [agency.root.certificate], role=Role.DOCK, at=NOW
    )
    assert "too many" in message


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize(
    "text", ["", "dock", "dock/", "dock/ab", "dock/abc", "DOCK/DOCK-1", "king/DOCK-1", "dock/A/B1", "dock/" + "A" * 33]
)
def test_bad_names_are_refused(agency: Agency, text: str) -> None:
    with pytest.raises(EvidenceError, match="certificate-name"):
        pki.parse_common_name(text)
    dock = agency.issue(Role.DOCK, "DOCK-1")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)])
    altered = rebuild(dock.certificate, agency.issuing.key, subject_name=name)
    refused("certificate-name", altered, dock.above, [agency.root.certificate], role=Role.DOCK, at=NOW)


def test_request_must_be_signed_by_its_own_key() -> None:
    key = new_key()
    request = pki.make_request(Role.DOCK, "DOCK-1", key, ["office.example", "::1"])
    (parsed,) = pki.parse_requests(request.public_bytes(serialization.Encoding.PEM))
    assert (pki.role_and_id(parsed), pki.hosts_of(parsed)) == ((Role.DOCK, "DOCK-1"), ["office.example", "::1"])
    assert pki.public_key(parsed) == key.public_key()
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    altered = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(EvidenceError, match="request-unproven"):
        pki.parse_requests(altered)


@pytest.mark.parametrize(
    "asked", [[], [(Role.CAMERA, "BWC-1"), (Role.EVIDENCE, "BWC-2")], [(Role.CAMERA, "BWC-1"), (Role.CAMERA, "BWC-1")]]
)
def test_requests_are_those_of_one_device(asked: list[tuple[Role, str]]) -> None:
    bundle = b"".join(
        pki.make_request(role, name, new_key()).public_bytes(serialization.Encoding.PEM) for role, name in asked
    )
    with pytest.raises(EvidenceError, match="request-form"):
        pki.parse_requests(bundle)


@given(st.binary(max_size=300))
def test_garbage_raises_the_one_error(data: bytes) -> None:
    for parse in (pki.parse_certificates, pki.parse_requests):
        with pytest.raises(EvidenceError):
            parse(data)
        with pytest.raises(EvidenceError):
            parse(b"-----BEGIN CERTIFICATE-----\n" + data)


def test_every_flipped_byte_is_refused_with_the_one_error(agency: Agency, session: Holder) -> None:
    """Each byte of a session and of its evidence certificate, in turn."""
    roots = [agency.root.certificate]
    for position, victim in enumerate((session.certificate, session.above[0])):
        der = victim.public_bytes(serialization.Encoding.DER)
        for index in range(len(der)):
            flipped = bytearray(der)
            flipped[index] ^= 0x55
            with pytest.raises(EvidenceError):  # noqa: PT012 - may be found when parsed or when checked
                forged = pki.parse_certificate(bytes(flipped))
                leaf, bundle = (forged, session.above) if position == 0 else (session.certificate, [forged])
                pki.validate_chain(leaf, bundle + session.above[1:], roots, role=Role.SESSION, at=NOW)


FIXED = Agency()


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.dictionaries(st.integers(0, 450), st.integers(0, 255), min_size=1, max_size=3))
def test_resigned_garbage_raises_the_one_error(changes: dict[int, int]) -> None:
    """A hostile device has the key that its certificate needs: nonsense inside a well-signed certificate."""
    holder = FIXED.issue(Role.DOCK, "DOCK-1")
    der = bytearray(holder.certificate.tbs_certificate_bytes)
    for index, value in changes.items():
        der[index % len(der)] = value
    signature = FIXED.issuing.key.sign(bytes(der), ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    body = bytes(der) + algorithm + b"\x03" + bytes([len(signature) + 1, 0]) + signature
    whole = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    with contextlib.suppress(EvidenceError):
        certificate = pki.parse_certificate(whole)
        pki.validate_chain(certificate, holder.above, [FIXED.root.certificate], role=Role.DOCK, at=NOW)
        pki.validate_chain(certificate, [certificate, *holder.above], [certificate], role=Role.DOCK, at=None)
