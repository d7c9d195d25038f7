"""A camera's evidence key while it is provisioned: in a file or in a token, made, exchanged for a new one, given up.

A new key is made beside the old one and takes its place when its certificate is installed; only then is the old one
destroyed. What the old key signed stays good: the evidence carries its certificate.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from evidence import pki
from evidence.pki import Role
from provisioning.errors import ProvisioningError
from provisioning.key_files import Say, make_key
from runtime import token as tokens
from runtime.disk import sync_folder
from runtime.keys import EVIDENCE_KEYS, exposure, load_certificates, load_key
from runtime.token import TokenConfig, TokenError, TokenKey


@dataclass(frozen=True, slots=True)
class EvidenceKey:
    """Of the camera in `folder`; `token`: where the key is, None for a file."""

    folder: Path
    token: TokenConfig | None

    def make(self, say: Say, *, new: bool) -> ec.EllipticCurvePrivateKey:
        """Return the key to be certified, made now if it is not there. `new`: one beside the key that is certified."""
        if self.token is None:
            self._promote(say)  # an exchange may have been cut short
            now, later = self._files()
            return make_key(later if new and self._certified() else now, say)
        if (wrong := exposure(self.token.pin_file)) is not None:
            raise ProvisioningError(os.EX_NOPERM, wrong)
        certified, there = self._certified(), tokens.public_keys(self.token)
        others = [public for public in there if public != certified]
        usable = others if new or certified not in there else [certified]
        public = next(iter(usable), None)
        say(f"key {'already there' if public else 'made'} in token {self.token.label}: {self.token.key}")
        return TokenKey(self.token, public or tokens.make_key(self.token))

    def holds(self, public: ec.EllipticCurvePublicKey) -> bool:
        """Tell whether the private key of `public` is here."""
        if self.token is not None:
            return public in tokens.public_keys(self.token)
        return any(load_key(path).public_key() == public for path in self._files() if path.exists())

    def settle(self, say: Say) -> None:
        """After an installation: the certified key takes its place, and the others are destroyed."""
        if self.token is None:
            self._promote(say)
            return
        certified = self._certified()
        for path in self._files():
            if path.exists():
                path.unlink()
                say(f"removed, since the key is in the token: {path}")
        try:
            if certified and (count := tokens.destroy_others(self.token, certified)):
                say(f"destroyed in token {self.token.label}: {count} former keys {self.token.key}")
        except TokenError as error:
            say(f"former keys stay in the token: {error}")

    def _promote(self, say: Say) -> None:
        now, later = self._files()
        if later.exists() and load_key(later).public_key() == self._certified():
            later.replace(now)
            sync_folder(now.parent)
            say(f"took the place of the former key: {now}")

    def _files(self) -> tuple[Path, Path]:
        now, later = (self.folder / "keys" / name for name in EVIDENCE_KEYS)
        return now, later

    def _certified(self) -> ec.EllipticCurvePublicKey | None:
        path = self.folder / "certs" / f"{Role.EVIDENCE}.pem"
        return pki.public_key(load_certificates(path)[0]) if path.exists() else None
