"""The world folder: what surrounds one simulated camera.

world.toml         what there is: lens, room, clock, card and so on (the classes below); edited by people
power.json         written at each power-on: kernel boot id, and when the power came (host's CLOCK_BOOTTIME)
utc.json           the time that the simulated camera was told, as long as the power lasts
deliveries.jsonl   each exposure that the lens delivered
pins.jsonl         each change of a pin's level
room.jsonl         what was to be heard in the room, and when (`hw_sim.room`)
orders.jsonl       what was done to the camera, the room and the power, and when (`hw_sim.control`)
control.sock       where a running simulated camera takes commands (`hw_sim.camera`)
room.sock          where a running room takes commands
sound              link to the folder of the room's sound server
sim-i2c            the bus of the fuel gauge (`hw_sim.fuel_gauge`)
board              what the board tells of its health (`hw_sim.board`)
"""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from hw_sim import control
from runtime import config
from runtime.config import Between, ConfigError


@dataclass(frozen=True, slots=True)
class LensWorld:
    """What the lens sees: `scene` is "drawn", a video file, or a webcam (`/dev/video0`)."""

    scene: str = "drawn"


@dataclass(frozen=True, slots=True)
class RoomWorld:
    """What the microphone hears, besides the loudspeaker.

    `sound` is "silence", "tone", or a sound file, played once from the room's start; `noise_dbfs` is the level of noise
    in the room (RMS; none if left out). `sound_card_ppm` is how much too fast the sound card's clock runs.
    """

    sound: str = "silence"
    noise_dbfs: Annotated[float, Between(-120, 0)] | None = None
    loudspeaker_muted: bool = False
    sound_card_ppm: Annotated[float, Between(-200, 200)] = 0.0


@dataclass(frozen=True, slots=True)
class ClockWorld:
    """Whether a real-time clock is on board, how far off it claims to be at most, and how far ahead it really is."""

    rtc: bool = True
    rtc_error_ms: Annotated[int, Between(0)] = 2000
    rtc_offset_ms: int = 0


@dataclass(frozen=True, slots=True)
class DiskWorld:
    """The card: its size (that of the disk below if left out)."""

    limit_bytes: Annotated[int, Between(1 << 16)] | None = None


@dataclass(frozen=True, slots=True)
class BatteryWorld:
    """The battery when the camera's process starts; `pack` false: nothing answers on its bus."""

    percent: Annotated[float, Between(0, 100)] = 100.0
    draw_percent_per_hour: Annotated[float, Between(0)] = 10.0
    charge_percent_per_hour: Annotated[float, Between(0)] = 40.0
    charging: bool = False
    pack: bool = True


@dataclass(frozen=True, slots=True)
class GnssWorld:
    """A satellite receiver, if there is one: `receiver` true starts the real gpsd on `port` of loopback.

    Degrees are WGS 84, north and east positive; `wander_m` is the standard deviation of each coordinate;
    `time_offset_ms` is how far the receiver's time is ahead.
    """

    receiver: bool = False
    port: Annotated[int, Between(1, 65535)] = 2947
    fix: bool = True
    latitude_deg: Annotated[float, Between(-90, 90)] = 40.76812
    longitude_deg: Annotated[float, Between(-180, 180)] = 118.15367
    altitude_m: float = 350.0
    speed_mps: Annotated[float, Between(0)] = 0.0
    course_deg: Annotated[float, Between(0, 360)] = 90.0
    wander_m: Annotated[float, Between(0)] = 0.0
    time_offset_ms: int = 0


@dataclass(frozen=True, slots=True)
class BoardWorld:
    """Temperature of the processor, and the used part of the card's life (left out: the card does not tell)."""

    celsius: float = 45.0
    card_wear_percent: Annotated[float, Between(0, 110)] | None = None


@dataclass(frozen=True, slots=True)
class World:
    """Everything in world.toml; each table may be left out."""

    lens: LensWorld = field(default_factory=LensWorld)
    room: RoomWorld = field(default_factory=RoomWorld)
    clock: ClockWorld = field(default_factory=ClockWorld)
    disk: DiskWorld = field(default_factory=DiskWorld)
    battery: BatteryWorld = field(default_factory=BatteryWorld)
    gnss: GnssWorld = field(default_factory=GnssWorld)
    board: BoardWorld = field(default_factory=BoardWorld)


@dataclass(frozen=True, slots=True)
class Power:
    """One power-on: a random kernel boot id (32 hex digits), and the host's CLOCK_BOOTTIME at that moment."""

    kernel_boot: str
    power_on_boottime_ns: int


def load(folder: Path) -> World:
    """Read and check the world in a folder. Raises ConfigError: which file, which key, what is expected."""
    path = folder / "world.toml"
    if not path.exists():
        raise ConfigError(f"{path}: is missing; make it with: bodycam sim world {folder}")
    world = config.load(path, World)
    for key, value, words in (
        ("lens.scene", world.lens.scene, {"drawn"}),
        ("room.sound", world.room.sound, {"silence", "tone"}),
    ):
        if value not in words and not (folder / value).exists():
            expected = " or ".join(f'"{word}"' for word in sorted(words))
            raise ConfigError(f"{path}: {key}: {folder / value} does not exist; expected {expected} or a file")
    return world


def scene(folder: Path) -> str:
    """What the lens sees, as `hw_sim.lens` takes it. Raises ConfigError."""
    name = load(folder).lens.scene
    return name if name == "drawn" else str(folder / name)


def create(folder: Path, world: World | None = None) -> None:
    """Make a world folder with its world.toml. Raises FileExistsError if it has one."""
    world = world or World()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "world.toml").open("x", encoding="utf-8") as file:
        file.write(_toml(world))


def _toml(world: World) -> str:
    lines = ["# What surrounds the simulated camera; hw_sim/world.py tells what each key means.\n"]
    for table in World.__slots__:
        part = getattr(world, table)
        lines.append(f"\n[{table}]\n")
        for key in part.__slots__:
            value = getattr(part, key)
            # A JSON text, number or truth value is a TOML one; TOML has no null, so a key without a value is a comment.
            lines.append(f"# {key} =\n" if value is None else f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines)


def power_on(folder: Path) -> Power:
    """Switch the power on: from now on it is another boot, whose time begins at 0."""
    power = Power(secrets.token_hex(16), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    entry = {"kernel_boot": power.kernel_boot, "power_on_boottime_ns": power.power_on_boottime_ns}
    replace_json(folder / "power.json", entry)
    noting(folder, "power")(power.power_on_boottime_ns, {"do": "on"})
    return power


def power(folder: Path) -> Power:
    """Tell which power-on this is. Raises ConfigError if the power was never on."""
    path = folder / "power.json"
    try:
        return Power(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise ConfigError(f"{path}: is missing: the power was never switched on; call hw_sim.world.power_on") from None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: is damaged ({error}); switch the power on again") from error


def noting(folder: Path, to: str) -> control.Note:
    """What notes orders to a part of the world in `folder`."""
    return control.noting(folder / "orders.jsonl", to)


def note(folder: Path, to: str, **order: object) -> None:
    """Note something that is done now to the world in `folder`, but by no control socket."""
    noting(folder, to)(time.clock_gettime_ns(time.CLOCK_BOOTTIME), order)


def replace_json(path: Path, value: object) -> None:
    """Write a small JSON file in one step."""
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    passing.write_text(json.dumps(value), encoding="utf-8")
    passing.replace(path)
