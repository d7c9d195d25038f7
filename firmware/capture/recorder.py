"""The recorder: what the camera does when something happens. A table and a pure function, no IO and no `now()`.

`step(state, event)` returns the next state and the commands that a runner carries out. `TABLE` says, for each phase
and kind of event, which rule applies; what is not in the table changes nothing. docs/spec/panel.md is made from it.
Evidence first: nothing here stops or delays a recording that can still be made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from firmware.capture import panel, talk
from firmware.capture.parts import close, record
from firmware.capture.state import OPEN, RUNNING, Phase, Result, State, lamps
from firmware.capture.vocabulary import (
    Alert,
    AnswerOver,
    Arm,
    ChoiceOver,
    CloseDockPort,
    Command,
    ConfirmOver,
    Docked,
    EndPart,
    Event,
    Exit,
    HandedIn,
    MarkHeld,
    MarkPressed,
    MarkReleased,
    NoticeChecked,
    OpenDockPort,
    PartBegan,
    PictureBlind,
    Quit,
    Ready,
    RecordHeld,
    RecordPressed,
    RecordReleased,
    Said,
    Say,
    SelfChecked,
    Show,
    SourceBack,
    SourceLost,
    StorageBack,
    StorageFailed,
    TellStatus,
    Undocked,
    Warned,
)

Rule = Callable[[State, Any], Result]  # each rule takes the one kind of event that TABLE gives it


def step(state: State, event: Event) -> Result:
    """The next state and what to do. Pure: the same arguments give the same result."""
    rule = TABLE.get((state.phase, type(event)))
    if rule is None:
        return state, []
    after, commands = rule(state, event)
    if lamps(after) != lamps(state) or after.phase != state.phase:
        commands = [*commands, Show(lamps(after), buzz=after.phase != state.phase)]
    return after, commands


def on_ready(state: State, event: Ready) -> Result:
    """Go on at once with a recording that was cut, and ask about it afterwards (rule 15); else wait for the button."""
    state = replace(state, docked=event.docked)
    port: list[Command] = [OpenDockPort()] if event.docked else []
    if event.cut_recording:
        state = replace(state, mode=event.mode, activity=event.activity)
        if event.stopped is not None and state.pressed_ns is None:
            stopped = replace(state, phase=Phase.STOPPED, cause=event.stopped)
            if not event.docked:
                return stopped, [Say("recording_stopped")]
            after, commands = panel.end(stopped, event.stopped)
            return after, [*commands, *port]
        after, commands = record(state, event.stopped or "power_cut")
        return after, [*commands, *port]
    state = replace(state, activity=state.default_activity)
    if state.pressed_ns is not None:
        after, commands = record(state, None)
        return after, [*commands, *port]
    if event.docked:
        return replace(state, phase=Phase.DOCKED), [Arm(), *port, Say("docked")]
    return replace(state, phase=Phase.ARMED), [Arm()]


def on_self_checked(state: State, event: SelfChecked) -> Result:
    """A failed check warns and never refuses (rule 10); nothing interrupts what a recording has to say."""
    state = replace(state, attention=bool(event.prompts))
    if state.phase in OPEN:
        return state, []
    return state, [Say(key) for key in event.prompts or ("self_check_passed",)]


def on_warned(state: State, event: Warned) -> Result:
    """Say it, show it, and record the alert if it is one."""
    alert: list[Command] = [Alert(event.what, event.detail)] if event.what else []
    return replace(state, attention=state.attention or event.what is not None), [*alert, Say(event.prompt)]


def on_source_lost(state: State, event: SourceLost) -> Result:
    """Losing one of picture and sound never stops the other."""
    after = replace(
        state, picture=state.picture and not event.picture, sound=state.sound and event.picture, lost=event.cause
    )
    prompt = Say(event.prompt or ("camera_fault" if event.picture else "microphone_fault"))
    if state.phase not in RUNNING:
        return after, [prompt]
    if event.picture and state.mode == "sound_only":
        return after, []
    if after.able:
        goes_on = Alert(event.cause, "recording goes on with the rest")
        return replace(after, phase=Phase.DEGRADED), [prompt, goes_on]
    after = replace(after, phase=Phase.INTERRUPTED, cause=event.cause)
    return after, [EndPart(), prompt, Say("cannot_continue"), Alert(event.cause, "neither picture nor sound is left")]


def on_source_back(state: State, event: SourceBack) -> Result:
    """Record with what has come back."""
    after = replace(state, picture=state.picture or event.picture, sound=state.sound or not event.picture)
    if state.phase is Phase.INTERRUPTED and after.able:
        return record(after, state.cause)
    if state.phase is Phase.DEGRADED and after.recording is Phase.RECORDING:
        return replace(after, phase=Phase.RECORDING), [Say("recording_resumed")]
    return after, []


def on_blind(state: State, event: PictureBlind) -> Result:
    """Pictures that show nothing are recorded all the same, and the wearer is told."""
    after = replace(state, blind=event.cause)
    if event.cause is None:
        if state.phase is Phase.DEGRADED and after.recording is Phase.RECORDING:
            return replace(after, phase=Phase.RECORDING), [Say("recording_resumed")]
        return after, []
    if state.phase in OPEN and state.mode == "sound_only":
        return after, []
    told: list[Command] = [Say(event.cause)]
    if state.phase in RUNNING:
        told.append(Alert(event.cause, "recording goes on, the pictures show nothing"))
        return replace(after, phase=after.recording), told
    return after, told


def on_storage_failed(state: State, event: StorageFailed) -> Result:
    """Nothing can be kept: say so, and try again. A slow disk mostly takes the next part at once."""
    said = {"storage_full": ("storage_low", "cannot_continue"), "storage_failing": ("cannot_continue",)}
    say = [Say(prompt) for prompt in said.get(event.cause, ())]
    after = replace(state, phase=Phase.INTERRUPTED, storage=False, cause=event.cause)
    return after, [EndPart(), *say, Alert(event.cause, "the card does not take the recording")]


def on_storage_back(state: State, _: object) -> Result:
    """Go on as soon as the disk takes data again."""
    after = replace(state, storage=True)
    if after.able and state.phase is Phase.INTERRUPTED:
        return record(after, state.cause)
    return after, []


def on_docked(state: State, _: object) -> Result:
    """A running recording goes on, and closed segments may leave; one that was stopped is over."""
    if state.docked:
        return state, []
    state = replace(state, docked=True)
    if state.phase in OPEN:
        return state, [OpenDockPort()]
    if state.phase is Phase.STOPPED:
        after, commands = panel.end(state, state.cause)
        return after, [*commands, OpenDockPort()]
    return replace(state, phase=Phase.DOCKED), [OpenDockPort(), Say("docked")]


def on_undocked(state: State, _: object) -> Result:
    """The dock port closes; the camera is checked for its next use (rule 10)."""
    if not state.docked:
        return state, []
    after = replace(state, docked=False, phase=Phase.ARMED if state.phase is Phase.DOCKED else state.phase)
    check: list[Command] = [TellStatus(check=True)] if after.phase is Phase.ARMED else []
    return after, [CloseDockPort(), *check]


def on_handed_in(state: State, _: object) -> Result:
    """Everything is with the office."""
    return state, [] if state.phase in OPEN else [Say("handed_in")]


def on_quit(state: State, _: object) -> Result:
    """Close what is open. A recording that the officer stopped waits for the next start."""
    state, kept = panel.chosen(state)
    closed, commands = close(state, state.cause or "shutdown", None) if state.phase in OPEN else (state, [])
    port: list[Command] = [CloseDockPort()] if state.docked else []
    return replace(closed, phase=Phase.SHUTTING_DOWN), [*kept, *commands, *port, Exit()]


def _rows() -> Mapping[tuple[Phase, type[Event]], Rule]:
    idle = (Phase.ARMED, Phase.DOCKED)
    stopped = (Phase.STOPPED,)
    interrupted = (Phase.INTERRUPTED,)
    on = tuple(phase for phase in Phase if phase not in (Phase.STARTING, Phase.SHUTTING_DOWN))
    rows: list[tuple[tuple[Phase, ...], type[Event], Rule]] = [
        # The wearer's buttons.
        ((Phase.STARTING,), RecordPressed, panel.on_early_press),
        (idle, RecordPressed, panel.on_start),
        (stopped, RecordPressed, panel.on_go_on),
        (OPEN, RecordPressed, panel.on_press),
        (OPEN, RecordReleased, panel.on_release),
        (OPEN, ChoiceOver, panel.on_choice_over),
        (OPEN, RecordHeld, panel.on_hold),
        (OPEN, ConfirmOver, panel.on_confirm_over),
        (RUNNING, MarkPressed, panel.on_mark),
        (interrupted, MarkPressed, panel.on_mark_interrupted),
        ((*idle, *stopped), MarkPressed, panel.on_mark_idle),
        (idle, MarkHeld, panel.on_start_sound_only),
        (OPEN, MarkHeld, panel.on_mark_held),
        (stopped, MarkHeld, panel.on_end_stopped),
        (RUNNING, MarkReleased, panel.on_mark_released),
        # What is said and asked.
        (RUNNING, PartBegan, talk.on_part_began),
        ((*interrupted, *stopped), PartBegan, talk.on_part_began_late),
        (RUNNING, Said, talk.on_said),
        (RUNNING, NoticeChecked, talk.on_notice_checked),
        (RUNNING, AnswerOver, talk.on_answer_over),
        # What the camera finds out.
        ((Phase.STARTING,), Ready, on_ready),
        (on, SelfChecked, on_self_checked),
        (on, Warned, on_warned),
        ((Phase.STARTING, *on), SourceLost, on_source_lost),
        ((Phase.STARTING, *on), SourceBack, on_source_back),
        ((Phase.STARTING, *on), PictureBlind, on_blind),
        (RUNNING, StorageFailed, on_storage_failed),
        ((*interrupted, *stopped), StorageBack, on_storage_back),
        # The dock, and the end.
        ((Phase.ARMED, *OPEN, *stopped), Docked, on_docked),
        ((Phase.DOCKED, *OPEN, *stopped), Undocked, on_undocked),
        (on, HandedIn, on_handed_in),
        ((Phase.STARTING, *on), Quit, on_quit),
    ]
    return {(phase, kind): rule for phases, kind, rule in rows for phase in phases}


TABLE: Final = _rows()
