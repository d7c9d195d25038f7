"""A camera without hardware and threads: recorder, media, books, writer and journal unchanged, on time that tests move.

The world has one time; each boot's clock begins at its own power-on. Pictures and sound are synthetic and small: what
is tested is what becomes of them.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, boxes, jose, pki, records
from evidence.errors import EvidenceError
from evidence.join import whole_boxes
from evidence.pki import Role
from evidence.records import Chain, Record, Stamp
from evidence.report import Report
from evidence.verify import Verifier
from firmware.books import Books
from firmware.capture import media_signer, recorder, recovery
from firmware.capture import vocabulary as v
from firmware.capture.journal_writer import JournalWriter, Opening, files
from firmware.capture.part import EncoderChangedError, Format
from firmware.capture.parts import ready
from firmware.capture.ring import Ring
from firmware.capture.state import State
from firmware.capture.writer import Run, StorageError, Writer
from firmware.hal.ports import Frame, SoundBlock, Still, Utc
from firmware.media import Media
from runtime.disk import Disk
from tests.agency import NOW, Agency, Holder
from tests.memory_disk import MemoryDisk

DEVICE = "BWC-0001"
MS = 1_000_000
SECOND = 1_000 * MS
FRAME = 100 * MS
FRAGMENT = 500 * MS
SEGMENT = 2 * SECOND
BLOCK = 50 * MS
STARTED_MS = int(NOW.timestamp()) * 1000  # UTC at the beginning of the world

SPS = bytes.fromhex("67640028acd940780227e5c044000003000400000300f03c60c658")
PPS = bytes.fromhex("68ebe3cb22c0")
START = b"\0\0\0\1"


def picture(number: int, *, key: bool, sps: bytes = SPS) -> bytes:
    """An access unit: an IDR picture with its parameter sets, or one that depends on others."""
    told = (0x88010101_01 + number).to_bytes(
        5, "big"
    )  # begins as a picture's first slice does, and holds no start code
    body = told + bytes([number % 251 + 1]) * 39 + b"\x80"
    if key:
        return START + sps + START + PPS + START + b"\x65" + body
    return START + b"\x41" + body


class Packets:
    """`SoundEncoder` whose packets tell their number. Nothing here decodes sound."""

    config = bytes(34)

    def __init__(self) -> None:
        self.count = 0

    def encode(self, pcm: bytes) -> bytes:
        self.count += 1
        return b"\xff\xf8" + self.count.to_bytes(4, "big") + pcm[:20]


@dataclass
class World:
    """Time itself, and how well the camera's clock knows it."""

    now_ns: int = 0
    utc_error_ms: int | None = 400
    utc_off_ms: int = 250


class BootClock:
    """`Clock` of one boot of the kernel."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._on_ns = world.now_ns
        self.kernel_boot = secrets.token_hex(16)

    def boot_ns(self) -> int:
        return self._world.now_ns - self._on_ns

    def utc(self) -> Utc:
        world = self._world
        true_ms = STARTED_MS + world.now_ns // MS
        if world.utc_error_ms is None:
            return Utc(0, "none", None)
        return Utc(true_ms + world.utc_off_ms, "rtc", world.utc_error_ms)

    def set_utc(self, ms: int, source: str, error_ms: int) -> None:
        raise NotImplementedError


@dataclass
class Owner:
    """Whose camera it is: an agency, the camera's evidence key, the office's age identity."""

    agency: Agency = field(default_factory=Agency)
    identity: str = field(default_factory=age.generate_identity)
    evidence: Holder = field(init=False)

    def __post_init__(self) -> None:
        self.evidence = self.agency.issue(Role.EVIDENCE, DEVICE)

    def session(self, boot: str, key: ec.EllipticCurvePrivateKey) -> tuple[str, ...]:
        """The chain of a boot's session key, as its opening carries it."""
        holder = self.evidence
        leaf = pki.make_session_certificate(holder.certificate, holder.key, key.public_key(), boot)
        chain = (leaf, holder.certificate, *holder.above)
        return tuple(jose.b64(c.public_bytes(serialization.Encoding.DER)) for c in chain)


