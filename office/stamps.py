"""Stamped checkpoints of the log: what was in the log was there when the stamp says (RFC 3161).

`<SIZE>.note` is a checkpoint over so many leaves, `<SIZE>.tsr` the stamp over its bytes, verified before it is kept. An
authority that fails is told in the log and asked again; nothing waits for it.
"""

from __future__ import annotations

import bisect
import contextlib
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from evidence import timestamp
from evidence.errors import EvidenceError
from office.authority import Authority, OwnAuthority, RemoteAuthority
from office.config import OfficeConfig
from office.errors import OfficeError
from office.log import Log
from runtime.disk import make_folder
from runtime.keys import load_certificates, load_key, replace_file

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0
_JOIN_SECONDS = 1.0


class Stamps:
    """The stamped checkpoints in `folder`. Several processes may add to them."""

    def __init__(self, folder: Path, log: Log, config: OfficeConfig, roots: Sequence[x509.Certificate]) -> None:
        """Raises `OfficeError` ("credentials"), `CredentialError`."""
        self._folder = folder
        self._log = log
        self._roots = roots
        self._pool: list[x509.Certificate] = []
        self._authorities: list[x509.Certificate] = []
        self.authority = self._authority(config)
        make_folder(folder)

    def _authority(self, config: OfficeConfig) -> Authority | None:
        if config.stamp_address is not None:
            if config.stamp_roots is None:
                raise OfficeError("credentials", "stamp_address needs stamp_roots: whose stamps are to count")
            self._authorities = load_certificates(config.stamp_roots)
            return RemoteAuthority(config.stamp_address)
        if config.stamp_certificate is None or config.stamp_key is None:
            return None
        self._pool = load_certificates(config.stamp_certificate)
        load_key(config.stamp_key)
        return OwnAuthority(config.stamp_certificate, config.stamp_key, config.clock_error_ms)

    def over(self, index: int, sizes: Sequence[int] | None = None) -> int | None:
        """The smallest stamped checkpoint that leaf `index` is under: its stamp says the most.

        `sizes`: as told by `sizes`, for whoever asks about many leaves.
        """
        stamped = self.sizes() if sizes is None else sizes
        place = bisect.bisect_right(stamped, index)
        return stamped[place] if place < len(stamped) else None

    def sizes(self) -> list[int]:
        """Of the checkpoints that are stamped, rising."""
        return sorted(int(path.stem) for path in self._folder.glob("*.tsr"))

    def checkpoint(self, size: int) -> bytes:
        """The note that was stamped."""
        return (self._folder / f"{size}.note").read_bytes()

    def token(self, size: int) -> bytes:
        """Its stamp, a DER response."""
        return (self._folder / f"{size}.tsr").read_bytes()

    def outside_time(self) -> datetime | None:
        """The time of the newest stamp of an outside authority; None: there is none that verifies."""
        for size in reversed(self.sizes()) if self._authorities else ():
            with contextlib.suppress(EvidenceError):
                stamp = timestamp.read(
                    self.token(size), self.checkpoint(size), self._roots, self._pool, self._authorities
                )
                if not stamp.self_stamped:
                    return datetime.fromtimestamp(stamp.latest_ms / 1000, UTC)
        return None

    @property
    def from_outside(self) -> bool:
        """Whether an authority outside the agency is asked."""
        return bool(self._authorities)

    def stamp(self) -> int:
        """Have the present checkpoint stamped, unless it is; its size. Raises `OfficeError` ("stamp-failing")."""
        size, note = self._log.state()
        if self.authority is None:
            raise OfficeError("stamp-failing", "no authority is configured: nothing outside proves this log's time")
        if size and not (self._folder / f"{size}.tsr").exists():
            query = timestamp.ask(note)
            token = self.authority.answer(query.der)
            try:
                timestamp.read(token, note, self._roots, self._pool, self._authorities, query.nonce)
            except EvidenceError as error:
                raise OfficeError("stamp-failing", f"{self.authority}: {error.message} ({error.code})") from error
            try:
                replace_file(self._folder / f"{size}.note", note)
                replace_file(self._folder / f"{size}.tsr", token)
            except OSError as error:
                raise OfficeError("stamp-failing", f"a stamp cannot be kept: {error}") from error
        return size


class Stamper:
    """Has the log stamped while it grows, in a thread of its own."""

    def __init__(self, stamps: Stamps, every_seconds: int) -> None:
        self._stamps = stamps
        self._every = float(every_seconds)
        self._stopping = threading.Event()
        # A daemon: an authority that hangs must not keep the office from ending, and cutting it costs nothing.
        self._thread = threading.Thread(target=self._work, name="stamps", daemon=True)
        self.failing = False

    def start(self) -> None:
        """Begin, if there is an authority."""
        if self._stamps.authority is None:
            _log.warning("the log is not stamped: no authority is configured (stamp_address, or stamp_certificate)")
            return
        self._thread.start()

    def stop(self) -> None:
        """End; a stamp that is being waited for is given up."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _work(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            try:
                self._stamps.stamp()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next stamp may succeed
                wait = min(max(_RETRY_SECONDS, 2 * wait if self.failing else 0), self._every)
                self.failing = True
                _log.error("the log is not stamped: %s", error, extra={"retry_seconds": wait})
            else:
                if self.failing:
                    _log.warning("the log is stamped again")
                wait, self.failing = self._every, False
