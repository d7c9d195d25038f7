"""What happens to the camera: to its lens, its room, its card and its senses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from hw_sim.scenario.site import Site
from runtime.config import Between


def given(order: Any) -> dict[str, Any]:
    """What of an order is not left out, by the keys of its class."""
    return {name: value for name in type(order).__slots__ if (value := getattr(order, name)) is not None}


class _ToCamera:
    """An order to the hardware under the camera (`hw_sim.camera`), whose members are the fields."""

    __slots__ = ()
    order: ClassVar[str]

    def do(self, site: Site) -> None:
        site.ask_camera(self.order, **given(self))


class _ToRoom:
    """An order to the room (`hw_sim.room`), whose members are the fields."""

    __slots__ = ()
    order: ClassVar[str]

    def do(self, site: Site) -> None:
        site.ask_room(self.order, **given(self))


@dataclass(frozen=True, slots=True)
class LensFault(_ToCamera):
    """Have a fault of `hw_sim.lens.Fault`, for so many exposures if `frames` are named; `degrees` of tilt."""

    order: ClassVar[str] = "lens_fault"
    kind: str
    frames: Annotated[int, Between(1)] | None = None
    degrees: float | None = None


@dataclass(frozen=True, slots=True)
class SetBattery(_ToCamera):
    """Change the battery; what is left out stays as it is. `volts`: a sag. `pack` false: the gauge does not answer."""

    order: ClassVar[str] = "battery"
    percent: Annotated[float, Between(0, 100)] | None = None
    draw: Annotated[float, Between(0)] | None = None  # percent an hour
    charging: bool | None = None
    volts: Annotated[float, Between(0, 5)] | None = None
    pack: bool | None = None


@dataclass(frozen=True, slots=True)
class SetTemperature(_ToCamera):
    """Heat the board, or cool it."""

    order: ClassVar[str] = "temperature"
    celsius: Annotated[float, Between(-40, 125)]


@dataclass(frozen=True, slots=True)
class WearCard(_ToCamera):
    """Use up the card's life."""

    order: ClassVar[str] = "card_wear"
    percent: Annotated[float, Between(0, 110)]


@dataclass(frozen=True, slots=True)
class Fix(_ToCamera):
    """Be somewhere, or walk: the receiver has a fix; `lost`: it has none."""

    order: ClassVar[str] = "fix"
    latitude: Annotated[float, Between(-90, 90)] | None = None
    longitude: Annotated[float, Between(-180, 180)] | None = None
    speed_mps: Annotated[float, Between(0)] | None = None
    course_deg: Annotated[float, Between(0, 360)] | None = None
    wander_m: Annotated[float, Between(0)] | None = None
    lost: bool | None = None


@dataclass(frozen=True, slots=True)
class RunGpsd(_ToCamera):
    """End gpsd, or start it again."""

    order: ClassVar[str] = "gpsd"
    running: bool


@dataclass(frozen=True, slots=True)
class StepTime(_ToCamera):
    """Have the receiver's time move; the camera's own clock is not touched."""

    order: ClassVar[str] = "clock_step"
    ms: int


@dataclass(frozen=True, slots=True)
class SetRtc:
    """Have the real-time clock run so far ahead of the truth, from the next power-on."""

    offset_ms: int

    def do(self, site: Site) -> None:
        site.set_world("clock", "rtc_offset_ms", self.offset_ms)


@dataclass(frozen=True, slots=True)
class Noise(_ToRoom):
    """Make noise, of a level or so far under the prompts; neither: quiet again."""

    order: ClassVar[str] = "noise"
    dbfs: Annotated[float, Between(-120, 0)] | None = None
    snr_db: Annotated[float, Between(-40, 80)] | None = None
    kind: Literal["white", "traffic"] = "white"


@dataclass(frozen=True, slots=True)
class Mute(_ToRoom):
    """Break the loudspeaker, or mend it."""

    order: ClassVar[str] = "mute_loudspeaker"
    on: bool = True


@dataclass(frozen=True, slots=True)
class SuspendMicrophone(_ToRoom):
    """Have the microphone deliver nothing, and say nothing of it."""

    order: ClassVar[str] = "suspend_microphone"
    on: bool = True


@dataclass(frozen=True, slots=True)
class SilenceMicrophone(_ToRoom):
    """Have the microphone deliver zeros: its capsule is dead."""

    order: ClassVar[str] = "silence_microphone"
    on: bool = True


@dataclass(frozen=True, slots=True)
class MoveMicrophone(_ToRoom):
    """Have the sound server silently join the camera to another source."""

    order: ClassVar[str] = "move_microphone"
    on: bool = True


@dataclass(frozen=True, slots=True)
class KillServer(_ToRoom):
    """Pull the sound card out."""

    order: ClassVar[str] = "kill_server"


@dataclass(frozen=True, slots=True)
class StartServer(_ToRoom):
    """Put the sound card in again."""

    order: ClassVar[str] = "start_server"


@dataclass(frozen=True, slots=True)
class CardRule:
    """Have an operation on the card fail (`errno`) or be slow, on paths that match; `count` of them if named."""

    op: str
    match: str = "*"
    errno: str = ""
    delay_ms: Annotated[float, Between(0)] = 0.0
    count: int = -1


@dataclass(frozen=True, slots=True)
class CardRules:
    """Put these rules in force on the card, and no others; none: it takes everything again."""

    rules: tuple[CardRule, ...] = ()

    def do(self, site: Site) -> None:
        site.card.set_rules(*map(given, self.rules))


@dataclass(frozen=True, slots=True)
class CardReadOnly:
    """Have the card refuse every change, as a worn-out one does."""

    def do(self, site: Site) -> None:
        changes = ("create", "write", "truncate", "fsync", "rename", "unlink", "mkdir", "rmdir")
        site.card.set_rules(*({"op": op, "errno": "EROFS"} for op in changes))


@dataclass(frozen=True, slots=True)
class CardSize:
    """Make the card one of `megabytes`; none named: of the disk below."""

    megabytes: Annotated[float, Between(0.1)] | None = None

    def do(self, site: Site) -> None:
        site.card.set_limit(None if self.megabytes is None else int(self.megabytes * 1e6))


@dataclass(frozen=True, slots=True)
class LoseKey:
    """Lose the evidence key: the token does not answer when the camera starts next."""

    def do(self, site: Site) -> None:
        (site.stage.camera / "keys" / "evidence.key.pem").unlink()


FAULTS: Final[Mapping[str, type[Any]]] = {
    "lens fault": LensFault,
    "room noise": Noise,
    "room mute": Mute,
    "room suspend_microphone": SuspendMicrophone,
    "room silence_microphone": SilenceMicrophone,
    "room move_microphone": MoveMicrophone,
    "room kill_server": KillServer,
    "room start_server": StartServer,
    "card rules": CardRules,
    "card read_only": CardReadOnly,
    "card size": CardSize,
    "card wear": WearCard,
    "battery set": SetBattery,
    "board heat": SetTemperature,
    "gnss fix": Fix,
    "gnss step_time": StepTime,
    "gnss gpsd": RunGpsd,
    "clock set_rtc": SetRtc,
    "key lose": LoseKey,
}
"""By what it happens to, and what happens."""
