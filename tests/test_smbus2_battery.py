"""The fuel gauge's driver on the real smbus2, above the simulated gauge's registers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import smbus2

from firmware.hal.ports import DriverError
from firmware.hal.smbus2_battery import BatteryConfig, Smbus2Battery
from hw_sim import battery, fuel_gauge
from hw_sim.battery import Cell, CellState
from runtime import config

HOUR_NS = 3_600 * 10**9


class Gauge:
    """A gauge on a bus, the driver over it, and time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / fuel_gauge.BUS
        self.path.touch()
        self.now_ns = 0
        self.cell = Cell(CellState(75, 10, 40), 0)
        self.odd: dict[int, int] = {}  # registers that tell something else
        registers = fuel_gauge.registers(self.cell, lambda: self.now_ns)
        fuel_gauge.attach(smbus2.smbus2, self.path, lambda register: self.odd.get(register, registers(register)))
        self.driver = Smbus2Battery(BatteryConfig(bus=self.path))

    def change(self, **changes: float | bool | None) -> None:
        self.cell.change(self.now_ns, **changes)


@pytest.fixture
def gauge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gauge:
    monkeypatch.setattr(smbus2.smbus2, "ioctl", vars(smbus2.smbus2)["ioctl"])  # put back afterwards
    return Gauge(tmp_path)


def test_percent_volts_and_charging_are_read(gauge: Gauge) -> None:
    told = gauge.driver.read()
    assert told.percent == pytest.approx(75, abs=1 / 256)
    assert told.volts == pytest.approx(battery.volts(gauge.cell.at(0)), abs=1e-4)
    assert told.charging is False
    gauge.change(charging=True)
    gauge.now_ns = HOUR_NS // 2
    told = gauge.driver.read()
    assert told.percent == pytest.approx(90, abs=0.01)
    assert told.charging is True


def test_a_rate_too_slow_to_tell_is_no_answer(gauge: Gauge) -> None:
    gauge.change(draw_percent_per_hour=0.5)
    assert gauge.driver.read().charging is None
    gauge.change(charging=True, percent=100.0)
    assert gauge.driver.read().charging is None


def test_a_sag_is_read_at_once(gauge: Gauge) -> None:
    gauge.change(volts=3.21)
    assert gauge.driver.read().volts == pytest.approx(3.21, abs=1e-4)


def test_more_than_full_is_full(gauge: Gauge) -> None:
    gauge.odd[0x04] = round(103.5 * 256)
    assert gauge.driver.read().percent == 100


def test_the_gauge_tells_what_it_is(gauge: Gauge) -> None:
    assert gauge.driver.describe() == {
        "driver": "smbus2_battery", "model": "MAX17048 version 0012", "bus": "sim-i2c",
    }  # fmt: skip


def test_a_pack_that_is_pulled_out_is_told_and_comes_back(gauge: Gauge) -> None:
    gauge.driver.read()
    gauge.change(pack=False)
    for _ in range(2):
        with pytest.raises(DriverError, match=r"no answer \(\[Errno 121\].*check wiring.*0x36"):
            gauge.driver.read()
    assert gauge.driver.describe()["model"] == "MAX17048, no answer"
    gauge.change(pack=True)
    assert gauge.driver.read().percent == pytest.approx(75, abs=0.01)


def test_failures_leave_no_file_open(gauge: Gauge) -> None:
    gauge.change(pack=False)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(DriverError):
            gauge.driver.read()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_wrong_address_is_not_answered(gauge: Gauge) -> None:
    with pytest.raises(DriverError, match="0x32"):
        Smbus2Battery(BatteryConfig(bus=gauge.path, address=0x32)).read()


@pytest.mark.parametrize("word", [0x0000, 0xFFFF])
def test_a_stuck_bus_is_no_voltage(gauge: Gauge, word: int) -> None:
    gauge.odd[0x02] = word
    with pytest.raises(DriverError, match="which no cell has"):
        gauge.driver.read()


def test_without_a_bus_the_driver_is_built_and_reading_tells(tmp_path: Path) -> None:
    driver = Smbus2Battery(BatteryConfig(bus=tmp_path / "i2c-9"))
    with pytest.raises(DriverError, match=r"i2c-9 is enabled"):
        driver.read()
    assert driver.describe()["bus"] == "i2c-9"


def test_other_files_reach_the_real_kernel(gauge: Gauge, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(DriverError, match="Errno 25"):  # ENOTTY: not a device
        Smbus2Battery(BatteryConfig(bus=tmp_path / "plain")).read()
    assert gauge.driver.read().charging is False


def test_what_the_gauge_cannot_do_is_refused_as_by_the_kernel(gauge: Gauge) -> None:
    with smbus2.SMBus(str(gauge.path)) as bus:
        with pytest.raises(OSError, match="Errno 95"):
            bus.read_byte_data(fuel_gauge.ADDRESS, 0x02)
        with pytest.raises(OSError, match="Errno 25"):
            bus.i2c_rdwr(smbus2.i2c_msg.read(fuel_gauge.ADDRESS, 2))


def test_a_missing_library_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smbus2", None)
    with pytest.raises(DriverError, match=r"smbus2_battery: .*install the extra `pi`, or leave \[battery\] out"):
        Smbus2Battery(BatteryConfig())


def test_a_gauge_that_nobody_knows_is_refused_by_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "battery.toml").write_text("driver = 'ina219'")
    with pytest.raises(config.ConfigError, match="driver: expected one of 'max17048'"):
        config.load(tmp_path / "battery.toml", BatteryConfig)
