"""Builds the drivers that the configuration names. Each brings its library along only when it is built.

Missing hardware that evidence needs is a start-up error with the driver's name. A fuel gauge or a satellite receiver
that does not answer keeps no camera from recording: that is told later, by the self-check.
"""

from __future__ import annotations

import importlib
from typing import Any

from evidence import shape
from evidence.documents import Configuration
from firmware.clock_discipline import Believable, trusted
from firmware.config import CameraConfig
from firmware.equipment import Hardware, Place
from firmware.hal.ports import Clock, DriverError, Utc
from firmware.identity import Identity


def hardware(settings: CameraConfig, identity: Identity, clock: Clock) -> Hardware:
    """Build all others. Raises `DriverError`."""
    from firmware.hal.gpiozero_panel import GpiozeroPanel  # noqa: PLC0415
    from firmware.hal.gpsd_positioning import GpsdPositioning  # noqa: PLC0415
    from firmware.hal.linux_board import LinuxBoard  # noqa: PLC0415
    from firmware.hal.overlay import Caption, Overlay, OverlayConfig, Situation  # noqa: PLC0415
    from firmware.hal.picamera2_video import Picamera2Video  # noqa: PLC0415
    from firmware.hal.pyaudio_sound import PyAudioMicrophone  # noqa: PLC0415
    from firmware.hal.smbus2_battery import Smbus2Battery  # noqa: PLC0415

    told, place = identity.configuration, Place()
    text = Caption(
        identity.device,
        told.officer_number,
        told.unit,
        lambda: Situation(trusted(clock.utc()), place.fix),
        receiver=settings.gnss is not None,
    )
    overlay = Overlay(OverlayConfig(settings.video.width, settings.video.height), text, text.samples())
    return Hardware(
        clock,
        Picamera2Video(settings.video, overlay, clock),
        PyAudioMicrophone(settings.sound.microphone, clock),
        GpiozeroPanel(settings.panel, clock),
        LinuxBoard(settings.board),
        Smbus2Battery(settings.battery) if settings.battery else None,
        GpsdPositioning(settings.gnss, clock) if settings.gnss else None,
        place,
    )


def clock(settings: CameraConfig, told: Configuration) -> Clock:
    """Build the clock, whose driver the configuration names: a simulated one starts at its simulated power-on.

    A real-time clock that tells what cannot be true since `told` was issued is not believed. Raises `DriverError`.
    """
    table = settings.clock
    module, _, name = table.driver.partition(":")
    try:
        driver: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DriverError(table.driver, f"{error}; name a clock driver as module:class in [clock]") from error
    believable = Believable.since(shape.utc_ms(told.issued))
    bounds = (believable.earliest_ms, believable.latest_ms)
    if module == "firmware.hal.linux_clock":
        from firmware.hal.linux_clock import LinuxClockConfig  # noqa: PLC0415

        built: Clock = driver(LinuxClockConfig(table.state, table.rtc, table.rtc_error_ms, *bounds))
    else:
        built = driver(table.state, Utc, *bounds)
    return built
