"""The recorder: what the camera does when something happens. A table and a pure function, no IO and no `now()`.

`step(state, event)` returns the next state and the commands that a runner carries out. `TABLE` says, for each phase and
kind of event, which rule applies; what is not in the table changes nothing. Evidence first: nothing here stops or delays
a recording that can still be made.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from firmware.hal.ports import Lamps


class Phase(enum.Enum):
    """Where the camera is. `degraded` is recording with one of picture and sound."""

    STARTING = "starting"
    ARMED = "armed"
    RECORDING = "recording"
    DEGRADED = "degraded"
    INTERRUPTED = "interrupted"  # a recording is open, but neither picture nor sound can be kept
    DOCKED = "docked"
    SHUTTING_DOWN = "shutting_down"


class Asking(enum.Enum):
    """What the camera and the wearer are talking about."""

    NOTHING = "nothing"
    NOTICE = "notice"  # the mandated notice is being said or looked for (rule 11)
    REASON = "reason"  # the reason of a gap is being asked (rule 15)
    END = "end"  # a second hold ends the recording


# Events: what has happened. Times are nanoseconds on the boot clock.


@dataclass(frozen=True, slots=True)
class Ready:
    """The drivers run and recovery has read the disk."""

    cut_recording: bool
    docked: bool


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
    """A new part has its first picture or sample. `gap_seq`: its gap's record, None for the first part."""

    gap_seq: int | None


@dataclass(frozen=True, slots=True)
class Said:
    """A prompt has been played."""

    key: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class NoticeChecked:
    """The microphone's sound was searched for the notice."""

    heard: bool


@dataclass(frozen=True, slots=True)
class AnswerOver:
    """The time for an answer is over; `spoke`: something was said meanwhile."""

    spoke: bool
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class ConfirmOver:
    """The time to confirm the end is over."""


@dataclass(frozen=True, slots=True)
class HandedIn:
    """The dock brought the office's time anchor: the hand-in is complete."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The service is asked to stop."""


Event = (
    Ready | RecordPressed | RecordHeld | MarkPressed | MarkReleased | Docked | Undocked | SourceLost | SourceBack
    | StorageFailed | StorageBack | PartBegan | Said | NoticeChecked | AnswerOver | ConfirmOver | HandedIn | Quit
)  # fmt: skip


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
    """Tell `AnswerOver` when the configured time has passed."""


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
    """Tell `ConfirmOver` when the time to hold again has passed."""


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
    BeginPart | EndPart | EndRecording | Say | CheckNotice | ListenForAnswer | KeepReason | Mark | AwaitConfirm
    | Alert | Arm | OpenDockPort | CloseDockPort | Show | Exit
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """All that the recorder remembers."""

    phase: Phase = Phase.STARTING
    asking: Asking = Asking.NOTHING
    attempt: int = 0  # of the notice, or of the question
    notice_attempts: int = 2
    gaps: tuple[int, ...] = ()  # records of gaps whose reason is still to be asked
    held_from_ns: int | None = None  # the answer button has been down since
    picture: bool = True
    sound: bool = True
    cause: str | None = None  # why nothing is recorded, while interrupted
    docked: bool = False
    early_press_ns: int | None = None  # pressed while starting


Result = tuple[State, list[Command]]
Rule = Callable[[State, Event], Result]

_RECORDING = (Phase.RECORDING, Phase.DEGRADED)
_OPEN = (*_RECORDING, Phase.INTERRUPTED)
_QUESTIONS = 2  # unanswered twice: a written explanation is due (rule 15)


def step(state: State, event: Event) -> Result:
    """The next state and what to do. Pure: the same arguments give the same result."""
    rule = TABLE.get((state.phase, type(event)))
    if rule is None:
        return state, []
    after, commands = rule(state, event)
    if lamps(after) != lamps(state) or after.phase != state.phase:
        commands = [*commands, Show(lamps(after), buzz=after.phase != state.phase)]
    return after, commands


def lamps(state: State) -> Lamps:
    """Green: on; red: recording; yellow: sound only; blinking: attention."""
    if state.phase is Phase.INTERRUPTED:
        return Lamps(green="on", red="blink", yellow="blink")
    if state.phase is Phase.DEGRADED:
        return Lamps(green="on", red="blink" if state.picture else "off", yellow="off" if state.picture else "on")
    if state.phase is Phase.RECORDING:
        return Lamps(green="on", red="on")
    if state.phase is Phase.SHUTTING_DOWN:
        return Lamps()
    return Lamps(green="blink" if state.phase is Phase.STARTING else "on")


