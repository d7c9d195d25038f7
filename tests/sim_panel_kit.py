"""What the tests of the simulator's panel share: simulated parts that take their real orders in this process."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hw_sim import camera, control
from hw_sim.forgetful_ops import Rules
from hw_sim.lens import Lens, LensConfig
from hw_sim.lgpio_chip import Chip
from hw_sim.libcamera_sim.camera import Fate, Planes


class Surroundings:
    """Pins, lens and card of one camera, each with the orders that it really takes, in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chip = Chip(folder / "pins.jsonl")
        self.lens = Lens(LensConfig(folder / "deliveries.jsonl"), time.monotonic_ns)
        self.rules = Rules()
        self.limit: int | None = None
        self.sockets = {"camera": folder / "control.sock", "room": folder / "room.sock", "card": folder / "card.sock"}
        card: dict[str, control.Handler] = {
            "rules": lambda request: self.rules.replace(request["rules"]),
            "limit": self._set_limit,
            "status": lambda _: {"used": 5_000_000, "limit": self.limit},
        }
        self.stops = [
            control.serve(self.sockets["camera"], camera._handlers(self.chip, self.lens)),
            control.serve(self.sockets["card"], card),
        ]

    def _set_limit(self, request: dict[str, Any]) -> None:
        self.limit = request["bytes"]

    def claim_button(self, pin: int) -> None:
        """Pull a pin up, as the firmware does."""
        self.chip.gpiochip_open(0)
        self.chip.gpio_claim_input(0, 1 << 5, pin)

    def levels(self, pin: int) -> list[int]:
        """Levels that a pin has had."""
        lines = [json.loads(line) for line in (self.folder / "pins.jsonl").read_text().splitlines()]
        return [line["level"] for line in lines if line["pin"] == pin]

    def close(self) -> None:
        for stop in self.stops:
            stop()
        self.lens.close()


@contextlib.contextmanager
def exposing(lens: Lens) -> Iterator[None]:
    """Expose as the simulated sensor does, without an application behind it."""
    stop = threading.Event()

    def run() -> None:
        picture = Planes(*(np.zeros(shape, np.uint8) for shape in ((180, 320), (90, 160), (90, 160))))
        while not stop.wait(0.01):
            fate = lens.fate()
            if fate is Fate.DELIVERED:
                lens.paint([picture], time.monotonic_ns())
                lens.record(fate, time.monotonic_ns(), 0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
