"""What a camera is made of: its drivers, and the parts that work with them; `firmware.main` builds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evidence.documents import Configuration
from firmware.capture.journal_writer import JournalWriter
from firmware.capture.recovery import OpenRecording
from firmware.capture.writer import Writer
from firmware.dock_port import DockPort
from firmware.hal.ports import Battery, Board, Clock, Fix, Microphone, Panel, Positioning, VideoSource
from firmware.handin import HandIn
from firmware.media import Media
from firmware.reminders import Thresholds
from firmware.speaker import Speaker
from firmware.voice.prompts import Prompt
from runtime.disk import Disk


@dataclass(slots=True)
class Place:
    """Where the camera was last; the overlay reads it from a thread of its own."""

    fix: Fix | None = None


@dataclass(slots=True)
class Hardware:
    """The drivers, built."""

    clock: Clock
    video: VideoSource
    microphone: Microphone
    panel: Panel
    board: Board
    battery: Battery | None = None  # no fuel gauge
    receiver: Positioning | None = None  # no satellite receiver
    place: Place = field(default_factory=Place)


@dataclass(slots=True)
class Parts:
    """What the runner works with."""

    hardware: Hardware
    disk: Disk
    journal: JournalWriter
    writer: Writer
    media: Media
    speaker: Speaker
    handin: HandIn
    dock_port: DockPort
    prompts: Mapping[str, Prompt]
    cut: OpenRecording | None
    told: Configuration
    confirm_seconds: int
    assigned: Mapping[str, Any]  # the sealed body
    torn: int = 0  # tails that recovery set aside
    reserve_bytes: int = 0  # not for recordings
    reminders: Thresholds = field(default_factory=Thresholds)
    planned_bytes_per_second: float = 500_000.0  # counted with until the real rate was seen
