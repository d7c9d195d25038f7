"""The words that the recorder and its runner exchange: events (what has happened) and commands (what to do)."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.hal.ports import Lamps

# Events: what has happened. Times are nanoseconds on the boot clock.


@dataclass(frozen=True, slots=True)
class Ready:
    """The drivers run and recovery has read the disk."""

    cut_recording: bool
    docked: bool


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
class MarkPressed:
    """The marker button goes down."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class MarkReleased:
    """The marker button comes up."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class Docked:
    """The dock contact closes."""


@dataclass(frozen=True, slots=True)
class Undocked:
    """The dock contact opens."""


@dataclass(frozen=True, slots=True)
class SourceLost:
    """Picture or sound has stopped; `cause` is a gap's cause."""

    picture: bool
    cause: str


@dataclass(frozen=True, slots=True)
class SourceBack:
    """Picture or sound comes again."""

    picture: bool


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
class HandedIn:
    """The dock brought the office's time anchor: the hand-in is complete."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The service is asked to stop."""


Event = (
    Ready
    | SelfChecked
    | RecordPressed
    | RecordHeld
    | MarkPressed
    | MarkReleased
    | Docked
    | Undocked
    | SourceLost
    | SourceBack
    | StorageFailed
    | StorageBack
    | PartBegan
    | Said
    | NoticeChecked
    | AnswerOver
    | ConfirmOver
    | HandedIn
    | Quit
)


# Commands: what the runner has to do.


@dataclass(frozen=True, slots=True)
class BeginPart:
    """Record: a new recording (`cause` None), or a further part of the open one after a gap of that cause."""

    pressed_ns: int | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class EndPart:
    """Keep what is queued and begin no fragment more; the recording stays open."""


@dataclass(frozen=True, slots=True)
class EndRecording:
    """Close the recording's books. `interrupted`: it ends inside a gap of that cause."""

    interrupted: str | None


@dataclass(frozen=True, slots=True)
class Say:
    """Play a prompt."""

    key: str


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
    """Record a marked moment."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class AwaitConfirm:
    """Tell `ConfirmOver` when the time to confirm the hold of `held_ns` by another has passed."""

    held_ns: int


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
    | Say
    | CheckNotice
    | ListenForAnswer
    | KeepReason
    | Mark
    | AwaitConfirm
    | Alert
    | Arm
    | OpenDockPort
    | CloseDockPort
    | Show
    | Exit
)
