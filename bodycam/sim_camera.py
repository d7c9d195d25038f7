"""`bodycam sim camera`: the camera's own program over simulated hardware.

The two are joined here because neither may import the other.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from runtime.config import ConfigError


def main(argv: list[str]) -> int:
    """Put the world that `argv` names under the drivers' libraries, then run `bodycam camera` in this process."""
    parser = argparse.ArgumentParser(
        prog="bodycam sim camera",
        usage="bodycam sim camera --world WORLD -- [ARGUMENTS OF bodycam camera...]",
        description="在仿真硬件上运行记录仪程序 the camera's program over simulated hardware",
    )
    parser.add_argument("--world", type=Path, required=True, help="what surrounds the camera: lens, room, pins")
    parser.add_argument("arguments", nargs="*", help="for bodycam camera, after --")
    options = parser.parse_args(argv)
    try:
        import_module("hw_sim.camera").install(options.world)
    except (
        import_module("hw_sim.control").ControlError,
        import_module("hw_sim.scene").SceneError,
        ConfigError,
    ) as error:
        sys.stderr.write(f"bodycam sim camera: {error}\n")
        return ConfigError.exit_status
    # Not before: what stands in for the hardware must be there when the libraries above it are imported.
    status: int = import_module("firmware.main").main(options.arguments)
    return status
