"""What the panel has told the simulated parts to do. Everything goes through their control sockets, and only there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from hw_sim import control
from hw_sim.control import ControlError
from hw_sim.demo.stage import DOCK_PIN, MARK_PIN, RECORD_PIN
from hw_sim.panel.faults import Active, Fault, Request

TAP, HOLD = 0.12, 2.0  # seconds a button is down; a hold is told after 1.5, later on a busy machine
_BETWEEN = 0.13  # seconds it is up between two presses
_BREATH = 0.3  # seconds from the end of an answer until the button is let go
_PINS = {"record": RECORD_PIN, "mark": MARK_PIN}
_ANSWERS = {"weather": "weather", "change_of_site": "site", "battery_low": "battery", "power_cut": "battery"}


class Orders:
    """Orders to `camera`, `room` and `card` by their sockets, and what they add up to. All block.

    Raises ControlError for what is refused or reaches nobody; it then counts as not told.
    """

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self.docked = False
        self.faults = Active()
        self._sockets = sockets
        self._slid: dict[str, Any] = {}

    def give(self, target: str, request: Request) -> dict[str, Any]:
        """Give one order and return the answer."""
        return control.ask(self._sockets[target], request)

    def look(self, target: str, request: Request) -> dict[str, Any] | None:
        """Ask without an answer being owed: None if nobody answers, or the part does not know the question."""
        try:
            return self.give(target, request)
        except (ControlError, OSError):
            return None

    def push(self, button: str, presses: Sequence[float]) -> None:
        """Press `record` or `mark` for so many seconds each, one press soon after another.

        Whatever is pressed next finds the button up: the key may have been struck before the button was let go.
        """
        for seconds in presses:
            self.give("camera", {"do": "press", "pin": _PINS[button], "seconds": seconds})
            time.sleep(_BETWEEN)

    def answer(self, cause: str | None, *, held: bool) -> None:
        """Say why there was a gap of that cause, with the marker button held or without."""
        clip = files("hw_sim") / "media" / f"answer_{_ANSWERS.get(cause or '', 'fault')}.flac"
        with self._mark_held() if held else contextlib.nullcontext():
            said = self.give("room", {"do": "play", "file": str(clip)})
            time.sleep(said["seconds"] + _BREATH)

    @contextlib.contextmanager
    def _mark_held(self) -> Any:
        self._pin(MARK_PIN, 0)
        try:
            yield
        finally:
            self._pin(MARK_PIN, None)

    def contact(self, *, docked: bool) -> None:
        """Put the camera into the dock or take it out. It sits there even if its program does not run."""
        self.docked = docked
        self._pin(DOCK_PIN, 0 if docked else None)

    def slide(self, key: str, was: Any, value: Any) -> None:
        """A slider (`slider.SCALES`) was moved from one value to another."""
        match key:
            case "battery":
                self.give("camera", {"do": "battery", "percent": value})
            case "temperature":
                self.give("camera", {"do": "temperature", "celsius": value})
            case "clock":
                self.give("camera", {"do": "clock_step", "ms": 1000 * (value - was)})
                return
            case "storage":
                used = 0 if value is None else self.give("card", {"do": "status"})["used"]
                self.give("card", {"do": "limit", "bytes": None if value is None else used + value})
                return
        self._slid[key] = value

    def toggle(self, fault: Fault) -> None:
        """Begin a fault, or end it."""
        self.give(fault.target, self.faults.request(fault))
        self.faults.toggled(fault)

    def restore(self) -> None:
        """The camera's process is new: it finds dock contact, battery and heat as they were, and a sound lens."""
        self.faults.forget("camera")
        if self.docked:
            self._pin(DOCK_PIN, 0)
        for key, value in self._slid.items():
            self.slide(key, None, value)

    def _pin(self, pin: int, level: int | None) -> None:
        self.give("camera", {"do": "pin", "pin": pin, "level": level})


def refusal(error: str, *, running: bool) -> str:
    """One line on an order that was not carried out; `running`: the camera's program has not ended."""
    if "send a JSON object" in error:
        return "此版本的仿真没有这一项  not available in this version"
    if "nobody answers" not in error:
        return error
    if running:
        return "还没有准备好，请稍候  not ready yet"
    return "设备未运行：按 p 上电或按 s 启动  not running: p or s"
