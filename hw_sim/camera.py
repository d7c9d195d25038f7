"""Puts the simulated world under the camera's libraries in this process, before any of them is imported.

    hw_sim.camera.install(world)
    # only now import picamera2, pyaudio, gpiozero

A scenario reaches the running camera through the world's control.sock:

    {"do": "pin", "pin": 17, "level": 0}         drive a pin; a level of null lets go of it
    {"do": "press", "pin": 17, "seconds": 0.1}   close a contact to ground; answered when it is open again
    {"do": "lens_fault", "kind": "hang"}         a fault of `hw_sim.lens.Fault`, "frames": N long if given, "degrees"
                                                 of tilt
    {"do": "lamps"}                              level of each pin that the firmware drives
    {"do": "look", "columns": 64, "rows": 36}    a small picture of what the lens delivers: base64 of `luma`, `u`, `v`

The senses; what is left out of an order stays as it is:

    {"do": "battery", "percent": 18, "draw": 12, "charging": false}   draw in percent per hour; "charge" likewise
    {"do": "battery", "volts": 3.2}              a sag, whatever the charge; null: as the model says
    {"do": "battery", "pack": false}             the gauge does not answer
    {"do": "temperature", "celsius": 83}
    {"do": "card_wear", "percent": 90}           null: the card does not tell
    {"do": "fix", "latitude": 40.77, "longitude": 118.15, "speed_mps": 1.4, "course_deg": 90, "wander_m": 3}
    {"do": "fix", "lost": true}                  no fix from now on; any other `fix` brings it back
    {"do": "clock_step", "ms": -86400000}        the receiver's time moves; the camera's own clock is not touched
    {"do": "gpsd", "running": false}             gpsd dies, or is started again
    {"do": "senses"}                             what they tell now
"""

from __future__ import annotations

import atexit
import base64
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hw_sim import control, lens, lgpio_chip, sound_server
from hw_sim import world as worlds
from hw_sim.powered_clock import PoweredClock
from hw_sim.senses import Senses


def install(folder: Path) -> None:
    """Install pins, lens, room and senses of the world in `folder` and take commands. The room must run already.

    Raises ConfigError, `hw_sim.scene.SceneError`, `hw_sim.sound_server.SoundServerError`, ControlError.
    """
    clock = PoweredClock(folder, lambda ms, source, error_ms: (ms, source, error_ms))
    chip = lgpio_chip.install(folder / "pins.jsonl")
    eye = lens.install(lens.LensConfig(folder / "deliveries.jsonl", worlds.scene(folder)), clock.boot_ns)
    os.environ.update(sound_server.environment(folder))
    senses = Senses(folder, worlds.load(folder))
    worlds.note(folder, "program", do="start")
    atexit.register(worlds.note, folder, "program", do="stop")  # which a process that is killed does not tell
    handlers = {**_handlers(chip, eye), **senses.orders()}
    control.serve(folder / "control.sock", handlers, worlds.noting(folder, "camera"))


def _handlers(chip: lgpio_chip.Chip, eye: lens.Lens) -> Mapping[str, control.Handler]:
    def pin(request: dict[str, Any]) -> None:
        chip.drive(request["pin"], request["level"])

    def press(request: dict[str, Any]) -> None:
        chip.drive(request["pin"], 0)
        time.sleep(request.get("seconds", 0.1))
        chip.drive(request["pin"], None)

    def lens_fault(request: dict[str, Any]) -> None:
        eye.set_fault(**request)

    def lamps(_: dict[str, Any]) -> dict[str, Any]:
        return {"lamps": {str(number): level for number, level in chip.outputs().items()}}

    def look(request: dict[str, Any]) -> dict[str, Any]:
        columns, rows = request["columns"], request["rows"]
        planes = zip(("luma", "u", "v"), eye.look(columns, rows), strict=True)
        picture = {name: base64.b64encode(plane.tobytes()).decode() for name, plane in planes}
        return {"columns": columns, "rows": rows, **picture}

    return {"pin": pin, "press": press, "lens_fault": lens_fault, "lamps": lamps, "look": look}
