"""The camera's own configuration: hardware and folders. What the office decides stands in `config.jws`, signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from firmware.hal.gpiozero_panel import GpiozeroPanelConfig
from firmware.hal.gpsd_positioning import GnssConfig
from firmware.hal.linux_board import BoardConfig
from firmware.hal.picamera2_video import VideoConfig
from firmware.hal.smbus2_battery import BatteryConfig
from firmware.reminders import Thresholds
from runtime.config import Between, Matches
from runtime.token import TokenConfig


@dataclass(frozen=True, slots=True)
class SoundConfig:
    """PortAudio's names of the two devices, and the folder of the agency's own prompts."""

    microphone: str = "mic"
    loudspeaker: str = "speaker"
    prompts: Path | None = None


@dataclass(frozen=True, slots=True)
class ClockConfig:
    """`driver`: `module:class` of the clock; `state`: its own file or folder."""

    driver: str = "firmware.hal.linux_clock:LinuxClock"
    state: Path = Path("clock.json")
    rtc: bool = False
    rtc_error_ms: Annotated[int, Between(0)] = 2000


@dataclass(frozen=True, slots=True)
class DockPortConfig:
    """Where the dock reads, while docked and only then.

    Only an address that one link alone can reach: with any other, Linux answers on every network the camera is on.
    """

    address: Annotated[str, Matches(r"fe80:[0-9a-f:]*%[A-Za-z0-9._-]{1,15}|127(\.[0-9]{1,3}){3}|::1")] = "fe80::1%usb0"
    port: Annotated[int, Between(1, 65535)] = 8443


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """The office's broker. `queue`: file in which alerts wait until the office has acknowledged them."""

    host: str
    port: Annotated[int, Between(1, 65535)] = 8883
    queue: Path = Path("alerts.sqlite")


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """A camera. `credentials` is its provisioned folder (`keys/`, `certs/`, `config.jws`), `data` where evidence goes.

    `reserve_bytes` stay free for the journal: it must be able to say how a recording ended on a full card,
    and a fragment with a still that was begun needs some of them. Without
    `alerts` the camera is silent on every network but the dock's; without a `battery` or `gnss` table it has no fuel
    gauge or satellite receiver; without a `token` table its evidence key is a file.
    """

    credentials: Path = Path()
    data: Path = Path("data")
    reserve_bytes: Annotated[int, Between(16 << 20)] = 32 << 20
    confirm_seconds: Annotated[int, Between(2, 60)] = 10
    video: VideoConfig = field(default_factory=VideoConfig)
    sound: SoundConfig = field(default_factory=SoundConfig)
    panel: GpiozeroPanelConfig = field(default_factory=GpiozeroPanelConfig)
    clock: ClockConfig = field(default_factory=ClockConfig)
    dock_port: DockPortConfig = field(default_factory=DockPortConfig)
    token: TokenConfig | None = None
    alerts: AlertsConfig | None = None
    battery: BatteryConfig | None = None
    gnss: GnssConfig | None = None
    board: BoardConfig = field(default_factory=BoardConfig)
    reminders: Thresholds = field(default_factory=Thresholds)