class Camera:
    """One boot of the recording program. `run` lets time pass; the writer does everything queued after each picture."""

    new_writer: type[Writer] = Writer

    def __init__(
        self, owner: Owner, disk: Disk, world: World, clock: BootClock, *,
        ring_seconds: int = 2, make_room: Callable[[], bool] = lambda: False, reserve_bytes: int = 1 << 20,
        sound: bool = True, form: Format | None = None,
    ) -> None:  # fmt: skip
        self.world, self.clock, self.disk = world, clock, disk
        self.boot, key = secrets.token_hex(16), ec.generate_private_key(ec.SECP256R1())
        self.session_key = key
        found = recovery.recover(disk)
        chain = Chain(DEVICE, self.boot, key, pki.key_id(key.public_key()), seq=found.seq, prev=found.prev)
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        opening = Opening(jose.b64(public), owner.session(self.boot, key), clock.kernel_boot)
        self.journal = JournalWriter(disk, chain, opening, self.stamp, found.next_file, list(found.torn))
        self.faults: list[tuple[str, str]] = []
        self.failures: list[str] = []
        self.commands: list[v.Command] = []
        self._events: list[v.Event] = []
        self.writer = self.new_writer(
            disk, self.journal, [age.recipient_of(owner.identity)], reserve_bytes=reserve_bytes, make_room=make_room,
            on_failure=self._failed, on_fault=self._told,
        )  # fmt: skip
        self.encoder = Packets()
        form = form or Format(1280, 720, FRAME, FRAGMENT, SEGMENT, self.encoder.config if sound else None)
        ring = Ring(ring_seconds, 1 << 20)
        signer = media_signer.signer(key, opening.chain, "test", DEVICE)
        self.media = Media(ring, self.encoder, form, self.writer, self._utc_ms, self._told, signer)
        self.counts = {"delivered": 0, "encoded": 0, "dropped": 0}
        self.books = Books(
            clock, disk, self.journal, self.writer, self.media, lambda: dict(self.counts),
            found.recording, self._events.append,
        )  # fmt: skip
        self.state = State(default_activity="inspection")
        self.sound = sound
        self.picture = True
        self.sps = SPS
        self.delivered_ns = 0  # boot time at which the last picture that was given to it ended
        self._group = 0
        self._next_block_ns = clock.boot_ns()
        self.cut = found.recording
        self.journal.boot(
            {
                "software": "test",
                "configuration": "0" * 64,
                "key_store": "extractable",
                "hardware": {},
                "simulated": False,
            }
        )
        self.step(ready(found.recording, docked=False))

    def stamp(self) -> Stamp:
        utc = self.clock.utc()
        return Stamp(self.clock.boot_ns(), utc.ms, utc.source, utc.error_ms)

    def _utc_ms(self, boot_ns: int) -> int:
        return self.clock.utc().ms - (self.clock.boot_ns() - boot_ns) // MS

    def _told(self, where: str, what: str) -> None:
        self.faults.append((where, what))

    def _failed(self, error: StorageError) -> None:
        self.failures.append(error.cause)
        self._events.append(v.StorageFailed(error.cause))

    # What happens.

    def step(self, event: v.Event) -> None:
        """Let the recorder decide, carry it out, and let the writer finish."""
        self.state, commands = recorder.step(self.state, event)
        for command in commands:
            self._do(command)
        self.settle()

    def run(self, seconds: float) -> None:
        """Let time pass: a picture every 100 ms, a key frame every second, sound in blocks of 50 ms."""
        until = self.world.now_ns + int(seconds * SECOND)
        while self.world.now_ns < until:
            self.deliver()
            self.settle()

    def deliver(self) -> None:
        """One picture and the sound up to it; the writer does nothing yet."""
        self.world.now_ns += FRAME
        self.arrive()

    def arrive(self) -> None:
        """The picture that ends now, and the sound up to it."""
        now = self.clock.boot_ns()
        if self.picture:
            self._deliver_picture(now - FRAME)
        self.delivered_ns = now
        while self.sound and self._next_block_ns + BLOCK <= now:
            self.media.sound(SoundBlock(bytes(4800), self._next_block_ns))
            self._next_block_ns += BLOCK

    def _deliver_picture(self, boot_ns: int) -> None:
        key, self._group = self._group == 0, (self._group + 1) % 10
        for name in ("delivered", "encoded"):
            self.counts[name] += 1
        frame = Frame(picture(self.counts["encoded"], key=key, sps=self.sps), boot_ns, key)
        try:
            self.media.picture(frame)
        except EncoderChangedError:
            self.books.end_part()
            self.books.begin_part(v.BeginPart(None, "encoder_changed", self.state.mode, self.state.activity))

    def settle(self) -> None:
        """Let the writer do all that is queued, and the recorder hear of it."""
        while self.writer.work_once() or self._events:
            while self._events:
                self.step(self._events.pop(0))

    def press(self) -> None:
        self.step(v.RecordPressed(self.clock.boot_ns()))

    def end(self) -> None:
        """Hold the button twice."""
        for _ in range(2):
            self.step(v.RecordHeld(self.clock.boot_ns()))

    def take_still(self, size: int = 3_000) -> Still:
        """Mark this moment and hand in a still of the newest picture: bytes that stand nowhere else."""
        now = self.clock.boot_ns()
        self.books.mark(now)
        still = Still(b"\xff\xd8\xff" + secrets.token_bytes(size - 5) + b"\xff\xd9", now - FRAME)
        self.media.still(still)
        return still

    def quit(self) -> None:
        self.step(v.Quit())
        self.writer.submit(Run(lambda: self.journal.append("shutdown", {"clean": True})))
        self.settle()
        self.writer.retry()
        self.journal.close()

    def try_storage(self) -> None:
        """What the runner does now and then while the disk refuses."""

        def probe() -> None:
            if self.writer.make_room():
                self._events.append(v.StorageBack())

        self.writer.submit(Run(probe))
        self.settle()

    def _do(self, command: v.Command) -> None:
        self.commands.append(command)
        match command:
            case v.BeginPart():
                self.books.begin_part(command)
            case v.EndPart():
                self.books.end_part()
            case v.EndRecording(interrupted, ground):
                self.books.end(interrupted, ground)
            case v.KeepStop(ground, at_ns):
                self.books.keep_stop(ground, at_ns)
            case v.KeepActivity(activity):
                self.books.keep_activity(activity)
            case v.KeepReason(gap_seq, basis, from_ns, to_ns):
                self.books.keep_reason(gap_seq, basis, from_ns, to_ns)
            case v.Mark(at_ns, _):
                self.books.mark(at_ns)
            case v.Alert(what, detail):
                self.books.record("alert", {"what": what, "recording": self.books.recording, "detail": detail})
            case v.Arm():
                self.media.forget()
                self.books.record("armed", {"ring_seconds": 2})


