"""Ingest: what a dock may bring, in which order, and what becomes of it. Blocking; the web page calls it in threads."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from evidence.documents import TimeAnchor
from evidence.records import Record
from office.book import Book
from office.catalogue import utc_now
from office.config import OfficeConfig
from office.errors import OfficeError
from office.journals import Journals
from office.log import Log
from office.staging import StagedFile, Staging
from office.tus import JournalUpload, SegmentUpload, Upload

_log = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Deposits(Protocol):
    """`office.receipts.Receipts`."""

    def get(self, device: str, recording: str, segment: int) -> bytes | None:
        """See there."""

    def deposit(self, record: Record, device: str, staged: Path, dock: str | None) -> None:
        """See there."""

    def recover(self) -> None:
        """See there."""


class Holdings(Protocol):
    """What is handed in to: the archive, or quarantine."""

    @property
    def config(self) -> OfficeConfig: ...
    @property
    def office(self) -> str: ...
    @property
    def signer(self) -> ec.EllipticCurvePrivateKey: ...
    @property
    def signer_kid(self) -> str: ...
    @property
    def staging(self) -> Staging: ...
    @property
    def journals(self) -> Journals: ...
    @property
    def book(self) -> Book: ...
    @property
    def receipts(self) -> Deposits: ...
    @property
    def log(self) -> Log: ...
    @property
    def apart(self) -> bool: ...  # quarantine


class Ingest:
    """The rules of hand-in over an archive."""

    def __init__(self, archive: Holdings) -> None:
        self._archive = archive
        self._lock = threading.Lock()
        self._forks: set[tuple[str, str, bool]] | None = None  # that the log tells of: device, hash, in quarantine

    def create(self, upload: Upload, length: int | None) -> None:
        """Open an upload; opening it again is the same act. Raises `OfficeError`."""
        with _disk():
            if isinstance(upload, JournalUpload):
                return  # open by its address; whether a file may begin is its first line's affair
            told = self.length(upload)
            if told != length:
                raise OfficeError("segment-unknown", f"the journal says {told} bytes, not {length}", 409)
            if not self._stored(upload):
                self._archive.staging.create(upload)
                if not length:  # a power cut left an empty file: it is complete with its creation
                    self.offset(upload)

    def length(self, upload: Upload) -> int | None:
        """Full length in bytes; None for a journal."""
        if isinstance(upload, JournalUpload):
            return None
        record = self._archive.journals.told(upload.device, upload.recording, upload.segment)
        return int(record.body["file_size"])

    def offset(self, upload: Upload) -> int:
        """Durable bytes. A complete segment that a cut run left staged goes into the store first."""
        with _disk():
            if isinstance(upload, JournalUpload):
                return self._archive.journals.size(upload.device, upload.file)
            if self._stored(upload):
                return self.length(upload) or 0
            if not self._archive.staging.exists(upload):
                raise OfficeError("upload-unknown", "there is no such upload: create it first", 404)
            offset = self._archive.staging.offset(upload)
            if offset < (self.length(upload) or 0):
                return offset
            staged = self._archive.staging.open(upload)
            self._archive.staging.close(upload, staged)
            with suppress(OfficeError):  # a wrong hash: it was thrown away, and starts again
                self.finish(upload, staged, None)
                return offset
            self._archive.staging.create(upload)
            return self._archive.staging.offset(upload)

    def append_journal(self, upload: JournalUpload, data: bytes, dock: str) -> int:
        """Verify and keep whole lines of what follows the offset; their length. As `Journals.append`."""
        with _disk():
            return self._archive.journals.append(upload.device, upload.file, data, dock)

    def keep_fork(self, upload: JournalUpload, data: bytes, dock: str) -> None:
        """Keep a fork in quarantine, and say so in the log. As `Journals.keep_fork`."""
        with _disk():
            sha256 = self._archive.journals.keep_fork(upload.device, data)
            with self._lock:
                self._tell_fork(upload, sha256, len(data), dock)
            self._archive.book.catch_up()

    def _tell_fork(self, upload: JournalUpload, sha256: str, size: int, dock: str) -> None:
        """Say it in the log once, however often it is brought."""
        if self._forks is None:
            leaves = [leaf for _, leaf in self._archive.log.entries("fork")]
            self._forks = {(leaf["device"], leaf["sha256"], leaf.get("quarantine", False)) for leaf in leaves}
        fork = upload.device, sha256, self._archive.apart
        if fork not in self._forks:
            leaf = {
                "act": "fork", "device": upload.device, "file": upload.file, "size": size, "sha256": sha256,
                "at": utc_now(), "dock": dock, **({"quarantine": True} if self._archive.apart else {}),
            }  # fmt: skip
            self._archive.log.append(leaf)
            self._forks.add(fork)

    def open(self, upload: SegmentUpload) -> StagedFile:
        """The staged file of a segment, to append to."""
        with _disk():
            return self._archive.staging.open(upload)

    def append(self, staged: StagedFile, data: bytes | memoryview) -> None:
        """Write to a staged file."""
        with _disk():
            staged.append(data)

    def close(self, upload: SegmentUpload, staged: StagedFile) -> None:
        """Make a staged file durable and let go of it."""
        with _disk():
            self._archive.staging.close(upload, staged)

    def finish(self, upload: SegmentUpload, staged: StagedFile, dock: str | None) -> None:
        """Take a complete, closed segment into the store; the receipt exists when this returns."""
        with _disk():
            record = self._archive.journals.told(upload.device, upload.recording, upload.segment)
            if staged.sha256 != record.body["file_sha256"]:
                self._archive.staging.discard(upload)  # so that the dock can send it again
                message = "the bytes are not those that the camera signed; send them again"
                raise OfficeError("hash-mismatch", message, 460)
            self._archive.receipts.deposit(record, upload.device, staged.path, dock)

    def receipt(self, device: str, recording: str, segment: int) -> bytes:
        """A segment's receipt. Raises `OfficeError` ("receipt-unknown")."""
        found = self._archive.receipts.get(device, recording, segment)
        if found is None:
            raise OfficeError("receipt-unknown", "the office does not hold this segment", 404)
        return found

    def anchor(self, device: str, nonce: str) -> bytes:
        """The office's time for a camera's nonce, over the last record handed in."""
        head = self._archive.journals.head(device)
        if head is None:
            raise OfficeError("journal-unknown", "hand in the camera's journal before asking for the time", 409)
        config = self._archive.config
        anchor = TimeAnchor(self._archive.office, device, nonce, *head, utc_now(), config.clock_error_ms)
        return anchor.sign(self._archive.signer, self._archive.signer_kid).encode()

    def recover(self) -> None:
        """Finish what a cut run left half done."""
        self._archive.book.catch_up()  # before the journals: when the office had them stands in the log
        self._archive.journals.recover()
        self._archive.receipts.recover()
        for upload in list(self._archive.staging.all()):
            if self._stored(upload):
                self._archive.staging.discard(upload)
                continue
            try:
                self.offset(upload)
            except OfficeError as error:
                _log.warning("left in staging: %s", error, extra={"upload": upload.path})

    def _stored(self, upload: SegmentUpload) -> bool:
        return self._archive.receipts.get(upload.device, upload.recording, upload.segment) is not None


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _log.exception("the disk refuses")
        if error.errno in _FULL:
            raise OfficeError(
                "storage-full", "the office's disk is full; nothing that was told durable is lost", 507
            ) from error
        raise OfficeError("storage-failing", f"the office's disk refuses: {error.strerror}", 500) from error
