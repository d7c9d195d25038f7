"""The demonstration's stage: agency, office, dock, camera and the world around the camera, all below one folder."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hw_sim import world as worlds
from hw_sim.acoustics import noise_level
from hw_sim.demo.programs import command, free_ports
from hw_sim.senses import camera_tables
from hw_sim.world import ClockWorld, DiskWorld, LensWorld, RoomWorld, World

CAMERA, DOCK, OFFICE = "BWC-0001", "DOCK-1", "OFFICE-1"
RECORD_PIN, MARK_PIN, DOCK_PIN = 17, 27, 22
_SETTINGS: Mapping[str, object] = {
    "officer": "000123",
    "officer_name": "张三",
    "unit": "执法大队",
    "activity": "inspection",
    "segment_seconds": 10,
    "pre_event_seconds": 5,
    "answer_seconds": 8,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is."""

    root: Path
    office_port: int
    broker_port: int
    camera_port: int

    @property
    def agency(self) -> Path:
        """The agency's offline folder."""
        return self.root / "agency"

    @property
    def office(self) -> Path:
        """The office's credentials and configuration."""
        return self.root / "office"

    @property
    def dock(self) -> Path:
        """The dock's credentials, configuration and spool."""
        return self.root / "dock"

    @property
    def camera(self) -> Path:
        """The camera's credentials and configuration."""
        return self.root / "camera"

    @property
    def world(self) -> Path:
        """The world around the camera."""
        return self.root / "world"

    @property
    def card(self) -> Path:
        """What the camera's card really holds: what was synced."""
        return self.root / "card"

    @property
    def mounted_card(self) -> Path:
        """The card as the camera sees it."""
        return self.root / "camera" / "data"

    @property
    def camera_program(self) -> list[str]:
        """Arguments of `bodycam` that run the camera's own program in its world."""
        return ["sim", "camera", "--world", str(self.world), "--", "--config", str(self.camera / "camera.toml")]

    @property
    def logs(self) -> Path:
        """What each program wrote to standard error."""
        return self.root / "logs"

    @property
    def root_certificate(self) -> Path:
        """The trust anchor."""
        return self.camera / "certs" / "root.pem"


def build(root: Path, world: World, settings: Mapping[str, object] = _SETTINGS) -> Stage:
    """Provision everybody with the product's own commands and write their configurations.

    `settings`: options of `provision camera`, by their names without dashes; a truth value is a switch.
    """
    stage = Stage(root, *free_ports(3))
    for folder in (stage.logs, stage.card, stage.mounted_card):
        folder.mkdir(parents=True)
    command(["provision", "agency", "--dir", str(stage.agency), "--name", "承德县安全生产监督管理局"])
    agency = ["--agency", str(stage.agency)]
    command(["provision", "office", OFFICE, *agency, "--dir", str(stage.office)])
    command(["provision", "dock", DOCK, *agency, "--dir", str(stage.dock)])
    camera = ["provision", "camera", CAMERA, *agency, "--office", str(stage.office), "--dir", str(stage.camera)]
    command([*camera, *itertools.chain.from_iterable(itertools.starmap(_option, settings.items()))])
    (stage.office / "office.toml").write_text(_OFFICE.format(s=stage), encoding="utf-8")
    (stage.dock / "dock.toml").write_text(_DOCK.format(s=stage), encoding="utf-8")
    senses = camera_tables(stage.world, world.gnss)
    (stage.camera / "camera.toml").write_text(f"{_CAMERA.format(s=stage)}\n{senses}", encoding="utf-8")
    worlds.create(stage.world, world)
    return stage


def make_world(
    video: str, speech: str, *, muted: bool, snr_db: float | None, ppm: float, card_bytes: int | None
) -> World:
    """The world of a demonstration; `snr_db` is the notice against the room's noise at the microphone."""
    noise_dbfs = None if snr_db is None else noise_level(snr_db)
    room = RoomWorld(speech, noise_dbfs, muted, ppm)
    return World(LensWorld(video), room, ClockWorld(rtc=True, rtc_error_ms=500), DiskWorld(card_bytes))


def _option(name: str, value: object) -> list[str]:
    words = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{words}" if value else f"--no-{words}"]
    return [f"--{words}", str(value)]


_OFFICE = """\
data = "data"
roots = "certs/root.pem"
certificate = "certs/office.pem"
key = "keys/office.key.pem"
signer_certificate = "certs/signer.pem"
signer_key = "keys/signer.key.pem"
log_key = "keys/log.key.pem"
stamp_certificate = "certs/stamp.pem"
stamp_key = "keys/stamp.key.pem"
stamp_seconds = 5
cameras = "cameras"
address = "127.0.0.1"
port = {s.office_port}
broker_address = "127.0.0.1"
broker_port = {s.broker_port}
"""

_DOCK = """\
certificate = "certs/dock.pem"
key = "keys/dock.key.pem"
roots = "certs/root.pem"
signers = "../office/certs/signer.pem"
spool = "spool"
office = "127.0.0.1:{s.office_port}"
broker = "127.0.0.1:{s.broker_port}"
keep_segments = true
poll_seconds = 0.5

[[bays]]
camera = "127.0.0.1:{s.camera_port}"
"""

_CAMERA = """\
credentials = "."
data = "data"

[video]
width = 1280
height = 720
frames_per_second = 25

[sound]
microphone = "sim-microphone"
loudspeaker = "sim-loudspeaker"

[clock]
driver = "hw_sim.powered_clock:PoweredClock"
state = "../world"

[dock_port]
address = "127.0.0.1"
port = {s.camera_port}
"""
