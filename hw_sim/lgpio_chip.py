"""A GPIO chip under the real lgpio and gpiozero libraries.

Only lgpio's C functions are replaced; its Python module, its notification pipe and thread, and all of gpiozero's
LGPIOFactory are the real ones. Levels, pulls, alerts and debouncing behave as the Linux kernel and lgpio document them.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABEL = "sim-bcm2710"
REVISION = 0x902120  # Raspberry Pi Zero 2 W, revision 1.0
LINES = 54
BOUNDARY = (
    "gpiochip_open",
    "gpiochip_close",
    "gpio_get_chip_info",
    "gpio_get_mode",
    "gpio_claim_input",
    "gpio_claim_output",
    "gpio_claim_alert",
    "gpio_free",
    "gpio_read",
    "gpio_write",
    "gpio_set_debounce_micros",
)

# lgpio's flags and errors, as its manual numbers them.
_OUTPUT, _PULL_UP, _INPUT, _LG_INPUT, _LG_OUTPUT, _LG_ALERT = 1 << 1, 1 << 5, 1 << 16, 1 << 8, 1 << 9, 1 << 10
_RISING, _FALLING = 1, 2
_BAD_HANDLE, _BAD_GPIO_NUMBER, _CANNOT_OPEN_CHIP, _BUSY, _NOT_ALLOCATED, _NOT_AN_OUTPUT = -5, -73, -78, -79, -80, -104


@dataclass
class _Line:
    """One pin. `driven` is what the world outside puts on it; None leaves it to the pull resistor."""

    owner: int | None = None  # the handle that claimed it
    mode: int = 0
    driven: int | None = None
    written: int = 0
    edges: int = 0
    debounce_us: int = 0
    reported: int = 0
    settling: threading.Timer | None = None

    def level(self) -> int:
        if self.mode & _OUTPUT:
            return self.written
        return self.driven if self.driven is not None else int(bool(self.mode & _PULL_UP))


class Chip:
    """The chip. Scenarios call `drive` and `level`; the library calls the rest."""

    def __init__(self, log: Path | None = None) -> None:
        """Append changes of level to `log` as JSON lines: `boot_ns` (the host's CLOCK_BOOTTIME), `pin`, `level`."""
        self._lines = [_Line() for _ in range(LINES)]
        self._lock = threading.RLock()
        self._log = log
        self._pipe = -1
        self._handles: set[int] = set()
        self._seen: dict[int, int] = {}

    # The world's side.

    def drive(self, pin: int, level: int | None) -> None:
        """Put a level on a pin from outside, as a button or contact does; None lets go of it. Raises ValueError."""
        if not 0 <= pin < LINES or level not in {0, 1, None}:
            raise ValueError(f"cannot put level {level} on pin {pin}; pins are 0 to {LINES - 1}, levels 0, 1 or none")
        with self._lock:
            self._lines[pin].driven = level
            self._changed(pin)

    def level(self, pin: int) -> int:
        """Tell the level on a pin: a lamp is lit at 1."""
        with self._lock:
            return self._lines[pin].level()

    def outputs(self) -> dict[int, int]:
        """Tell the level of each pin that the firmware drives."""
        with self._lock:
            return {pin: line.level() for pin, line in enumerate(self._lines) if line.mode & _OUTPUT}

    def _changed(self, pin: int) -> None:
        line = self._lines[pin]
        level = line.level()
        if self._seen.get(pin) != level:
            self._seen[pin] = level
            self._write_log(pin, level)
        if not line.mode & _LG_ALERT:
            return
        if line.settling is not None:
            line.settling.cancel()
            line.settling = None
        if not line.debounce_us:
            self._alert(pin)
            return
        line.settling = threading.Timer(line.debounce_us / 1e6, self._settled, (pin,))
        line.settling.daemon = True
        line.settling.start()

    def _settled(self, pin: int) -> None:
        with self._lock:
            line = self._lines[pin]
            if line.settling is threading.current_thread():  # or it was cancelled too late
                line.settling = None
                self._alert(pin)

    def _alert(self, pin: int) -> None:
        line = self._lines[pin]
        level = line.level()
        if level == line.reported:
            return
        line.reported = level
        if line.edges & (_RISING if level else _FALLING):
            os.write(self._pipe, struct.pack("QBBBBI", time.monotonic_ns(), 0, pin, level, 0, 0))

    def _write_log(self, pin: int, level: int) -> None:
        if self._log is not None:
            entry = {"boot_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME), "pin": pin, "level": level}
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(entry) + "\n")

    # The library's side: lgpio's C functions, called by position.

    def _refuse(self, handle: int, pin: int) -> int:
        if handle not in self._handles:
            return _BAD_HANDLE
        if not 0 <= pin < LINES:
            return _BAD_GPIO_NUMBER
        return 0 if self._lines[pin].owner in {None, handle} else _BUSY

    def _refuse_free(self, handle: int, pin: int) -> int:
        return self._refuse(handle, pin) or (_NOT_ALLOCATED if self._lines[pin].owner is None else 0)

    def _claim(self, pin: int, mode: int, handle: int | None) -> None:
        line = self._lines[pin]
        if line.settling is not None:
            line.settling.cancel()
            line.settling = None
        line.mode, line.owner = mode, handle

    def gpiochip_open(self, chip: int, /) -> int:
        """Open the one chip there is."""
        with self._lock:
            if chip != 0:
                return _CANNOT_OPEN_CHIP
            handle = next(number for number in range(LINES) if number not in self._handles)
            self._handles.add(handle)
            return handle

    def gpiochip_close(self, handle: int, /) -> int:
        """Close it and free the lines claimed through it."""
        with self._lock:
            if handle not in self._handles:
                return _BAD_HANDLE
            for pin, line in enumerate(self._lines):
                if line.owner == handle:
                    self._claim(pin, 0, None)
                    self._changed(pin)
            self._handles.remove(handle)
            return 0

    def gpio_get_chip_info(self, handle: int, /) -> list[Any]:
        """Tell status, number of lines, name and label."""
        return [0 if handle in self._handles else _BAD_HANDLE, LINES, "gpiochip0", LABEL]

    def gpio_get_mode(self, handle: int, pin: int, /) -> int:
        """Tell direction, pulls and use of a line."""
        return self._refuse(handle, pin) or self._lines[pin].mode

    def gpio_claim_input(self, handle: int, flags: int, pin: int, /) -> int:
        """Make a line an input."""
        with self._lock:
            if status := self._refuse(handle, pin):
                return status
            self._claim(pin, _INPUT | _LG_INPUT | flags, handle)
            self._changed(pin)
            return 0

    def gpio_claim_output(self, handle: int, flags: int, pin: int, level: int, /) -> int:
        """Make a line an output with a first level."""
        with self._lock:
            if status := self._refuse(handle, pin):
                return status
            self._claim(pin, _OUTPUT | _LG_OUTPUT | flags, handle)
            self._lines[pin].written = int(bool(level))
            self._changed(pin)
            return 0

    def gpio_claim_alert(self, handle: int, flags: int, edges: int, pin: int, _notify: int, /) -> int:
        """Make a line an input whose edges are told through the notification pipe."""
        with self._lock:
            if status := self._refuse(handle, pin):
                return status
            self._claim(pin, _INPUT | _LG_ALERT | flags, handle)
            line = self._lines[pin]
            line.edges, line.reported = edges, line.level()
            return 0

    def gpio_free(self, handle: int, pin: int, /) -> int:
        """Give a line up."""
        with self._lock:
            if status := self._refuse_free(handle, pin):
                return status
            self._claim(pin, 0, None)
            self._changed(pin)
            return 0

    def gpio_read(self, handle: int, pin: int, /) -> int:
        """Read a line's level."""
        with self._lock:
            return self._refuse_free(handle, pin) or self._lines[pin].level()

    def gpio_write(self, handle: int, pin: int, level: int, /) -> int:
        """Set an output's level."""
        with self._lock:
            if status := self._refuse_free(handle, pin):
                return status
            if not self._lines[pin].mode & _OUTPUT:
                return _NOT_AN_OUTPUT
            self._lines[pin].written = int(bool(level))
            self._changed(pin)
            return 0

    def gpio_set_debounce_micros(self, handle: int, pin: int, micros: int, /) -> int:
        """Tell edges of a line only when its level has been stable so long."""
        with self._lock:
            if status := self._refuse_free(handle, pin):
                return status
            self._lines[pin].debounce_us = micros
            return 0

    def attach(self, pipe: int) -> None:
        """Tell alerts through this descriptor from now on."""
        self._pipe = pipe


def install(log: Path | None = None) -> Chip:
    """Put a chip under lgpio in this process, in place of an earlier one, and make gpiozero believe in the board.

    Call it before lgpio or gpiozero are imported, or their pipe lies in the working folder. Raises ImportError.
    """
    chip = Chip(log)
    lgpio = _import_elsewhere()
    for name in BOUNDARY:
        setattr(lgpio._lgpio, f"_{name}", getattr(chip, name))  # noqa: SLF001 - the boundary to C
    # The library's own pipe, opened once more for writing.
    chip.attach(os.open(f"/proc/self/fd/{lgpio._notify_thread._file.fileno()}", os.O_WRONLY | os.O_CLOEXEC))  # noqa: SLF001

    import gpiozero.pins.local  # noqa: PLC0415 - imports lgpio

    gpiozero.pins.local.get_pi_revision = lambda: REVISION
    return chip


def _import_elsewhere() -> Any:
    """Import lgpio in a folder of its own: it leaves a pipe where it stands, whose name other processes share."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        import lgpio  # noqa: PLC0415
    return lgpio
