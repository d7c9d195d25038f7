"""Key and certificate files of a device: `keys/<role>.key.pem`, `certs/<role>.pem`, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from evidence import pki
from evidence.errors import EvidenceError
from runtime.disk import sync_folder

EVIDENCE_KEYS = ("evidence.key.pem", "evidence.next.key.pem")
"""A camera's evidence key in a file, and the one that takes its place; the certificate tells which of them counts."""

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class CredentialError(Exception):
    """A key or certificate file is missing, damaged or of the wrong kind. The text names it and says what to do."""

    exit_status = os.EX_NOINPUT  # 66


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the P-256 private key at `path`. Raises `CredentialError`."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialError(f"{path}: cannot be read as a private key ({error}); provision this device") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CredentialError(f"{path}: is not a P-256 key; provision this device")
    return key


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Read the certificates at `path`, in their order. Raises `CredentialError`."""
    try:
        return pki.parse_certificates(path.read_bytes())
    except (OSError, EvidenceError) as error:
        raise CredentialError(f"{path}: cannot be read as certificates ({error}); provision this device") from error


def private_pem(key: PrivateKey) -> bytes:
    """Write a private key as PKCS #8 in PEM, not encrypted: who may read it is the folder's affair."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def create_secret(path: Path, data: bytes) -> bool:
    """Create `path` with `data`, for its owner only; False, and nothing done, if it is there. Raises OSError.

    An existing file is never written over, and after a power cut the file is there whole or not at all.
    """
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with _temporary(path, data, 0o600) as temporary, contextlib.suppress(FileExistsError):
        os.link(temporary, path)  # unlike a rename, never replaces
        sync_folder(path.parent)
        return True
    return False


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` anew with public `data`: after a power cut the old or the new is there. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path, data, 0o644) as temporary:
        temporary.replace(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def _temporary(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def exposure(path: Path) -> str | None:
    """What is wrong with the rights of a file that is for its owner only; None: nothing, or there is no such file."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return f"{path}: its rights {mode:04o} let others at it; chmod 600" if mode & 0o077 else None
