"""A runner with its threads over drivers that a test speaks for, at their ports; time is real."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evidence import age, pki, sealed
from evidence.documents import Configuration
from evidence.pki import Role
from evidence.records import Record
from evidence.verify import Verifier
from firmware.capture import vocabulary as v
from firmware.capture.part import Format
from firmware.capture.state import Phase
from firmware.capture.writer import StorageError
from firmware.dock_port import DockPort
from firmware.equipment import Hardware, Parts
from firmware.hal.ports import Battery, Control, Frame, Lamps, Look, SourceFault, Still
from firmware.handin import HandIn
from firmware.identity import Identity
from firmware.runner import Runner
from firmware.speaker import Speaker
from firmware.voice.prompts import Prompt, load
from tests.camera_rig import DEVICE, BootClock, Camera, Owner, World, lines, picture
from tests.memory_disk import MemoryDisk

Fault = Callable[[SourceFault], None]


class RealTime(World):
    """Time that runs by itself."""

    @property
    def now_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    @now_ns.setter
    def now_ns(self, value: int) -> None:
        """Nobody moves it."""


class Source:
    """A picture or sound driver that a test speaks for."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.started = threading.Event()
        self.stopped = 0
        self.put: Callable[[Any], None] = lambda _item: None
        self.fault: Fault = lambda _fault: None

    def start(self, put: Callable[[Any], None], fault: Fault, look: Callable[[Look], None] = lambda _: None) -> None:
        self.look = look
        if self.broken:
            raise self.broken
        self.put, self.fault = put, fault
        self.started.set()

    def stop(self) -> None:
        self.stopped += 1
        if self.broken:
            raise self.broken

    def still(self) -> Still:
        return Still(b"\xff\xd8 a picture \xff\xd9", time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def counts(self) -> Mapping[str, int]:
        return {"delivered": 0, "encoded": 0, "dropped": 0}

    def describe(self) -> Mapping[str, str]:
        return {"driver": "test", "model": "test", "id": "test", "encoder": "test"}


class Board:
    """A board that tells nothing."""

    def celsius(self) -> float | None:
        return None

    def card_wear_percent(self) -> float | None:
        return None

    def describe(self) -> Mapping[str, str]:
        return {"driver": "test", "model": "test"}


class Panel:
    """A panel whose lamps may fail."""

    def __init__(self) -> None:
        self.press: Callable[[Control, int], None] = lambda _control, _at: None
        self.lamps = Lamps()
        self.buzzes: list[float] = []
        self.broken = False

    def start(self, on_control: Callable[[Control, int], None]) -> None:
        self.press = on_control

    def stop(self) -> None:
        self.lamps = Lamps()

    def show(self, lamps: Lamps) -> None:
        if self.broken:
            raise OSError("the lamps are gone")
        self.lamps = lamps

    def buzz(self, seconds: float) -> None:
        self.buzzes.append(seconds)

    def docked(self) -> bool:
        return False

    def describe(self) -> Mapping[str, str]:
        return {"driver": "test", "model": "test"}


class Loudspeaker:
    """Says into a queue."""

    def __init__(self) -> None:
        self.said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.broken: Exception | None = None

    def play(self, pcm: bytes, rate: int) -> None:
        del rate
        self.said.put(pcm)
        if self.broken:
            raise self.broken

    def stop(self) -> None:
        """Nothing plays for long."""

    def describe(self) -> Mapping[str, str]:
        return {"driver": "test", "model": "test"}


class Rig:
    def __init__(
        self, owner: Owner, busy: DockPort | None = None, *, world: World | None = None, disk: MemoryDisk | None = None,
        form: Format | None = None, loudspeaker: Loudspeaker | None = None, battery: Battery | None = None,
    ) -> None:  # fmt: skip
        self.owner, self.disk = owner, disk or MemoryDisk()
        world = world or RealTime()
        clock = BootClock(world)
        built = Camera(owner, self.disk, world, clock, form=form, make_room=lambda: self.handin.make_room())  # noqa: PLW0108 - it is built later
        self.video, self.microphone, self.panel = Source(), Source(), Panel()
        self.loudspeaker = loudspeaker or Loudspeaker()
        self.signer = signer = owner.agency.issue(Role.SIGNER, "OFFICE-1")
        self.disk.create("certs/signer.pem").append(pki.to_pem(signer.certificate, *signer.above))
        roots = (owner.agency.root.certificate,)
        chain = pki.validate_chain(signer.certificate, signer.above, roots, role=Role.SIGNER, at=None)
        recipients = (age.recipient_of(owner.identity),)
        told = Configuration(
            "OFFICE-1", DEVICE, "agency", "2026-01-01T00:00:00.000Z", "unit", "000042", "name", "inspection",
            recipients, pre_event_seconds=2, answer_seconds=2,
        )  # fmt: skip
        identity = Identity(Path(), told, "", roots, {pki.key_id(pki.public_key(chain.leaf)): chain})
        self.handin = HandIn(self.disk, built.journal, identity, clock, lambda: None)
        self.port = busy or DockPort(self.handin, self.disk, None, ("127.0.0.1", 0))  # type: ignore[arg-type]
        self.prompts = self.make_prompts()
        speaker = Speaker(self.loudspeaker, clock, self._said, self._fault, self._buzz)
        built.writer._on_failure = self._refused
        built.writer._on_fault = self._fault
        assigned = sealed.seal(
            "assigned", {"officer_number": "000042", "officer_name": "name", "unit": "unit"}, recipients
        )
        hardware = Hardware(clock, self.video, self.microphone, self.panel, Board(), battery)
        parts = Parts(
            hardware, self.disk, built.journal, built.writer, built.media, speaker, self.handin, self.port,
            self.prompts, None, told, 3, assigned,
        )  # fmt: skip
        self.clock, self.media, self.writer, self.journal = clock, built.media, built.writer, built.journal
        self.speaker = speaker
        self.runner = Runner(parts, lambda: None)
        self.thread = threading.Thread(target=self.runner.run)
        self.frames = 0  # pictures are given at once; their own times are 100 ms apart
        self.begun_ns = clock.boot_ns()

    def make_prompts(self) -> Mapping[str, Prompt]:
        """Short ones: what is tested does not depend on what is said."""
        return {key: Prompt(key, key, key.encode() * 2, 8_000, said.priority) for key, said in load().items()}

    # The runner is built last, and its parts report to it.

    def _said(self, key: str, from_ns: int, to_ns: int) -> None:
        self.runner.said(key, from_ns, to_ns)

    def _fault(self, where: str, what: str) -> None:
        self.runner.failed(where, what)

    def _buzz(self, count: int) -> None:
        self.runner.buzz(count)

    def _refused(self, error: StorageError) -> None:
        self.runner.storage_failed(error)

    def start(self) -> None:
        self.thread.start()
        self.wait(lambda: self.runner._state.phase is not Phase.STARTING)

    def stop(self) -> list[Record]:
        self.runner.post(v.Quit())
        self.thread.join(20)
        assert not self.thread.is_alive()
        assert not [t.name for t in threading.enumerate() if t.name in ("writer", "speaker", "notice", "dock port")]
        report = Verifier(self.disk, [self.owner.agency.root.certificate], self.owner.identity).run()
        assert report.ok, report.findings
        return lines(self.disk)

    def wait(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it never came"
            threading.Event().wait(0.005)

    def see(self, count: int = 1) -> None:
        for _ in range(count):
            key = self.frames % 10 == 0
            self.video.put(Frame(picture(self.frames, key=key), self.begun_ns + self.frames * 100_000_000, key))
            self.frames += 1

    def phase(self) -> Phase:
        return self.runner._state.phase
