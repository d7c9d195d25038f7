"""What the recorder remembers, and how its lamps show it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from firmware.capture.vocabulary import Command
from firmware.hal.ports import Lamp, Lamps


class Phase(enum.Enum):
    """Where the camera is."""

    STARTING = "starting"
    ARMED = "armed"
    RECORDING = "recording"
    DEGRADED = "degraded"  # recording with one of picture and sound, or with pictures that show nothing
    INTERRUPTED = "interrupted"  # a recording is open, but neither picture nor sound can be kept
    STOPPED = "stopped"  # a recording is open, and the officer stopped it until it can go on (rules 6 and 15)
    DOCKED = "docked"
    SHUTTING_DOWN = "shutting_down"


class Asking(enum.Enum):
    """What the camera and the wearer are talking about."""

    NOTHING = "nothing"
    NOTICE = "notice"  # the mandated notice is being said or looked for (rule 11)
    REASON = "reason"  # the reason of a gap is being asked (rule 15)


@dataclass(frozen=True, slots=True)
class State:
    """All that the recorder remembers. Times are nanoseconds on the boot clock."""

    phase: Phase = Phase.STARTING
    asking: Asking = Asking.NOTHING
    attempt: int = 0  # of the notice, or of the question
    notice_attempts: int = 2
    part_ns: int = 0  # where the present part began
    awaited_ns: int | None = None  # when what is being checked or waited for began: news of anything else is stale
    gaps: tuple[int, ...] = ()  # records of gaps whose reason is still to be given
    picture: bool = True
    sound: bool = True
    storage: bool = True
    blind: str | None = None  # pictures come and show nothing: why
    cause: str | None = None  # why nothing is recorded, while interrupted or stopped
    lost: str = "unknown"  # why picture or sound went last
    docked: bool = False
    attention: bool = False  # something is wrong that does not stop a recording
    quiet: bool = False
    # The recording:
    mode: str = "picture_and_sound"
    default_activity: str | None = None  # from check-out (rule 5)
    activity: str | None = None  # of the recording
    # The buttons:
    pressed_ns: int | None = None  # the button was pressed, and the recording could not begin yet
    started_ns: int = 0  # the press that began the recording
    press_ns: int | None = None  # the record button is down, and has not been held so far
    hold_ns: int | None = None  # held once; a second hold ends the recording
    ground: str = "end_of_activity"  # the second hold would end or stop it on this ground
    mark_ns: int | None = None  # the last press of the marker button
    answer_ns: int | None = None  # the answer button has been down since
    choosing_ns: int | None = None  # the last press by which a kind of activity was chosen
    candidate: str | None = None  # the kind that was told last

    @property
    def able(self) -> bool:
        """Whether anything can be recorded. Sound only is a promise: its loss does not bring the picture in."""
        return self.storage and (self.sound or (self.picture and self.mode == "picture_and_sound"))

    @property
    def recording(self) -> Phase:
        """RECORDING if all is recorded that should be, else DEGRADED."""
        whole = self.sound and (self.mode == "sound_only" or (self.picture and self.blind is None))
        return Phase.RECORDING if whole else Phase.DEGRADED


Result = tuple[State, list[Command]]

RUNNING = (Phase.RECORDING, Phase.DEGRADED)
OPEN = (*RUNNING, Phase.INTERRUPTED)


def lamps(state: State) -> Lamps:
    """Green: on; red: recording; yellow: sound only; blinking: attention."""
    green: Lamp = "blinking" if state.attention or state.phase is Phase.STARTING else "on"
    if state.phase is Phase.SHUTTING_DOWN:
        return Lamps()
    if state.phase is Phase.INTERRUPTED:
        return Lamps(green, red="blinking", yellow="blinking")
    if state.phase is Phase.STOPPED:
        return Lamps(green, yellow="blinking")
    if state.phase not in RUNNING:
        return Lamps(green)
    if state.mode == "sound_only" or not state.picture:
        return Lamps(green, yellow="on")
    return Lamps(green, red="on" if state.phase is Phase.RECORDING else "blinking")
