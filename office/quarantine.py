"""Quarantine: what cameras hand in that do not stand well with the agency, kept apart and told to nobody as handed in.

A stolen camera has keys of the agency, and so may whoever copied its card. What such a one brings must not be lost, and
must not go on with the journal that the office holds of the true camera. So it has a store, a catalogue and chains of
its own below `<data>/quarantine/cameras`. Nothing here is given a receipt: nothing lets a camera give its footage up.
Nor does a head of these chains go into the log, which says what the office holds of a camera's chain.
Each camera's folder there is an evidence folder: `bodycam verify` says what it proves.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path

from evidence import challenge, jose, shape
from evidence.records import Record
from evidence.revoked import Revoked
from evidence.standing import Standing
from office.archive import Archive
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from office.errors import OfficeError
from office.journals import Journals
from office.staging import Staging
from office.store import Store, segment_name
from office.tus import Upload
from runtime.disk import make_folder

_log = logging.getLogger(__name__)
_OPENING: dict[str, shape.Check] = {
    "standing": shape.one_of(*(one for one in Standing if one is not Standing.GOOD)),
    "proof": shape.anything,
}


class Quarantine:
    """As much of an `Archive` as `Ingest` needs (`office.ingest.Holdings`). Safe to use from several threads."""

    def __init__(self, archive: Archive) -> None:
        folder = archive.config.data / "quarantine" / "cameras"
        for part in ("store", "staging", "forks"):
            make_folder(folder / part)
        self._archive = archive
        self.config, self.office = archive.config, archive.office
        self.signer, self.signer_kid, self.log = archive.signer, archive.signer_kid, archive.log
        self.store = Store(folder / "store")
        self.staging = Staging(folder / "staging")
        self.database = Database(sqlite_url(folder / "catalogue.sqlite"))
        self.catalogue = Catalogue(self.database)
        self.journals = Journals(self.store, self.catalogue, archive.roots, folder / "forks")
        self.book, self.apart = archive.book, True
        self.receipts = _Kept(self.store)
        self._lock = threading.Lock()
        self._open = {(leaf["device"], leaf["standing"]) for _, leaf in self.log.entries(act="quarantine")}
        self._admitted = frozenset(device for device, _ in self._open)

    def close(self) -> None:
        """Let go of the catalogue."""
        self.catalogue.close()

    def open(self, device: str, body: bytes, revoked: Revoked, dock: str) -> None:
        """Let a camera hand in here: it has proved its evidence key to the dock. The first time is a leaf of the log.

        Raises `EvidenceError` (what `challenge.check` raises), OSError.
        """
        told = shape.require("quarantine", jose.parse_json(body), _OPENING)
        challenge.check(told["proof"], self._archive.roots, revoked, device, dock, None)
        with self._lock:
            if (device, told["standing"]) in self._open:
                return
            proof = hashlib.sha256(told["proof"]["jws"].encode()).hexdigest()
            leaf = {"act": "quarantine", "device": device, "standing": told["standing"], "dock": dock, "proof": proof}
            self.log.append(leaf)
            self._open.add((device, told["standing"]))
            self._admitted = frozenset(device for device, _ in self._open)
        _log.warning("a camera hands in to quarantine", extra={"device": device, "standing": told["standing"]})

    def admit(self, upload: Upload) -> None:
        """Refuse what no camera was let in for. Raises `OfficeError`."""
        if upload.device not in self._admitted:
            raise OfficeError("quarantine-closed", f"{upload.device} has not proved its evidence key", 409)


def held(data: Path) -> dict[str, int]:
    """How many segments are held in quarantine below `data`, by camera."""
    found = sorted((data / "quarantine" / "cameras" / "store").glob("*/"))
    return {folder.name: len(list(folder.glob("segments/*/*.mp4.age"))) for folder in found}


class _Kept:
    """Takes segments into the store, and signs nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, device: str, recording: str, segment: int) -> bytes | None:
        """Not a receipt: whether the segment is held."""
        return b"" if self._store.segments.exists(segment_name(device, recording, segment)) else None

    def deposit(self, record: Record, device: str, staged: Path, dock: str | None) -> None:  # noqa: ARG002 - as of receipts
        name = segment_name(device, record.body["recording"], record.body["segment"])
        self._store.segments.put(staged, name, None)

    def recover(self) -> None:
        pass
