"""Requests and answers that a dishonest device, or who carries them, may make up."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from evidence import pki
from evidence.pki import Role
from runtime.keys import load_certificates
from tests.agency import NOW, new_key
from tests.test_provisioning import CAMERA, Run, agency, contents, run

__all__ = ["agency", "run"]  # fixtures


def write_requests(*requests: x509.CertificateSigningRequest) -> None:
    Path("r.pem").write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in requests))


@pytest.mark.parametrize("more", [Role.SIGNER, Role.OFFICE, Role.EVIDENCE])
def test_a_dock_gets_no_other_role_by_a_request_among_its_own(agency: Run, more: Role) -> None:
    write_requests(*(pki.make_request(role, "DOCK-1", new_key()) for role in (Role.DOCK, more)))
    said = agency("agency sign r.pem --agency AGENCY --out A", status=os.EX_NOPERM)
    assert "not to one device" in said
    assert not Path("A").exists()


def test_a_dock_gets_no_host_name(agency: Run) -> None:
    write_requests(pki.make_request(Role.DOCK, "DOCK-1", new_key(), ["office.example", "127.0.0.1"]))
    agency("agency sign r.pem --agency AGENCY --out A")
    assert pki.hosts_of(load_certificates(Path("A/dock.pem"))[0]) == []


def test_a_request_cannot_choose_its_extensions_or_key(agency: Run) -> None:
    name = pki.subject(Role.DOCK, "DOCK-1")
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    greedy = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    write_requests(greedy.sign(new_key(), hashes.SHA256()))
    agency("agency sign r.pem --agency AGENCY --out A")
    pki.validate_chain(
        *_leaf_and_rest(Path("A/dock.pem")), load_certificates(Path("A/root.pem")), role=Role.DOCK, at=NOW
    )
    for other in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP192R1())):
        write_requests(builder.sign(other, hashes.SHA256()))
        agency("agency sign r.pem --agency AGENCY --out B", "--replace", status=os.EX_DATAERR)
    assert not Path("B").exists()


def _leaf_and_rest(path: Path) -> tuple[x509.Certificate, list[x509.Certificate]]:
    leaf, *rest = load_certificates(path)
    return leaf, rest


def test_an_old_configuration_is_not_played_back(agency: Run) -> None:
    agency(CAMERA)
    agency("configure BWC-0001 --office OFFICE --out OLD", after=timedelta(days=1))
    agency("configure BWC-0001 --office OFFICE --out NEW --answer-seconds 20", after=timedelta(days=2))
    agency("camera BWC-0001 --dir CAMERA --install NEW", after=timedelta(days=3))
    before = contents("CAMERA")
    said = agency("camera BWC-0001 --dir CAMERA --install OLD", after=timedelta(days=3), status=os.EX_DATAERR)
    assert "before the one installed" in said
    assert contents("CAMERA") == before
    agency("camera BWC-0001 --dir CAMERA --install NEW", after=timedelta(days=3))


def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(agency: Run) -> None:
    agency(CAMERA)
    agency("configure BWC-0001 --office OFFICE --out ANSWER --answer-seconds 20")
    Path("elsewhere").write_text("untouched")
    for name in ("config.jws", "certs/signer.pem"):
        (Path("CAMERA") / name).unlink()
        (Path("CAMERA") / name).symlink_to(Path("elsewhere").absolute())
    agency("camera BWC-0001 --dir CAMERA --install ANSWER")
    assert Path("elsewhere").read_text() == "untouched"
    assert not Path("CAMERA/config.jws").is_symlink()