def _on_ready(state: State, event: Event) -> Result:
    if not isinstance(event, Ready):
        raise TypeError
    state = replace(state, docked=event.docked)
    port: list[Command] = [OpenDockPort()] if event.docked else []
    if event.cut_recording:
        # Record again at once, ask afterwards (rule 15).
        return _recording(state), [BeginPart(state.early_press_ns, "power_cut"), *port]
    if state.early_press_ns is not None:
        return _recording(state), [BeginPart(state.early_press_ns, None), *port]
    if event.docked:
        return replace(state, phase=Phase.DOCKED), [Arm(), *port, Say("docked")]
    return replace(state, phase=Phase.ARMED), [Arm(), Say("self_check_passed")]


def _on_early_press(state: State, event: Event) -> Result:
    return replace(state, early_press_ns=_at(event)), []


def _on_start(state: State, event: Event) -> Result:
    return _recording(state), [BeginPart(_at(event), None)]


def _recording(state: State) -> State:
    whole = state.picture and state.sound
    return replace(state, phase=Phase.RECORDING if whole else Phase.DEGRADED, early_press_ns=None, cause=None)


def _on_part_began(state: State, event: Event) -> Result:
    """Each start says the notice (rule 11); a gap before it is to be explained."""
    if not isinstance(event, PartBegan):
        raise TypeError
    gaps = state.gaps if event.gap_seq is None else (*state.gaps, event.gap_seq)
    state = replace(state, gaps=gaps, asking=Asking.NOTICE, attempt=1, held_from_ns=None)
    return state, [Say("notice")]


def _on_said(state: State, event: Event) -> Result:
    if not isinstance(event, Said):
        raise TypeError
    if event.key == "notice" and state.asking is Asking.NOTICE:
        return state, [CheckNotice(state.attempt, event.from_ns, event.to_ns)]
    if event.key in ("ask_reason", "ask_reason_again") and state.asking is Asking.REASON:
        return state, [ListenForAnswer()]
    return state, []


def _on_notice_checked(state: State, event: Event) -> Result:
    if not isinstance(event, NoticeChecked):
        raise TypeError
    if state.asking is not Asking.NOTICE:
        return state, []
    if not event.heard and state.attempt < state.notice_attempts:
        return replace(state, attempt=state.attempt + 1), [Say("notice")]
    commands: list[Command] = []
    if not event.heard:
        commands = [Alert("notice_not_heard", "the microphone did not hear the notice"), Say("microphone_silent")]
    state, more = _ask_next(replace(state, asking=Asking.NOTHING))
    return state, commands + more


def _ask_next(state: State) -> Result:
    if not state.gaps:
        return state, []
    return replace(state, asking=Asking.REASON, attempt=1, held_from_ns=None), [Say("ask_reason")]


def _on_mark_pressed(state: State, event: Event) -> Result:
    if state.asking is Asking.REASON:
        return replace(state, held_from_ns=_at(event)), []
    return state, [Mark(_at(event)), Say("marked")]


def _on_mark_released(state: State, event: Event) -> Result:
    if state.asking is not Asking.REASON or state.held_from_ns is None:
        return state, []
    return _reason(state, "button_held", state.held_from_ns, _at(event))


def _on_answer_over(state: State, event: Event) -> Result:
    if not isinstance(event, AnswerOver):
        raise TypeError
    if state.asking is not Asking.REASON:
        return state, []
    if state.held_from_ns is not None:
        return state, [ListenForAnswer()]  # still speaking, with the button down
    if event.spoke:
        return _reason(state, "speech_followed", event.from_ns, event.to_ns)
    if state.attempt < _QUESTIONS:
        return replace(state, attempt=state.attempt + 1), [Say("ask_reason_again")]
    state, commands = _reason(state, "unanswered", event.from_ns, event.to_ns)
    return state, [*commands, Alert("explanation_due", "the reason of a gap was asked twice and not given")]


def _reason(state: State, basis: str, from_ns: int, to_ns: int) -> Result:
    gap, rest = state.gaps[0], state.gaps[1:]
    kept: list[Command] = [KeepReason(gap, basis, from_ns, to_ns)]
    kept.append(Say("reason_missing" if basis == "unanswered" else "reason_kept"))
    state, more = _ask_next(replace(state, gaps=rest, asking=Asking.NOTHING, held_from_ns=None))
    return state, kept + more


def _on_hold(state: State, event: Event) -> Result:
    """A hold ends the recording only when it is confirmed by a second one."""
    if state.asking is Asking.END:
        return _end(state)
    return replace(state, asking=Asking.END), [Say("hold_again_to_end"), AwaitConfirm()]


def _on_confirm_over(state: State, _: Event) -> Result:
    if state.asking is not Asking.END:
        return state, []
    return _ask_next(replace(state, asking=Asking.NOTHING))


def _end(state: State) -> Result:
    commands: list[Command] = [
        KeepReason(gap, "unanswered", _NEVER, _NEVER) for gap in state.gaps
    ]  # the office's worklist asks in writing
    commands += [EndRecording(state.cause), Say("recording_ended"), Arm()]
    phase = Phase.DOCKED if state.docked else Phase.ARMED
    return replace(state, phase=phase, asking=Asking.NOTHING, gaps=(), cause=None, held_from_ns=None), commands


