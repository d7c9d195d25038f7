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
    gaps: tuple[int, ...] = ()  # records of gaps whose reason is still to be asked
    ending: bool = False  # held once; a second hold ends the recording
    held_from_ns: int | None = None  # the answer button has been down since
    picture: bool = True
    sound: bool = True
    cause: str | None = None  # why nothing is recorded, while interrupted
    docked: bool = False
    early_press_ns: int | None = None  # pressed while starting


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
        return Lamps(green="on", red="blink", yellow="blink")
    if state.phase is Phase.DEGRADED:
        return Lamps(green="on", red="blink" if state.picture else "off", yellow="off" if state.picture else "on")
    if state.phase is Phase.RECORDING:
        return Lamps(green="on", red="on")
    if state.phase is Phase.SHUTTING_DOWN:
        return Lamps()
    return Lamps(green="blink" if state.phase is Phase.STARTING else "on")


def _on_ready(state: State, event: Ready) -> Result:
    state = replace(state, docked=event.docked)
    port: list[Command] = [OpenDockPort()] if event.docked else []
    if event.cut_recording:
        # Record again at once, ask afterwards (rule 15).
        return _recording(state), [BeginPart(state.early_press_ns, "power_cut"), *port]
    if state.early_press_ns is not None:
        return _recording(state), [BeginPart(state.early_press_ns, None), *port]
    if event.docked:
        return replace(state, phase=Phase.DOCKED), [Arm(), *port, Say("docked")]
    return replace(state, phase=Phase.ARMED), [Arm()]


def _on_self_checked(state: State, event: SelfChecked) -> Result:
    """A failed check warns and never refuses (rule 10); nothing interrupts what a recording has to say."""
    if state.phase in _OPEN:
        return state, []
    return state, [Say(key) for key in event.prompts or ("self_check_passed",)]


def _on_early_press(state: State, event: RecordPressed) -> Result:
    return replace(state, early_press_ns=event.at_ns), []


def _on_start(state: State, event: RecordPressed) -> Result:
    return _recording(state), [BeginPart(event.at_ns, None)]


def _recording(state: State) -> State:
    whole = state.picture and state.sound
    return replace(state, phase=Phase.RECORDING if whole else Phase.DEGRADED, early_press_ns=None, cause=None)


def _on_part_began(state: State, event: PartBegan) -> Result:
    """Each start says the notice (rule 11); a gap before it is to be explained."""
    gaps = state.gaps if event.gap_seq is None else (*state.gaps, event.gap_seq)
    state = replace(state, gaps=gaps, asking=Asking.NOTICE, attempt=1, held_from_ns=None)
    return state, [Say("notice")]


def _on_said(state: State, event: Said) -> Result:
    if event.key == "notice" and state.asking is Asking.NOTICE:
        return state, [CheckNotice(state.attempt, event.from_ns, event.to_ns)]
    if event.key in ("ask_reason", "ask_reason_again") and state.asking is Asking.REASON:
        return state, [ListenForAnswer()]
    return state, []


def _on_notice_checked(state: State, event: NoticeChecked) -> Result:
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


def _on_mark_pressed(state: State, event: MarkPressed) -> Result:
    if state.asking is Asking.REASON:
        return replace(state, held_from_ns=event.at_ns), []
    return state, [Mark(event.at_ns), Say("marked")]


def _on_mark_released(state: State, event: MarkReleased) -> Result:
    if state.asking is not Asking.REASON or state.held_from_ns is None:
        return state, []
    return _reason(state, "button_held", state.held_from_ns, event.at_ns)


def _on_answer_over(state: State, event: AnswerOver) -> Result:
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


def _on_hold(state: State, _: object) -> Result:
    """A hold ends the recording only when it is confirmed by a second one."""
    if state.ending:
        return _end(state)
    return replace(state, ending=True), [Say("hold_again_to_end"), AwaitConfirm()]


def _on_confirm_over(state: State, _: object) -> Result:
    return replace(state, ending=False), []


def _end(state: State) -> Result:
    commands = [*_unexplained(state), EndRecording(state.cause), Say("recording_ended"), Arm()]
    phase = Phase.DOCKED if state.docked else Phase.ARMED
    closed = replace(state, asking=Asking.NOTHING, ending=False, gaps=(), cause=None, held_from_ns=None)
    return replace(closed, phase=phase), commands


def _unexplained(state: State) -> list[Command]:
    """Gaps whose reason was not given before the end: the office asks for it in writing."""
    return [KeepReason(gap, "unanswered", 0, 0) for gap in state.gaps]


def _on_source_lost(state: State, event: SourceLost) -> Result:
    after = replace(state, picture=state.picture and not event.picture, sound=state.sound and event.picture)
    prompt = Say("camera_fault" if event.picture else "microphone_fault")
    if state.phase not in _RECORDING:
        return after, [prompt]
    if after.picture or after.sound:
        return replace(after, phase=Phase.DEGRADED), [prompt, Alert(event.cause, "recording goes on with the rest")]
    after = replace(after, phase=Phase.INTERRUPTED, cause=event.cause)
    return after, [EndPart(), prompt, Say("cannot_continue"), Alert(event.cause, "neither picture nor sound is left")]


def _on_source_back(state: State, event: SourceBack) -> Result:
    after = replace(state, picture=state.picture or event.picture, sound=state.sound or not event.picture)
    if state.phase is Phase.INTERRUPTED and state.cause not in _STORAGE:
        return _recording(after), [BeginPart(None, state.cause)]
    if state.phase is Phase.DEGRADED and after.picture and after.sound:
        return replace(after, phase=Phase.RECORDING), [Say("recording_resumed")]
    return after, []


_STORAGE = ("storage_full", "storage_failing", "slow_storage")


def _on_storage_failed(state: State, event: StorageFailed) -> Result:
    say: list[Command] = [Say("storage_low"), Say("cannot_continue")] if event.cause == "storage_full" else []
    after = replace(state, phase=Phase.INTERRUPTED, cause=event.cause)
    return after, [EndPart(), *say, Alert(event.cause, "the card does not take the recording")]


def _on_storage_back(state: State, _: object) -> Result:
    return _recording(state), [BeginPart(None, state.cause)]


def _on_docked(state: State, _: object) -> Result:
    state = replace(state, docked=True)
    if state.phase in _OPEN:
        return state, [OpenDockPort()]  # a running recording goes on; closed segments may leave
    return replace(state, phase=Phase.DOCKED), [OpenDockPort(), Say("docked")]


def _on_undocked(state: State, _: object) -> Result:
    phase = Phase.ARMED if state.phase is Phase.DOCKED else state.phase
    return replace(state, docked=False, phase=phase), [CloseDockPort()]


def _on_handed_in(state: State, _: object) -> Result:
    return state, [] if state.phase in _OPEN else [Say("handed_in")]


def _on_quit(state: State, _: object) -> Result:
    commands: list[Command] = []
    if state.phase in _OPEN:
        commands = [*_unexplained(state), EndRecording(state.cause or "shutdown")]
    return replace(state, phase=Phase.SHUTTING_DOWN, gaps=()), [*commands, CloseDockPort(), Exit()]


def _rows() -> Mapping[tuple[Phase, type[Event]], Rule]:
    idle = (Phase.ARMED, Phase.DOCKED)
    rows: list[tuple[tuple[Phase, ...], type[Event], Rule]] = [
        ((Phase.STARTING,), Ready, _on_ready),
        ((Phase.STARTING,), RecordPressed, _on_early_press),
        ((*idle, *_OPEN), SelfChecked, _on_self_checked),
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
