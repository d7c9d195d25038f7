"""Reading a journal: each line's form, key, signature and place in the chain (specification §7.1, steps 1 to 5).

Incremental and without IO: a dock, the office and the verifier feed it the same bytes in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography import x509

from evidence import records
from evidence.errors import EvidenceError
from evidence.records import Record
from evidence.session import Session, certify, open_session


@dataclass(frozen=True, slots=True)
class TornTail:
    """Bytes that a power cut left after the last whole line of a file, as the next boot declares them."""

    file: int
    offset: int
    length: int
    sha256: str


class JournalReader:
    """Takes the bytes of journal files in order and yields verified records.

    Raises `EvidenceError` at the first bad line; everything before it stays verified, and the caller may go on with the
    next file: its `boot` record then has to declare what stands there as torn.
    """

    def __init__(
        self, roots: Sequence[x509.Certificate], *, device: str | None = None, refuse_strangers: bool = False
    ) -> None:
        """`refuse_strangers`: take no boot that neither of the camera's keys stands behind (a dock's and office's)."""
        self._roots = list(roots)
        self._refuse_strangers = refuse_strangers
        self.device = device
        self.session: Session | None = None
        self.sessions: dict[str, Session] = {}
        self.head: tuple[int, str] | None = None
        self.segments: dict[tuple[str, int], Record] = {}
        self.torn: dict[int, TornTail] = {}
        self.step = 1  # the step that the last line reached: where it failed, if it did
        self._digests = bytearray()
        self._good: dict[int, int] = {}
        self._file = -1
        self._last: Record | None = None

    @property
    def signed(self) -> bool:
        """Whether the present session's key is certified."""
        return self.session is not None and self.session.signed

    def sha256_of(self, seq: int) -> str | None:
        """Hash of a verified record's line; None if there is no such record here."""
        found = self._digests[seq * 32 : seq * 32 + 32]
        return found.hex() if seq >= 0 and found else None

    def good_len(self, file: int) -> int:
        """Bytes of a file's verified lines: where `feed` goes on."""
        return self._good.get(file, 0)

    def feed(self, file: int, data: bytes, accept: Callable[[Session], None] | None = None) -> list[Record]:
        """Verify the lines of `data`, which starts at `good_len(file)`; bytes after the last line feed are left.

        `accept(session)` may refuse a line for its session, by raising `EvidenceError`.
        """
        found: list[Record] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            found.append(self._line(file, data[start:end], accept))
            self._good[file] = self.good_len(file) + end + 1 - start
            start = end + 1
        return found

    def _line(self, file: int, line: bytes, accept: Callable[[Session], None] | None) -> Record:
        self.step = 1  # form
        record = records.parse(line)
        self.step = 2  # the key comes from the file's opening, through its chain
        if file != self._file:
            session = self._open(file, record, len(line))
        elif record.kind in ("boot", "summary"):
            raise EvidenceError("chain-broken", f"record {record.seq}: a file opens in the middle of another")
        else:
            session = self._session()
        if record.kid != session.kid or record.boot != session.boot:
            raise EvidenceError("session-key", f"record {record.seq} names another key or boot than its file's opening")
        if record.kind == "certified":
            session = certify(session, record.body, record.device, self._roots)
        if accept is not None:
            accept(session)
        self.step = 3  # signature
        record.jws.verify(session.key)
        self.step = 4  # place in the chain
        self._place(record)
        self.step = 5  # torn tails
        self._declare(record)
        self._file, self.session, self._last = file, session, record
        self.sessions[session.boot] = session
        self.device = record.device
        self.head = (record.seq, record.sha256)
        self._digests += bytes.fromhex(record.sha256)
        if record.kind == "segment":
            self.segments[record.body["recording"], record.body["segment"]] = record
        return record

    def _session(self) -> Session:
        if self.session is None:
            raise EvidenceError("chain-broken", "the journal does not begin with a boot record")
        return self.session

    def _open(self, file: int, record: Record, size: int) -> Session:
        body = record.body
        if record.kind not in ("boot", "summary"):
            raise EvidenceError("chain-broken", f"journal file {file} does not open with a boot or summary record")
        if size > records.OPENING_LIMIT:
            raise EvidenceError("jws-form", f"journal file {file} opens with a line longer than an opening may be")
        # Counted, not listed: a file's name is anybody's, and may tell of a hundred million files before it.
        torn = {tail["file"] for tail in body.get("torn", [])}
        skipped = file - self._file - 1 - sum(self._file < number < file for number in torn)
        if file <= self._file or body["file"] != file or skipped:
            raise EvidenceError("chain-broken", f"journal file {self._file + 1} is missing before file {body['file']}")
        opened = open_session(body, record.device, record.boot, self._roots)
        if self._refuse_strangers and opened.stranger:
            raise EvidenceError("session-stranger", f"no key of {record.device} stands behind this boot")
        if record.kind == "summary":
            session = self._session()
            if (session.kid, session.boot, session.signed, session.stranger) != (
                opened.kid,
                record.boot,
                opened.signed,
                opened.stranger,
            ):
                raise EvidenceError("chain-broken", f"journal file {file} goes on with another session")
            return session
        if record.boot in self.sessions:
            raise EvidenceError("chain-broken", f"boot {record.boot} opens twice")
        return opened

    def _declare(self, record: Record) -> None:
        # A torn tail stands right after the last whole line of a file before this one.
        declared = [TornTail(**members) for members in record.body.get("torn", [])]
        if len({tail.file for tail in declared}) < len(declared):
            raise EvidenceError("journal-torn", f"record {record.seq} declares two torn tails of one file")
        for tail in declared:
            if not self._file <= tail.file < record.body["file"] or tail.offset != self.good_len(tail.file):
                message = f"record {record.seq} declares a torn tail at another place than where lines end"
                raise EvidenceError("journal-torn", message)
            self.torn[tail.file] = tail

    def _place(self, record: Record) -> None:
        if self.device is not None and record.device != self.device:
            raise EvidenceError("foreign", f"record {record.seq} is of {record.device}, not of {self.device}")
        seq, prev = (0, records.GENESIS) if self._last is None else (self._last.seq + 1, self._last.sha256)
        if record.seq != seq:
            raise EvidenceError("chain-broken", f"record {seq} is missing; {record.seq} stands in its place")
        if record.prev != prev:
            raise EvidenceError("chain-broken", f"record {seq} does not follow the record before it")
        last = self._last
        if last is not None and last.boot == record.boot and record.clock.boot_ns < last.clock.boot_ns:
            raise EvidenceError("chain-broken", f"record {seq}: the boot clock runs backwards")
