"""Taking a segment into the store, and the receipt that says so (rules 19, 20).

The order is the promise: 1 hash as signed by the camera; 2 in place, durable, read-only; 3 read back from the disk and
hashed again; 4 leaf in the log; 5 receipt signed and durable; 6 catalogue. A run that is cut goes on at its start from
what the folders show.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from evidence import pki
from evidence.documents import Receipt
from evidence.records import Record
from office.catalogue import Catalogue, utc, utc_now
from office.errors import OfficeError
from office.journals import Journals
from office.log import Log
from office.store import Store, retain_until
from runtime.disk import make_folder, sync_folder

_log = logging.getLogger(__name__)


class Receipts:
    """Signs receipts for what the store holds. Safe to use from several threads."""

    def __init__(
        self,
        office: str,
        signer: ec.EllipticCurvePrivateKey,
        retention_years: int,
        store: Store,
        journals: Journals,
        log: Log,
        catalogue: Catalogue,
        quarantine: Path,
    ) -> None:
        self._office = office
        self._signer = signer
        self._kid = pki.key_id(signer.public_key())
        self._years = retention_years
        self._store = store
        self._journals = journals
        self._log = log
        self._catalogue = catalogue
        self._quarantine = quarantine
        self._lock = threading.Lock()  # of steps 4 to 6: one leaf for a segment, whoever asks

    def get(self, device: str, recording: str, segment: int) -> bytes | None:
        """The receipt of a segment, a compact JWS."""
        try:
            return self._store.receipt(device, recording, segment).read_bytes()
        except FileNotFoundError:
            return None

    def deposit(self, record: Record, device: str, staged: Path, dock: str | None) -> None:
        """Keep a complete staged file whose hash is the record's; its receipt is there then. Raises `OfficeError`."""
        target = self._store.segment(device, record.body["recording"], record.body["segment"])
        begun = target.exists()
        if not begun:
            self._store.put(staged, target)
        self._acknowledge(record, device, dock, begun=begun)

    def recover(self) -> None:
        """Go on where a cut run left a segment in place without its receipt."""
        for device, recording, segment in list(self._store.without_receipt()):
            try:
                record = self._journals.told(device, recording, segment)
                self._acknowledge(record, device, None, begun=True)
            except OfficeError as error:
                _log.error("no receipt: %s", error, extra={"device": device, "recording": recording, "part": segment})
        for missing in self._catalogue.missing():
            if (receipt := self.get(*missing)) is not None:
                # Signed and in place, but whether its name is durable nobody knows; from here on it is given out.
                self._store.persist(self._store.receipt(*missing))
                self._catalogue.add_receipt(Receipt.read(receipt, self._signer.public_key()))

    def _acknowledge(self, record: Record, device: str, dock: str | None, *, begun: bool) -> bytes:
        recording, segment = record.body["recording"], record.body["segment"]
        path = self._store.segment(device, recording, segment)
        if begun:
            self._store.persist(path)
        told = (record.body["file_sha256"], record.body["file_size"])
        if self._store.read_back(path) != told:
            self._set_aside(path, device)
            raise OfficeError("store-failing", "the disk gave back other bytes than were written: check it", 500)
        with self._lock:
            entry = {"act": "ingest", "device": device, "recording": recording, "segment": segment, "sha256": told[0]}
            known = next(iter(self._log.entries(**entry)), None) if begun else None
            if known is None:
                received = datetime.now(UTC)
                ended = self._catalogue.ended(device, recording)
                # The term runs from the recording's end. Where that is not told, or by a clock that was not set or
                # runs ahead, it runs from the hand-in, which cannot have been before.
                until = retain_until(min(ended or received, received), self._years)
                leaf = {
                    **entry,
                    "size": told[1],
                    "received": utc(received),
                    "retain_until": utc(until),
                    "dock": dock,
                }
                known = self._log.append(leaf), leaf
            index, leaf = known
            receipt = Receipt(
                self._office, device, recording, segment, *told, leaf["received"], leaf["retain_until"], index
            )
            signed = receipt.sign(self._signer, self._kid).encode()
            self._store.put_bytes(self._store.receipt(device, recording, segment), signed)
            self._catalogue.add_receipt(receipt)
        return signed

    def _set_aside(self, path: Path, device: str) -> None:
        folder = self._quarantine / device
        make_folder(folder)
        path.rename(folder / f"{path.parent.name}.{path.name}.{utc_now()}")
        sync_folder(folder)
        sync_folder(path.parent)
