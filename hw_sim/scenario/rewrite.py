"""`bodycam sim record`: makes a scenario of what was done to a simulated camera, from its world's `orders.jsonl`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from evidence import jose
from evidence.documents import Configuration
from evidence.errors import EvidenceError
from hw_sim import world as worlds
from hw_sim.demo.stage import DOCK_PIN
from hw_sim.scenario import plan, toml
from hw_sim.scenario.site import BUTTONS
from runtime.config import ConfigError

_NAMES = {pin: name for name, pin in BUTTONS.items()}
_Order = Mapping[str, Any]
_Step = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Moment:
    """One order, seconds after the power came first."""

    second: float
    to: str
    order: _Order


def main(argv: list[str]) -> int:
    """Write the scenario. Raises ConfigError, OSError."""
    parser = argparse.ArgumentParser(
        prog="bodycam sim record", description="转录：把对仿真记录仪做过的事写成脚本 make a scenario of what was done"
    )
    parser.add_argument("world", type=Path, help="world folder of a camera that was run")
    parser.add_argument("out", type=Path, metavar="OUT.toml", help="a new file")
    parser.add_argument(
        "--camera",
        type=Path,
        metavar="DIR",
        help="the camera's folder, whose settings are kept (default: beside WORLD)",
    )
    options = parser.parse_args(argv)
    if options.out.exists():
        sys.stderr.write(f"bodycam sim record: {options.out} is there already; name a new file\n")
        return os.EX_CANTCREAT
    text = scenario(options.world, options.out.stem, options.camera or options.world.parent / "camera")
    with options.out.open("x", encoding="utf-8") as file:
        file.write(text)
    steps = len(plan.load(options.out).at)
    sys.stdout.write(
        f"{options.out}：{steps} 步 steps; add what must come of them, then: bodycam sim run {options.out}\n"
    )
    return 0


def scenario(world: Path, name: str, camera: Path) -> str:
    """The scenario's text. Raises ConfigError if nothing was noted, or something that no actor can do."""
    path = world / "orders.jsonl"
    steps = [step for step in _steps(_moments(path)) if step is not None]
    if not steps:
        raise ConfigError(f"{path}: nothing was done since the power came; use the camera first")
    head = {"name": name, "title": "转录 recorded from what was done"}
    setting = {"world": asdict(worlds.load(world)), "camera": _settings(camera)}
    return toml.dump({**head, **{key: value for key, value in setting.items() if value}, "at": steps})


def _moments(path: Path) -> list[_Moment]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; was the camera ever run?") from error
    orders = sorted((json.loads(line) for line in lines), key=lambda order: order["boottime_ns"])
    starts = [order["boottime_ns"] for order in orders if (order["to"], order["do"]) == ("program", "start")]
    if not starts:
        raise ConfigError(f"{path}: no camera was started in this world")
    # The power that the first program ran on; a world may be powered for its room alone before.
    began = max(o["boottime_ns"] for o in orders if o["to"] == "power" and o["boottime_ns"] <= starts[0])
    return [
        _Moment((order.pop("boottime_ns") - began) / 1e9, order.pop("to"), order)
        for order in orders
        if order["boottime_ns"] > began
    ]


def _steps(moments: list[_Moment]) -> Iterator[_Step | None]:
    moments = list(_whole(_pressed(moments)))
    for number, moment in enumerate(moments):
        key = f"{moment.to} {moment.order['do']}"
        if key == "program stop" and number == len(moments) - 1:  # a shift ends like that by itself
            yield _step(moment, "officer", "wait")
            continue
        translate = _WORDS.get(key)
        if translate is None:
            raise ConfigError(f"orders.jsonl: no actor of a scenario can do {key!r}: {json.dumps(dict(moment.order))}")
        yield translate(moment)


def _pressed(moments: list[_Moment]) -> list[_Moment]:
    """A pin that goes down and, with nothing between, up again was a press."""
    made: list[_Moment] = []
    for moment in moments:
        pin = moment.order.get("pin")
        up = {"do": "pin", "pin": pin, "level": None}
        if pin in _NAMES and moment.order == up and made and made[-1].order == {**up, "level": 0}:
            seconds = moment.second - made[-1].second
            made[-1] = replace(made[-1], order={"do": "press", "pin": pin, "seconds": seconds})
        else:
            made.append(moment)
    return made


