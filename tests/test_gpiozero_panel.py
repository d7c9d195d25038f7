"""The panel's driver: real gpiozero and lgpio over the simulated chip."""

from __future__ import annotations

import inspect
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware.hal.gpiozero_panel import GpiozeroPanel, GpiozeroPanelConfig
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.hal.ports import Clock, Control, DriverError, Lamps, Panel
from hw_sim import lgpio_chip

pytestmark = pytest.mark.long

CONFIG = GpiozeroPanelConfig(hold_seconds=0.3, bounce_ms=40, blink_seconds=0.02)
PRESSED, RELEASED = 0, 1
PATIENCE = 5.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chip") / "pins.jsonl"


@pytest.fixture(scope="module")
def chip(log: Path) -> lgpio_chip.Chip:
    return lgpio_chip.install(log)


class Told:
    """What the panel told, in order."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Control, int]] = queue.Queue()

    def __call__(self, control: Control, boot_ns: int) -> None:
        self._queue.put((control, boot_ns))

    def next(self) -> tuple[Control, int]:
        return self._queue.get(timeout=PATIENCE)

    def nothing_more(self, seconds: float) -> bool:
        try:
            self._queue.get(timeout=seconds)
        except queue.Empty:
            return True
        return False


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return LinuxClock(LinuxClockConfig(tmp_path / "utc.json"))


@pytest.fixture
def panel(chip: lgpio_chip.Chip, clock: Clock) -> Iterator[GpiozeroPanel]:
    panel = GpiozeroPanel(CONFIG, clock)
    yield panel
    panel.stop()
    for pin in (CONFIG.record_pin, CONFIG.mark_pin, CONFIG.dock_pin):
        chip.drive(pin, None)


@pytest.fixture
def told(panel: GpiozeroPanel) -> Told:
    told = Told()
    panel.start(told)
    return told


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


@pytest.fixture
def lgpio(chip: lgpio_chip.Chip) -> Any:  # noqa: ARG001 - not imported before the chip is in place
    return sys.modules["lgpio"]


def test_the_chip_has_the_signatures_of_the_real_library(chip: lgpio_chip.Chip, lgpio: Any) -> None:
    for name in lgpio_chip.BOUNDARY:
        real = inspect.signature(getattr(lgpio, f"_{name}"))  # the library's own declaration of its C function
        assert len(inspect.signature(getattr(chip, name)).parameters) == len(real.parameters), name
        assert getattr(lgpio._lgpio, f"_{name}") == getattr(chip, name)


def test_the_chip_fails_as_the_library_does(chip: lgpio_chip.Chip, lgpio: Any) -> None:
    with pytest.raises(lgpio.error, match="can not open gpiochip"):
        lgpio.gpiochip_open(9)
    with pytest.raises(lgpio.error, match="unknown handle"):
        lgpio.gpio_read(7, 17)
    handle = lgpio.gpiochip_open(0)
    with pytest.raises(lgpio.error, match="bad GPIO number"):
        lgpio.gpio_claim_input(handle, 99)
    with pytest.raises(lgpio.error, match="not allocated"):
        lgpio.gpio_write(handle, 17, 1)
    lgpio.gpio_claim_input(handle, 17, lgpio.SET_PULL_UP)
    assert lgpio.gpio_read(handle, 17) == 1
    other = lgpio.gpiochip_open(0)
    with pytest.raises(lgpio.error, match="busy"):
        lgpio.gpio_claim_output(other, 17)
    with pytest.raises(ValueError, match="pin 99"):
        chip.drive(99, 0)
    lgpio.gpiochip_close(other)
    lgpio.gpiochip_close(handle)


def test_it_is_a_panel_and_says_that_it_is_simulated(panel: GpiozeroPanel) -> None:
    port: Panel = panel
    assert port.describe() == {
        "driver": "gpiozero",
        "model": "sim-bcm2710",
        "board": "Raspberry Pi Zero2W rev 1.0",
    }


def test_a_press_is_told_before_the_release(chip: lgpio_chip.Chip, told: Told, clock: Clock) -> None:
    before = clock.boot_ns()
    chip.drive(CONFIG.record_pin, PRESSED)
    control, boot_ns = told.next()
    assert control is Control.RECORD_PRESSED
    assert before <= boot_ns <= clock.boot_ns()


def test_a_bouncing_contact_is_one_press(chip: lgpio_chip.Chip, told: Told) -> None:
    for _ in range(20):
        chip.drive(CONFIG.record_pin, PRESSED)
        chip.drive(CONFIG.record_pin, RELEASED)
    assert told.nothing_more(10 * CONFIG.bounce_ms / 1000)  # never stable
    for level in (PRESSED, RELEASED) * 20:
        chip.drive(CONFIG.record_pin, level)
    chip.drive(CONFIG.record_pin, PRESSED)
    assert told.next()[0] is Control.RECORD_PRESSED
    for level in (RELEASED, PRESSED) * 20:
        chip.drive(CONFIG.record_pin, level)
    chip.drive(CONFIG.record_pin, RELEASED)
    assert told.next()[0] is Control.RECORD_RELEASED
    assert told.nothing_more(CONFIG.hold_seconds * 1.5)


def test_a_hold_is_told_in_addition_and_once(chip: lgpio_chip.Chip, told: Told) -> None:
    chip.drive(CONFIG.record_pin, PRESSED)
    pressed, held = told.next(), told.next()
    assert (pressed[0], held[0]) == (Control.RECORD_PRESSED, Control.RECORD_HELD)
    assert held[1] - pressed[1] >= CONFIG.hold_seconds * 1e9
    assert told.nothing_more(CONFIG.hold_seconds * 1.5)


def test_double_press_and_hold_of_the_marker(chip: lgpio_chip.Chip, told: Told) -> None:
    times = []
    for level in (PRESSED, RELEASED, PRESSED, RELEASED):
        chip.drive(CONFIG.mark_pin, level)
        control, boot_ns = told.next()
        assert control is (Control.MARK_PRESSED if level == PRESSED else Control.MARK_RELEASED)
        times.append(boot_ns)
    assert times == sorted(times)
    chip.drive(CONFIG.mark_pin, PRESSED)
    assert [told.next()[0] for _ in range(2)] == [Control.MARK_PRESSED, Control.MARK_HELD]
    chip.drive(CONFIG.mark_pin, RELEASED)
    assert told.next()[0] is Control.MARK_RELEASED


def test_the_dock_contact(chip: lgpio_chip.Chip, panel: GpiozeroPanel, told: Told) -> None:
    assert not panel.docked()
    chip.drive(CONFIG.dock_pin, PRESSED)
    assert told.next()[0] is Control.DOCKED
    assert panel.docked()
    chip.drive(CONFIG.dock_pin, RELEASED)
    assert told.next()[0] is Control.UNDOCKED
    assert not panel.docked()


def test_a_button_pressed_while_booting_counts(chip: lgpio_chip.Chip, clock: Clock) -> None:
    chip.drive(CONFIG.record_pin, PRESSED)
    panel, told = GpiozeroPanel(CONFIG, clock), Told()
    try:
        panel.start(told)
        assert told.next()[0] is Control.RECORD_PRESSED
        chip.drive(CONFIG.record_pin, RELEASED)
        assert told.next()[0] is Control.RECORD_RELEASED  # nothing between
        chip.drive(CONFIG.dock_pin, PRESSED)
        assert told.next()[0] is Control.DOCKED
    finally:
        panel.stop()
        chip.drive(CONFIG.dock_pin, None)


def test_a_handler_that_fails_does_not_silence_the_pins(chip: lgpio_chip.Chip, panel: GpiozeroPanel) -> None:
    told = Told()

    def handler(control: Control, boot_ns: int) -> None:
        told(control, boot_ns)
        if control is Control.MARK_PRESSED:
            raise ValueError("broken")

    panel.start(handler)
    chip.drive(CONFIG.mark_pin, PRESSED)
    assert told.next()[0] is Control.MARK_PRESSED
    chip.drive(CONFIG.mark_pin, RELEASED)
    assert told.next()[0] is Control.MARK_RELEASED


def test_lamps_and_buzzer(chip: lgpio_chip.Chip, panel: GpiozeroPanel, log: Path) -> None:
    panel.show(Lamps(green="on", red="blinking"))
    assert chip.level(CONFIG.green_pin) == 1
    assert chip.level(CONFIG.yellow_pin) == 0
    for level in (1, 0, 1, 0):
        _wait(lambda level=level: chip.level(CONFIG.red_pin) == level)  # type: ignore[misc]
    panel.show(Lamps(yellow="on"))
    assert chip.outputs() == {CONFIG.green_pin: 0, CONFIG.red_pin: 0, CONFIG.yellow_pin: 1, CONFIG.buzzer_pin: 0}
    panel.buzz(0.05)
    _wait(lambda: chip.level(CONFIG.buzzer_pin) == 1)
    _wait(lambda: chip.level(CONFIG.buzzer_pin) == 0)
    panel.stop()
    panel.stop()
    panel.show(Lamps(green="on"))
    panel.buzz(0.1)
    assert not panel.docked()
    assert chip.outputs() == {}
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    buzzed = [entry for entry in entries if entry["pin"] == CONFIG.buzzer_pin][-2:]
    assert [entry["level"] for entry in buzzed] == [1, 0]
    assert buzzed[1]["boot_ns"] - buzzed[0]["boot_ns"] >= 50e6


@pytest.mark.usefixtures("panel")
def test_pins_that_are_taken(clock: Clock) -> None:
    with pytest.raises(DriverError, match=r"gpiozero: .*pin"):
        GpiozeroPanel(CONFIG, clock)


def test_without_a_chip_there_is_advice(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path\n"
        "from firmware.hal.gpiozero_panel import *\n"
        "from firmware.hal.linux_clock import *\n"
        f"GpiozeroPanel(GpiozeroPanelConfig(), LinuxClock(LinuxClockConfig(Path({str(tmp_path)!r}) / 'utc.json')))"
    )
    root = str(Path(__file__).resolve().parents[1])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "DriverError: gpiozero: no GPIO chip" in done.stderr
    assert "run on a Raspberry Pi" in done.stderr
