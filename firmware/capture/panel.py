"""Rules of the buttons: what a press, a hold and a double press do in each phase (docs/spec/panel.md).

The wearer has gloves and no eyes for the camera: one button starts and ends, the other marks and answers. A start, a
mark and an answer happen when the button goes down. Whatever could do harm by accident has to be done twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from evidence.records import ACTIVITIES, GROUNDS, PAUSES
from firmware.capture.parts import close, record
from firmware.capture.state import RUNNING, Asking, Phase, Result, State
from firmware.capture.talk import reason, silent
from firmware.capture.vocabulary import (
    Alert,
    Arm,
    AwaitChoice,
    AwaitConfirm,
    ChoiceOver,
    Command,
    ConfirmOver,
    EndPart,
    KeepActivity,
    KeepStop,
    Mark,
    MarkHeld,
    MarkPressed,
    MarkReleased,
    Quiet,
    RecordHeld,
    RecordPressed,
    RecordReleased,
    Say,
    TellStatus,
)

ACCIDENT_NS: Final = 1_000_000_000
"""A press so soon after the one that began the recording is an accident."""

DOUBLE_NS: Final = 500_000_000
"""Two presses of the marker button within so long ask for the status."""


def on_early_press(state: State, event: RecordPressed) -> Result:
    """Keep the press: recording begins as soon as it can."""
    return replace(state, pressed_ns=event.at_ns if state.pressed_ns is None else state.pressed_ns), []


def on_start(state: State, event: RecordPressed) -> Result:
    """Record picture and sound."""
    return record(_fresh(state, event.at_ns, "picture_and_sound"), None)


def on_start_sound_only(state: State, event: MarkHeld) -> Result:
    """Record sound alone: there is no pre-event picture in it either."""
    after, commands = record(_fresh(state, event.at_ns, "sound_only"), None)
    return after, [*commands, Say("sound_only_started")]


def _fresh(state: State, at_ns: int, mode: str) -> State:
    return replace(state, pressed_ns=at_ns, started_ns=at_ns, mode=mode, activity=state.default_activity)


def on_go_on(state: State, event: RecordPressed) -> Result:
    """Go on with the recording that was stopped: notice, and the reason is asked."""
    return record(replace(state, pressed_ns=event.at_ns, started_ns=event.at_ns), state.cause)


def on_press(state: State, event: RecordPressed) -> Result:
    """Wait for what becomes of it: short, it chooses the kind of activity; a second press at the start is none."""
    return replace(state, press_ns=None if event.at_ns - state.started_ns < ACCIDENT_NS else event.at_ns), []


def on_release(state: State, event: RecordReleased) -> Result:
    """Choose the kind of activity: the first short press tells the present one, each further one the next (rule 5)."""
    if state.press_ns is None:
        return state, []
    if state.choosing_ns is None:
        candidate, first = state.activity or ACTIVITIES[0], ["choose_activity"]
    else:
        candidate, first = _next(ACTIVITIES, state.candidate), []
    after = replace(state, press_ns=None, choosing_ns=event.at_ns, candidate=candidate)
    said = [*first, f"activity_{candidate}"]
    return after, [Say(said[0], tuple(said[1:])), AwaitChoice(event.at_ns)]


def on_choice_over(state: State, event: ChoiceOver) -> Result:
    """Keep the kind that was told last."""
    return chosen(state) if event.chosen_ns == state.choosing_ns else (state, [])


def chosen(state: State) -> Result:
    """The state with the choice made, and its record if it is another than before."""
    candidate, after = state.candidate, replace(state, choosing_ns=None, candidate=None)
    if state.choosing_ns is None or candidate is None or candidate == state.activity:
        return after, []
    return replace(after, activity=candidate), [KeepActivity(candidate)]


def on_hold(state: State, event: RecordHeld) -> Result:
    """A hold ends the recording only when it is confirmed by a second one; the marker chooses the ground meanwhile."""
    if state.hold_ns is not None:
        if state.ground not in PAUSES:
            return end(state, state.ground)
        # A camera in its dock is not taken up again for the same recording.
        after, commands = end(state, state.ground) if state.docked else _stop(state, event.at_ns)
        return after, [*_statement(state.ground), *commands]
    after = replace(state, press_ns=None, hold_ns=event.at_ns, ground=GROUNDS[0])
    return after, [Say("hold_again_to_end"), AwaitConfirm(event.at_ns)]


def on_confirm_over(state: State, event: ConfirmOver) -> Result:
    """The hold was not confirmed: it ends nothing."""
    return (replace(state, hold_ns=None) if event.held_ns == state.hold_ns else state), []


def end(state: State, ground: str | None) -> Result:
    """End the recording for good."""
    state, kept = chosen(state)
    closed, commands = close(state, state.cause, ground)
    phase = Phase.DOCKED if state.docked else Phase.ARMED
    return replace(closed, phase=phase), [*kept, *commands, Say("recording_ended"), Arm()]


def _stop(state: State, at_ns: int) -> Result:
    """Stop until the officer goes on. The stop is recorded first: a cut right after it must not undo it."""
    state, commands = chosen(state)
    running: list[Command] = [EndPart()] if state.phase in RUNNING else []
    commands += [KeepStop(state.ground, at_ns), *running, Say("recording_stopped")]
    after = replace(silent(state), phase=Phase.STOPPED, cause=state.ground, hold_ns=None, press_ns=None)
    return after, commands


def _statement(ground: str) -> list[Command]:
    """Privacy or secrecy needs a written statement (rule 6)."""
    if ground != "privacy":
        return []
    return [Alert("statement_due", "stopped for privacy or secrecy: rule 6"), Say("statement_due")]


def on_end_stopped(state: State, _: MarkHeld) -> Result:
    """End a stopped recording for good, without recording again."""
    return end(state, state.cause)


def on_mark(state: State, event: MarkPressed) -> Result:
    """Mark the moment; in a question, begin the answer; after a hold, go to the next ground; twice, tell the status."""
    if state.hold_ns is not None:
        return _next_ground(state, event)
    if state.asking is Asking.REASON:
        return replace(state, answer_ns=event.at_ns), []
    if _twice(state, event):
        return replace(state, mark_ns=None), [TellStatus(check=False)]
    still = state.mode == "picture_and_sound" and state.picture
    return replace(state, mark_ns=event.at_ns), [Mark(event.at_ns, still), Say("marked")]


def on_mark_idle(state: State, event: MarkPressed) -> Result:
    """Say that nothing is being recorded; twice, check the camera and tell the status."""
    if _twice(state, event):
        return replace(state, mark_ns=None), [TellStatus(check=state.phase is not Phase.STOPPED)]
    return replace(state, mark_ns=event.at_ns), [Say("not_recording")]


def on_mark_interrupted(state: State, event: MarkPressed) -> Result:
    """Nothing can be marked; after a hold, go to the next ground; twice, tell the status."""
    if state.hold_ns is not None:
        return _next_ground(state, event)
    if _twice(state, event):
        return replace(state, mark_ns=None), [TellStatus(check=False)]
    return replace(state, mark_ns=event.at_ns), [Say("cannot_continue")]


def on_mark_held(state: State, _: MarkHeld) -> Result:
    """Voice off or on again, where the button is not an answer."""
    if state.answer_ns is not None or state.hold_ns is not None:
        return state, []
    quiet = not state.quiet
    return replace(state, quiet=quiet), [Quiet(quiet), Say("quiet_on" if quiet else "quiet_off")]


def on_mark_released(state: State, event: MarkReleased) -> Result:
    """The answer is over."""
    if state.asking is not Asking.REASON or state.answer_ns is None:
        return state, []
    return reason(state, "button_held", state.answer_ns, event.at_ns)


def _next_ground(state: State, event: MarkPressed) -> Result:
    ground = _next(GROUNDS, state.ground)
    after = replace(state, hold_ns=event.at_ns, ground=ground)
    return after, [Say(f"ground_{ground}"), AwaitConfirm(event.at_ns)]


def _twice(state: State, event: MarkPressed) -> bool:
    return state.mark_ns is not None and event.at_ns - state.mark_ns < DOUBLE_NS


def _next(choices: tuple[str, ...], present: str | None) -> str:
    return choices[(choices.index(present) + 1) % len(choices)] if present in choices else choices[0]