def _whole(moments: list[_Moment]) -> Iterator[_Moment]:
    """Put in what nobody notes, and leave out what follows by itself.

    A program that starts while it runs was killed; a power that comes again was gone; a program starts with the power.
    """
    powered, with_power, running = True, True, False
    for moment in moments:
        match (moment.to, moment.order["do"]):
            case ("power" | "card", "cut"):
                if powered:
                    yield replace(moment, to="power")
                powered = running = False
                continue
            case ("power", "on"):
                if powered:
                    yield replace(moment, order={"do": "cut"})
                powered, with_power, running = True, True, False
            case ("program", "start"):
                comes_by_itself, with_power = with_power, False
                if running:
                    yield replace(moment, order={"do": "kill"})
                running = True
                if comes_by_itself:
                    continue
            case ("program", "stop" | "kill"):
                running = False
        yield moment


def _step(moment: _Moment, actor: str, action: str, **arguments: Any) -> _Step:
    told = {key: value for key, value in arguments.items() if value is not None}
    return {"time": round(moment.second, 3), "actor": actor, "action": action, **told}


def _same(actor: str, action: str) -> Callable[[_Moment], _Step]:
    """An order whose members are the action's own."""

    def translate(moment: _Moment) -> _Step:
        return _step(moment, actor, action, **{k: v for k, v in moment.order.items() if k != "do"})

    return translate


def _pin(moment: _Moment) -> _Step:
    pin, level = moment.order["pin"], moment.order["level"]
    if pin == DOCK_PIN:
        return _step(moment, "dock", "insert" if level == 0 else "remove")
    if pin not in _NAMES:
        raise ConfigError(f"orders.jsonl: pin {pin} is no button; a scenario knows {', '.join(_NAMES.values())}, dock")
    return _step(moment, "officer", "push" if level == 0 else "release", button=_NAMES[pin])


def _press(moment: _Moment) -> _Step:
    seconds = round(float(moment.order.get("seconds", 0.1)), 3)
    return _step(moment, "officer", "press", button=_NAMES[moment.order["pin"]], seconds=seconds)


def _play(moment: _Moment) -> _Step:
    path, gain = Path(moment.order["file"]), moment.order.get("gain_db")
    shipped = path.parent.name == "media" and path.parent.parent.name == "hw_sim"
    return _step(moment, "officer", "say", clip=path.stem if shipped else str(path), gain_db=gain, wait=False)


def _limit(moment: _Moment) -> _Step:
    size = moment.order["bytes"]
    return _step(moment, "card", "size", megabytes=None if size is None else size / 1e6)


_WORDS: Final[Mapping[str, Callable[[_Moment], _Step]]] = {
    "camera pin": _pin,
    "camera press": _press,
    "camera lens_fault": _same("lens", "fault"),
    "camera battery": _same("battery", "set"),
    "camera temperature": _same("board", "heat"),
    "camera card_wear": _same("card", "wear"),
    "camera fix": _same("gnss", "fix"),
    "camera clock_step": _same("gnss", "step_time"),
    "room play": _play,
    "room mute_loudspeaker": _same("room", "mute"),
    "room noise": _same("room", "noise"),
    "room suspend_microphone": _same("room", "suspend_microphone"),
    "room silence_microphone": _same("room", "silence_microphone"),
    "room move_microphone": _same("room", "move_microphone"),
    "room kill_server": _same("room", "kill_server"),
    "room start_server": _same("room", "start_server"),
    "card rules": _same("card", "rules"),
    "card limit": _limit,
    "power on": _same("power", "on"),
    "power cut": _same("power", "cut"),
    "program start": _same("program", "start"),
    "program stop": _same("program", "stop"),
    "program kill": _same("program", "kill"),
}
"""The action that an order is, by where it went and what it said."""


def _settings(camera: Path) -> dict[str, Any]:
    """What the camera was provisioned with, as far as a scenario says it; nothing if it is not there."""
    try:
        text = (camera / "config.jws").read_text("ascii").strip()
        told = Configuration.from_payload(jose.parse(text, Configuration.TYP).payload)
    except (OSError, EvidenceError):
        return {}
    names = {"officer": "officer_number"}
    return {name: getattr(told, names.get(name, name)) for name in plan.Provisioned.__slots__}
