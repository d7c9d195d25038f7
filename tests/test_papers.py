"""What a camera takes of a dock, and what it refuses, each by name; and the lists of who was taken back."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from evidence import challenge, jose, pki
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revoked import Revoked, bundle_of
from firmware import identity as identities
from tests.agency import Agency, rebuild
from tests.builders import present_agency
from tests.papers_desk import DEVICE, NOW, Desk, crl, utc


@pytest.fixture
def desk(tmp_path: Path, agency: Agency) -> Desk:
    return Desk(tmp_path, agency)


def refused(desk: Desk, act: str, document: str) -> str:
    before = desk.files()
    with pytest.raises(EvidenceError) as caught:
        getattr(desk.papers, act)(document)
    assert desk.files() == before
    assert desk.configured == 0
    return caught.value.code


# --- configuration


def test_a_newer_configuration_is_durable_and_counts_from_the_next_start(desk: Desk) -> None:
    text = desk.configuration(officer_number="000077")
    desk.papers.take_configuration(text)
    desk.papers.take_configuration(text)  # the dock lost our answer
    assert desk.configured == 1
    told = desk.papers.state()["configuration"]
    assert told["held"] != told["in_force"]
    desk.restart()
    told = desk.papers.state()["configuration"]
    assert told["held"] == told["in_force"]
    assert identities.load(desk.tmp).configuration.officer_number == "000077"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"issued": utc(-0.03)}, "configuration-old"),
        ({"issued": utc(-0.02), "unit": "another"}, "configuration-old"),
        ({"issued": utc(4000)}, "chain-dates"),  # beyond its signer's term: nothing would ever be newer
        ({"device": "BWC-0002"}, "foreign"),
        ({"office": "OFFICE-2"}, "foreign"),
        ({"agency": "another"}, "foreign"),
        ({"recipients": ("age1nobody",)}, "shape"),
    ],
)
def test_a_configuration_that_is_not_a_newer_one_of_this_camera(desk: Desk, changes: dict[str, Any], code: str) -> None:
    assert refused(desk, "take_configuration", desk.configuration(**changes)) == code


def test_a_configuration_of_somebody_else(desk: Desk) -> None:
    for holder in (desk.agency.issue(Role.SIGNER, "OFFICE-1"), desk.agency.issue(Role.DOCK, "DOCK-1")):
        assert refused(desk, "take_configuration", desk.configuration(by=holder)) == "signer-unknown"


# --- link certificate


def certificate(desk: Desk, days: float = 30, **changes: Any) -> x509.Certificate:
    return rebuild(
        desk.link.certificate, desk.agency.issuing.key, not_valid_after=NOW + timedelta(days=days), **changes
    )


def pem(one: x509.Certificate, above: list[x509.Certificate]) -> str:
    return pki.to_pem(one, *above).decode()


def test_a_longer_certificate_for_its_own_key_takes_the_place_of_the_one_it_has(desk: Desk) -> None:
    (asked,) = pki.parse_requests(desk.papers.request())
    assert pki.role_and_id(asked) == (Role.CAMERA, DEVICE)
    longer = certificate(desk)
    desk.papers.take_certificate(pem(longer, desk.link.above))
    desk.papers.take_certificate(pem(longer, desk.link.above))
    assert pki.parse_certificate((desk.tmp / "certs/camera.pem").read_bytes()) == longer
    assert refused(desk, "take_certificate", pem(certificate(desk, 20), desk.link.above)) == "chain-dates"


def test_a_certificate_that_is_not_for_this_camera(desk: Desk) -> None:
    agency, link = desk.agency, desk.link
    foreign = present_agency()
    cases = [
        (agency.issue(Role.CAMERA, DEVICE).certificate, link.above, "foreign"),  # another key
        (agency.issue(Role.DOCK, DEVICE).certificate, link.above, "certificate-role"),
        (rebuild(link.certificate, foreign.issuing.key), link.above, "chain-untrusted"),
        (foreign.issue(Role.CAMERA, DEVICE).certificate, [foreign.issuing.certificate], "chain-untrusted"),
        (certificate(desk, subject_name=pki.subject(Role.CAMERA, "BWC-0002", "局")), link.above, "foreign"),
        (certificate(desk, 5), link.above, "chain-dates"),
    ]  # fmt: skip
    for leaf, above, code in cases:
        assert refused(desk, "take_certificate", pem(leaf, above)) == code
    assert refused(desk, "take_certificate", "no PEM") == "certificate-form"


def test_a_certificate_that_was_taken_back_is_not_taken(desk: Desk) -> None:
    longer = certificate(desk)
    desk.papers.take_revocations((pki.to_pem(*desk.link.above) + crl(desk.agency.issuing, longer)).decode())
    assert refused(desk, "take_certificate", pem(longer, desk.link.above)) == "chain-dates"


# --- revocation lists


def test_lists_are_kept_over_a_restart_and_never_go_back(desk: Desk) -> None:
    agency = desk.agency
    dock, other = agency.issue(Role.DOCK, "DOCK-1"), agency.issue(Role.DOCK, "DOCK-2")
    issuing = pki.to_pem(agency.issuing.certificate)
    desk.papers.take_revocations((issuing + crl(agency.issuing, dock.certificate, number=2)).decode())
    desk.papers.take_revocations((issuing + crl(agency.issuing, number=1)).decode())  # played back
    desk.restart()
    assert desk.papers.revoked.entry(dock.certificate) is not None
    assert desk.papers.revoked.entry(other.certificate) is None
    assert desk.papers.state()["revocations"] is not None


def test_lists_of_others_take_nobody_back(desk: Desk) -> None:
    dock, foreign = desk.agency.issue(Role.DOCK, "DOCK-1").certificate, present_agency()
    forged = crl(desk.agency.issuing, dock, key=foreign.issuing)
    for bundle, code in (
        (pki.to_pem(desk.agency.issuing.certificate) + forged, "chain-untrusted"),
        (pki.to_pem(foreign.issuing.certificate) + crl(foreign.issuing, dock), "chain-untrusted"),
        (crl(desk.agency.issuing, dock), "chain-untrusted"),  # its issuer did not come along
        (pki.to_pem(desk.link.certificate) + crl(desk.link, dock), "certificate-role"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "revocation-form"),
    ):
        assert refused(desk, "take_revocations", bundle.decode()) == code
    assert refused(desk, "take_revocations", "x" * (1 << 20) + "x") == "revocation-form"


def test_an_issuing_key_that_was_taken_back_takes_all_below_with_it(agency: Agency) -> None:
    dock = agency.issue(Role.DOCK, "DOCK-1").certificate
    lists = bundle_of([agency.issuing.certificate], [crl(agency.root, agency.issuing.certificate)])
    known = Revoked((agency.root.certificate,)).taking(lists)
    assert known.entry(dock) is not None
    assert Revoked((agency.root.certificate,)).taking(known.bundle).entry(dock) is not None
    assert known.entry(present_agency().issue(Role.DOCK, "DOCK-1").certificate) is None


def test_a_damaged_file_of_lists_is_told_and_the_next_takes_its_place(desk: Desk, agency: Agency) -> None:
    dock = agency.issue(Role.DOCK, "DOCK-1").certificate
    (desk.tmp / "certs/revoked.pem").write_bytes(b"-----BEGIN X509 CRL-----\ntorn")
    desk.restart()
    desk.papers.take_revocations((pki.to_pem(agency.issuing.certificate) + crl(agency.issuing, dock)).decode())
    desk.restart()
    assert desk.papers.revoked.entry(dock) is not None


# --- the challenge


def test_an_answer_is_for_one_nonce_one_dock_and_one_camera(desk: Desk, agency: Agency) -> None:
    roots, nobody = [agency.root.certificate], Revoked((agency.root.certificate,))
    nonce = "ab" * 16
    answer = desk.papers.answer("DOCK-1", nonce)
    challenge.check(answer, roots, nobody, DEVICE, "DOCK-1", nonce)
    evidence = pki.parse_certificate(jose.unb64(answer["chain"][1].encode()))
    lists = bundle_of([agency.issuing.certificate], [crl(agency.issuing, evidence)])
    for value, revoked, device, dock, asked, code in (
        (answer, nobody, DEVICE, "DOCK-2", nonce, "foreign"),
        (answer, nobody, "BWC-0002", "DOCK-1", nonce, "foreign"),
        (answer, nobody, DEVICE, "DOCK-1", "cd" * 16, "foreign"),
        (answer, nobody.taking(lists), DEVICE, "DOCK-1", nonce, "certificate-revoked"),
        ({**answer, "chain": answer["chain"][1:]}, nobody, DEVICE, "DOCK-1", nonce, "certificate-role"),
        ({**answer, "chain": []}, nobody, DEVICE, "DOCK-1", nonce, "shape"),
        ([], nobody, DEVICE, "DOCK-1", nonce, "shape"),
    ):
        with pytest.raises(EvidenceError) as caught:
            challenge.check(value, roots, revoked, device, dock, asked)
        assert caught.value.code == code
    desk.chain = ()
    with pytest.raises(EvidenceError, match="session-stranger"):
        desk.papers.answer("DOCK-1", nonce)


def test_a_camera_without_its_link_key_says_so(desk: Desk) -> None:
    shutil.rmtree(desk.tmp / "keys")
    with pytest.raises(EvidenceError, match="request-form"):
        desk.papers.request()
