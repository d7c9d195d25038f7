"""What the panel tells the simulated parts to do. Everything goes through their control sockets, and only there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from hw_sim import control
from hw_sim.demo.stage import DOCK_PIN, MARK_PIN, RECORD_PIN
from hw_sim.panel.faults import Request

TAP, HOLD = 0.12, 1.65  # seconds a button is down; a hold is told after 1.5
_BETWEEN = 0.13  # seconds it is up between two presses
_BREATH = 0.3  # seconds from the end of an answer until the button is let go
_PINS = {"record": RECORD_PIN, "mark": MARK_PIN}
_ANSWERS = {"weather": "weather", "change_of_site": "site", "battery_low": "battery", "power_cut": "battery"}


class Orders:
    """Orders to `camera`, `room` and `card` by their sockets. All block, and raise ControlError."""

    def __init__(self, sockets: Mapping[str, Path]) -> None:
        self._sockets = sockets

    def give(self, target: str, request: Request) -> dict[str, Any]:
        """Give one order and return the answer."""
        return control.ask(self._sockets[target], request)

    def push(self, button: str, presses: Sequence[float]) -> None:
        """Press `record` or `mark` for so many seconds each, one press soon after another."""
        for number, seconds in enumerate(presses):
            time.sleep(_BETWEEN if number else 0)
            self.give("camera", {"do": "press", "pin": _PINS[button], "seconds": seconds})

    def answer(self, cause: str | None, *, held: bool) -> None:
        """Say why there was a gap of that cause, with the marker button held or without."""
        clip = files("hw_sim") / "media" / f"answer_{_ANSWERS.get(cause or '', 'fault')}.flac"
        self._mark(0 if held else None)
        try:
            said = self.give("room", {"do": "play", "file": str(clip)})
            time.sleep(said["seconds"] + _BREATH)
        finally:
            self._mark(None)

    def _mark(self, level: int | None) -> None:
        self.give("camera", {"do": "pin", "pin": MARK_PIN, "level": level})

    def contact(self, *, docked: bool) -> None:
        """Close or open the dock contact."""
        self.give("camera", {"do": "pin", "pin": DOCK_PIN, "level": 0 if docked else None})

    def slide(self, key: str, was: Any, value: Any) -> None:
        """A slider (`slider.SCALES`) was moved from one value to another."""
        match key:
            case "battery":
                self.give("camera", {"do": "battery", "percent": value})
            case "temperature":
                self.give("camera", {"do": "temperature", "celsius": value})
            case "clock":
                self.give("camera", {"do": "clock_step", "seconds": value - was})
            case "storage":
                used = 0 if value is None else self.give("card", {"do": "status"})["used"]
                self.give("card", {"do": "limit", "bytes": None if value is None else used + value})


def refusal(error: str, *, running: bool) -> str:
    """One line on an order that was not carried out; `running`: the camera's program has not ended."""
    if "send a JSON object" in error:
        return "此版本的仿真没有这一项  not available in this version"
    if "nobody answers" not in error:
        return error
    if running:
        return "还没有准备好，请稍候  not ready yet"
    return "设备未运行：按 p 上电或按 s 启动  not running: p or s"
