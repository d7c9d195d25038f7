"""What the actors of a shift can do. Each action is a class, whose fields are the keys that its step may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol

from hw_sim.demo.stage import DOCK_PIN
from hw_sim.scenario.site import BUTTONS, Site, media
from runtime.config import Between

Button = Literal["record", "mark"]
Seconds = Annotated[float, Between(0, 600)]
_BETWEEN_PRESSES = 0.15  # of a double press
_BREATH = 0.2  # after the last word


class Action(Protocol):
    """Something that an actor does."""

    def do(self, site: Site) -> None:
        """Do it, and return when it is done. Raises ShiftError, ControlError, DiskError."""


@dataclass(frozen=True, slots=True)
class Press:
    """Press a button and let go of it."""

    button: Button = "record"
    seconds: Seconds = 0.1

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.pin(BUTTONS[self.button], 0)
        site.diary.rest(self.seconds)
        site.pin(BUTTONS[self.button], None)


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep a button down long enough to mean it."""

    button: Button = "record"
    seconds: Seconds = 1.8

    def do(self, site: Site) -> None:
        """See `Action`."""
        Press(self.button, self.seconds).do(site)


@dataclass(frozen=True, slots=True)
class PressTwice:
    """Press a button twice, quickly."""

    button: Button = "record"

    def do(self, site: Site) -> None:
        """See `Action`."""
        Press(self.button).do(site)
        site.diary.rest(_BETWEEN_PRESSES)
        Press(self.button).do(site)


@dataclass(frozen=True, slots=True)
class Push:
    """Push a button down, and keep it down over further steps."""

    button: Button = "record"

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.pin(BUTTONS[self.button], 0)


@dataclass(frozen=True, slots=True)
class Release:
    """Let go of a button."""

    button: Button = "record"

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.pin(BUTTONS[self.button], None)


@dataclass(frozen=True, slots=True)
class Say:
    """Say something, with a button held meanwhile if one is named; done when it is said, or at once without `wait`."""

    clip: str
    gain_db: Annotated[float, Between(-60, 20)] = 0.0
    holding: Button | None = None
    wait: bool = True

    def do(self, site: Site) -> None:
        """See `Action`."""
        if self.holding:
            Push(self.holding).do(site)
        said = site.ask_room("play", file=str(media(self.clip)), gain_db=self.gain_db)
        if self.wait:
            site.diary.rest(float(said["seconds"]) + _BREATH)
        if self.holding:
            Release(self.holding).do(site)


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing: time passes."""

    def do(self, site: Site) -> None:
        """See `Action`."""


@dataclass(frozen=True, slots=True)
class LensFault:
    """Have a fault of `hw_sim.lens.Fault`, for so many exposures if `frames` are named; `degrees` of tilt."""

    kind: str
    frames: Annotated[int, Between(1)] | None = None
    degrees: float | None = None

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_camera("lens_fault", **_named(self))


@dataclass(frozen=True, slots=True)
class Mute:
    """Break the loudspeaker, or mend it."""

    on: bool = True

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_room("mute_loudspeaker", on=self.on)


@dataclass(frozen=True, slots=True)
class Noise:
    """Make noise, of a level or so far under the prompts; neither: quiet again."""

    dbfs: Annotated[float, Between(-120, 0)] | None = None
    snr_db: Annotated[float, Between(-40, 80)] | None = None
    kind: Literal["white", "traffic"] = "white"

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_room("noise", dbfs=self.dbfs, snr_db=self.snr_db, kind=self.kind)


@dataclass(frozen=True, slots=True)
class SuspendMicrophone:
    """Have the microphone deliver nothing, and say nothing of it."""

    on: bool = True

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_room("suspend_microphone", on=self.on)


@dataclass(frozen=True, slots=True)
class SilenceMicrophone:
    """Have the microphone deliver zeros: its capsule is dead."""

    on: bool = True

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_room("silence_microphone", on=self.on)


@dataclass(frozen=True, slots=True)
class MoveMicrophone:
    """Have the sound server silently join the camera to another source."""

    on: bool = True

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_room("move_microphone", on=self.on)


@dataclass(frozen=True, slots=True)
class KillServer:
    """Pull the sound card out."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_room("kill_server")


@dataclass(frozen=True, slots=True)
class StartServer:
    """Put the sound card in again."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_room("start_server")


@dataclass(frozen=True, slots=True)
class CutPower:
    """Cut the power. `keep`: what the card keeps of what was not synced, chosen by `seed`."""

    keep: Literal["none", "bytes", "sectors"] = "none"
    seed: int = 0

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.cut_power(self.keep, self.seed)


@dataclass(frozen=True, slots=True)
class PowerOn:
    """Switch the power on."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.power_on()


