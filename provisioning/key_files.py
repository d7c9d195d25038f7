"""Private keys in files: made where they are used, never written over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.errors import ProvisioningError
from runtime.keys import create_secret, exposure, load_key, private_pem

Say = Callable[[str], None]


def make_key(path: Path, say: Say) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key at `path`, made now if it is not there. One that others may read is refused."""
    made = create_secret(path, private_pem(ec.generate_private_key(ec.SECP256R1())))
    if (wrong := exposure(path)) is not None:
        raise ProvisioningError(os.EX_NOPERM, f"{wrong}, and if others could read it, have it revoked")
    say(f"key: {path}" if made else f"key already there: {path}")
    return load_key(path)
