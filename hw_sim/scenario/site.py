"""The place of a shift: camera, card, room and, if it hands in, dock and office, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import time
from importlib import resources
from pathlib import Path
from typing import Any, Self

from hw_sim import control, forgetful_fs, room
from hw_sim import world as worlds
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import DemoError, Program, await_room
from hw_sim.demo.stage import Stage
from hw_sim.forgetful_fs import MountedDisk
from hw_sim.forgetful_tree import Keep
from hw_sim.scenario.facts import Diary

_START_SECONDS = 30.0
BUTTONS = {"record": stages.RECORD_PIN, "mark": stages.MARK_PIN}


class ShiftError(Exception):
    """The shift cannot go on; the text says why."""


class Site:
    """Starts and ends everything; `diary` gathers what it tells. Use as a context manager."""

    def __init__(self, stage: Stage, diary: Diary) -> None:
        self.stage = stage
        self.diary = diary
        self.boots: list[worlds.Power] = []
        self._stack = contextlib.ExitStack()
        self._powered = contextlib.ExitStack()  # what ends with the power
        self._camera: Program | None = None
        self._card: MountedDisk | None = None
        self._cameras = 0
        diary.check = self._check

    def __enter__(self) -> Self:
        worlds.power_on(self.stage.world)  # the room's clock does not need it, the world's checks do
        sound = self._start("room", ["sim", "room", str(self.stage.world)])
        await_room(self.stage.world, sound, _START_SECONDS)
        self.diary.follow_room(self.stage.world / "room.jsonl")
        self.diary.follow_pins(self.stage.world / "pins.jsonl")
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack, self._powered:
            pass

    def open_archive(self) -> None:
        """Start office and dock, for a shift that hands in."""
        for name, config in (("office", self.stage.office / "office.toml"), ("dock", self.stage.dock / "dock.toml")):
            self._start(name, [name, "run", "--config", str(config)]).message("ready", _START_SECONDS)

    # The power.

    def power_on(self) -> None:
        """Switch the power on: card and camera start. Raises ShiftError if it is on."""
        if self._card is not None:
            raise ShiftError("the power is on already; cut it first")
        power = worlds.power_on(self.stage.world)
        self.boots.append(power)
        limit = worlds.load(self.stage.world).disk.limit_bytes
        orders = self.stage.world / "orders.jsonl"
        mount = forgetful_fs.mount(self.stage.card, self.stage.mounted_card, limit, orders)
        self._card = self._powered.enter_context(mount)
        self._powered.callback(
            self.diary.follow_journal(self.stage.mounted_card / "journal", power.power_on_boottime_ns)
        )
        self.start_camera()

    def cut_power(self, keep: Keep, seed: int) -> None:
        """Take the power away: the camera is killed, and the card forgets what was not synced."""
        self._running().kill()
        self._camera = None
        worlds.note(self.stage.world, "power", do="cut", keep=keep, seed=seed)
        self.card.cut_power(keep, seed)
        self._power_off()

    def shut_down(self) -> int | None:
        """End the camera in order if it runs, then the card; returns the camera's exit status."""
        status = self.stop_camera() if self._camera else None
        if self._card:
            self._card.shut_down()
        self._power_off()
        return status

    def _power_off(self) -> None:
        self._card = None
        self._powered.close()

    # The camera's program.

    def start_camera(self) -> None:
        """Start the camera's program, as its service manager does."""
        self._cameras += 1
        # A socket that a killed camera has left behind is nobody's.
        (self.stage.world / "control.sock").unlink(missing_ok=True)
        self._camera = Program(f"camera-{self._cameras}", self.stage.camera_program, self.stage.logs, {})
        self._powered.callback(self._camera.stop)
        self.diary.follow_log(self._camera.log)

    def kill_camera(self) -> None:
        """Kill the camera's program; the power stays on."""
        self._running().kill()
        self._camera = None
        worlds.note(self.stage.world, "program", do="kill")

    def stop_camera(self) -> int:
        """Ask the camera's program to stop, and wait for it."""
        camera, self._camera = self._running(), None
        return camera.stop()

    def _running(self) -> Program:
        if self._camera is None:
            raise ShiftError("the camera does not run; switch its power on first")
        return self._camera

    # Orders.

    @property
    def card(self) -> MountedDisk:
        """The card. Raises ShiftError without power."""
        if self._card is None:
            raise ShiftError("the card is without power; switch it on first")
        return self._card

    def ask_camera(self, do: str, **what: Any) -> dict[str, Any]:
        """Order something of the hardware under the camera; waits until the camera's process is there."""
        self._running()
        socket = self.stage.world / "control.sock"
        deadline = time.monotonic() + _START_SECONDS
        while not socket.exists() and time.monotonic() < deadline:
            self.diary.rest(0.01)
        return control.ask(socket, {"do": do, **what})

    def ask_room(self, do: str, **what: Any) -> dict[str, Any]:
        """Order something of the room."""
        return room.ask(self.stage.world, do, **what)

    def pin(self, pin: int, level: int | None) -> None:
        """Put a level on a pin."""
        self.ask_camera("pin", pin=pin, level=level)

    def set_world(self, table: str, key: str, value: object) -> None:
        """Change world.toml, which is read again when the power comes."""
        path = self.stage.world / "world.toml"
        lines = path.read_text("utf-8").splitlines()
        head = lines.index(f"[{table}]")
        at = next(n for n in range(head, len(lines)) if lines[n].lstrip("# ").startswith(f"{key} ="))
        lines[at] = f"{key} = {json.dumps(value)}"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _check(self) -> None:
        camera = self._camera
        if camera is not None and not camera.running:
            raise ShiftError(f"the camera's program has ended by itself; see {camera.log}")

    def _start(self, name: str, arguments: list[str]) -> Program:
        program = Program(name, arguments, self.stage.logs, {})
        self._stack.callback(program.stop)
        return program


def media(name: str) -> Path:
    """A clip that the project ships, by its name with or without `.flac`; else a path. Raises ShiftError."""
    shipped = Path(str(resources.files("hw_sim") / "media"))
    for path in (shipped / name, shipped / f"{name}.flac", Path(name)):
        if path.is_file():
            return path.absolute()
    raise ShiftError(f"{name}: no such file, and no clip of hw_sim/media")


__all__ = ["BUTTONS", "DemoError", "ShiftError", "Site", "media"]
