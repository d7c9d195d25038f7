"""A process over the whole simulated world, and a scenario that reaches it by the control socket."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hw_sim import control
from hw_sim import world as worlds

pytestmark = pytest.mark.sound

PATIENCE = 20.0
ROOM = "import sys; from hw_sim.main import main; sys.exit(main(['room', sys.argv[1]]))"
# What a camera does with its panel, lens and sound card, one line for each thing that happens.
CAMERA = """
import json, sys, threading
from pathlib import Path
from hw_sim import camera
camera.install(Path(sys.argv[1]))
from firmware.hal.gpiozero_panel import GpiozeroPanel, GpiozeroPanelConfig
from firmware.hal.ports import Control, Lamps, Utc
from hw_sim.powered_clock import PoweredClock
from picamera2 import Picamera2
import pyaudio

def tell(**facts):
    print(json.dumps(facts), flush=True)

clock = PoweredClock(Path(sys.argv[1]), Utc)
panel = GpiozeroPanel(GpiozeroPanelConfig(), clock)
sound = pyaudio.PyAudio()
tell(pins=panel.describe()["model"], lens=Picamera2.global_camera_info()[0]["Model"], boot=clock.kernel_boot,
     sound=[sound.get_device_info_by_index(n)["name"] for n in range(sound.get_device_count())])
panel.start(lambda control, boot_ns: (panel.show(Lamps(red="on")), tell(control=control.value, boot_ns=boot_ns)))
threading.Event().wait()
"""


@contextlib.contextmanager
def _running(script: str, world: Path) -> Iterator[subprocess.Popen[str]]:
    root = str(Path(__file__).resolve().parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(world)],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    deadline = threading.Timer(PATIENCE, process.kill)  # whoever waits for a line then reads the end
    deadline.start()
    try:
        yield process
    finally:
        deadline.cancel()
        process.terminate()
        process.wait(PATIENCE)
        assert process.stdout
        process.stdout.close()


def _line(process: subprocess.Popen[str]) -> Any:
    assert process.stdout
    return json.loads(process.stdout.readline())


def test_pins_lens_and_room_reach_the_real_libraries(tmp_path: Path) -> None:
    worlds.create(tmp_path)
    power = worlds.power_on(tmp_path)
    with _running(ROOM, tmp_path) as room:
        assert room.stdout
        assert room.stdout.readline() == "ready\n"
        with _running(CAMERA, tmp_path) as camera:
            found = _line(camera)
            assert found["pins"].startswith("sim-")
            assert found["lens"].startswith("sim-")
            assert found["boot"] == power.kernel_boot
            assert "sim-microphone" in found["sound"]
            socket = tmp_path / "control.sock"
            assert control.ask(socket, {"do": "lamps"})["lamps"]["6"] == 0
            asked = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - power.power_on_boottime_ns
            control.ask(socket, {"do": "press", "pin": 17, "seconds": 0.05})
            pressed = _line(camera)
            assert pressed["control"] == "record_pressed"
            assert 0 <= pressed["boot_ns"] - asked < 1e9
            assert control.ask(socket, {"do": "lamps"})["lamps"]["6"] == 1
            control.ask(socket, {"do": "lens_fault", "kind": "hang"})
            with pytest.raises(control.ControlError, match="melted"):
                control.ask(socket, {"do": "lens_fault", "kind": "melted"})


def test_without_a_room_there_is_advice(tmp_path: Path) -> None:
    worlds.create(tmp_path)
    worlds.power_on(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CAMERA, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "start it with: bodycam sim room" in done.stderr
