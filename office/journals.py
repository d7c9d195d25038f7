"""The cameras' journals as the office holds them: verified line by line, stored, taken into the catalogue.

A reader for each camera is made when it is first needed, by reading again what is stored. What is verified but cannot
be made durable is forgotten with its reader, so that memory never knows more than the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509

from evidence.errors import EvidenceError
from evidence.jose import LINE_LIMIT
from evidence.journal import JournalReader
from evidence.records import FILE_LIMIT, Record
from evidence.revoked import Revoked
from evidence.session import Session, accepting
from office.catalogue import Catalogue
from office.errors import OfficeError
from office.store import Store, journal_name
from runtime.disk import make_folder, write_once

_log = logging.getLogger(__name__)
_BLOCK = 1024 * 1024
_FORKS = 64  # of one camera
_FORK_BYTES = 4 * FILE_LIMIT  # of one camera, together
Note = Callable[[str, tuple[int, str], str | None], None]
"""Device, its head, and the dock that brought it: `office.heads.Heads.note`."""
_PLACE = 4  # step of the specification: a line that fails there is well signed and of this camera


class Fork(EvidenceError):  # noqa: N818 - the glossary's word
    """A line that the camera signed, and that does not continue what is held."""


class Journals:
    """All cameras' journals. Safe to use from several threads."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        roots: Sequence[x509.Certificate],
        quarantine: Path,
        note: Note = lambda *_: None,
        revoked: Callable[[], Revoked] | None = None,
    ) -> None:
        """`note`: called with each head that is durable, before the catalogue tells of it.

        `revoked`: whose boots are not gone on with; None: all are taken, as quarantine does.
        """
        self._revoked = revoked
        self._store = store
        self._catalogue = catalogue
        self._roots = roots
        self._quarantine = quarantine
        self._note = note
        self._readers: dict[str, JournalReader] = {}
        self._locks: dict[str, threading.Lock] = {}

    def size(self, device: str, file: int) -> int:
        """Durable bytes of a journal file, whole verified lines. One that has not begun has none: it may begin."""
        with self._of(device):
            return self._reader(device).good_len(file)

    def head(self, device: str) -> tuple[int, str] | None:
        """Sequence number and hash of the last verified record."""
        with self._of(device):
            return self._reader(device).head

    def segment(self, device: str, recording: str, segment: int) -> Record | None:
        """The verified record of a segment."""
        with self._of(device):
            return self._reader(device).segments.get((recording, segment))

    def told(self, device: str, recording: str, segment: int) -> Record:
        """As `segment`. Raises `OfficeError` ("segment-unknown")."""
        record = self.segment(device, recording, segment)
        if record is None:
            raise OfficeError("segment-unknown", "the journal does not tell of this segment: hand it in first", 409)
        return record

    def append(self, device: str, file: int, data: bytes, dock: str) -> int:
        """Verify bytes that follow `size` and keep the whole lines among them durable; their length.

        Raises `EvidenceError` at the first bad line, `Fork` if that is one, `OfficeError` ("quarantine-boot") if its
        key was taken back: good ones before it are kept, it and what follows are not.
        Raises OSError if the disk refuses.
        """
        accept = None if self._revoked is None else accepting(self._revoked())
        with self._of(device):
            reader = self._reader(device)
            length, found, failure = self._verify(reader, file, data, accept)
            try:
                if found:
                    self._store.append_journal(device, file, data[:length])
                    self._take(device, found, dock)
            except BaseException:
                del self._readers[device]
                raise
            if failure is not None and reader.step == _PLACE and failure.code == "chain-broken" and reader.head:
                raise Fork("fork", failure.message)
            if failure is not None and failure.code == "certificate-revoked":
                raise OfficeError("quarantine-boot", f"{failure.message}: it hands in to quarantine", 409)
            if failure is not None:
                raise failure
            return length

    def _take(self, device: str, found: Sequence[tuple[Record, bool]], dock: str | None) -> None:
        """What is durable goes into the log, then into the catalogue."""
        if found:
            last = found[-1][0]
            self._note(device, (last.seq, last.sha256), dock)
            self._catalogue.add_records(device, found, dock)

    def keep_fork(self, device: str, data: bytes) -> str:
        """Keep a fork beside, durable; its SHA-256. The same one is kept once.

        Raises `OfficeError` ("forks-full") if as much of this camera is kept as may be: whoever has its keys can make
        others for ever. Nothing is lost by it: the camera has what it has.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        folder = self._quarantine / device
        make_folder(folder)
        path = folder / f"{sha256}.jws"
        with self._of(device):
            if not path.exists():
                kept = [one.stat().st_size for one in folder.glob("*.jws")]
                if len(kept) >= _FORKS or sum(kept) + len(data) > _FORK_BYTES:
                    message = f"{len(kept)} forks of {device} are kept, and no more is: keep the camera, read its card"
                    raise OfficeError("forks-full", message, 409)
                write_once(path, data, 0o440)
                _log.error("a journal does not continue the one held", extra={"device": device, "sha256": sha256})
        return sha256

    def _of(self, device: str) -> threading.Lock:
        return self._locks.setdefault(device, threading.Lock())

    def recover(self) -> None:
        """Take into the catalogue what a cut run left only in the store, and make durable what it had not yet."""
        for device in self._store.devices():
            for file in self._store.journal_files(device)[-1:]:
                self._store.local.persist(journal_name(device, file))
            try:
                self.head(device)
            except OfficeError as error:  # of this camera only: the others hand in
                _log.error("%s", error, extra={"device": device})

    def _reader(self, device: str) -> JournalReader:
        if device not in self._readers:
            reader = JournalReader(self._roots, device=device, refuse_strangers=True)
            files = self._store.journal_files(device)
            for file in files:
                self._read_again(reader, device, file, last=file == files[-1])
            self._readers[device] = reader
        return self._readers[device]

    def _read_again(self, reader: JournalReader, device: str, file: int, *, last: bool) -> None:
        path = self._store.journal(device, file)
        failure: EvidenceError | None = None
        with path.open("rb") as stored:
            rest = b""
            while failure is None and (block := stored.read(_BLOCK)):
                data = rest + block
                length, found, failure = self._verify(reader, file, data)
                rest = data[length:]
                self._take(device, found, None)
        if self._store.size(path) > reader.good_len(file):
            told = self._catalogue.head_seq(device)
            if not last or told > (reader.head[0] if reader.head else -1):
                raise OfficeError("journal-changed", f"{path} was changed after it was stored: {failure}")
            self._set_torn_aside(device, file, reader.good_len(file))

    def _set_torn_aside(self, device: str, file: int, good: int) -> None:
        """What follows the last good line was never told to be held: a power cut tore it. The dock brings it again."""
        path = self._store.journal(device, file)
        with path.open("rb") as stored:
            stored.seek(good)
            torn = stored.read()
        folder = self._quarantine / device
        make_folder(folder)
        with contextlib.suppress(FileExistsError):
            write_once(folder / f"{hashlib.sha256(torn).hexdigest()}.torn", torn, 0o440)
        self._store.cut_journal(device, file, good)
        _log.warning("the torn end of a journal was set aside", extra={"device": device, "file": file})

    @staticmethod
    def _verify(
        reader: JournalReader, file: int, data: bytes, accept: Callable[[Session], None] | None = None
    ) -> tuple[int, list[tuple[Record, bool]], EvidenceError | None]:
        """Length of the good lines at the front, their records, and what is wrong with the line after them."""
        found: list[tuple[Record, bool]] = []
        length = 0
        while end := data.find(b"\n", length) + 1:
            try:
                found += [(record, reader.signed) for record in reader.feed(file, data[length:end], accept)]
            except EvidenceError as error:
                return length, found, error
            length = end
        too_long = len(data) - length > LINE_LIMIT
        return length, found, EvidenceError("jws-form", "the line is too long") if too_long else None
