"""The cameras' journals as the office holds them: verified line by line, stored, taken into the catalogue.

A reader for each camera is made when it is first needed, by reading again what is stored. What is verified but cannot
be made durable is forgotten with its reader, so that memory never knows more than the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from evidence.errors import EvidenceError
from evidence.jose import LINE_LIMIT
from evidence.journal import JournalReader
from evidence.records import Record
from office.catalogue import Catalogue
from office.errors import OfficeError
from office.store import Store, make_folder
from runtime.disk import write_once
from runtime.keys import replace_file

_log = logging.getLogger(__name__)
_BLOCK = 1024 * 1024


class Journals:
    """All cameras' journals. Safe to use from several threads."""

    def __init__(
        self, store: Store, catalogue: Catalogue, roots: Sequence[x509.Certificate], staging: Path, quarantine: Path
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._roots = roots
        self._staging = staging
        self._quarantine = quarantine
        self._readers: dict[str, JournalReader] = {}
        self._lock = threading.RLock()

    def create(self, device: str, file: int) -> None:
        """Open a journal file for hand-in; once it is there, nothing."""
        with self._lock:
            if file > self._store.journal_files(device):
                raise OfficeError("journal-order", f"journal file {file} comes before the one it follows", 409)
            if not self.exists(device, file):
                make_folder(self._staging)
                self._write_tail(device, file, b"")

    def exists(self, device: str, file: int) -> bool:
        """Whether the file was opened for hand-in."""
        return self._store.journal(device, file).exists() or self._tail(device, file).exists()

    def size(self, device: str, file: int) -> int:
        """Durable bytes: whole verified lines, and what came after the last line feed."""
        with self._lock:
            self._reader(device)
            return self._stored(device, file) + len(self._read_tail(device, file))

    def head(self, device: str) -> tuple[int, str] | None:
        """Sequence number and hash of the last verified record."""
        with self._lock:
            return self._reader(device).head

    def segment(self, device: str, recording: str, segment: int) -> Record | None:
        """The verified record of a segment."""
        with self._lock:
            return self._reader(device).segments.get((recording, segment))

    def append(self, device: str, file: int, data: bytes, dock: str) -> None:
        """Verify bytes that follow `size`, keep them durable. Raises `EvidenceError` at the first bad line.

        Good lines before it are kept, the bad one and what follows are not. Raises OSError if the disk refuses.
        """
        with self._lock:
            reader = self._reader(device)
            whole, feed, rest = (self._read_tail(device, file) + data).rpartition(b"\n")
            good, found, failure = self._verify(reader, file, whole + feed)
            if len(rest) > LINE_LIMIT and failure is None:
                failure = EvidenceError("jws-form", "the line is too long")
            try:
                if found:
                    self._settle_torn(reader, device, file - 1)
                    self._store.append_journal(device, file, good)
                self._write_tail(device, file, b"" if failure else rest)
                self._settle_torn(reader, device, file)
                self._catalogue.add_records(device, found, dock)
            except BaseException:
                del self._readers[device]
                raise
            if failure is not None:
                raise failure

    def is_fork(self, device: str, error: EvidenceError) -> bool:
        """Whether the refused line is well signed and of this camera, yet does not continue what is held."""
        return error.code == "chain-broken" and self.head(device) is not None

    def keep_fork(self, device: str, file: int, data: bytes, dock: str) -> str:
        """Keep a fork beside, durable; its SHA-256. The same one is kept once."""
        sha256 = hashlib.sha256(data).hexdigest()
        folder = self._quarantine / device
        make_folder(folder)
        with contextlib.suppress(FileExistsError):
            write_once(folder / f"{sha256}.jws", data, 0o440)
        if self._catalogue.add_fork(device, sha256, file, len(data), dock):
            _log.error("a journal does not continue the one held", extra={"device": device, "sha256": sha256})
        return sha256

    def recover(self) -> None:
        """Take into the catalogue what a cut run left only in the store."""
        with self._lock:
            for device in self._store.devices():
                self._reader(device)

    def _reader(self, device: str) -> JournalReader:
        if device not in self._readers:
            reader = JournalReader(self._roots, device=device)
            for file in range(self._store.journal_files(device)):
                self._read_again(reader, device, file)
            self._readers[device] = reader
        return self._readers[device]

    def _read_again(self, reader: JournalReader, device: str, file: int) -> None:
        path = self._store.journal(device, file)
        with path.open("rb") as stored:
            rest = b""
            while block := stored.read(_BLOCK):
                whole, feed, rest = (rest + block).rpartition(b"\n")
                _, found, failure = self._verify(reader, file, whole + feed)
                self._catalogue.add_records(device, found, None)
                if failure is not None:
                    raise OfficeError("journal-changed", f"{path} was changed after it was stored: {failure}")

    @staticmethod
    def _verify(
        reader: JournalReader, file: int, data: bytes
    ) -> tuple[bytes, list[tuple[Record, bool]], EvidenceError | None]:
        """The good lines at the front, their records, and what is wrong with the line after them."""
        found: list[tuple[Record, bool]] = []
        length = 0
        while end := data.find(b"\n", length) + 1:
            try:
                found += [(record, reader.signed) for record in reader.feed(file, data[length:end])]
            except EvidenceError as error:
                return data[:length], found, error
            length = end
        return data, found, None

    def _settle_torn(self, reader: JournalReader, device: str, file: int) -> None:
        """What a power cut left after the last line of a file belongs to the evidence once the next boot declares it."""
        torn = reader.torn.get(file)
        if torn is None or self._stored(device, file) != torn.offset:
            return
        tail = self._read_tail(device, file)
        if len(tail) == torn.length and hashlib.sha256(tail).hexdigest() == torn.sha256:
            self._store.append_journal(device, file, tail)

    def _stored(self, device: str, file: int) -> int:
        try:
            return self._store.journal(device, file).stat().st_size
        except FileNotFoundError:
            return 0

    def _tail(self, device: str, file: int) -> Path:
        return self._staging / f"{device}.{file:08d}.tail"

    def _write_tail(self, device: str, file: int, rest: bytes) -> None:
        # Headed by the offset where it belongs: after a cut run, a tail whose line was completed is known as stale.
        replace_file(self._tail(device, file), b"%d\n%b" % (self._stored(device, file), rest))

    def _read_tail(self, device: str, file: int) -> bytes:
        try:
            offset, _, rest = self._tail(device, file).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return b""
        return rest if int(offset) == self._stored(device, file) else b""
