"""`bodycam sim panel`: a screen in the terminal to live with a simulated camera."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hw_sim.demo import stage
from hw_sim.demo.programs import DemoError
from hw_sim.panel.aloud import find_player
from hw_sim.panel.rig import Rig
from hw_sim.world import GnssWorld, World


def main(argv: list[str]) -> int:
    """Show the panel until it is left; returns an exit status of docs/exit-status.md."""
    options = _parser().parse_args(argv)
    try:
        _look_around()
        player = _player() if options.aloud else None
        root, world = _place(options.folder, options.scene)
    except DemoError as error:
        sys.stderr.write(f"bodycam sim panel: {error}\n")
        return error.exit_status
    from hw_sim.panel.app import PanelApp  # noqa: PLC0415 - Textual is not needed for the lines above

    rig = Rig(root, world, station=options.station)
    app = PanelApp(rig, player=player)
    try:
        app.run()
    finally:
        rig.close()
    sys.stderr.write(
        f"记录仪和录像保留在 camera and recordings stay in {root}\n再次打开 open again: bodycam sim panel {root}\n"
    )
    return app.return_code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam sim panel", description="面板：在终端里操作一台仿真执法记录仪 live with a simulated camera"
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER",
        help="empty: a camera is made there; made by this command, or its world: opened again (default: a new one)",
    )  # fmt: skip
    parser.add_argument("--scene", metavar="SCENE", help="what the lens sees: drawn, or a video file (default: a clip)")
    parser.add_argument("--aloud", action="store_true", help="play the camera's prompts on this machine too")
    parser.add_argument("--station", action="store_true", help="run a dock and an office too: docking hands in")
    return parser


def _look_around() -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise DemoError("需要在终端里运行 needs a terminal", os.EX_USAGE)
    for program in ("setpriv", "pulseaudio"):
        if shutil.which(program) is None:
            raise DemoError(f"{program} is not installed; run scripts/setup sim", os.EX_UNAVAILABLE)


def _player() -> Sequence[str]:
    player = find_player()
    if player is None:
        raise DemoError("--aloud: install pulseaudio-utils (paplay) or alsa-utils (aplay)", os.EX_UNAVAILABLE)
    return player


def _place(folder: Path | None, scene: str | None) -> tuple[Path, World | None]:
    """The camera's folder, and the world to make there if there is none. Raises DemoError."""
    root = Path(tempfile.mkdtemp(prefix="bodycam-panel-")) if folder is None else folder.absolute()
    if (root / "world.toml").is_file():
        root = root.parent
    if (root / "world" / "world.toml").is_file() and (root / "camera" / "camera.toml").is_file():
        if scene is not None:
            raise DemoError(f"--scene: set lens.scene in {root / 'world' / 'world.toml'}", os.EX_USAGE)
        return root, None
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DemoError(
            f"{root} 既不是空文件夹，也不是仿真记录仪 is neither empty nor a simulated camera; name a new folder",
            os.EX_CANTCREAT,
        )
    return root, _world(scene)


def _world(scene: str | None) -> World:
    if scene is None:
        scene = str(Path(__file__).resolve().parent.parent / "media" / "street.mp4")
    elif scene != "drawn":
        if not Path(scene).exists():
            raise DemoError(
                f"--scene: {scene} does not exist; give drawn, or a file that ffmpeg can read", os.EX_NOINPUT
            )
        scene = str(Path(scene).absolute())
    world = stage.make_world(scene, "silence", muted=False, snr_db=None, ppm=0.0, card_bytes=None)
    if shutil.which("gpsd") is None:
        return world
    with socket.create_server(("127.0.0.1", 0)) as free:
        return replace(world, gnss=GnssWorld(receiver=True, port=free.getsockname()[1]))