@dataclass(frozen=True, slots=True)
class KillProgram:
    """Kill the camera's program; the power stays on."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.kill_camera()


@dataclass(frozen=True, slots=True)
class StopProgram:
    """Stop the camera's program in order, as its service manager does; the power stays on."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.stop_camera()


@dataclass(frozen=True, slots=True)
class StartProgram:
    """Start the camera's program again, as a service manager does."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.start_camera()


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
        """See `Action`."""
        site.card.set_rules(*(_named(rule) for rule in self.rules))


@dataclass(frozen=True, slots=True)
class CardReadOnly:
    """Have the card refuse every change, as a worn-out one does."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        changes = ("create", "write", "truncate", "fsync", "rename", "unlink", "mkdir", "rmdir")
        site.card.set_rules(*({"op": op, "errno": "EROFS"} for op in changes))


@dataclass(frozen=True, slots=True)
class CardSize:
    """Make the card one of `megabytes`; none named: of the disk below."""

    megabytes: Annotated[float, Between(0.1)] | None = None

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.card.set_limit(None if self.megabytes is None else int(self.megabytes * 1e6))


@dataclass(frozen=True, slots=True)
class SetBattery:
    """Change the battery; what is left out stays as it is. `volts`: a sag. `pack` false: the gauge does not answer."""

    percent: Annotated[float, Between(0, 100)] | None = None
    draw: Annotated[float, Between(0)] | None = None  # percent an hour
    charging: bool | None = None
    volts: Annotated[float, Between(0, 5)] | None = None
    pack: bool | None = None

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_camera("battery", **_named(self))


@dataclass(frozen=True, slots=True)
class SetTemperature:
    """Heat the board, or cool it."""

    celsius: Annotated[float, Between(-40, 125)]

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_camera("temperature", celsius=self.celsius)


@dataclass(frozen=True, slots=True)
class WearCard:
    """Use up the card's life."""

    percent: Annotated[float, Between(0, 110)]

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_camera("card_wear", percent=self.percent)


@dataclass(frozen=True, slots=True)
class Fix:
    """Be somewhere, or walk: the receiver has a fix; `lost`: it has none."""

    latitude: Annotated[float, Between(-90, 90)] | None = None
    longitude: Annotated[float, Between(-180, 180)] | None = None
    speed_mps: Annotated[float, Between(0)] | None = None
    lost: bool | None = None

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_camera("fix", **_named(self))


@dataclass(frozen=True, slots=True)
class StepTime:
    """Have the receiver's time move; the camera's own clock is not touched."""

    ms: int

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.ask_camera("clock_step", ms=self.ms)


@dataclass(frozen=True, slots=True)
class SetRtc:
    """Have the real-time clock run so far ahead of the truth, from the next power-on."""

    offset_ms: int

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.set_world("clock", "rtc_offset_ms", self.offset_ms)


@dataclass(frozen=True, slots=True)
class LoseKey:
    """Lose the evidence key: the token does not answer when the camera starts next."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        (site.stage.camera / "keys" / "evidence.key.pem").unlink()


@dataclass(frozen=True, slots=True)
class Insert:
    """Put the camera into the dock."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.pin(DOCK_PIN, 0)


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the camera out of the dock."""

    def do(self, site: Site) -> None:
        """See `Action`."""
        site.pin(DOCK_PIN, None)


def _named(order: Any) -> dict[str, Any]:
    """What of an order is not left out."""
    return {name: value for name in order.__slots__ if (value := getattr(order, name)) is not None}


ACTIONS: Final[Mapping[str, type[Action]]] = {
    "officer press": Press,
    "officer press_twice": PressTwice,
    "officer hold": Hold,
    "officer push": Push,
    "officer release": Release,
    "officer say": Say,
    "officer wait": Wait,
    "owner say": Say,
    "lens fault": LensFault,
    "room mute": Mute,
    "room noise": Noise,
    "room suspend_microphone": SuspendMicrophone,
    "room silence_microphone": SilenceMicrophone,
    "room move_microphone": MoveMicrophone,
    "room kill_server": KillServer,
    "room start_server": StartServer,
    "power cut": CutPower,
    "power on": PowerOn,
    "program kill": KillProgram,
    "program stop": StopProgram,
    "program start": StartProgram,
    "card rules": CardRules,
    "card read_only": CardReadOnly,
    "card size": CardSize,
    "card wear": WearCard,
    "battery set": SetBattery,
    "board heat": SetTemperature,
    "gnss fix": Fix,
    "gnss step_time": StepTime,
    "clock set_rtc": SetRtc,
    "key lose": LoseKey,
    "dock insert": Insert,
    "dock remove": Remove,
}
"""By actor and action."""
