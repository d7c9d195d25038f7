"""`Battery` by the fuel gauge MAX17048 of common Raspberry Pi battery boards, over smbus2.

Registers are 16 bit, high byte first, where SMBus words come low byte first. (Maxim, MAX17048/MAX17049 data sheet.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from firmware.hal.ports import Charge, DriverError
from runtime.config import Between

_DRIVER = "smbus2_battery"
_VCELL, _SOC, _VERSION, _CRATE = 0x02, 0x04, 0x08, 0x16
_VOLTS = 78.125e-6  # of one bit of VCELL
_PERCENT = 1 / 256  # of one bit of SOC
_PERCENT_PER_HOUR = 0.208  # of one bit of CRATE
_STILL_PERCENT_PER_HOUR = 1.0  # CRATE is an average over minutes: slower than this tells nothing
_CELL_VOLTS = (2.0, 5.0)


@dataclass(frozen=True, slots=True)
class BatteryConfig:
    """Which gauge, and where: its I2C bus and address."""

    driver: Literal["max17048"] = "max17048"
    bus: Path = Path("/dev/i2c-1")
    address: Annotated[int, Between(0x03, 0x77)] = 0x36


class Smbus2Battery:
    """The gauge. The bus is opened by the first `read` and again after each failure, so a gauge may come and go."""

    def __init__(self, config: BatteryConfig) -> None:
        """Import the library. Raises `DriverError` if it is missing; a missing gauge is told by `read`."""
        try:
            import smbus2  # noqa: PLC0415 - a driver's library is imported when it is built
        except ImportError as error:
            raise DriverError(_DRIVER, f"{error}; install the extra `pi`, or leave [battery] out") from error
        self._smbus2 = smbus2
        self._config = config
        self._bus: Any = None

    def read(self) -> Charge:
        try:
            volts = self._word(_VCELL) * _VOLTS
            percent = self._word(_SOC) * _PERCENT
            rate = _signed(self._word(_CRATE)) * _PERCENT_PER_HOUR
        except OSError as error:
            self._close()
            raise DriverError(_DRIVER, f"no answer ({error}); {self._advice()}") from error
        low, high = _CELL_VOLTS
        if not low <= volts <= high:
            raise DriverError(_DRIVER, f"tells {volts:.2f} V, which no cell has; {self._advice()}")
        return Charge(min(percent, 100.0), volts, _charging(rate))

    def describe(self) -> Mapping[str, str]:
        """Tell driver, bus, and the gauge with its version, if it answers."""
        try:
            model = f"MAX17048 version {self._word(_VERSION):04x}"
        except OSError:
            self._close()
            model = "MAX17048, no answer"
        return {"driver": _DRIVER, "model": model, "bus": self._config.bus.name}

    def _word(self, register: int) -> int:
        if self._bus is None:
            self._bus = self._smbus2.SMBus(str(self._config.bus))
        word: int = self._bus.read_word_data(self._config.address, register)
        return word >> 8 | (word & 0xFF) << 8

    def _close(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            with contextlib.suppress(OSError):
                bus.close()

    def _advice(self) -> str:
        return f"check wiring, [battery] address (0x{self._config.address:02x}) and that {self._config.bus} is enabled"


def _signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word


def _charging(rate: float) -> bool | None:
    """What the rate tells, in percent per hour; None if it is too slow to tell anything."""
    return rate > 0 if abs(rate) >= _STILL_PERCENT_PER_HOUR else None
