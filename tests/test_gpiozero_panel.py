"""The panel's driver: real gpiozero and lgpio over the simulated chip."""

from __future__ import annotations

import inspect
import json
import queue
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from firmware.hal.gpiozero_panel import GpiozeroPanel, GpiozeroPanelConfig
from firmware.hal.ports import Clock, Control, DriverError, Lamps, Panel
from hw_sim import lgpio_chip
from hw_sim.powered_clock import PoweredClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIG = GpiozeroPanelConfig(hold_seconds=0.3, blink_seconds=0.02)
PRESSED, RELEASED = 0, 1
PATIENCE = 5.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chip") / "pins.jsonl"


@pytest.fixture(scope="module")
def chip(log: Path) -> lgpio_chip.Chip:
    return lgpio_chip.install(log)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    from hw_sim.world import power_on
