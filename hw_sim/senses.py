"""What a simulated camera feels besides picture, sound and panel: battery, place and time, the board's health."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hw_sim import battery, board, fuel_gauge
from hw_sim.battery import Cell, CellState
from hw_sim.control import ControlError
from hw_sim.gnss import Gpsd, Receiver, Sky
from hw_sim.world import BatteryWorld, GnssWorld, World

_Order = Callable[[dict[str, Any]], Mapping[str, Any] | None]


def camera_tables(folder: Path, gnss: GnssWorld) -> str:
    """The tables of camera.toml that name the senses of the world in `folder`."""
    bus, temperature, card, model = (
        json.dumps(str(folder.absolute() / name), ensure_ascii=False) for name in (fuel_gauge.BUS, *board.FILES)
    )
    tables = [f"[battery]\nbus = {bus}\n", f"[board]\ntemperature = {temperature}\ncard = {card}\nmodel = {model}\n"]
    if gnss.receiver:
        tables.append(f"[gnss]\nport = {gnss.port}\n")
    return "\n".join(tables)


class Senses:
    """The senses of one camera process, installed when built, and the orders that change them (`hw_sim.camera`)."""

    def __init__(self, folder: Path, world: World) -> None:
        """Put gauge and board into the world's `folder`, and start receiver and gpsd if there are any.

        Raises ControlError if gpsd cannot be started.
        """
        self._cell = Cell(_cell_state(world.battery), _now_ns())
        fuel_gauge.install(folder, self._cell)
        self._board = board.Board(folder, world.board.celsius, world.board.card_wear_percent)
        self._receiver: Receiver | None = None
        self._gpsd: Gpsd | None = None
        if world.gnss.receiver:
            self._receiver = Receiver(_sky(world.gnss))
            self._gpsd = Gpsd(self._receiver, world.gnss.port)
            self._gpsd.start()

    def orders(self) -> Mapping[str, _Order]:
        """What can be ordered."""
        return {
            "battery": self._battery,
            "temperature": lambda request: self._board.set_celsius(request["celsius"]),
            "card_wear": lambda request: self._board.set_card_wear(request["percent"]),
            "fix": self._fix,
            "clock_step": lambda request: self._existing(self._receiver).step_time(request["ms"]),
            "gpsd": self._run_gpsd,
            "senses": lambda _: self._tell(),
        }

    def close(self) -> None:
        """End gpsd and receiver."""
        if self._gpsd is not None:
            self._gpsd.stop()
        if self._receiver is not None:
            self._receiver.close()

    def _battery(self, request: dict[str, Any]) -> None:
        names = {"percent": "percent", "volts": "volts", "charging": "charging", "pack": "pack"}
        names |= {"draw": "draw_percent_per_hour", "charge": "charge_percent_per_hour"}
        self._cell.change(_now_ns(), **_renamed(request, names))

    def _fix(self, request: dict[str, Any]) -> None:
        names = {"latitude": "latitude_deg", "longitude": "longitude_deg", "altitude": "altitude_m"}
        names |= {name: name for name in ("speed_mps", "course_deg", "wander_m")}
        lost = request.pop("lost", False)
        self._existing(self._receiver).change(fix=not lost, **_renamed(request, names))

    def _run_gpsd(self, request: dict[str, Any]) -> None:
        gpsd = self._existing(self._gpsd)
        gpsd.stop()
        if request["running"]:
            gpsd.start()

    def _tell(self) -> dict[str, Any]:
        state = self._cell.at(_now_ns())
        told = {"percent": state.percent, "volts": battery.volts(state), "charging": state.charging}
        sky = self._receiver.sky if self._receiver else None
        place = {"fix": sky.fix, "latitude": sky.latitude_deg, "longitude": sky.longitude_deg} if sky else None
        return {"battery": told, "place": place}

    @staticmethod
    def _existing(part: Any) -> Any:
        if part is None:
            raise ControlError("there is no satellite receiver: set receiver = true in [gnss] of world.toml")
        return part


def _cell_state(world: BatteryWorld) -> CellState:
    return CellState(
        world.percent, world.draw_percent_per_hour, world.charge_percent_per_hour, world.charging, pack=world.pack
    )


def _sky(world: GnssWorld) -> Sky:
    return Sky(
        world.latitude_deg, world.longitude_deg, world.altitude_m, world.speed_mps, world.course_deg, world.wander_m,
        world.fix, world.time_offset_ms,
    )  # fmt: skip


def _renamed(request: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    unknown = request.keys() - names.keys()
    if unknown:
        raise ControlError(f"{min(unknown)} is not known; expected some of {', '.join(names)}")
    return {names[key]: value for key, value in request.items()}


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
