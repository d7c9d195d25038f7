"""Gets this boot's session key certified by the evidence key, and keeps nobody waiting for it.

Evidence first: a token may take half a second, hang, or be gone. The key in a file signs at once. A token is asked by a
thread while drivers are built; what has come when the `boot` record is written stands in it. What comes later is a
`certified` record of the same boot and proves the same of it. Until then the link key vouches, and every verdict says
`unsigned`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import jose, pki
from evidence.errors import EvidenceError
from evidence.pki import Role
from firmware.capture.journal_writer import Opening
from firmware.identity import Identity, Session, voucher
from runtime.keys import EVIDENCE_KEYS, CredentialError, exposure, load_certificates, load_key
from runtime.token import TokenConfig, TokenError, TokenKey

_log = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 600.0  # each try is a process; a lost token is not worth a battery


@dataclass(frozen=True, slots=True)
class Certified:
    """What stands behind the session key: base64url DER of session, evidence and issuing; how the key is kept."""

    chain: tuple[str, ...]
    key_store: str  # "extractable" | "token"


class EvidenceKey:
    """One boot's. `start`, `opening` when the journal is built, `follow` once it is open."""

    def __init__(self, identity: Identity, session: Session, token: TokenConfig | None) -> None:
        self._identity = identity
        self._session = session
        self._token = token
        self._changed = threading.Condition()  # guards what follows
        self._found: Certified | None = None
        self._opened: Certified | None = None  # what the opening says
        self._on_certified: Callable[[Certified], None] | None = None
        self._on_fault: Callable[[str, str], None] | None = None
        self._faults: list[str] = []
        self._stopping = False

    def start(self) -> None:
        """Ask the key: a file's at once, a token's on a thread."""
        if self._token is None:
            self._warn(self._identity.folder / "keys" / EVIDENCE_KEYS[0])
            self._try(self._certify_by_file)
        else:
            self._warn(self._token.pin_file)
            threading.Thread(target=self._run, args=(self._token,), name="evidence-key", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def opening(self, kernel_boot: str) -> tuple[Opening, str]:
        """What the journal's first line says of the session, and its `key_store`. Waits for nothing."""
        with self._changed:
            found = self._opened = self._found
        if found is not None:
            return Opening(self._session.public, found.chain, kernel_boot), found.key_store
        return Opening(self._session.public, (), kernel_boot, voucher(self._identity, self._session)), "none"

    def follow(self, on_certified: Callable[[Certified], None], on_fault: Callable[[str, str], None]) -> None:
        """From now on tell what the opening lacked, and what is wrong: at once what is known, later from a thread."""
        with self._changed:
            late = None if self._opened else self._found
            self._on_certified, self._on_fault = on_certified, on_fault
            faults, self._faults = self._faults, []
        for fault in faults:
            on_fault("key", fault)
        if late is not None:
            on_certified(late)

    # --- the work

    def _run(self, token: TokenConfig) -> None:
        wait = _FIRST_WAIT_SECONDS
        while not self._try(lambda: self._certify_by_token(token)):
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, wait):
                    return
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _try(self, certify: Callable[[], Certified]) -> bool:
        """Whether there is nothing left to try."""
        try:
            found = certify()
        except (CredentialError, EvidenceError) as error:
            self._fault(f"the evidence key cannot sign, this boot is unsigned: {error}")
            return not (isinstance(error, TokenError) and error.again)
        with self._changed:
            self._found = found
            tell = self._on_certified
        if tell is not None:
            tell(found)
        return True

    def _certify_by_file(self) -> Certified:
        evidence, above = self._certificates()
        return Certified(
            self._certify(evidence, above, file_key(self._identity.folder, pki.public_key(evidence))), "extractable"
        )

    def _certify_by_token(self, token: TokenConfig) -> Certified:
        evidence, above = self._certificates()
        key = TokenKey(token, pki.public_key(evidence))
        chain = self._certify(evidence, above, key)
        return Certified(chain, "token" if key.guarded else "extractable")

    def _certificates(self) -> tuple[x509.Certificate, list[x509.Certificate]]:
        evidence, *above = load_certificates(self._identity.folder / "certs" / "evidence.pem")
        return evidence, above

    def _certify(
        self, evidence: x509.Certificate, above: list[x509.Certificate], key: ec.EllipticCurvePrivateKey
    ) -> tuple[str, ...]:
        session = self._session
        certificate = pki.make_session_certificate(evidence, key, session.key.public_key(), session.boot)
        pki.validate_chain(certificate, [evidence, *above], self._identity.roots, role=Role.SESSION, at=None)
        return tuple(jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in (certificate, evidence, *above))

    def _warn(self, path: Path) -> None:
        """Rights that are too wide are told and nothing else: refusing the key would cost a shift its standing."""
        if (wrong := exposure(path)) is not None:
            self._fault(wrong)

    def _fault(self, what: str) -> None:
        _log.critical("evidence key: %s", what)
        with self._changed:
            tell = self._on_fault
            if tell is None:
                self._faults.append(what)
        if tell is not None:
            tell("key", what)


def file_key(folder: Path, certified: ec.EllipticCurvePublicKey) -> ec.EllipticCurvePrivateKey:
    """The evidence key in a credentials folder that the certificate names. Raises `CredentialError`."""
    paths = [folder / "keys" / name for name in EVIDENCE_KEYS]
    for path in [path for path in paths if path.exists()] or paths[:1]:
        key = load_key(path)
        if key.public_key() == certified:
            return key
    raise CredentialError(f"{paths[0]}: is not the key that the certificate names; provision this camera again")
