"""Chains, requests and bytes that somebody hostile made."""

from __future__ import annotations

import contextlib
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
from tests.agency import NOW, Agency, Holder, new_key, rebuild


@pytest.fixture(scope="module")
def agency() -> Agency:
    return Agency()


@pytest.fixture(scope="module")
def session(agency: Agency) -> Holder:
    return agency.issue(Role.SESSION, "BWC-0001")


def refused(code: str, *arguments: Any, **options: Any) -> str:
    with pytest.raises(EvidenceError) as caught:
        pki.validate_chain(*arguments, **options)
    assert caught.value.code == code
    return caught.value.message


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
    root = agency.root.certificate
    assert pki.validate_chain(session.certificate, bundle, [root], role=Role.SESSION, at=NOW).id == "BWC-0001"


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
