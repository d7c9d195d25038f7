"""The recorder: what the camera does when something happens. A table and a pure function, no IO and no `now()`.

`step(state, event)` returns the next state and the commands that a runner carries out. `TABLE` says, for each phase
and kind of event, which rule applies; what is not in the table changes nothing. Evidence first: nothing here stops or
delays a recording that can still be made.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from firmware.capture.vocabulary import (
    Alert,
    AnswerOver,
    Arm,
    AwaitConfirm,
    BeginPart,
    CheckNotice,
    CloseDockPort,
    Command,
    ConfirmOver,
    Docked,
    EndPart,
    EndRecording,
    Event,
    Exit,
    HandedIn,
    KeepReason,
    ListenForAnswer,
    Mark,
    MarkPressed,
    MarkReleased,
    NoticeChecked,
    OpenDockPort,
    PartBegan,
    Quit,
    Ready,
    RecordHeld,
    RecordPressed,
    Said,
    Say,
    SelfChecked,
    Show,
    SourceBack,
    SourceLost,
    StorageBack,
    StorageFailed,
    Undocked,
)
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


@dataclass(frozen=True, slots=True)
class State:
    """All that the recorder remembers."""

    phase: Phase = Phase.STARTING
    asking: Asking = Asking.NOTHING
    attempt: int = 0  # of the notice, or of the question
    notice_attempts: int = 2
    part_ns: int = 0  # where the present part began
    awaited_ns: int | None = None  # when what is being checked or waited for began: news of anything else is stale
    gaps: tuple[int, ...] = ()  # records of gaps whose reason is still to be given
    hold_ns: int | None = None  # held once; a second hold ends the recording
    answer_ns: int | None = None  # the answer button has been down since
    picture: bool = True
    sound: bool = True
    storage: bool = True
    cause: str | None = None  # why nothing is recorded, while interrupted
    lost: str = "unknown"  # why picture or sound went last
    docked: bool = False
    pressed_ns: int | None = None  # the button was pressed, and the recording could not begin yet

    @property
    def able(self) -> bool:
        """Whether anything can be recorded."""
        return self.storage and (self.picture or self.sound)


Result = tuple[State, list[Command]]
Rule = Callable[[State, Any], Result]  # each rule takes the one kind of event that TABLE gives it

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
        return Lamps(green="on", red="blinking", yellow="blinking")
    if state.phase is Phase.DEGRADED:
        return Lamps(green="on", red="blinking" if state.picture else "off", yellow="off" if state.picture else "on")
    if state.phase is Phase.RECORDING:
        return Lamps(green="on", red="on")
    if state.phase is Phase.SHUTTING_DOWN:
        return Lamps()
    return Lamps(green="blinking" if state.phase is Phase.STARTING else "on")


def _on_ready(state: State, event: Ready) -> Result:
    state = replace(state, docked=event.docked)
    port: list[Command] = [OpenDockPort()] if event.docked else []
    if event.cut_recording or state.pressed_ns is not None:
        # A recording that was cut goes on at once, and is asked about afterwards (rule 15).
        after, commands = _record(state, "power_cut" if event.cut_recording else None)
        return after, [*commands, *port]
    if event.docked:
        return replace(state, phase=Phase.DOCKED), [Arm(), *port, Say("docked")]
    return replace(state, phase=Phase.ARMED), [Arm()]


def _on_self_checked(state: State, event: SelfChecked) -> Result:
    """A failed check warns and never refuses (rule 10); nothing interrupts what a recording has to say."""
    if state.phase in _OPEN:
        return state, []
    return state, [Say(key) for key in event.prompts or ("self_check_passed",)]


def _on_early_press(state: State, event: RecordPressed) -> Result:
    return replace(state, pressed_ns=event.at_ns if state.pressed_ns is None else state.pressed_ns), []


def _on_start(state: State, event: RecordPressed) -> Result:
    return _record(replace(state, pressed_ns=event.at_ns), None)


def _record(state: State, cause: str | None) -> Result:
    """Record what can be recorded, after a gap of that cause (None: a new recording)."""
    if not state.able:
        # Said loudly, and begun as soon as anything comes.
        cause = cause or state.lost
        after = replace(state, phase=Phase.INTERRUPTED, cause=cause)
        return after, [Say("cannot_continue"), Alert(cause, "neither picture nor sound can be recorded")]
    whole = state.picture and state.sound
    phase = Phase.RECORDING if whole else Phase.DEGRADED
    begun = replace(state, phase=phase, pressed_ns=None, cause=None)
    return begun, [BeginPart(state.pressed_ns, cause)]


def _on_part_began(state: State, event: PartBegan) -> Result:
    """Each start says the notice (rule 11); a gap before it is to be explained."""
    state = replace(state, gaps=event.gaps, part_ns=event.start_ns)
    return replace(_silent(state), asking=Asking.NOTICE, attempt=1), [Say("notice")]


def _on_part_began_late(state: State, event: PartBegan) -> Result:
    """The disk told of a part only when it was interrupted already: its notice is said when recording goes on."""
    return replace(state, gaps=event.gaps), []


def _on_said(state: State, event: Said) -> Result:
    if event.key == "notice" and state.asking is Asking.NOTICE:
        if event.from_ns < state.part_ns:
            return state, []  # said in the part before; this part's own is on its way
        return replace(state, awaited_ns=event.from_ns), [CheckNotice(state.attempt, event.from_ns, event.to_ns)]
    if event.key in ("ask_reason", "ask_reason_again") and state.asking is Asking.REASON:
        return replace(state, awaited_ns=event.to_ns), [ListenForAnswer(event.to_ns)]
    return state, []


def _on_notice_checked(state: State, event: NoticeChecked) -> Result:
    if state.asking is not Asking.NOTICE or event.from_ns != state.awaited_ns:
        return state, []
    if not event.heard and state.attempt < state.notice_attempts:
        return replace(state, attempt=state.attempt + 1, awaited_ns=None), [Say("notice")]
    commands: list[Command] = []
    if not event.heard:
        commands = [Alert("notice_not_heard", "the microphone did not hear the notice"), Say("microphone_silent")]
    state, more = _ask_next(state)
    return state, commands + more


def _silent(state: State) -> State:
    """Nothing is being said, asked or answered."""
    return replace(state, asking=Asking.NOTHING, attempt=0, awaited_ns=None, answer_ns=None)


def _ask_next(state: State) -> Result:
    state = _silent(state)
    if not state.gaps:
        return state, []
    return replace(state, asking=Asking.REASON, attempt=1), [Say("ask_reason")]


def _on_mark_pressed(state: State, event: MarkPressed) -> Result:
    if state.asking is Asking.REASON:
        return replace(state, answer_ns=event.at_ns), []
    return state, [Mark(event.at_ns), Say("marked")]


def _on_mark_released(state: State, event: MarkReleased) -> Result:
    if state.asking is not Asking.REASON or state.answer_ns is None:
        return state, []
    return _reason(state, "button_held", state.answer_ns, event.at_ns)


def _on_answer_over(state: State, event: AnswerOver) -> Result:
    if state.asking is not Asking.REASON or event.from_ns != state.awaited_ns:
        return state, []
    if state.answer_ns is not None:
        # Still speaking, with the button down.
        return replace(state, awaited_ns=event.to_ns), [ListenForAnswer(event.to_ns)]
    if event.spoke:
        return _reason(state, "speech_followed", event.from_ns, event.to_ns)
    if state.attempt < _QUESTIONS:
        return replace(state, attempt=state.attempt + 1, awaited_ns=None), [Say("ask_reason_again")]
    state, commands = _reason(state, "unanswered", event.from_ns, event.to_ns)
    return state, [Alert("explanation_due", "the reason of a gap was asked twice and not given"), *commands]


def _reason(state: State, basis: str, from_ns: int, to_ns: int) -> Result:
    gap, rest = state.gaps[0], state.gaps[1:]
    kept: list[Command] = [KeepReason(gap, basis, from_ns, to_ns)]
    kept.append(Say("reason_missing" if basis == "unanswered" else "reason_kept"))
    state, more = _ask_next(replace(state, gaps=rest))
    return state, kept + more


def _on_hold(state: State, event: RecordHeld) -> Result:
    """A hold ends the recording only when it is confirmed by a second one."""
    if state.hold_ns is not None:
        return _end(state)
    return replace(state, hold_ns=event.at_ns), [Say("hold_again_to_end"), AwaitConfirm(event.at_ns)]


def _on_confirm_over(state: State, event: ConfirmOver) -> Result:
    return (replace(state, hold_ns=None) if event.held_ns == state.hold_ns else state), []


def _end(state: State) -> Result:
    closed, commands = _close(state, state.cause)
    phase = Phase.DOCKED if state.docked else Phase.ARMED
    return replace(closed, phase=phase), [*commands, Say("recording_ended"), Arm()]


def _close(state: State, interrupted: str | None) -> Result:
    """End the recording; gaps whose reason was not given before have to be explained in writing."""
    unexplained = [KeepReason(gap, "unanswered", 0, 0) for gap in state.gaps]
    closed = replace(_silent(state), gaps=(), hold_ns=None, cause=None, pressed_ns=None, storage=True)
    return closed, [*unexplained, EndRecording(interrupted)]


def _on_source_lost(state: State, event: SourceLost) -> Result:
    after = replace(
        state, picture=state.picture and not event.picture, sound=state.sound and event.picture, lost=event.cause
    )
    prompt = Say("camera_fault" if event.picture else "microphone_fault")
    if state.phase not in _RECORDING:
        return after, [prompt]
    if after.able:
        return replace(after, phase=Phase.DEGRADED), [prompt, Alert(event.cause, "recording goes on with the rest")]
    after = replace(after, phase=Phase.INTERRUPTED, cause=event.cause)
    return after, [EndPart(), prompt, Say("cannot_continue"), Alert(event.cause, "neither picture nor sound is left")]


def _on_source_back(state: State, event: SourceBack) -> Result:
    after = replace(state, picture=state.picture or event.picture, sound=state.sound or not event.picture)
    if state.phase is Phase.INTERRUPTED and after.able:
        return _record(after, state.cause)
    if state.phase is Phase.DEGRADED and after.picture and after.sound:
        return replace(after, phase=Phase.RECORDING), [Say("recording_resumed")]
    return after, []


def _on_storage_failed(state: State, event: StorageFailed) -> Result:
    say: list[Command] = [Say("storage_low"), Say("cannot_continue")] if event.cause == "storage_full" else []
    after = replace(state, phase=Phase.INTERRUPTED, storage=False, cause=event.cause)
    return after, [EndPart(), *say, Alert(event.cause, "the card does not take the recording")]


def _on_storage_back(state: State, _: object) -> Result:
    after = replace(state, storage=True)
    if after.able:
        return _record(after, state.cause)
    return after, []


def _on_docked(state: State, _: object) -> Result:
    if state.docked:
        return state, []
    state = replace(state, docked=True)
    if state.phase in _OPEN:
        return state, [OpenDockPort()]  # a running recording goes on; closed segments may leave
    return replace(state, phase=Phase.DOCKED), [OpenDockPort(), Say("docked")]


def _on_undocked(state: State, _: object) -> Result:
    if not state.docked:
        return state, []
    phase = Phase.ARMED if state.phase is Phase.DOCKED else state.phase
    return replace(state, docked=False, phase=phase), [CloseDockPort()]


def _on_handed_in(state: State, _: object) -> Result:
    return state, [] if state.phase in _OPEN else [Say("handed_in")]


def _on_quit(state: State, _: object) -> Result:
    closed, commands = _close(state, state.cause or "shutdown") if state.phase in _OPEN else (state, [])
    return replace(closed, phase=Phase.SHUTTING_DOWN), [*commands, *([CloseDockPort()] if state.docked else []), Exit()]


def _rows() -> Mapping[tuple[Phase, type[Event]], Rule]:
    idle = (Phase.ARMED, Phase.DOCKED)
    rows: list[tuple[tuple[Phase, ...], type[Event], Rule]] = [
        ((Phase.STARTING,), Ready, _on_ready),
        ((Phase.STARTING,), RecordPressed, _on_early_press),
        ((*idle, *_OPEN), SelfChecked, _on_self_checked),
        (idle, RecordPressed, _on_start),
        (_RECORDING, PartBegan, _on_part_began),
        ((Phase.INTERRUPTED,), PartBegan, _on_part_began_late),
        (_RECORDING, Said, _on_said),
        (_RECORDING, NoticeChecked, _on_notice_checked),
        (_RECORDING, MarkPressed, _on_mark_pressed),
        (_RECORDING, MarkReleased, _on_mark_released),
        (_RECORDING, AnswerOver, _on_answer_over),
        (_OPEN, RecordHeld, _on_hold),
        (_OPEN, ConfirmOver, _on_confirm_over),
        ((Phase.STARTING, *idle, *_OPEN), SourceLost, _on_source_lost),
        ((Phase.STARTING, *idle, *_OPEN), SourceBack, _on_source_back),
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
