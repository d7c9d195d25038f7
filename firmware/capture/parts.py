"""Rules of beginning and closing a recording, which buttons, sources and the dock all come to."""

from __future__ import annotations

from dataclasses import replace

from firmware.capture.recovery import OpenRecording
from firmware.capture.state import Phase, Result, State
from firmware.capture.talk import silent
from firmware.capture.vocabulary import Alert, BeginPart, Command, EndRecording, KeepReason, Ready, Say


def ready(cut: OpenRecording | None, *, docked: bool) -> Ready:
    """What the recorder is told when the drivers run. `cut`: the recording that was open when the last boot ended."""
    if cut is None or cut.ending:
        return Ready(cut_recording=False, docked=docked)
    return Ready(cut_recording=True, docked=docked, mode=cut.mode, activity=cut.activity, stopped=cut.stopped)


def record(state: State, cause: str | None) -> Result:
    """Record what can be recorded, after a gap of that cause (None: a new recording)."""
    if not state.able:
        # Said loudly, and begun as soon as anything comes.
        cause = cause or state.lost
        after = replace(state, phase=Phase.INTERRUPTED, cause=cause)
        return after, [Say("cannot_continue"), Alert(cause, "neither picture nor sound can be recorded")]
    begun = replace(state, phase=state.recording, pressed_ns=None, cause=None, press_ns=None)
    return begun, [BeginPart(state.pressed_ns, cause, state.mode, state.activity)]


def close(state: State, interrupted: str | None, ground: str | None) -> Result:
    """End the recording; gaps whose reason was not given before have to be explained in writing."""
    unexplained: list[Command] = [KeepReason(gap, "unanswered", 0, 0) for gap in state.gaps]
    closed = replace(
        silent(state), gaps=(), hold_ns=None, cause=None, pressed_ns=None, press_ns=None, choosing_ns=None,
        candidate=None, storage=True, mode="picture_and_sound",
    )  # fmt: skip
    return closed, [*unexplained, EndRecording(interrupted, ground)]
