"""What the recorder needs of the hardware.

Each port is narrow; its docstring says what an implementer owes. A driver is one file that imports its library when it
is built. Missing hardware raises `DriverError` with the driver's name: nothing falls back to another driver.

All times are nanoseconds of CLOCK_BOOTTIME as told by the same `Clock` (0 at power-on, never stepped).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class DriverError(Exception):
    """A driver cannot be built or has failed; `driver` names it, the text says what to do."""

    def __init__(self, driver: str, message: str) -> None:
        super().__init__(f"{driver}: {message}")
        self.driver = driver


@dataclass(frozen=True, slots=True)
class Utc:
    """A claim about UTC: milliseconds since 1970, where it comes from, and how far off it may be."""

    ms: int
    source: str  # "none" | "rtc" | "gnss" | "dock"
    error_ms: int | None  # None: unbounded


class Clock(Protocol):
    """Both clocks of the device."""

    @property
    def kernel_boot(self) -> str:
        """Id of the kernel's boot, 32 hex digits: equal ids mean that `boot_ns` ran on without a break."""

    def boot_ns(self) -> int:
        """Nanoseconds since power-on, counting through suspend."""

    def utc(self) -> Utc:
        """The present UTC claim. Never raises; an unset clock has source "none"."""

    def set_utc(self, ms: int, source: str, error_ms: int) -> None:
        """Take over a trusted time. Does not move `boot_ns`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One encoded picture: an H.264 access unit in Annex B form."""

    data: bytes
    boot_ns: int  # start of exposure (SensorTimestamp)
    keyframe: bool


@dataclass(frozen=True, slots=True)
class SourceFault:
    """A source has failed; `cause` is one of the specification's gap causes.

    No gaps: `overlay_failed`, `look_failed`; `position_lost`, when the satellite receiver's service is not there.
    """

    cause: str
    detail: str


@dataclass(frozen=True, slots=True)
class Look:
    """A small picture for judging the view (rule 17): luma alone, before the overlay is drawn."""

    luma: NDArray[np.uint8]  # (rows, columns), the receiver's own copy
    boot_ns: int  # start of exposure


@dataclass(frozen=True, slots=True)
class Still:
    """One whole picture as JPEG, as large as the sensor's stream that is recorded, overlay included."""

    jpeg: bytes
    boot_ns: int  # start of exposure


class VideoSource(Protocol):
    """Camera with its encoder and overlay."""

    def start(
        self,
        on_frame: Callable[[Frame], None],
        on_fault: Callable[[SourceFault], None],
        on_look: Callable[[Look], None],
    ) -> None:
        """Deliver every encoded frame, in order, from a thread of the driver. No callback may block.

        Frames start with a key frame; one key frame follows at least every second. A `Look` comes twice a second.
        """

    def still(self) -> Still:
        """Take a still of the next picture. Blocks for up to a second; not to be called from a callback.

        Raises `DriverError` if no picture comes.
        """

    def stop(self) -> None:
        """Stop and release the device. Idempotent."""

    def counts(self) -> Mapping[str, int]:
        """Pictures since the driver was built: `delivered` to it, `encoded`, `dropped` (delivered, never encoded).

        `lost`: those missing in the sensor's own time, which never reached the driver.
        """

    def describe(self) -> Mapping[str, str]:
        """What the library below says of the hardware: at least `driver`, `model`, `id`, `encoder`."""


@dataclass(frozen=True, slots=True)
class SoundBlock:
    """50 ms of sound: 2,400 samples, mono, signed 16 bit little endian, 48 kHz by the sound card's own clock."""

    pcm: bytes
    boot_ns: int  # best estimate of when its first sample was taken; jitters, `capture.sound_clock` smooths it


class Microphone(Protocol):
    """The device's microphone."""

    def start(self, on_block: Callable[[SoundBlock], None], on_fault: Callable[[SourceFault], None]) -> None:
        """Deliver blocks in order, none left out, from a thread of the driver; `on_block` must not block.

        `on_fault` tells, each once in an outage that the next block ends: "microphone_lost", nothing has come for a
        second; "microphone_silent", two seconds of one and the same sample (no more such blocks are delivered);
        "microphone_moved", the sound was another source's (what is delivered next is the microphone's again).
        """

    def stop(self) -> None:
        """Stop and release the device. Idempotent."""

    def describe(self) -> Mapping[str, str]:
        """At least `driver`, `model`."""


