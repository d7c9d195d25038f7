"""One camera's hand-in: journal, segments, receipts back, time anchor. Every step goes on from what the files say.

    camera --journal--> verify, spool, events --> office
    camera --segment--> hash --> office, or the spool when the office is away
    office --receipt, anchor--> verify --> camera

Nothing here releases anything: the camera does, on a receipt that it verifies itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography import x509

from evidence import jose
from evidence.documents import Receipt
from evidence.errors import EvidenceError
from evidence.journal import JournalReader
from evidence.records import Record
from evidence.session import Session, accepting
from syncd.attempts import Attempts
from syncd.blocks import GaveWay, ahead, giving_way, in_turn, verified, whole_lines
from syncd.camera import Camera, CameraState, Listed
from syncd.errors import AwayError, DockError, RefusedError
from syncd.events import Events
from syncd.link import Blocks
from syncd.office import Office, Signers, check_receipt
from syncd.presence import Presence
from syncd.retries import Retries
from syncd.returns import Lists
from syncd.spool import Spool
from syncd.step import Begun, Step, decide
from syncd.telemetry import CameraTelemetry
from syncd.urgency import Agenda, Holds

_Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Dock:
    """What all hand-ins of a dock share."""

    spool: Spool
    roots: Sequence[x509.Certificate]
    signers: Signers
    signer_pem: bytes
    events: Events
    retries: Retries
    stopping: threading.Event
    keep_segments: bool = False
    holds: Holds = field(default_factory=Holds)
    presence: Presence = field(default_factory=Presence)
    name: str = ""  # the dock's id
    lists: Lists | None = None  # None: cameras are brought no papers, and not asked how they stand


class HandIn:
    """The hand-in of one camera, at whichever bay it is. One thread works on it at a time."""

    def __init__(self, device: str, dock: Dock) -> None:
        self.device = device
        self._dock = dock
        self._spool = dock.spool.device(device)
        self._lock = threading.Lock()
        self._reader: JournalReader | None = None
        self._wanted = threading.Event()  # a bay waits for the drain to leave off
        self.tries = Attempts(device, dock.events, dock.retries, dock.stopping)
        self._agenda = Agenda(dock.holds)
        self._telemetry = CameraTelemetry()
        self._given: set[_Key] = set()  # the camera has written these receipts into its journal
        self._at_office: dict[int, int] = {}  # bytes of each journal file that the office is known to hold
        self._begun = Begun()
        self.barred = False  # a key behind a boot of its journal was taken back: it hands in to quarantine
        self._told_done = False
        self._gave = False  # whether the camera was given anything in this pass

    def begin(self) -> None:
        """The camera has come."""
        self._told_done = self.barred = False
        self._dock.events.handin(self.device, "started")

    def lost(self, away: AwayError) -> None:
        """The camera has gone, or cannot be worked with. A fault unless it had nothing left to hand in."""
        if not self._told_done or away.code != "camera-lost":
            self.tries.fault(away)

    def visit(self, camera: Camera, office: Office) -> bool:
        """Do all that can be done now; whether that was everything. Raises `AwayError` of the camera, and `Stopped`."""
        self._wanted.set()
        with self._lock:
            self._wanted.clear()
            complete = self._pass(camera, office)
            if self._gave:  # the camera has written it down: those lines are handed in too
                complete = self._pass(camera, office)
            if complete and not self._told_done:
                self._told_done = True
                self._dock.events.handin(self.device, "done")
            return complete

    def _pass(self, camera: Camera, office: Office) -> bool:
        """Whether everything that the camera had is handed in and known to it."""
        self._gave = False
        state = camera.state()
        complete = self.tries.attempt("journal", lambda: self._pull_journal(camera, office, state))
        if (figures := self._telemetry.news()) is not None:
            self._dock.events.telemetry(figures, self.device)
        complete &= self._deliver_journal(office)
        if self.barred:
            return False
        for listed in self._agenda.order(state.segments, lambda listed: self.known(listed.key)):
            complete &= listed.key in self._given or self.tries.attempt(
                f"{listed.recording}/{listed.segment}",
                lambda listed=listed: self._segment(camera, office, listed),  # type: ignore[misc]
            )
        return complete & self._deliver_anchor(camera, office, state)

    def drain(self, office: Office) -> None:
        """Bring the office what waits in the spool, unless a bay works with the camera, or until one wants to.

        Raises `Stopped`.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._verified()
            if not self._deliver_journal(office):
                return
            for key in self._agenda.order(self._spool.waiting(), self.known):
                self.tries.office_attempt(_upload_of(key), lambda key=key: self._forward(office, key, give_way=True))  # type: ignore[misc]
        except GaveWay:
            return
        finally:
            self._lock.release()

    def rank(self) -> tuple[int, int]:
        """How urgent what waits in the spool is: the least first. For any thread."""
        return min((self._agenda.rank(self.known(key)) for key in self._spool.waiting()), default=Agenda.LAST)

    # --- journal

    def _verified(self) -> JournalReader:
        """The reader at the end of what the spool holds; a copy that does not verify is cut back and pulled again."""
        if self._reader is None:
            reader = JournalReader(self._dock.roots, device=self.device, refuse_strangers=True)
            files = self._spool.journal_files()
            for file in files[-1:]:  # lines come in the chain's order: those before were durable when it was begun
                self._spool.persist_journal(file)
            for file in files:
                with contextlib.suppress(EvidenceError):
                    self._feed(reader, file, self._spool.journal(file))
                self._spool.cut_journal(file, reader.good_len(file))
            self._reader = reader
        return self._reader

    def _feed(
        self, reader: JournalReader, file: int, data: bytes, accept: Callable[[Session], None] | None = None
    ) -> None:
        start = 0
        while (end := data.find(b"\n", start) + 1) > 0:  # not splitlines: a carriage return ends no line
            for record in reader.feed(file, data[start:end], accept):
                if record.kind == "receipt":
                    self._note_given(record)
                self._agenda.note(record)
                self._telemetry.note(record)
            start = end

    def _note_given(self, record: Record) -> None:
        with contextlib.suppress(EvidenceError):
            receipt = Receipt.from_payload(jose.parse(record.body["receipt"], Receipt.TYP).payload)
            self._given.add((receipt.recording, receipt.segment))

    def _pull_journal(self, camera: Camera, office: Office, state: CameraState) -> None:
        """Take in every line that verifies. Raises `DockError` for one that does not, after all that could be had."""
        failures: dict[int, DockError] = {}
        for file, size in state.journal:
            if size < self._verified().good_len(file):
                failures[file] = DockError("journal-shorter", f"journal file {file}: lines seen before are gone")
                continue
            try:
                self._pull_allowed(camera, office, file, size)
            except EvidenceError as error:
                self.barred |= error.code == "certificate-revoked"
                failures[file] = DockError(error.code, f"journal file {file}: {error.message}")
        # What could not be read may be a torn tail that a later file declares.
        for file in sorted(failures.keys() - self._verified().torn.keys()):
            raise failures[file]

    def _pull_allowed(self, camera: Camera, office: Office, file: int, size: int) -> None:
        """Take in a file; of boots of keys that were taken back only what the office held before it knew."""
        accept = None if self._dock.lists is None else accepting(self._dock.lists.now())
        try:
            self._pull_file(camera, file, size, accept)
        except EvidenceError as error:
            held = self._held(office, file)[1] if error.code == "certificate-revoked" else 0
            if held <= self._verified().good_len(file):
                raise
            self._pull_file(camera, file, min(held, size), None)
            self._pull_file(camera, file, size, accept)

    def _pull_file(self, camera: Camera, file: int, stop: int, accept: Callable[[Session], None] | None) -> None:
        reader = self._verified()
        rest = b""
        for block in self.tries.watched(camera.journal(file, reader.good_len(file), stop)):
            data = rest + block
            before = reader.good_len(file)
            try:
                self._feed(reader, file, data, accept)
            finally:
                good = data[: reader.good_len(file) - before]
                self._keep_lines(file, good)
            rest = data[len(good) :]
            if len(rest) > jose.LINE_LIMIT:  # or a camera could fill this machine's memory with a line without an end
                raise EvidenceError("jws-form", "the line is too long")

    def _keep_lines(self, file: int, lines: bytes) -> None:
        if not lines:
            return
        # Events first: after a crash between the two, lines are told twice, never not at all.
        self._dock.events.journal_lines(self.device, lines.splitlines())
        try:
            self._spool.append_journal(file, lines)
        except OSError:
            self._reader = None  # it is ahead of the spool; read again what is there
            raise

    def _deliver_journal(self, office: Office) -> bool:
        return self.tries.office_attempt("journal-upload", lambda: self._upload_journal(office))

    def _upload_journal(self, office: Office) -> None:
        if self.tries.doubtful:
            self._at_office.clear()
            self.tries.doubtful = False
        try:
            self._upload_lines(office)
        except RefusedError as refusal:
            self.barred |= refusal.reason == "quarantine-boot"  # its lists are newer than those here
            raise

    def _upload_lines(self, office: Office) -> None:
        for file in self._spool.journal_files():
            size = self._verified().good_len(file)
            if self._at_office.get(file, -1) >= size:
                continue
            upload, offset = self._held(office, file)
            for piece in whole_lines(self._spool.journal(file, offset)):
                self.tries.check_stop()
                offset = office.uploads.append(upload, offset, piece)
            self._at_office[file] = offset
            self.tries.office_worked("journal-upload")

    def _held(self, office: Office, file: int) -> tuple[str, int]:
        """A journal file at the office, and how much of it is held there."""
        upload = office.uploads.create({"kind": "journal", "device": self.device, "file": str(file)}, None)
        return upload, office.uploads.offset(upload)

    # --- segments

    def known(self, key: _Key) -> Record | None:
        """The verified record of a segment, if there is one by now. For any thread."""
        return self._reader.segments.get(key) if self._reader else None

    def _record(self, key: _Key) -> Record:
        record = self._verified().segments.get(key)
        if record is None:
            raise DockError("segment-unknown", f"no verified record names segment {key[0]}/{key[1]}")
        return record

    def _segment(self, camera: Camera, office: Office, listed: Listed) -> bool:
        """Go on until the camera has its receipt (True), or the office is needed and away (False)."""
        key, record = listed.key, self._record(listed.key)
        if listed.size != record.body["file_size"]:
            raise DockError("segment-size", f"segment {key[0]}/{key[1]} has not the size that the camera signed")
        while (step := self._next(key, record)) is not Step.WAIT:
            try:
                if step is Step.GIVE:
                    self._give(camera, key, record)
                    return True
                if step is Step.FORWARD:
                    self._forward_sound(office, key, record)
                elif step is Step.STORE and self._spool.fits(key, listed.size):
                    start = self._spool.partial_size(key)
                    self._spool.take(key, self.tries.watched(camera.segment(listed, start)), record)
                elif self.tries.office_ready(_upload_of(key)):
                    self._upload(office, record, lambda start: camera.segment(listed, start))
                else:
                    raise DockError("spool-full", "the office is away and the spool is full; it stays on the camera")
            except AwayError as away:
                if away.side == "camera":
                    raise
                self.tries.office_failed(away, _upload_of(key))
        return False

    def _next(self, key: _Key, record: Record) -> Step:
        return decide(
            receipt=self._receipt(key, record) is not None,
            whole=self._spool.holds(key),
            via_spool=self._dock.keep_segments or self._spool.partial_size(key) > 0,
            office=self.tries.office_ready(_upload_of(key)) and self._journal_delivered(),
            begun=key in self._begun,
        )

    def _receipt(self, key: _Key, record: Record) -> bytes | None:
        found = self._spool.receipt(key)
        if found is None:
            return None
        try:
            return check_receipt(self._dock.signers, found, self._expected(record))
        except DockError:
            return None  # damaged on this disk: it is fetched again

    def _expected(self, record: Record) -> tuple[str, str, int, str, int]:
        body = record.body
        return self.device, body["recording"], body["segment"], body["file_sha256"], body["file_size"]

    def _give(self, camera: Camera, key: _Key, record: Record) -> None:
        receipt = self._receipt(key, record)
        assert receipt is not None  # noqa: S101 - Step.GIVE says so
        camera.give_receipt(receipt)
        self._given.add(key)
        self._gave = True
        sha256 = record.body["file_sha256"]
        self._dock.events.handin(self.device, "receipt", recording=key[0], segment=key[1], sha256=sha256)

    def _forward_sound(self, office: Office, key: _Key, record: Record) -> None:
        """Forward it while its camera is here: what this disk has damaged is thrown away and fetched again."""
        try:
            self._forward(office, key)
        except AwayError:
            raise
        except DockError:
            if not self._spool.sound(key, record.body["file_sha256"]):
                self._spool.drop(key)
            raise

    def _forward(self, office: Office, key: _Key, *, give_way: bool = False) -> None:
        def blocks(start: int) -> Blocks:
            found = self._spool.blocks(key, start)
            return giving_way(found, self._wanted) if give_way else found

        self._upload(office, self._record(key), blocks)

    def _upload(self, office: Office, record: Record, source: Callable[[int], Blocks]) -> None:
        """Bring the office what it lacks of a segment and keep the receipt."""
        device, recording, segment, sha256, size = self._expected(record)
        metadata = {"kind": "segment", "device": device, "recording": recording, "segment": str(segment)}
        upload = office.uploads.create(metadata, size)
        offset = office.uploads.offset(upload)
        blocks = self.tries.watched(source(offset))
        if offset == 0:  # the office checks the whole hash; where all bytes pass through here the dock does too
            blocks = verified(blocks, size, sha256)
        blocks = in_turn(ahead(blocks), office.share, self._agenda.urgency(record).weight)
        office.uploads.complete(upload, offset, size, self._begun.noting((recording, segment), blocks))
        receipt = office.receipt(device, recording, segment, sha256, size)
        self.tries.office_worked(_upload_of((recording, segment)))
        self._spool.put_certificates(self._dock.signer_pem)
        self._spool.put_receipt((recording, segment), receipt)
        self._begun.forget((recording, segment))
        if not self._dock.keep_segments:
            self._spool.drop((recording, segment))
        self._dock.events.handin(
            self.device, "progress", recording=recording, segment=segment, bytes=size, sent=size - offset
        )

    # --- time anchor

    def _deliver_anchor(self, camera: Camera, office: Office, state: CameraState) -> bool:
        nonce = state.nonce
        if nonce is None:
            return True
        return self._journal_delivered() and self.tries.office_attempt(
            "anchor", lambda: self._give_anchor(camera, office, nonce)
        )

    def _give_anchor(self, camera: Camera, office: Office, nonce: str) -> None:
        camera.give_anchor(office.anchor(self.device, nonce))
        self._gave = True

    def _journal_delivered(self) -> bool:
        reader = self._verified()
        return all(self._at_office.get(file, -1) >= reader.good_len(file) for file in self._spool.journal_files())


def _upload_of(key: _Key) -> str:
    """Apart from what else may fail of a segment: while the office has trouble with it, the spool takes it."""
    return f"upload-{key[0]}/{key[1]}"
