"""The words that the recorder and its runner exchange: events (what has happened) and commands (what to do)."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.hal.ports import Lamps

# Events: what has happened. Times are nanoseconds on the boot clock.


@dataclass(frozen=True, slots=True)
class Ready:
    """The drivers run and recovery has read the disk. A recording that was cut had a mode and a kind of activity."""

    cut_recording: bool
    docked: bool
    mode: str = "picture_and_sound"
    activity: str | None = None
    stopped: str | None = None  # the ground on which the officer had stopped it before the power went


@dataclass(frozen=True, slots=True)
class SelfChecked:
    """The check of rule 10 is done; `prompts` say what is wrong, none if nothing is."""

    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordPressed:
    """The record button, at once when it goes down."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class RecordHeld:
    """The record button, kept down."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class RecordReleased:
    """The record button comes up."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class MarkPressed:
    """The marker button goes down."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class MarkReleased:
    """The marker button comes up."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class MarkHeld:
    """The marker button, kept down."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class Docked:
    """The dock contact closes."""


@dataclass(frozen=True, slots=True)
class Undocked:
    """The dock contact opens."""


@dataclass(frozen=True, slots=True)
class SourceLost:
    """Picture or sound has stopped; `cause` is a gap's cause, `prompt` says what was found out if it is more."""

    picture: bool
    cause: str
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class SourceBack:
    """Picture or sound comes again."""

    picture: bool


@dataclass(frozen=True, slots=True)
class PictureBlind:
    """Pictures come and show nothing: `camera_frozen` or `camera_black`; None: they show something again."""

    cause: str | None


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is wrong that does not stop a recording: what to say, and the alert to record if it is one."""

    prompt: str
    what: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StorageFailed:
    """The disk refused or is too slow; `cause` is a gap's cause."""

    cause: str


@dataclass(frozen=True, slots=True)
class StorageBack:
    """The disk takes data again."""


@dataclass(frozen=True, slots=True)
class PartBegan:
    """A new part is recorded from `start_ns` on. `gaps`: records of the gaps that nobody has explained so far."""

    start_ns: int
    gaps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A prompt has been played."""

    key: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class NoticeChecked:
    """The microphone's sound was searched for the notice that was said from `from_ns` on."""

    heard: bool
    from_ns: int


@dataclass(frozen=True, slots=True)
class AnswerOver:
    """The time for an answer that began at `from_ns` is over; `spoke`: something was said meanwhile."""

    spoke: bool
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class ConfirmOver:
    """The time to confirm the hold of `held_ns` is over."""

    held_ns: int


@dataclass(frozen=True, slots=True)
class ChoiceOver:
    """Nobody went on choosing a kind of activity after the press of `chosen_ns`."""

    chosen_ns: int


@dataclass(frozen=True, slots=True)
class HandedIn:
    """The dock brought the office's time anchor: the hand-in is complete."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The service is asked to stop."""


Event = (
    Ready
    | SelfChecked
    | RecordPressed
    | RecordReleased
    | RecordHeld
    | MarkPressed
    | MarkHeld
    | MarkReleased
    | Docked
    | Undocked
    | SourceLost
    | SourceBack
    | PictureBlind
    | Warned
    | StorageFailed
    | StorageBack
    | PartBegan
    | Said
    | NoticeChecked
    | AnswerOver
    | ConfirmOver
    | ChoiceOver
    | HandedIn
    | Quit
)


# Commands: what the runner has to do.


@dataclass(frozen=True, slots=True)
class BeginPart:
    """Record: a new recording (`cause` None), or a further part of the open one after a gap of that cause."""

    pressed_ns: int | None
    cause: str | None
    mode: str = "picture_and_sound"
    activity: str | None = None  # its kind so far (rule 5)


@dataclass(frozen=True, slots=True)
class EndPart:
    """Keep what is queued and begin no fragment more; the recording stays open."""


@dataclass(frozen=True, slots=True)
class EndRecording:
    """Close the recording's books. `interrupted`: it ends inside a gap of that cause. `ground`: chosen on ending."""

    interrupted: str | None
    ground: str | None = None


@dataclass(frozen=True, slots=True)
class KeepStop:
    """Record that the officer stopped the recording on that ground, to go on later."""

    ground: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class KeepActivity:
    """Record the kind of activity that was chosen while the recording ran (rule 5)."""

    activity: str


@dataclass(frozen=True, slots=True)
class Say:
    """Play prompts, as one phrase."""

    key: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckNotice:
    """Look for the notice in the microphone's sound of that span, and record what was found."""

    attempt: int
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class ListenForAnswer:
    """Tell `AnswerOver` when the configured time since `from_ns` has passed."""

    from_ns: int


@dataclass(frozen=True, slots=True)
class KeepReason:
    """Record the span of the spoken reason and how it is known to be one."""

    gap_seq: int
    basis: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Record a marked moment, and take a still of it where pictures are recorded."""

    at_ns: int
    still: bool


@dataclass(frozen=True, slots=True)
class AwaitConfirm:
    """Tell `ConfirmOver` when the time to confirm the hold of `held_ns` by another has passed."""

    held_ns: int


@dataclass(frozen=True, slots=True)
class AwaitChoice:
    """Tell `ChoiceOver` when nobody has gone on choosing for a while."""

    chosen_ns: int


@dataclass(frozen=True, slots=True)
class TellStatus:
    """Say what battery, storage and clock still give; `check`: after a self-check (rule 10)."""

    check: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """Vibration and lamps instead of voice, or voice again. The notice is said all the same."""

    on: bool


@dataclass(frozen=True, slots=True)
class Alert:
    """Record an alert and send it when a network is there."""

    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Arm:
    """Fill the pre-event ring."""


@dataclass(frozen=True, slots=True)
class OpenDockPort:
    """Serve the dock."""


@dataclass(frozen=True, slots=True)
class CloseDockPort:
    """Be silent on the network again."""


@dataclass(frozen=True, slots=True)
class Show:
    """Set the lamps, and buzz for a change that the wearer must notice."""

    lamps: Lamps
    buzz: bool


@dataclass(frozen=True, slots=True)
class Exit:
    """Stop the drivers, write the last record, leave."""


Command = (
    BeginPart
    | EndPart
    | EndRecording
    | KeepStop
    | KeepActivity
    | Say
    | CheckNotice
    | ListenForAnswer
    | KeepReason
    | Mark
    | AwaitConfirm
    | AwaitChoice
    | TellStatus
    | Quiet
    | Alert
    | Arm
    | OpenDockPort
    | CloseDockPort
    | Show
    | Exit
)
