"""Rules of the dialogue: the notice (rule 11), the reason of a gap (rule 15)."""

from __future__ import annotations

from dataclasses import replace

from firmware.capture.state import Asking, Result, State
from firmware.capture.vocabulary import (
    Alert,
    AnswerOver,
    CheckNotice,
    Command,
    KeepReason,
    ListenForAnswer,
    NoticeChecked,
    PartBegan,
    Said,
    Say,
)

_LONGEST_ANSWER_NS = 60_000_000_000
_QUESTIONS = 2  # unanswered twice: a written explanation is due (rule 15)


def silent(state: State) -> State:
    """Nothing is being said, asked or answered."""
    return replace(state, asking=Asking.NOTHING, attempt=0, awaited_ns=None, answer_ns=None)


def on_part_began(state: State, event: PartBegan) -> Result:
    """Say the notice; a gap before the part is to be explained."""
    state = replace(state, gaps=event.gaps, part_ns=event.start_ns)
    return replace(silent(state), asking=Asking.NOTICE, attempt=1), [Say("notice")]


def on_part_began_late(state: State, event: PartBegan) -> Result:
    """The disk told of a part only when it had ended already: its notice is said when recording goes on."""
    return replace(state, gaps=event.gaps), []


def on_said(state: State, event: Said) -> Result:
    """Look for the notice, or listen for the answer."""
    if event.key == "notice" and state.asking is Asking.NOTICE:
        if event.from_ns < state.part_ns:
            return state, []  # said in the part before; this part's own is on its way
        return replace(state, awaited_ns=event.from_ns), [CheckNotice(state.attempt, event.from_ns, event.to_ns)]
    if event.key in ("ask_reason", "ask_reason_again") and state.asking is Asking.REASON:
        return replace(state, awaited_ns=event.to_ns), [ListenForAnswer(event.to_ns)]
    return state, []


def on_notice_checked(state: State, event: NoticeChecked) -> Result:
    """Say the notice again if it was not heard; then ask for the reason of each gap."""
    if state.asking is not Asking.NOTICE or event.from_ns != state.awaited_ns:
        return state, []
    if not event.heard and state.attempt < state.notice_attempts:
        return replace(state, attempt=state.attempt + 1, awaited_ns=None), [Say("notice")]
    commands: list[Command] = []
    if not event.heard:
        commands = [Alert("notice_not_heard", "the microphone did not hear the notice"), Say("microphone_silent")]
    state, more = _ask_next(state)
    return state, commands + more


def on_answer_over(state: State, event: AnswerOver) -> Result:
    """Keep the answer, ask again, or record that none was given: a written explanation is due."""
    if state.asking is not Asking.REASON or event.from_ns != state.awaited_ns:
        return state, []
    if state.answer_ns is not None and event.to_ns - state.answer_ns > _LONGEST_ANSWER_NS:
        return reason(state, "button_held", state.answer_ns, event.to_ns)  # the button's release was never told
    if state.answer_ns is not None:
        # Still speaking, with the button down.
        return replace(state, awaited_ns=event.to_ns), [ListenForAnswer(event.to_ns)]
    if event.spoke:
        return reason(state, "speech_followed", event.from_ns, event.to_ns)
    if state.attempt < _QUESTIONS:
        return replace(state, attempt=state.attempt + 1, awaited_ns=None), [Say("ask_reason_again")]
    state, commands = reason(state, "unanswered", event.from_ns, event.to_ns)
    return state, [Alert("explanation_due", "the reason of a gap was asked twice and not given"), *commands]


def reason(state: State, basis: str, from_ns: int, to_ns: int) -> Result:
    """Record how the reason of the first gap was given, and go on to the next."""
    gap, rest = state.gaps[0], state.gaps[1:]
    kept: list[Command] = [KeepReason(gap, basis, from_ns, to_ns)]
    kept.append(Say("reason_missing" if basis == "unanswered" else "reason_kept"))
    state, more = _ask_next(replace(state, gaps=rest))
    return state, kept + more


def _ask_next(state: State) -> Result:
    state = silent(state)
    if not state.gaps:
        return state, []
    return replace(state, asking=Asking.REASON, attempt=1), [Say("ask_reason")]
