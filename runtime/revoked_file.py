"""The revocation lists that a device has on its disk, in one file, for use at each handshake."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from evidence.errors import EvidenceError
from evidence.revoked import BUNDLE_LIMIT, Revoked
from runtime.keys import replace_file

_log = logging.getLogger(__name__)


class RevokedFile:
    """`path` with the lists that it holds. Safe for several threads."""

    def __init__(self, path: Path, roots: Sequence[x509.Certificate]) -> None:
        """Read it. A damaged file is told and counts for nothing: the next list takes its place."""
        self._path = path
        self._lock = threading.Lock()
        self.now = Revoked(tuple(roots))
        try:
            self.now = self.now.taking(path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, EvidenceError) as error:
            _log.error("revocation-file: %s cannot be used: %s", path, error)

    def take(self, bundle: bytes) -> bool:
        """Take newer lists, durable on return; whether there were any. Raises `EvidenceError`, OSError."""
        if len(bundle) > BUNDLE_LIMIT:
            raise EvidenceError("revocation-form", "the revocation lists are too long")
        with self._lock:
            taken = self.now.taking(bundle)
            if taken.bundle == self.now.bundle:
                return False
            replace_file(self._path, taken.bundle)
            self.now = taken
            return True
