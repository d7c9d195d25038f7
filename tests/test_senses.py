"""The senses of a simulated camera, ordered over its control socket, as the camera's own drivers feel them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from smbus2 import smbus2

from firmware.config import CameraConfig
from firmware.hal.gpsd_positioning import GpsdPositioning
from firmware.hal.linux_board import LinuxBoard
from firmware.hal.ports import DriverError, Fix
from firmware.hal.smbus2_battery import Smbus2Battery
from hw_sim import control
from hw_sim import world as worlds
from hw_sim.control import ControlError
from hw_sim.senses import Senses, camera_tables
from hw_sim.world import BatteryWorld, BoardWorld, GnssWorld, World
from runtime import config
from tests.lens_kit import PowerOnClock, until


class Rig:
    """A world's senses, and the configuration of the camera that has them."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        (folder / "camera.toml").write_text(camera_tables(folder, world.gnss), encoding="utf-8")
        self.settings = config.load(folder / "camera.toml", CameraConfig)
        self.senses = Senses(folder, world)
        self._stop = control.serve(folder / "control.sock", self.senses.orders())

    def order(self, do: str, **request: Any) -> dict[str, Any]:
        return control.ask(self.folder / "control.sock", {"do": do, **request})

    def close(self) -> None:
        self._stop()
        self.senses.close()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(smbus2, "ioctl", vars(smbus2)["ioctl"])  # put back afterwards
    world = World(battery=BatteryWorld(percent=60), board=BoardWorld(50, 20))
    made = Rig(tmp_path, world)
    yield made
    made.close()


def test_battery_orders_are_read_by_the_gauges_driver(rig: Rig) -> None:
    assert rig.settings.battery is not None
    driver = Smbus2Battery(rig.settings.battery)
    assert driver.read().percent == pytest.approx(60, abs=0.1)
    rig.order("battery", percent=18, volts=3.4, charging=True)
    told = driver.read()
    assert told.percent == pytest.approx(18, abs=0.1)
    assert told.volts == pytest.approx(3.4, abs=1e-3)
    assert told.charging is True
    rig.order("battery", volts=None, charging=False, draw=360_000)  # a hundred percent a second: the pack dies
    until(lambda: driver.read().percent == 0)
    rig.order("battery", pack=False)
    with pytest.raises(DriverError, match="no answer"):
        driver.read()
    assert rig.order("senses")["battery"]["percent"] == 0


def test_heat_and_wear_are_read_by_the_boards_driver(rig: Rig) -> None:
    driver = LinuxBoard(rig.settings.board)
    assert (driver.celsius(), driver.card_wear_percent()) == (50, 20)
    rig.order("temperature", celsius=83.5)
    rig.order("card_wear", percent=90)
    assert (driver.celsius(), driver.card_wear_percent()) == (83.5, 90)
    rig.order("card_wear", percent=None)
    assert driver.card_wear_percent() is None


def test_a_world_without_a_receiver_says_so(rig: Rig) -> None:
    assert rig.settings.gnss is None
    assert rig.order("senses")["place"] is None
    for order in ({"do": "fix", "lost": True}, {"do": "clock_step", "ms": 1}, {"do": "gpsd", "running": False}):
        with pytest.raises(ControlError, match="receiver = true"):
            control.ask(rig.folder / "control.sock", order)


def test_an_order_that_is_misspelt_is_refused(rig: Rig) -> None:
    with pytest.raises(ControlError, match="precent is not known; expected some of percent, volts"):
        rig.order("battery", precent=3)


@pytest.mark.net
@pytest.mark.long
def test_place_and_time_orders_are_felt_through_the_real_gpsd(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    rig = Rig(tmp_path, World(gnss=GnssWorld(receiver=True, port=port, fix=False)))
    told: list[Fix | None] = []
    assert rig.settings.gnss is not None
    driver = GpsdPositioning(rig.settings.gnss, PowerOnClock())
    driver.start(told.append, lambda _: None)
    try:
        rig.order("fix", latitude=41.5, longitude=117.25, speed_mps=2)
        until(lambda: bool(told) and told[-1] is not None and told[-1].error_m is not None)
        fix = told[-1]
        assert fix is not None
        assert fix.latitude_deg == pytest.approx(41.5)
        assert fix.longitude_deg == pytest.approx(117.25, abs=1e-3)
        assert fix.speed_mps == pytest.approx(2, abs=0.1)
        rig.order("clock_step", ms=-7_200_000)
        until(lambda: told[-1] is not None and abs((told[-1].utc_ms or 0) + 7_200_000 - time.time_ns() // 10**6) < 3000)
        rig.order("fix", lost=True)
        until(lambda: told[-1] is None)
        assert rig.order("senses")["place"]["fix"] is False
        rig.order("gpsd", running=False)
        rig.order("gpsd", running=True)
        rig.order("fix")
        until(lambda: told[-1] is not None)
    finally:
        driver.stop()
        rig.close()


def test_the_tables_name_what_a_world_has(tmp_path: Path) -> None:
    text = camera_tables(tmp_path / "世界", GnssWorld(receiver=True, port=2950))
    (tmp_path / "camera.toml").write_text(text, encoding="utf-8")
    settings = config.load(tmp_path / "camera.toml", CameraConfig)
    assert settings.gnss is not None
    assert settings.gnss.port == 2950
    assert settings.battery is not None
    assert settings.battery.bus == tmp_path / "世界" / "sim-i2c"
    worlds.create(tmp_path / "世界")
    assert worlds.load(tmp_path / "世界").gnss.receiver is False


def test_a_camera_without_the_tables_has_neither_gauge_nor_receiver(tmp_path: Path) -> None:
    (tmp_path / "camera.toml").write_text("", encoding="utf-8")
    settings = config.load(tmp_path / "camera.toml", CameraConfig)
    assert (settings.battery, settings.gnss) == (None, None)
    assert str(settings.board.temperature).startswith("/sys/class/thermal/")
