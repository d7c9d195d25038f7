"""One life of a camera, and of the dock and office it hands in to: lived by its plan, cut, started again, and ended."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evidence import records
from firmware.capture import recovery
from firmware.capture import vocabulary as v
from firmware.capture.state import Phase
from firmware.handin import HandIn
from runtime.disk import PosixDisk
from tests.camera_rig import FRAME, MS, SECOND, SPS, Camera, World
from tests.memory_disk import PowerCut
from tests.powercut import wire
from tests.powercut.loss import Loss, at_cut
from tests.powercut.machine import Machine, powered
from tests.powercut.parties import parties
from tests.powercut.plan import Cut, Deed, Plan, sync_ns
from tests.powercut.site import Site, connected
from tests.powercut.timed_camera import SettableClock, TimedCamera
from tests.powercut.timeline import Timeline

_OTHER_SPS = SPS[:-1] + b"\x59"
_LOOKS = 12  # of the dock, until a camera must be empty
_SPEED = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


@dataclass
class Ended:
    """A boot as its end found it, known to no program."""

    boot: str
    power: bool
    cut: bool
    on_ns: int
    kernel_boot: str
    camera: TimedCamera
    head: tuple[int, str]  # the last line that was confirmed
    read: dict[int, bytes]  # what a dock could have read
    busy_ns: int
    running: bool


@dataclass
class Start:
    """The disk as a boot found it. `agreed`: its own look agreed with one just before."""

    files: dict[str, bytes]
    agreed: bool = True


class Life:
    """`camera`, `dock`, `office` are the machines. What is known of each boot is in `ends` and `starts`."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.parties = parties()
        self.identity = self.parties.identity(plan.release_after_seconds)
        self.world = World(utc_error_ms=plan.utc_error_ms, utc_off_ms=250 if plan.utc_error_ms else 0)
        self.timeline = Timeline(self.world)
        self.machine = Machine("camera", folder / "camera", plan.seed)
        self.dock = Machine("dock", folder / "dock", plan.seed + 1)
        self.office = Machine("office", folder / "office", plan.seed + 2)
        self.clock = SettableClock(self.world)
        self.site = Site(self.parties, self.dock, self.office, self.world, plan.seed)
        self.camera: TimedCamera | None = None
        self.cuts = {"camera": 0, "dock": 0, "office": 0}
        self.ends: list[Ended] = []
        self.starts: list[Start] = []
        self.written: list[bytes] = []  # bytes that were on the camera's disk and are gone
        self.losses: list[Loss] = []
        self.provisioned = 0  # operations of the camera's disk before its first boot
        self.sound_was_lost = False
        self.emptied = False  # whether the camera called its last hand-in complete
        self._random = random.Random(plan.seed)
        self._busy_ns = 0
        self._sync_from: int | None = None
        self._handin: HandIn | None = None
        self._calm = self._ended_well = False

    # Time.

    def busy_ns(self) -> int:
        """How long the camera's disk has been at work."""
        running = 0 if self._sync_from is None else self.world.now_ns - self._sync_from
        return self._busy_ns + running

    def _sync(self, cut: bool) -> None:
        delay = 0 if self._calm else sync_ns(self.plan.delays, self._random)
        if cut:
            delay = round(delay * self._random.random())
        self._sync_from = self.world.now_ns
        try:
            self.timeline.pass_(delay)
        finally:
            self._busy_ns += self.world.now_ns - self._sync_from
            self._sync_from = None

    # Boots.

    def live(self) -> None:
        """The whole life."""
        self._provision()
        self.machine.on_sync = self._sync
        *cut, (last, _) = self.plan.boots
        for deeds, end in cut:
            self._boot_until(deeds, end)
        self._calm = True
        self._boot_until(last, None)
        self.machine.lose_power(everything=True)  # what is judged is what is durable

    def start_once_more(self) -> None:
        """A start without a recording, and its orderly end."""
        self._boot_until(((0.3, "quit"),), None)

    def judge_losses(self, durable: set[tuple[str, int, int]]) -> None:
        """What each power cut in a recording cost; `durable`: recording, part and begin of the fragments there are."""
        cut = [end for end in self.ends if end.power and end.cut]
        losses = [at_cut(end.camera, durable, end.busy_ns, running=end.running) for end in cut]
        self.losses = [loss for loss in losses if loss is not None]

    def _provision(self) -> None:
        file = PosixDisk(self.machine.root).create("certs/signer.pem")
        file.append(self.parties.signer_pem())
        file.sync()
        file.close()
        self.provisioned = self.machine.operations
        if self.plan.docked:
            self.site.keep = self.plan.keep
            for machine, cut in ((self.dock, self.plan.dock), (self.office, self.plan.office)):
                machine.cut_at(cut.operation if cut else 0)
            self._revive_site()

    def _boot_until(self, deeds: tuple[Deed, ...], cut: Cut | None) -> None:
        started = len(self.starts)
        try:
            if cut is not None and cut.operation:
                self.machine.cut_at(self.machine.operations + cut.operation)
            if cut is not None and cut.after_ns:
                self.timeline.at(self.world.now_ns + cut.after_ns, self._power_goes)
            self._boot(deeds)
        except PowerCut:
            pass
        self._die(cut, started=len(self.starts) > started)

    def _power_goes(self) -> None:
        self.machine.dead = True
        raise PowerCut("now")

    def _boot(self, deeds: tuple[Deed, ...]) -> None:
        disk = PosixDisk(self.machine.root)
        start = Start(self.machine.platter.durable())
        self.starts.append(start)
        found = recovery.recover(disk) if len(self.starts) > 1 and not self._ended_well else None
        began = self.world.now_ns
        self.camera = None
        camera = TimedCamera(self.parties.owner, self.machine, self.timeline, self.clock, self.busy_ns)
        self.camera = camera
        start.agreed = found is None or camera.cut == found.recording
        if self.plan.docked:
            self._handin = HandIn(camera.disk, camera.journal, self.identity, self.clock, self._handed_in)
            self._handin.finish_releases()
        for seconds, deed in deeds:
            alone = deed in ("quit", "dock", "visit", "empty")
            self.timeline.at(began + round(seconds * SECOND), self._deed(deed, camera), alone=alone)
        self._gone = False
        while not self._gone:
            self.timeline.run(self.world.now_ns + FRAME, camera.settle)

    def _die(self, cut: Cut | None, *, started: bool) -> None:
        power = cut is None or cut.end == "power"
        camera = self.camera if started else None
        if camera is not None:
            self._note_end(camera, power=power, cut=cut is not None)
        self.camera = None
        self.timeline.clear()
        wire.Connection.ends.pop(wire.CAMERA, None)
        self._ended_well = cut is None
        if cut is None:
            return
        if power:
            self.cuts["camera"] += 1
            self.machine.lose_power()
            self.written += self.machine.lost
            self.world.now_ns += self._random.randint(1, 20) * SECOND
            self.clock = SettableClock(self.world)
            self.world.now_ns += 1_300 * MS  # the kernel starts
        else:
            self.machine.end_program()
            self.machine.dead = False
            self.machine.cut_at(0)
            self.world.now_ns += 900 * MS

    def _note_end(self, camera: TimedCamera, *, power: bool, cut: bool) -> None:
        published = camera.journal.published()
        read = {file: self.machine.read(records.journal_path(file))[:size] for file, size in published.items()}
        self.ends.append(
            Ended(
                camera.boot, power, cut, self.clock._on_ns, self.clock.kernel_boot, camera, camera.journal.head(), read,
                self.busy_ns(), camera.media.recording,
            )
        )  # fmt: skip

    # Deeds.

    def _deed(self, name: str, camera: TimedCamera) -> Callable[[], None]:
        deeds: dict[str, Callable[[], None]] = {
            "press": camera.press,
            "mark": lambda: camera.step(v.MarkPressed(self.clock.boot_ns())),
            "still": camera.still,
            "end": camera.end,
            "encoder": lambda: self._encoder(camera),
            "sound lost": lambda: self._sound(camera, there=False),
            "sound back": lambda: self._sound(camera, there=True),
            "dock": lambda: self._dock(camera),
            "visit": self._visit,
            "empty": self._empty,
            "quit": lambda: self._quit(camera),
        }
        return deeds[name]

    @staticmethod
    def _encoder(camera: TimedCamera) -> None:
        camera.sps = _OTHER_SPS if camera.sps == SPS else SPS
        camera._group = 0

    def _sound(self, camera: Camera, *, there: bool) -> None:
        if camera.sound == there:
            return
        camera.sound = there
        self.sound_was_lost = True
        camera._next_block_ns = camera.clock.boot_ns()
        camera.step(v.SourceBack(picture=False) if there else v.SourceLost(picture=False, cause="microphone_lost"))

    def _quit(self, camera: TimedCamera) -> None:
        if camera.state.phase not in (Phase.ARMED, Phase.DOCKED):
            camera.end()
            camera.settle()
        camera.quit()
        self._gone = True

    # The dock.

    def _dock(self, camera: TimedCamera) -> None:
        camera.step(v.Docked())
        camera.books.record("docked", {"docked": True})
        assert self._handin is not None
        self._handin.docked()
        answer = wire.of_dock_port(self._handin, camera.disk, self.parties.dock.certificate)
        wire.Connection.ends[wire.CAMERA] = answer, self.parties.camera.certificate

    def _visit(self) -> None:
        """One look of the dock. If the camera dies in it, this boot of it is over."""
        assert self.camera is not None
        with self.camera.journal_in_use():
            self.site.visit()
        if self.machine.dead:
            raise PowerCut("in a hand-in")
        self._revive_site()

    def _empty(self) -> None:
        """Looks, until the camera has a receipt for everything."""
        self.emptied = False
        for _ in range(_LOOKS):
            self._visit()
            if self.emptied:
                return
            self.timeline.pass_(2 * SECOND)  # longer than the dock waits after a failure

    def _handed_in(self) -> None:
        self.emptied = True

    def _revive_site(self) -> None:
        for machine in (self.dock, self.office):
            self.cuts[machine.name] += machine.dead
        self.site.revive()


@contextmanager
def lived(plan: Plan) -> Iterator[Life]:
    """A life that was lived; its disks are there until the end of the block."""
    place = _SPEED if _SPEED.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="powercut-", dir=place) as folder:
        life = Life(plan, Path(folder))
        with powered(life.machine, life.dock, life.office), connected(life.world):
            try:
                life.live()
                yield life
            finally:
                life.site.close()
