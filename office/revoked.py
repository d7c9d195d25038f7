"""The agency's revocation lists as the office has them: files beside its signer's certificate, of today."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509

from evidence.errors import EvidenceError
from evidence.revoked import Revoked, bundle_of

_log = logging.getLogger(__name__)
_Seen = tuple[tuple[Path, int, int], ...]


class OfficeRevoked:
    """Reads the lists again when they have changed: they come when they come. Safe for several threads."""

    def __init__(
        self,
        lists: Callable[[], Sequence[Path]],
        issuers: Sequence[x509.Certificate],
        roots: Sequence[x509.Certificate],
    ) -> None:
        self._lists = lists
        self._issuers = issuers
        self._lock = threading.Lock()
        self._seen: _Seen = ()
        self._now = Revoked(tuple(roots)).taking(bundle_of(issuers, ()))

    @property
    def now(self) -> Revoked:
        """The latest lists. One that cannot be used is told, and those before it count."""
        with self._lock:
            found = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in self._lists())
            if found != self._seen:
                self._seen = found
                for path, _, _ in found:
                    self._take(path)
            return self._now

    def _take(self, path: Path) -> None:
        try:
            self._now = self._now.taking(path.read_bytes())
        except (OSError, EvidenceError) as error:
            _log.error("revocation-file: %s cannot be used: %s", path, error)
