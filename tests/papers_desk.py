"""A camera's folder and papers, without a network, and lists of who was taken back."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from evidence import jose, pki, revocation
from evidence.documents import Configuration
from evidence.pki import Role
from evidence.revocation import REASONS, Entry
from firmware import identity as identities
from firmware.identity import Session
from firmware.papers import Papers
from runtime import tls
from runtime.keys import private_pem
from runtime.revoked_file import RevokedFile
from tests.agency import BOOT, Agency, Holder, rebuild
from tests.builders import RECIPIENTS

DEVICE = "BWC-0001"
NOW = datetime.now(UTC).replace(microsecond=0)


def utc(days: float) -> str:
    return f"{NOW + timedelta(days=days):%Y-%m-%dT%H:%M:%S}.000Z"


def crl(issuer: Holder, *revoked: x509.Certificate, number: int = 1, key: Holder | None = None) -> bytes:
    entries = [Entry(one.serial_number, NOW, REASONS["key-compromise"], None) for one in revoked]
    signer = (key or issuer).key
    made = revocation.make_list(issuer.certificate, signer, entries, number, NOW + timedelta(seconds=number))
    return made.public_bytes(serialization.Encoding.PEM)


class Desk:
    """A camera's folder and papers; the network is tests/test_trust.py's."""

    def __init__(self, tmp: Path, agency: Agency) -> None:
        self.tmp, self.agency = tmp, agency
        self.signer, self.link = agency.issue(Role.SIGNER, "OFFICE-1"), agency.issue(Role.CAMERA, DEVICE)
        for name in ("certs", "keys"):
            (tmp / name).mkdir()
        (tmp / "certs/root.pem").write_bytes(pki.to_pem(agency.root.certificate))
        (tmp / "certs/signer.pem").write_bytes(pki.to_pem(self.signer.certificate, *self.signer.above))
        short = rebuild(self.link.certificate, agency.issuing.key, not_valid_after=NOW + timedelta(days=10))
        (tmp / "certs/camera.pem").write_bytes(pki.to_pem(short, *self.link.above))
        (tmp / "keys/camera.key.pem").write_bytes(private_pem(self.link.key))
        (tmp / "config.jws").write_text(self.configuration(issued=utc(-0.02)))
        self.restart()

    def restart(self) -> None:
        tmp = self.tmp
        pair = tmp / "certs/camera.pem", tmp / "keys/camera.key.pem", tmp / "certs/root.pem"
        session = self.agency.issue(Role.SESSION, DEVICE)
        certificates = (session.certificate, *session.above)
        self.chain = tuple(jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in certificates)
        self.configured = 0
        self.revoked = RevokedFile(tmp / "certs/revoked.pem", [self.agency.root.certificate])
        self.papers = Papers(
            identities.load(tmp), Session(BOOT, session.key), lambda: self.chain, self.revoked,
            tls.server_context(*pair), self._count, dict,
        )  # fmt: skip

    def _count(self) -> None:
        self.configured += 1

    def configuration(self, by: Holder | None = None, **changes: Any) -> str:
        made = Configuration("OFFICE-1", DEVICE, "agency", utc(0), "unit", "000042", "name", None, tuple(RECIPIENTS))
        holder = by or self.signer
        return dataclasses.replace(made, **changes).sign(holder.key, pki.key_id(holder.key.public_key()))

    def files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.tmp.rglob("*") if path.is_file()}