_NEVER: Final = 0


def _on_source_lost(state: State, event: Event) -> Result:
    if not isinstance(event, SourceLost):
        raise TypeError
    after = replace(state, picture=state.picture and not event.picture, sound=state.sound and event.picture)
    prompt = Say("camera_fault" if event.picture else "microphone_fault")
    if state.phase not in _RECORDING:
        return after, [prompt]
    if after.picture or after.sound:
        return replace(after, phase=Phase.DEGRADED), [prompt, Alert(event.cause, "recording goes on with the rest")]
    after = replace(after, phase=Phase.INTERRUPTED, cause=event.cause)
    return after, [EndPart(), prompt, Say("cannot_continue"), Alert(event.cause, "neither picture nor sound is left")]


def _on_source_back(state: State, event: Event) -> Result:
    if not isinstance(event, SourceBack):
        raise TypeError
    after = replace(state, picture=state.picture or event.picture, sound=state.sound or not event.picture)
    if state.phase is Phase.INTERRUPTED and state.cause is not None and not state.cause.endswith(_STORAGE):
        return _recording(after), [BeginPart(None, state.cause)]
    if state.phase is Phase.DEGRADED and after.picture and after.sound:
        return replace(after, phase=Phase.RECORDING), [Say("recording_resumed")]
    return after, []


_STORAGE = ("storage", "storage_full", "storage_failing")


def _on_storage_failed(state: State, event: Event) -> Result:
    if not isinstance(event, StorageFailed):
        raise TypeError
    say: list[Command] = [Say("storage_low"), Say("cannot_continue")] if event.cause == "storage_full" else []
    after = replace(state, phase=Phase.INTERRUPTED, cause=event.cause)
    return after, [EndPart(), *say, Alert(event.cause, "the card does not take the recording")]


def _on_storage_back(state: State, _: Event) -> Result:
    return _recording(state), [BeginPart(None, state.cause)]


def _on_docked(state: State, _: Event) -> Result:
    state = replace(state, docked=True)
    if state.phase in _OPEN:
        return state, [OpenDockPort()]  # a running recording goes on; closed segments may leave
    return replace(state, phase=Phase.DOCKED), [OpenDockPort(), Say("docked")]


def _on_undocked(state: State, _: Event) -> Result:
    phase = Phase.ARMED if state.phase is Phase.DOCKED else state.phase
    return replace(state, docked=False, phase=phase), [CloseDockPort()]


def _on_handed_in(state: State, _: Event) -> Result:
    return state, [] if state.phase in _OPEN else [Say("handed_in")]


def _on_quit(state: State, _: Event) -> Result:
    commands: list[Command] = []
    if state.phase in _OPEN:
        commands = [KeepReason(gap, "unanswered", _NEVER, _NEVER) for gap in state.gaps]
        commands.append(EndRecording(state.cause or "shutdown"))
    return replace(state, phase=Phase.SHUTTING_DOWN, gaps=()), [*commands, CloseDockPort(), Exit()]


def _at(event: Event) -> int:
    if not isinstance(event, RecordPressed | RecordHeld | MarkPressed | MarkReleased):
        raise TypeError
    return event.at_ns


def _rows() -> Mapping[tuple[Phase, type[Event]], Rule]:
    idle = (Phase.ARMED, Phase.DOCKED)
    rows: list[tuple[tuple[Phase, ...], type[Event], Rule]] = [
        ((Phase.STARTING,), Ready, _on_ready),
        ((Phase.STARTING,), RecordPressed, _on_early_press),
        (idle, RecordPressed, _on_start),
        (_RECORDING, PartBegan, _on_part_began),
        (_RECORDING, Said, _on_said),
        (_RECORDING, NoticeChecked, _on_notice_checked),
        (_RECORDING, MarkPressed, _on_mark_pressed),
        (_RECORDING, MarkReleased, _on_mark_released),
        (_RECORDING, AnswerOver, _on_answer_over),
        (_OPEN, RecordHeld, _on_hold),
        (_OPEN, ConfirmOver, _on_confirm_over),
        ((*idle, *_OPEN), SourceLost, _on_source_lost),
        ((*idle, *_OPEN), SourceBack, _on_source_back),
        (_RECORDING, StorageFailed, _on_storage_failed),
        ((Phase.INTERRUPTED,), StorageBack, _on_storage_back),
        ((Phase.ARMED, *_OPEN), Docked, _on_docked),
        ((Phase.DOCKED, *_OPEN), Undocked, _on_undocked),
        ((*idle, *_OPEN), HandedIn, _on_handed_in),
        (tuple(p for p in Phase if p is not Phase.SHUTTING_DOWN), Quit, _on_quit),
    ]
    return {(phase, kind): rule for phases, kind, rule in rows for phase in phases}


TABLE: Final = _rows()
"""Which rule applies to which kind of event in which phase."""
