"""What the actors of a shift can do. Each action is a class, whose fields are the keys that its step may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol

from hw_sim.demo.stage import DOCK_PIN
from hw_sim.scenario.faults import FAULTS
from hw_sim.scenario.site import BUTTONS, Site, media
from runtime.config import Between

Button = Literal["record", "mark"]
Seconds = Annotated[float, Between(0, 600)]
_BETWEEN_PRESSES = 0.15  # of a double press
_BREATH = 0.2  # after the last word


class Action(Protocol):
    """Something that an actor does: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def do(self, site: Site) -> None:
        """Do it, and return when it is done. Raises ShiftError, ControlError, DiskError."""


@dataclass(frozen=True, slots=True)
class Press:
    """Press a button and let go of it."""

    button: Button = "record"
    seconds: Seconds = 0.1

    def do(self, site: Site) -> None:
        site.pin(BUTTONS[self.button], 0)
        site.diary.rest(self.seconds)
        site.pin(BUTTONS[self.button], None)


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep a button down long enough to mean it."""

    button: Button = "record"
    seconds: Seconds = 1.8

    def do(self, site: Site) -> None:
        Press(self.button, self.seconds).do(site)


@dataclass(frozen=True, slots=True)
class PressTwice:
    """Press a button twice, quickly."""

    button: Button = "record"

    def do(self, site: Site) -> None:
        Press(self.button).do(site)
        site.diary.rest(_BETWEEN_PRESSES)
        Press(self.button).do(site)


@dataclass(frozen=True, slots=True)
class Push:
    """Push a button down, and keep it down over further steps."""

    button: Button = "record"

    def do(self, site: Site) -> None:
        site.pin(BUTTONS[self.button], 0)


@dataclass(frozen=True, slots=True)
class Release:
    """Let go of a button."""

    button: Button = "record"

    def do(self, site: Site) -> None:
        site.pin(BUTTONS[self.button], None)


@dataclass(frozen=True, slots=True)
class Say:
    """Say something, with a button held meanwhile if one is named; done when it is said, or at once without `wait`."""

    clip: str
    gain_db: Annotated[float, Between(-60, 20)] = 0.0
    holding: Button | None = None
    wait: bool = True

    def do(self, site: Site) -> None:
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
        pass


@dataclass(frozen=True, slots=True)
class CutPower:
    """Cut the power. `keep`: what the card keeps of what was not synced, chosen by `seed`."""

    keep: Literal["none", "bytes", "sectors"] = "none"
    seed: int = 0

    def do(self, site: Site) -> None:
        site.cut_power(self.keep, self.seed)


@dataclass(frozen=True, slots=True)
class PowerOn:
    """Switch the power on."""

    def do(self, site: Site) -> None:
        site.power_on()


@dataclass(frozen=True, slots=True)
class KillProgram:
    """Kill the camera's program; the power stays on."""

    def do(self, site: Site) -> None:
        site.kill_camera()


@dataclass(frozen=True, slots=True)
class StopProgram:
    """Stop the camera's program in order, as its service manager does; the power stays on."""

    def do(self, site: Site) -> None:
        site.stop_camera()


@dataclass(frozen=True, slots=True)
class StartProgram:
    """Start the camera's program again, as a service manager does."""

    def do(self, site: Site) -> None:
        site.start_camera()


@dataclass(frozen=True, slots=True)
class Insert:
    """Put the camera into the dock."""

    def do(self, site: Site) -> None:
        site.pin(DOCK_PIN, 0)


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the camera out of the dock."""

    def do(self, site: Site) -> None:
        site.pin(DOCK_PIN, None)


ACTIONS: Final[Mapping[str, type[Action]]] = {
    "officer press": Press,
    "officer press_twice": PressTwice,
    "officer hold": Hold,
    "officer push": Push,
    "officer release": Release,
    "officer say": Say,
    "officer wait": Wait,
    "owner say": Say,
    "power cut": CutPower,
    "power on": PowerOn,
    "program kill": KillProgram,
    "program stop": StopProgram,
    "program start": StartProgram,
    "dock insert": Insert,
    "dock remove": Remove,
    **FAULTS,
}
"""By actor and action."""
