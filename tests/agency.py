"""A small agency for tests: real keys and certificates, and a forger who alters certificates and signs them again."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import pki
from evidence.pki import Role

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
BOOT = "9f" * 16


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Holder:
    """A certificate, its key, and the certificates above it up to, not including, the root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: list[x509.Certificate] = field(default_factory=list)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write chain and key; return their paths."""
        chain, key = folder / f"{name}.pem", folder / f"{name}.key.pem"
        chain.write_bytes(pki.to_pem(self.certificate, *self.above))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return chain, key


class Agency:
    """Root and issuing authority; issues what it is asked to."""

    def __init__(self, name: str = "承德县综合行政执法局", at: datetime = NOW) -> None:
        self.first, self.last = at - timedelta(hours=1), at + timedelta(days=365)
        key = new_key()
        self.root = Holder(pki.make_root(key, "AGENCY-1", name, self.first, self.last), key)
        self.issuing = self._issue(self.root, Role.ISSUING, "AGENCY-1")

    def _issue(self, issuer: Holder, role: Role, name: str) -> Holder:
        key = new_key()
        certificate = pki.make_certificate(
            role, name, key.public_key(), issuer.certificate, issuer.key, self.first, self.last
        )
        above = [] if issuer is self.root else [issuer.certificate, *issuer.above]
        return Holder(certificate, key, above)

    def issue(self, role: Role, name: str) -> Holder:
        """Make a certificate of `role`; a session is certified by a fresh evidence key of the same device."""
        if role is not Role.SESSION:
            return self._issue(self.issuing, role, name)
        evidence, key = self.issue(Role.EVIDENCE, name), new_key()
        certificate = pki.make_session_certificate(evidence.certificate, evidence.key, key.public_key(), BOOT)
        return Holder(certificate, key, [evidence.certificate, *evidence.above])


def rebuild(
    certificate: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
    without: tuple[type[x509.ExtensionType], ...] = (),
    **fields: Any,
) -> x509.Certificate:
    """Sign `certificate` again with `extensions` put in, kinds in `without` left out, and builder `fields` changed."""
    values: dict[str, Any] = {
        "subject_name": certificate.subject,
        "issuer_name": certificate.issuer,
        "public_key": certificate.public_key(),
        "serial_number": certificate.serial_number,
        "not_valid_before": certificate.not_valid_before_utc,
        "not_valid_after": certificate.not_valid_after_utc,
    }
    builder = x509.CertificateBuilder()
    for name, value in (values | fields).items():
        builder = getattr(builder, name)(value)
    replaced = {*without, *(type(extension) for extension in extensions)}
    for old in certificate.extensions:
        if type(old.value) not in replaced:
            builder = builder.add_extension(old.value, old.critical)
    for extension in extensions:
        builder = builder.add_extension(extension, isinstance(extension, x509.BasicConstraints | x509.KeyUsage))
    return builder.sign(signer, hashes.SHA256())


def openssl_verify(
    folder: Path, leaf: x509.Certificate, above: list[x509.Certificate], root: x509.Certificate, *options: str
) -> tuple[bool, str]:
    """Ask the openssl program, at `NOW`; return its verdict and what it said."""
    paths = [folder / name for name in ("leaf.pem", "above.pem", "root.pem")]
    for path, content in zip(paths, ([leaf], above, [root]), strict=True):
        path.write_bytes(pki.to_pem(*content))
    untrusted = ["-untrusted", str(paths[1])] if above else []
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(paths[2]), *untrusted, *options, str(paths[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr
