"""A camera whose card is a mounted disk with faults: runner, writer, journal and recovery unchanged, with threads.

Pictures and sound are made up at their ports; time runs by itself, faster than it does, so that what takes the camera
seconds takes a test a fraction of one.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, jose, pki, records, sealed
from evidence.documents import Configuration
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.records import Chain, Record, Stamp
from evidence.report import Report
from evidence.verify import Verifier
from firmware.capture import recovery
from firmware.capture import vocabulary as v
from firmware.capture.journal_writer import JournalWriter, Opening, files
from firmware.capture.part import Format
from firmware.capture.ring import Ring
from firmware.capture.state import Phase
from firmware.capture.writer import Writer
from firmware.dock_port import DockPort
from firmware.equipment import Hardware, Parts
from firmware.hal.ports import Control, Frame, SoundBlock
from firmware.handin import HandIn
from firmware.identity import Identity
from firmware.media import Media
from firmware.runner import Runner
from firmware.speaker import Speaker
from firmware.voice.prompts import Prompt, load
from runtime.disk import Disk
from runtime.folder import DiskFolder
from tests.camera_rig import BLOCK, DEVICE, FRAGMENT, FRAME, MS, SECOND, BootClock, Owner, Packets, World, picture
from tests.runner_rig import Board, Loudspeaker, Panel, Source

HASTE = 8  # seconds of the camera's in one of the test's
SEGMENT = 4 * SECOND
PATIENCE = 30.0
_ENDED = {Phase.ARMED, Phase.DOCKED}


class Hurried(World):
    """Time that runs by itself, and fast; `skip` moves it on."""

    def __init__(self) -> None:
        self._began = time.monotonic_ns()
        self._skipped = 0
        super().__init__()

    @property
    def now_ns(self) -> int:
        return (time.monotonic_ns() - self._began) * HASTE + self._skipped

    @now_ns.setter
    def now_ns(self, value: int) -> None:
        """Nobody sets it."""

    def skip(self, nanoseconds: int) -> None:
        self._skipped += nanoseconds


class CardCamera:
    """One boot of the camera's program over a `Disk`. Raises OSError where the program would not come up."""

    def __init__(self, owner: Owner, disk: Disk, clock: BootClock, *, reserve_bytes: int = 1 << 20) -> None:
        self.owner, self.disk, self.clock = owner, disk, clock
        self.video, self.microphone, self.panel = Source(), Source(), Panel()
        self.said: list[str] = []
        self.faults: list[tuple[str, str]] = []
        self.durable: list[tuple[int, bytes]] = []  # every line that the journal called durable
        found = recovery.recover(disk)
        boot, key = secrets.token_hex(16), ec.generate_private_key(ec.SECP256R1())
        self.chain = Chain(DEVICE, boot, key, pki.key_id(key.public_key()), seq=found.seq, prev=found.prev)
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        opening = Opening(jose.b64(public), owner.session(boot, key), clock.kernel_boot)
        self.journal = JournalWriter(
            disk, self.chain, opening, self._stamp, found.next_file, list(found.torn),
            lambda _, line: self.durable.append((records.parse(line).seq, line)),
        )  # fmt: skip
        recipients = (age.recipient_of(owner.identity),)
        told = Configuration(
            "OFFICE-1", DEVICE, "agency", "2026-01-01T00:00:00.000Z", "unit", "000042", "name", "inspection",
            recipients, pre_event_seconds=2, answer_seconds=2,
        )  # fmt: skip
        identity = Identity(Path(), told, "", (owner.agency.root.certificate,), {})
        handin = HandIn(disk, self.journal, identity, clock, lambda: None)
        self.writer = Writer(
            disk, self.journal, recipients, reserve_bytes=reserve_bytes, make_room=handin.make_room,
            on_failure=lambda error: self.runner.storage_failed(error),  # noqa: PLW0108 - the runner is built last
            on_fault=self._fault,
        )  # fmt: skip
        packets = Packets()
        form = Format(1280, 720, FRAME, FRAGMENT, SEGMENT, packets.config)
        media = Media(Ring(2, 1 << 20), packets, form, self.writer, self._utc_ms, self._fault)
        prompts = {key: Prompt(key, key, key.encode() * 2, 8_000, said.priority) for key, said in load().items()}
        speaker = Speaker(Loudspeaker(), clock, self._say, self._fault, lambda count: self.runner.buzz(count))  # noqa: PLW0108
        person = {"officer_number": "000042", "officer_name": "name", "unit": "unit"}
        parts = Parts(
            Hardware(clock, self.video, self.microphone, self.panel, Board()), disk, self.journal, self.writer, media,
            speaker, handin, DockPort(handin, disk, None, ("127.0.0.1", 0)),  # type: ignore[arg-type]
            prompts, found.recording, told, 3, sealed.seal("assigned", person, recipients),
            reserve_bytes=reserve_bytes,
        )  # fmt: skip
        self.runner = Runner(parts, lambda: None)
        self.journal.boot(
            {
                "software": "test",
                "configuration": "0" * 64,
                "key_store": "extractable",
                "hardware": {},
                "simulated": False,
            }
        )
        self._thread = threading.Thread(target=self.runner.run, name="runner")
        self._world = threading.Thread(target=self._happen, name="world")
        self._over = threading.Event()

    def start(self) -> None:
        self._thread.start()
        self._world.start()
        self.wait(lambda: self.phase is not Phase.STARTING)

    @property
    def phase(self) -> Phase:
        return self.runner._state.phase

    def press(self, control: Control = Control.RECORD_PRESSED) -> None:
        self.panel.press(control, self.clock.boot_ns())

    def live(self, seconds: float) -> None:
        """Let the camera's time pass."""
        threading.Event().wait(seconds / HASTE)

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, (self.phase, self.said, self.faults)
            threading.Event().wait(0.005)

    def end(self) -> None:
        """Hold the button twice, until the recording has ended."""

        def ended() -> bool:
            if self.phase not in _ENDED:
                self.press(Control.RECORD_HELD)
            return self.phase in _ENDED

        self.wait(ended)

    def stop(self) -> None:
        """Switch it off: nothing runs any more, whatever became of the disk."""
        self.runner.post(v.Quit())
        self._over.set()
        for thread in (self._thread, self._world):
            if thread.is_alive():
                thread.join(PATIENCE)
            assert not thread.is_alive()

    def _happen(self) -> None:
        """The world before lens and microphone: 10 pictures and 20 blocks of sound a second."""
        number, frame_ns, block_ns = 0, self.clock.boot_ns(), self.clock.boot_ns()
        while not self._over.wait(FRAME / SECOND / HASTE):
            now = self.clock.boot_ns()
            while frame_ns + FRAME <= now:
                key = number % 10 == 0
                self.video.put(Frame(picture(number, key=key), frame_ns, key))
                number, frame_ns = number + 1, frame_ns + FRAME
                while block_ns + BLOCK <= frame_ns:
                    self.microphone.put(SoundBlock(bytes(4800), block_ns))
                    block_ns += BLOCK

    def _stamp(self) -> Stamp:
        utc = self.clock.utc()
        return Stamp(self.clock.boot_ns(), utc.ms, utc.source, utc.error_ms)

    def _utc_ms(self, boot_ns: int) -> int:
        return self.clock.utc().ms - (self.clock.boot_ns() - boot_ns) // MS

    def _say(self, key: str, from_ns: int, to_ns: int) -> None:
        self.said.append(key)
        self.runner.said(key, from_ns, to_ns)

    def _fault(self, where: str, what: str) -> None:
        self.faults.append((where, what))
        self.runner.failed(where, what)


@contextmanager
def switched_on(owner: Owner, disk: Disk, clock: BootClock, **more: Any) -> Iterator[CardCamera]:
    """A camera that is running, and is switched off in the end."""
    camera = CardCamera(owner, disk, clock, **more)
    camera.start()
    try:
        yield camera
    finally:
        camera.stop()


def lines(disk: Disk) -> list[Record]:
    """All records on a disk, as far as each file's lines are whole and no opening sets them aside."""
    data = {number: disk.read(records.journal_path(number)) for number in files(disk)}
    torn: dict[int, int] = {}
    for content in data.values():
        with_opening = content.partition(b"\n")[0]
        try:
            torn |= {tail["file"]: tail["offset"] for tail in records.parse(with_opening).body.get("torn", [])}
        except EvidenceError:
            continue
    return [
        records.parse(line)
        for number, content in data.items()
        for line in content[: torn.get(number)].split(b"\n")[:-1]
    ]


def report(owner: Owner, folder: Path) -> Report:
    """The verifier's report on a folder, as deep as the office's key lets it look."""
    return Verifier(DiskFolder(folder), [owner.agency.root.certificate], owner.identity).run()


def signer_file(owner: Owner, folder: Path) -> None:
    """The certificate of the office, which the camera's program puts beside the evidence."""
    signer = owner.agency.issue(Role.SIGNER, "OFFICE-1")
    (folder / "certs").mkdir(exist_ok=True)
    (folder / "certs" / "signer.pem").write_bytes(pki.to_pem(signer.certificate, *signer.above))
