"""The fuel gauge MAX17048 under the real smbus2: its registers, and an I2C bus that leads to it.

smbus2 reaches the kernel by `ioctl` on an open `/dev/i2c-N` alone. That function is replaced for the files that are
simulated buses, and stays as it was for all others. Written from the data sheet and `linux/i2c-dev.h`.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hw_sim import battery
from hw_sim.battery import Cell

ADDRESS = 0x36
BUS = "sim-i2c"
"""Name of the bus's file in the world folder: what the camera names in `[battery] bus`."""

_FUNC_I2C_AND_SMBUS = 0x0EFF0001  # what the Pi's adapter can do
_VERSION = 0x0012
_VOLTS, _PERCENT, _PERCENT_PER_HOUR = 78.125e-6, 1 / 256, 0.208
_Registers = Callable[[int], int]


def registers(cell: Cell, now_ns: Callable[[], int]) -> _Registers:
    """Return what reads a register, 16 bit. Raises OSError(EREMOTEIO) if there is no pack to feed the gauge."""

    def read(register: int) -> int:
        state = cell.at(now_ns())
        if not state.pack:
            raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
        contents: Mapping[int, float] = {
            0x02: battery.volts(state) / _VOLTS,
            0x04: state.percent / _PERCENT,
            0x08: _VERSION,
            0x16: min(max(battery.rate(state) / _PERCENT_PER_HOUR, -0x8000), 0x7FFF),
        }
        return round(contents.get(register, 0)) & 0xFFFF

    return read


def install(folder: Path, cell: Cell) -> None:
    """Put the gauge of `cell` onto the bus `sim-i2c` in `folder`. Call before smbus2 is used."""
    from smbus2 import smbus2  # noqa: PLC0415 - only a simulated camera needs it

    path = folder / BUS
    path.touch()
    attach(smbus2, path, registers(cell, lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)))


def attach(smbus2: Any, path: Path, read: _Registers) -> None:
    """Make the file at `path` a bus on which a gauge answers at its address, and nothing else does."""
    bus, real = path.stat(), smbus2.ioctl
    addresses: dict[int, int] = {}  # by file descriptor, as I2C_SLAVE set them

    def ioctl(fd: int, request: int, argument: Any) -> int:
        opened = os.fstat(fd)
        if (opened.st_dev, opened.st_ino) != (bus.st_dev, bus.st_ino):
            answer: int = real(fd, request, argument)
            return answer
        if request == smbus2.I2C_FUNCS:
            argument.value = _FUNC_I2C_AND_SMBUS
        elif request == smbus2.I2C_SLAVE:
            addresses[fd] = argument
        elif request == smbus2.I2C_SMBUS:
            _transfer(smbus2, argument, addresses.get(fd), read)
        else:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        return 0

    smbus2.ioctl = ioctl


def _transfer(smbus2: Any, message: Any, address: int | None, read: _Registers) -> None:
    if address != ADDRESS:
        raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))  # 121: nobody acknowledges
    if (message.size, message.read_write) != (smbus2.I2C_SMBUS_WORD_DATA, smbus2.I2C_SMBUS_READ):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    word = read(message.command)
    message.data.contents.word = word >> 8 | (word & 0xFF) << 8  # the gauge sends the high byte first
