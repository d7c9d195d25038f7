"""`Panel` on a Raspberry Pi's pins: gpiozero over lgpio.

Buttons and the dock contact close to ground (internal pull-up); lamps and buzzer are driven high.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from firmware.hal.ports import Clock, Control, DriverError, Lamps

_DRIVER = "gpiozero"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GpiozeroPanelConfig:
    """Pins by their BCM numbers. A level counts once it has been stable for `bounce_ms`."""

    record_pin: int = 17
    mark_pin: int = 27
    dock_pin: int = 22
    green_pin: int = 5
    red_pin: int = 6
    yellow_pin: int = 13
    buzzer_pin: int = 19
    hold_seconds: float = 1.5
    bounce_ms: int = 5
    dock_bounce_ms: int = 50
    blink_seconds: float = 0.5


class GpiozeroPanel:
    """Buttons, dock contact, lamps and buzzer.

    A press is told when the contact has settled, not on release: evidence comes first. A hold is told in addition,
    `hold_seconds` later. The record button counts as pressed if it is down already at `start`.
    """

    def __init__(self, config: GpiozeroPanelConfig, clock: Clock) -> None:
        """Claim the pins, lamps off. Raises `DriverError`."""
        self._config = config
        self._clock = clock
        self._lock = threading.RLock()
        self._shown = Lamps()
        self._closed = False
        try:
            import gpiozero  # noqa: PLC0415 - a driver's library is imported when it is built
            import lgpio  # noqa: PLC0415
            from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415
        except (ImportError, OSError) as error:
            raise DriverError(
                _DRIVER, f"{error}; install the extra `pi` and start in a folder that can be written to (lgpio's pipe)"
            ) from error
        try:
            self._factory = LGPIOFactory()
            self._model = _chip_label(lgpio, self._factory.chip)
            self._board = str(self._factory.board_info.description)
        except (gpiozero.GPIOZeroError, lgpio.error, OSError) as error:
            raise DriverError(
                _DRIVER, f"no GPIO chip: {error}; run on a Raspberry Pi, as a member of the group gpio"
            ) from error
        self._devices: list[Any] = []
        try:
            self._record, self._mark = (
                self._claim(gpiozero.Button, pin, bounce_time=config.bounce_ms / 1000, hold_time=config.hold_seconds)
                for pin in (config.record_pin, config.mark_pin)
            )
            self._dock = self._claim(gpiozero.Button, config.dock_pin, bounce_time=config.dock_bounce_ms / 1000)
            self._lamps = {
                name: self._claim(gpiozero.LED, pin)
                for name, pin in (("green", config.green_pin), ("red", config.red_pin), ("yellow", config.yellow_pin))
            }
            self._buzzer = self._claim(gpiozero.Buzzer, config.buzzer_pin)
        except (gpiozero.GPIOZeroError, lgpio.error) as error:
            self.stop()
            raise DriverError(_DRIVER, f"a pin cannot be used: {error}; check the panel's pin numbers") from error

    def _claim(self, kind: Callable[..., Any], pin: int, **options: float) -> Any:
        device = kind(pin, pin_factory=self._factory, **options)
        self._devices.append(device)
        return device

    def start(self, on_control: Callable[[Control, int], None]) -> None:
        """Deliver controls from gpiozero's threads; what `on_control` raises is logged and goes no further."""
        bounce_ns, dock_bounce_ns = self._config.bounce_ms * 1_000_000, self._config.dock_bounce_ms * 1_000_000

        def tell(control: Control, late_ns: int = 0) -> Callable[[], None]:
            def run() -> None:
                try:
                    on_control(control, self._clock.boot_ns() - late_ns)
                except Exception:  # noqa: BLE001 - it would end the one thread by which lgpio tells of every pin
                    _log.exception("control %s was not handled", control.value)

            return run

        self._record.when_pressed = tell(Control.RECORD_PRESSED, bounce_ns)
        self._record.when_held = tell(Control.RECORD_HELD)
        self._record.when_released = tell(Control.RECORD_RELEASED, bounce_ns)
        self._mark.when_pressed = tell(Control.MARK_PRESSED, bounce_ns)
        self._mark.when_held = tell(Control.MARK_HELD)
        self._mark.when_released = tell(Control.MARK_RELEASED, bounce_ns)
        self._dock.when_pressed = tell(Control.DOCKED, dock_bounce_ns)
        self._dock.when_released = tell(Control.UNDOCKED, dock_bounce_ns)
        if self._record.active_time is not None:  # unlike is_pressed, as debounced: else the press would be told twice
            tell(Control.RECORD_PRESSED)()

    def stop(self) -> None:
        """Release the pins, lamps off. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for device in self._devices:
                device.pin.when_changed = None  # gpiozero's close leaves it, and a late edge would end lgpio's thread
                device.close()
            self._factory.close()

    def show(self, lamps: Lamps) -> None:
        """Set the lamps; those that stay as they are blink on undisturbed. Does nothing after `stop`."""
        with self._lock:
            if self._closed:
                return
            for name, lamp in self._lamps.items():
                wanted = getattr(lamps, name)
                if wanted == getattr(self._shown, name):
                    continue
                if wanted == "blinking":
                    lamp.blink(on_time=self._config.blink_seconds, off_time=self._config.blink_seconds)
                else:
                    lamp.value = wanted == "on"
            self._shown = lamps

    def buzz(self, seconds: float) -> None:
        """One vibration and tone of that length; a new one replaces one that sounds. Does nothing after `stop`."""
        with self._lock:
            if not self._closed:
                self._buzzer.beep(on_time=seconds, off_time=0, n=1)

    def docked(self) -> bool:
        """Tell whether the dock contact is closed now; False after `stop`."""
        with self._lock:
            return not self._closed and bool(self._dock.is_pressed)

    def describe(self) -> Mapping[str, str]:
        """Tell driver, GPIO chip's label (`model`) and board."""
        return {"driver": _DRIVER, "model": self._model, "board": self._board}


def _chip_label(lgpio: Any, chip: int) -> str:
    handle = lgpio.gpiochip_open(chip)
    try:
        return str(lgpio.gpio_get_chip_info(handle)[3])
    finally:
        lgpio.gpiochip_close(handle)
