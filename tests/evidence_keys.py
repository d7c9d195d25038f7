"""Keys, certificates and randomness that are derived from names: the same each time."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, pki
from evidence.pki import Role

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


def sha256(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


class Stream:
    """Bytes that look random and are SHA-256(seed ‖ counter) one after another; takes the place of `os.urandom`."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._counter = 0
        self._left = b""

    def __call__(self, count: int) -> bytes:
        while len(self._left) < count:
            self._left += hashlib.sha256(self._seed + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def scalar(name: str) -> int:
    """The private key of a name: SHA-256("bodycam vectors " + name) mod (n - 1) + 1."""
    return int.from_bytes(hashlib.sha256(f"bodycam vectors {name}".encode()).digest(), "big") % (ORDER - 1) + 1


@functools.cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(scalar(name), ec.SECP256R1())


def kid(name: str) -> str:
    return pki.key_id(key(name).public_key())


@functools.cache
def identity(name: str) -> str:
    """The age identity of a name."""
    return age.generate_identity(Stream(f"age {name}"))


def recipients() -> list[str]:
    return [age.recipient_of(identity(name)) for name in ("office", "recovery")]


@dataclass(frozen=True)
class Agency:
    """Root, issuing authority and everybody's certificates. Two agencies of one name share nothing but the name."""

    seed: str = "agency"
    term: tuple[datetime, datetime] = (FIRST, LAST)

    @functools.cached_property
    def root(self) -> x509.Certificate:
        return self._certify(Role.ROOT, "AGENCY-1", "root", None)

    @functools.cached_property
    def issuing(self) -> x509.Certificate:
        return self._certify(Role.ISSUING, "AGENCY-1", "issuing", self.root)

    @functools.cached_property
    def signer(self) -> x509.Certificate:
        return self._certify(Role.SIGNER, "OFFICE-1", "signer", self.issuing)

    @functools.cached_property
    def stamp(self) -> x509.Certificate:
        return self._certify(Role.STAMP, "OFFICE-1", "stamp", self.issuing)

    def evidence(self, device: str) -> x509.Certificate:
        return self._certify(Role.EVIDENCE, device, f"evidence {device}", self.issuing)

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        """The chain of a session: session, evidence, issuing."""
        evidence = self.evidence(device)
        private = self.key(f"evidence {device}")
        public = key(session_key).public_key()
        return [
            pki.make_session_certificate(evidence, private, public, boot, deterministic=True),
            evidence,
            self.issuing,
        ]

    def key(self, name: str) -> ec.EllipticCurvePrivateKey:
        return key(f"{self.seed} {name}")

    def kid(self, name: str) -> str:
        return kid(f"{self.seed} {name}")

    def _certify(self, role: Role, name: str, own: str, issuer: x509.Certificate | None) -> x509.Certificate:
        private = self.key({Role.ROOT: own, Role.ISSUING: "root"}.get(role, "issuing"))
        serial = int.from_bytes(hashlib.sha256(f"{self.seed} {own}".encode()).digest()[:8], "big") >> 1
        return pki._make(
            role,
            pki.subject(role, name, "示例执法局"),
            self.key(own).public_key(),
            issuer,
            private,
            self.term,
            serial=serial,
            rfc6979=True,
        )


AGENCY = Agency()