class SoundEncoder(Protocol):
    """Lossless encoder (FLAC): a packet for each block, nothing held back."""

    @property
    def config(self) -> bytes:
        """The 34 bytes of STREAMINFO."""

    def encode(self, pcm: bytes) -> bytes:
        """One 2,400-sample block in, its one FLAC frame out."""


class Loudspeaker(Protocol):
    """Plays one clip at a time."""

    def play(self, pcm: bytes, rate: int) -> None:
        """Play mono signed 16 bit `pcm` at `rate` Hz and return when it has been heard. Raises `DriverError`."""

    def stop(self) -> None:
        """End what is playing; `play` returns at once."""

    def describe(self) -> Mapping[str, str]:
        """At least `driver`, `model`."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What the fuel gauge tells of the battery."""

    percent: float  # 0 to 100
    volts: float
    charging: bool | None  # None: the gauge cannot tell


class Battery(Protocol):
    """The battery's fuel gauge."""

    def read(self) -> Charge:
        """Ask the gauge now; takes milliseconds. Raises `DriverError` if it does not answer."""

    def describe(self) -> Mapping[str, str]:
        """At least `driver`, `model`."""


@dataclass(frozen=True, slots=True)
class Fix:
    """A place on the ground, WGS 84."""

    boot_ns: int  # when it was told
    latitude_deg: float
    longitude_deg: float
    altitude_m: float | None
    error_m: float | None  # radius that holds the place in 95 of 100 cases
    speed_mps: float | None
    utc_ms: int | None  # the receiver's time at `boot_ns`
    utc_error_ms: int | None


class Positioning(Protocol):
    """The satellite receiver."""

    def start(self, on_fix: Callable[[Fix | None], None], on_fault: Callable[[SourceFault], None]) -> None:
        """Tell each fix from a thread of the driver, and None once when the fix is lost. Comes back by itself."""

    def stop(self) -> None:
        """End the thread. Idempotent."""

    def describe(self) -> Mapping[str, str]:
        """At least `driver`, `model`."""


class Board(Protocol):
    """What the board tells of its own health."""

    def celsius(self) -> float | None:
        """Temperature of the processor; None if the board does not tell."""

    def card_wear_percent(self) -> float | None:
        """How much of the card's life is used; None if the card does not tell."""

    def describe(self) -> Mapping[str, str]:
        """At least `driver`, `model`."""


class Control(enum.Enum):
    """What the wearer or the dock does, as the pins tell it."""

    RECORD_PRESSED = "record_pressed"
    RECORD_RELEASED = "record_released"
    RECORD_HELD = "record_held"
    MARK_PRESSED = "mark_pressed"
    MARK_HELD = "mark_held"
    MARK_RELEASED = "mark_released"
    DOCKED = "docked"
    UNDOCKED = "undocked"


Lamp = Literal["off", "on", "blinking"]


@dataclass(frozen=True, slots=True)
class Lamps:
    """The lamps. Green: on; red: recording; yellow: sound only."""

    green: Lamp = "off"
    red: Lamp = "off"
    yellow: Lamp = "off"


class Panel(Protocol):
    """Buttons, dock contact, lamps, buzzer."""

    def start(self, on_control: Callable[[Control, int], None]) -> None:
        """Deliver each debounced control with its boot time, from a thread of the driver."""

    def stop(self) -> None:
        """Release the pins, lamps off. Idempotent."""

    def show(self, lamps: Lamps) -> None:
        """Set the lamps. Never blocks."""

    def buzz(self, seconds: float) -> None:
        """One vibration and tone of that length. Never blocks."""

    def docked(self) -> bool:
        """Is the dock contact closed now?"""

    def describe(self) -> Mapping[str, str]:
        """At least `driver`, `model`."""
