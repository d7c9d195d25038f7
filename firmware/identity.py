"""Who this camera is: its credentials on disk, and the session key that each boot makes in memory.

The session key never touches a disk. Who certifies it stands in `firmware.evidence_key`.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, pki
from evidence.documents import Configuration, TimeAnchor
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.session import make_voucher
from runtime.keys import CredentialError, load_certificates, load_key

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """One boot's key."""

    boot: str
    key: ec.EllipticCurvePrivateKey

    @property
    def kid(self) -> str:
        """Id of the session key."""
        return pki.key_id(self.key.public_key())

    @property
    def public(self) -> str:
        """The session key as `boot` records carry it: base64url of its SubjectPublicKeyInfo."""
        return jose.b64(
            self.key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """What provisioning left on the camera."""

    folder: Path
    configuration: Configuration
    configuration_text: str
    roots: tuple[x509.Certificate, ...]
    signers: dict[str, pki.Chain]  # by key id: whose documents count

    @property
    def device(self) -> str:
        """The camera's id."""
        return self.configuration.device

    def signer_of(self, text: str, typ: str) -> ec.EllipticCurvePublicKey:
        """The office's key that signed a document. Raises `EvidenceError` for any other."""
        return pki.public_key(self._chain_of(text, typ).leaf)

    def read_anchor(self, text: str) -> TimeAnchor:
        """The office's time. Refused outside its signer's term: no one who holds the key may move a clock to any year.

        Raises `EvidenceError`.
        """
        chain = self._chain_of(text, TimeAnchor.TYP)
        anchor = TimeAnchor.read(text, pki.public_key(chain.leaf))
        if not chain.covers(anchor.utc):
            raise EvidenceError(
                "chain-dates", f"the office's certificate is not valid at the time it tells, {anchor.utc}"
            )
        return anchor

    def read_configuration(self, text: str) -> Configuration:
        """A configuration of the camera's office, signed while its signer's certificate was valid. As `read_anchor`."""
        chain = self._chain_of(text, Configuration.TYP)
        configuration = Configuration.read(text, pki.public_key(chain.leaf))
        if not chain.covers(configuration.issued):
            raise EvidenceError("chain-dates", f"the office's certificate was not valid at {configuration.issued}")
        return configuration

    def _chain_of(self, text: str, typ: str) -> pki.Chain:
        kid = jose.parse(text, typ).kid
        if kid not in self.signers:
            raise EvidenceError("signer-unknown", "the document is not signed by this camera's office")
        return self.signers[kid]


def load(folder: Path) -> Identity:
    """Read the credentials. Only a camera that was never enrolled raises: `CredentialError`."""
    roots = load_certificates(folder / "certs" / "root.pem")
    signer, *above = load_certificates(folder / "certs" / "signer.pem")
    path = folder / "config.jws"
    try:
        chain = pki.validate_chain(signer, above, roots, role=Role.SIGNER, at=None)
        key = pki.public_key(signer)
        text = path.read_text(encoding="ascii").strip()
        configuration = Configuration.read(text, key)
    except (OSError, ValueError) as error:
        raise CredentialError(f"{path}: cannot be read ({error}); provision this camera") from error
    except EvidenceError as error:
        raise CredentialError(f"{path}: {error.message}; provision this camera again") from error
    return Identity(folder, configuration, text, tuple(roots), {pki.key_id(key): chain})


def new_session() -> Session:
    """Make this boot's key, in memory only."""
    return Session(secrets.token_hex(16), ec.generate_private_key(ec.SECP256R1()))


def voucher(identity: Identity, session: Session) -> Mapping[str, Any] | None:
    """Let the link key vouch that this boot is of this camera; a dock takes it in then, and still calls it unsigned."""
    try:
        link = load_certificates(identity.folder / "certs" / "camera.pem")
        key = load_key(identity.folder / "keys" / "camera.key.pem")
    except CredentialError as error:
        _log.critical("no key vouches for this boot: no dock will take it in", extra={"error": str(error)})
        return None
    return make_voucher(key, link, identity.device, session.boot, session.public)
