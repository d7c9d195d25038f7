"""Taking a segment into the store, and the receipt that says so (rules 19, 20).

The order is the promise: 1 hash as signed by the camera; 2 in place, durable, read-only; 3 read back from the disk and
hashed again, and its lock read back; 4 leaf in the log; 5 receipt signed and durable; 6 catalogue. A run that is cut
goes on at its start from what the folders show.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from evidence import pki
from evidence.documents import Receipt
from evidence.records import Record
from office.catalogue import Catalogue, utc
from office.errors import OfficeError
from office.journals import Journals
from office.log import Log
from office.retention import retain_until
from office.store import Store, receipt_name, segment_name

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
        name = segment_name(device, record.body["recording"], record.body["segment"])
        begun = self._store.segments.exists(name)
        if not begun:
            received = datetime.now(UTC)
            self._store.segments.put(staged, name, self._until(device, record.body["recording"], received))
        self._acknowledge(record, device, dock, begun=begun)
        with contextlib.suppress(FileNotFoundError):
            staged.unlink()  # what went into a bucket is let go of here

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
                self._store.local.persist(receipt_name(*missing))
                self._catalogue.add_receipt(Receipt.read(receipt, self._signer.public_key()))

    def _acknowledge(self, record: Record, device: str, dock: str | None, *, begun: bool) -> bytes:
        recording, segment = record.body["recording"], record.body["segment"]
        name = segment_name(device, recording, segment)
        if begun:
            self._store.segments.persist(name)
        told = (record.body["file_sha256"], record.body["file_size"])
        if self._store.segments.read_back(name) != told:
            self._store.segments.set_aside(name, self._quarantine / device)
            raise OfficeError("store-failing", "the store gave back other bytes than were written: check it", 500)
        received = datetime.now(UTC)
        until = self._until(device, recording, received)
        self._lock_until(name, until)
        with self._lock:
            entry = {"act": "ingest", "device": device, "recording": recording, "segment": segment, "sha256": told[0]}
            known = next(iter(self._log.entries(**entry)), None) if begun else None
            if known is None:
                terms = {"received": utc(received), "retain_until": utc(until)}
                leaf = {**entry, "size": told[1], **terms, "dock": dock}
                known = self._log.append(leaf), leaf
            else:  # what a cut run has promised in the log
                self._lock_until(name, datetime.fromisoformat(known[1]["retain_until"]))
            index, leaf = known
            receipt = Receipt(
                self._office, device, recording, segment, *told, leaf["received"], leaf["retain_until"], index
            )
            signed = receipt.sign(self._signer, self._kid).encode()
            self._store.local.put_bytes(receipt_name(device, recording, segment), signed)
            self._catalogue.add_receipt(receipt)
        return signed

    def _until(self, device: str, recording: str, received: datetime) -> datetime:
        """The term runs from the recording's end.

        Where that is not told, or by a clock that was not set or runs ahead, it runs from the hand-in, which cannot
        have been before.
        """
        ended = self._catalogue.ended(device, recording)
        return retain_until(min(ended or received, received), self._years)

    def _lock_until(self, name: str, until: datetime) -> None:
        """Have it locked, if putting it did not, and see that it is."""
        if not self._store.segments.lock(name).covers(until):
            self._store.segments.extend(name, until)
            if not (lock := self._store.segments.lock(name)).covers(until):
                raise OfficeError(
                    "store-unlocked", f"the store does not lock {name} until {until:%Y-%m-%d}: {lock}", 500
                )
