"""What the dock brings a camera besides receipts and time: configuration, link certificate, revocation lists.

Each is checked here against what the camera was provisioned with; a dock only carries. A configuration and its
recipients decide who can open footage, so an older one is never taken. A new one counts from the next boot on, and its
`boot` record says so. The camera also answers for itself: what it holds, how fit it is for the next shift, and, by its
evidence key, who it is (docs/spec/dock.md).
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from evidence import challenge, jose, pki
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.revoked import Revoked
from firmware.identity import Identity, Session
from runtime.keys import CredentialError, load_certificates, load_key, replace_file
from runtime.revoked_file import RevokedFile

_log = logging.getLogger(__name__)

Fitness = Callable[[], Mapping[str, Any]]


class Papers:
    """The camera's papers. Called from the dock port's threads.

    `chain`: what certifies the session so far, base64url DER. `on_configured`: a newer configuration lies ready for the
    next boot. `fitness`: figures of docs/spec/dock.md §6.
    """

    def __init__(
        self,
        identity: Identity,
        session: Session,
        chain: Callable[[], Sequence[str]],
        revoked: RevokedFile,
        context: ssl.SSLContext,
        on_configured: Callable[[], None],
        fitness: Fitness,
    ) -> None:
        self._identity = identity
        self._session = session
        self._chain = chain
        self._revoked = revoked
        self._context = context
        self._on_configured = on_configured
        self._fitness = fitness
        self._lock = threading.Lock()
        self._held, self._held_text = identity.configuration, identity.configuration_text

    def state(self) -> jose.Json:
        """As `GET /v1/papers` answers it."""
        revocations = self._revoked.now.bundle
        return {
            "configuration": {
                "held": _sha256(self._held_text.encode()),
                "in_force": _sha256(self._identity.configuration_text.encode()),
                "issued": self._held.issued,
            },
            "revocations": _sha256(revocations) if revocations else None,
            "fitness": dict(self._fitness()),
        }

    @property
    def revoked(self) -> Revoked:
        """The lists: a dock on them is refused. Dates do not count, so an unset clock changes nothing."""
        return self._revoked.now

    def answer(self, dock: str, nonce: str) -> jose.Json:
        """Prove to that dock that the evidence key is here. Raises `EvidenceError` if nothing certifies this boot."""
        chain = self._chain()
        if not chain:
            raise EvidenceError("session-stranger", "the evidence key has not certified this boot: nothing to prove by")
        return challenge.answer(self._session.key, chain, self._identity.device, dock, nonce)

    def request(self) -> bytes:
        """Ask for another certificate for the link key, PEM. Raises `EvidenceError`."""
        try:
            key = load_key(self._path("keys", "camera.key.pem"))
        except CredentialError as error:
            raise EvidenceError("request-form", str(error)) from error
        request = pki.make_request(Role.CAMERA, self._identity.device, key)
        return request.public_bytes(serialization.Encoding.PEM)

    def take_certificate(self, pem: str) -> None:
        """Take a certificate for the link key; it is shown from the next connection on.

        The chain must be the agency's, the key the camera's own, and the term longer than that of the one it has.
        Raises `EvidenceError`, OSError.
        """
        leaf, *above = pki.parse_certificates(pem.encode("ascii"))
        chain = pki.validate_chain(leaf, above, self._identity.roots, role=Role.CAMERA, at=None)
        certificate, key = self._path("certs", "camera.pem"), self._path("keys", "camera.key.pem")
        with self._lock:
            try:
                own = load_key(key).public_key()
                former = load_certificates(certificate)[0]
            except CredentialError as error:
                raise EvidenceError("certificate-form", str(error)) from error
            if chain.id != self._identity.device or pki.public_key(leaf) != own:
                raise EvidenceError("foreign", "the certificate is for another camera or another key")
            if leaf == former:
                return
            if leaf.not_valid_after_utc <= former.not_valid_after_utc or self._revoked.now.entry(leaf) is not None:
                raise EvidenceError("chain-dates", "the certificate ends no later than the one that this camera has")
            replace_file(certificate, pki.to_pem(*chain.certificates[:-1]))
            self._context.load_cert_chain(certificate, key)
        _log.info("link certificate renewed", extra={"until": leaf.not_valid_after_utc.isoformat()})

    def take_revocations(self, pem: str) -> None:
        """Take newer revocation lists; a dock that is on them gets nothing more. Raises `EvidenceError`, OSError."""
        if self._revoked.take(pem.encode("ascii")):
            _log.info("revocation lists taken")

    def take_configuration(self, jws: str) -> None:
        """Take a newer configuration, durable, for the next boot. Raises `EvidenceError`, OSError."""
        configuration = self._identity.read_configuration(jws)
        own = self._identity.configuration
        if (configuration.device, configuration.office, configuration.agency) != (own.device, own.office, own.agency):
            raise EvidenceError("foreign", "the configuration is for another camera, or another office's")
        with self._lock:
            if jws == self._held_text:
                return
            if configuration.issued <= self._held.issued:  # texts of one form: they sort by time
                raise EvidenceError(
                    "configuration-old", f"issued {configuration.issued}, and the one here {self._held.issued}"
                )
            replace_file(self._path("config.jws"), jws.encode("ascii") + b"\n")
            self._held, self._held_text = configuration, jws
        _log.info("configuration taken", extra={"sha256": _sha256(jws.encode()), "issued": configuration.issued})
        self._on_configured()

    def _path(self, *names: str) -> Path:
        return self._identity.folder.joinpath(*names)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
