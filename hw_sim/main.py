"""`bodycam sim`: the simulated world from the command line.

What joins it to the product's programs, `bodycam sim camera` and `docked`, is found in `bodycam.__main__`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from hw_sim import control
from hw_sim import world as worlds
from runtime.config import ConfigError

_PROGRAMS = {
    "demo": "hw_sim.demo.main:main",
    "fleet": "hw_sim.fleet.main:main",
    "panel": "hw_sim.panel.main:main",
    "record": "hw_sim.scenario.rewrite:main",
    "run": "hw_sim.scenario.main:main",
    "disk": "hw_sim.forgetful_fs:main",
    "room": "hw_sim.room:main",
    "world": "hw_sim.main:world",
    "power": "hw_sim.main:power",
    "ask": "hw_sim.main:ask",
}
_EPILOG = """\
  demo    演示 the main job from shutter to shelf
  fleet   收班 many light cameras into real docks and a real office
  panel   面板 a screen to live with a simulated camera
  record  转录 make a scenario of what was done to a simulated camera
  run     演练 play scenarios: shifts with what must come of them
  world   建立 make a world folder, with defaults to edit
  power   上电 switch the power of a world on, anew
  camera  记录仪 run the camera's program in a world
  docked  轻型机 light cameras for their bays: true evidence, no lens
  ask     操作 press a button, break the lens, read the lamps
  room    房间 the sound of the room
  disk    存储卡 mount a disk that forgets what was not synced

bodycam sim NAME --help explains each."""


def main(argv: list[str]) -> int:
    """Run one part of the simulation and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="bodycam sim",
        usage="bodycam sim NAME [ARGUMENTS...]",
        description="仿真：记录仪驱动之下的世界 the world under the camera's drivers",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=_PROGRAMS, metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    module, function = _PROGRAMS[options.name].split(":")
    try:
        status: int = getattr(importlib.import_module(module), function)(options.arguments)
    except (ConfigError, control.ControlError, OSError) as error:
        sys.stderr.write(f"bodycam sim {options.name}: {error}\n")
        return ConfigError.exit_status if isinstance(error, ConfigError) else 1
    return status


def world(argv: list[str]) -> int:
    """Make a world folder and switch its power on."""
    parser = argparse.ArgumentParser(
        prog="bodycam sim world", description="Make a world folder, with defaults to edit."
    )
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(argv).folder
    worlds.create(folder)
    worlds.power_on(folder)
    sys.stdout.write(f"{folder / 'world.toml'}\n")
    return 0


def power(argv: list[str]) -> int:
    """Switch the power of a world on, anew."""
    parser = argparse.ArgumentParser(
        prog="bodycam sim power", description="Switch the power on: the next camera process is another boot."
    )
    parser.add_argument("world", type=Path)
    folder: Path = parser.parse_args(argv).world
    worlds.load(folder)
    sys.stdout.write(f"{worlds.power_on(folder).kernel_boot}\n")
    return 0


def ask(argv: list[str]) -> int:
    """Send one command to a simulated part and print its answer."""
    parser = argparse.ArgumentParser(
        prog="bodycam sim ask",
        description="Send a command to a running simulated part.",
        epilog="""for example: bodycam sim ask WORLD '{"do": "press", "pin": 17, "seconds": 0.1}'""",
    )
    parser.add_argument("target", type=Path, help="world folder, or a control socket")
    parser.add_argument("request", type=json.loads, help="JSON object")
    options = parser.parse_args(argv)
    target: Path = options.target
    answer = control.ask(target / "control.sock" if target.is_dir() else target, options.request)
    sys.stdout.write(f"{json.dumps(answer, ensure_ascii=False)}\n")
    return 0
