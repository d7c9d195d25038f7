"""The simulated camera before which the panel stands: its programs, and the power that they run on.

Whoever starts a program here must be a thread that lives as long as the panel: the kernel ends a child together with
the thread that started it, which is how nothing is left behind when the panel dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hw_sim import control, forgetful_fs, room
from hw_sim import world as worlds
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import DemoError, Program, command
from hw_sim.demo.stage import Stage
from hw_sim.world import World

_START_SECONDS = 30.0
_POLL_SECONDS = 0.05

Say = Callable[[str], None]


class Rig:
    """One camera with its card, room and, if wanted, dock and office, below one folder.

    Methods block, and raise DemoError or ConfigError with one line that says what to do.
    """

    def __init__(self, root: Path, new_world: World | None, *, station: bool) -> None:
        """`new_world`: make everything in `root`, which is empty; else it is all there. `station`: run a dock too."""
        self.stage = Stage(root, 0, 0, 0)  # the ports stand in the configurations
        self.camera: Program | None = None
        self.powered = False
        self.has_card = Path("/dev/fuse").exists()  # else the card is a plain folder, which has no faults
        self._new_world = new_world
        self._station = station
        self._expected = False  # the camera's program is to run
        self._disk: Program | None = None
        self._around: list[Program] = []  # room, office, dock

    @property
    def camera_runs(self) -> bool:
        """Whether the camera's program has not ended."""
        return self.camera is not None and self.camera.running

    @property
    def evidence(self) -> Path:
        """Where the journal lies: on the card, as it would survive a power cut."""
        return self.stage.card if self.has_card else self.stage.mounted_card

    @property
    def orders(self) -> Path:
        """Where what is done to this camera is noted."""
        return self.stage.world / "orders.jsonl"

    @property
    def sockets(self) -> Mapping[str, Path]:
        """Where each part takes orders."""
        world = self.stage.world
        return {
            "camera": world / "control.sock",
            "room": world / "room.sock",
            "card": self.stage.card.with_name("card.control"),
        }

    def open(self, say: Say) -> None:
        """Provision what is new, start what is around the camera, then switch its power on."""
        if self._new_world is not None:
            say("正在发证并建立仿真环境…  provisioning a camera and its world")
            self.stage = stages.build(self.stage.root, self._new_world)
        elif self.orders.exists():  # of another sitting
            self.orders.rename(self.orders.with_name(f"orders-{self.orders.stat().st_mtime_ns}.jsonl"))
        say("正在启动房间的声音…  starting the sound of the room")
        sound = self._beside("room", ["sim", "room", str(self.stage.world)])
        self._await(lambda: room.answers(self.stage.world), sound)
        if self._station:
            say("正在启动档案库和采集站…  starting office and dock")
            for name in ("office", "dock"):
                config = str(self.stage.root / name / f"{name}.toml")
                self._beside(name, [name, "run", "--config", config]).message("ready", _START_SECONDS)
        self.power_on()

    def power_on(self) -> None:
        """Power comes: another boot, the card mounted, the program started."""
        worlds.power_on(self.stage.world)
        self._insert_card()
        self.powered = True
        self.start()

    def cut_power(self) -> None:
        """Power goes: the program is killed, and the card forgets what was not synced."""
        self.powered = self._expected = False
        if self.camera is not None:
            self.camera.kill()
            self.camera.stop()
        if self._disk is not None:
            with contextlib.suppress(control.ControlError):  # it dies before it can answer
                control.ask(self.sockets["card"], {"do": "cut", "keep": "none"})
        else:
            worlds.note(self.stage.world, "power", do="cut", keep="none")
        self._remove_card()

    def start(self) -> None:
        """Start the camera's program; the power stays as it was."""
        self.camera = Program("camera", self.stage.camera_program, self.stage.logs, {})
        self._expected = True

    def stop(self) -> int:
        """Stop the camera's program in order and return its exit status."""
        self._expected = False
        return self.camera.stop() if self.camera is not None else os.EX_OK

    def save(self) -> Path:
        """Make a scenario of what was done in this sitting, and return its file."""
        out = self.stage.root / f"panel-{time.strftime('%m%d-%H%M%S')}.toml"
        command(["sim", "record", str(self.stage.world), str(out)])
        return out

    def ended(self) -> list[str]:
        """An obituary for each program that has ended by itself, told once."""
        gone = [program for program in self._around if not program.running]
        self._around = [program for program in self._around if program not in gone]
        if self._expected and self.camera is not None and not self.camera.running:
            self._expected = False
            gone.append(self.camera)
        return [obituary(program) for program in gone]

    def close(self) -> None:
        """End everything in order. Idempotent."""
        self.stop()
        self.powered = False
        with contextlib.suppress(forgetful_fs.DiskError):
            self._remove_card()
        while self._around:
            self._around.pop().stop()

    def _beside(self, name: str, arguments: list[str]) -> Program:
        program = Program(name, arguments, self.stage.logs, {})
        program.alerts_end_it = False
        self._around.append(program)
        return program

    def _insert_card(self) -> None:
        if not self.has_card:
            return
        stage = self.stage
        forgetful_fs.unmount(stage.mounted_card)  # a panel that was killed may have left it
        limit = worlds.load(stage.world).disk.limit_bytes
        size = [] if limit is None else ["--limit-bytes", str(limit)]
        told = ["--control", str(self.sockets["card"]), "--orders", str(self.orders)]
        arguments = ["sim", "disk", str(stage.card), str(stage.mounted_card), *told, *size]
        self._disk = Program("disk", arguments, stage.logs, {})
        self._await(lambda: os.path.ismount(stage.mounted_card), self._disk)

    def _remove_card(self) -> None:
        disk, self._disk = self._disk, None
        if disk is not None:
            disk.stop()
            forgetful_fs.unmount(self.stage.mounted_card)

    def _await(self, ready: Callable[[], bool], program: Program) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if not program.running:
                raise DemoError(obituary(program))
            if time.monotonic() > deadline:
                raise DemoError(f"{program.name} 没有启动 did not start\n日志 log: {program.log}")
            time.sleep(_POLL_SECONDS)


def obituary(program: Program) -> str:
    """Which program has ended, its own last words, and beneath them where its log is."""
    status = program.status or 0
    why = signal.Signals(-status).name if status < 0 else program.last_words()
    if why.startswith("{"):  # it had nothing to say to people
        why = f"status {status}"
    return f"{program.name} 已退出 ended: {why}\n日志 log: {program.log}"