def lines(disk: MemoryDisk) -> list[Record]:
    """All records on a disk, as far as each file's lines are whole and no opening sets them aside."""
    found: list[Record] = []
    torn: dict[int, int] = {}
    for number in files(disk):
        data = bytes(disk.files[records.journal_path(number)].content)
        for line in data.split(b"\n")[:1]:
            torn |= {tail["file"]: tail["offset"] for tail in _opening(line).get("torn", [])}
    for number in files(disk):
        data = bytes(disk.files[records.journal_path(number)].content)[: torn.get(number)]
        found += [records.parse(line) for line in data.split(b"\n")[:-1]]
    return found


def _opening(line: bytes) -> dict[str, Any]:
    try:
        return dict(records.parse(line).body)
    except EvidenceError:
        return {}


def of_kind(disk: MemoryDisk, kind: str) -> list[Record]:
    return [record for record in lines(disk) if record.kind == kind]


def kept_stills(owner: Owner, disk: MemoryDisk) -> list[bytes]:
    """The JPEGs that lie in the segments, read as the office reads them."""
    found: list[bytes] = []
    for path in sorted(disk.files):
        if path.startswith("segments/"):
            with contextlib.suppress(EvidenceError):  # a header that was cut
                plain = whole_boxes(age.open_file(bytes(disk.files[path].content), owner.identity).plain)
                found += [bytes(plain[still.start : still.end]) for still in boxes.stills(plain)]
    return found


def verified(owner: Owner, disk: MemoryDisk) -> Report:
    """The verifier's report, which must find nothing wrong, looking as deep as the office's key lets it."""
    report = Verifier(disk, [owner.agency.root.certificate], owner.identity).run()
    assert report.ok, "\n".join(f"{f.step} {f.verdict} {f.where}: {f.message}" for f in report.findings)
    for name, verdict in report.segments.items():
        told = verdict.media_signing
        if told is not None and (told.pictures or told.unsigned):
            cut = {"incomplete", "absent"} if verdict.verdict == "truncated" else set()  # no signature yet
            assert told.verdict in {"valid", *cut}, (name, verdict)
    return report
