"""docs/spec/panel.md, made from the code's own table: `python -m tests.panel_spec` writes it, a test compares it.

The diagram is found by walking: from each state that was reached, every event that the table knows is tried.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from evidence.records import ACTIVITIES, GROUNDS, PAUSES
from firmware.capture import recorder
from firmware.capture import vocabulary as v
from firmware.capture.state import Phase, State, lamps
from hw_sim import words

PATH = Path(__file__).parents[1] / "docs" / "spec" / "panel.md"

_BUTTONS: dict[type[v.Event], str] = {
    v.RecordPressed: "录像键按下 record pressed",
    v.RecordReleased: "录像键短按 record, short press",
    v.RecordHeld: "录像键长按 record held",
    v.MarkPressed: "标记键按下 marker pressed",
    v.MarkHeld: "标记键长按 marker held",
    v.MarkReleased: "标记键松开 marker released",
    v.Docked: "放入采集站 docked",
    v.Undocked: "取下 undocked",
}
_PHASES = {phase: f"{words.PHASES[phase.value]} {phase.value}" for phase in Phase}
# What is said, asked, chosen and marked changes no phase: states that differ only there are one.
_CHANGES_PHASE = (
    "phase", "picture", "sound", "storage", "blind", "docked", "mode", "pressed_ns", "hold_ns", "ground",
)  # fmt: skip
_HEAD = """# Panel

What the wearer's two buttons do, and what the camera does by itself. This page is made from the table that the firmware
runs (`firmware/capture/recorder.py`, `TABLE`): `python -m tests.panel_spec` writes it, and a test fails when the two
differ. What is not in the table changes nothing.

- 录像键 record button: starts when it goes down; ends when it is held twice (1.5 s each, the second within the time to
  confirm). 标记键 marker button: marks when it goes down; answers while it is down; pressed twice within 0.5 s, tells
  how the camera stands. A press of the record button within 1 s of the one that began the recording is an accident.
- After the first hold, each press of the marker tells the next ground: {grounds}. On {pauses} the recording is stopped
  until it can go on, and the gap has that cause; on the others it ends.
- Short presses of the record button while recording choose the kind of activity: {activities}; the one that was told
  last counts four seconds after the last press.
- Lamps: green on, red recording, yellow sound only; blinking wants attention. Each change of phase is felt and heard.
- Quiet: everything but the notice becomes short buzzes: one for a hint, two for a question, three for a warning.
"""


def page() -> str:
    """The whole page."""
    head = _HEAD.format(
        grounds=", ".join(f"`{ground}`" for ground in GROUNDS),
        pauses=", ".join(f"`{ground}`" for ground in PAUSES),
        activities=", ".join(f"`{kind}`" for kind in ACTIVITIES),
    )
    return "\n".join([head, *_table(), "", *_diagram(), "", *_lamps(), ""])


def _table() -> Iterator[str]:
    yield "## Table\n"
    for title, wanted in (("Buttons and dock", True), ("What the camera finds out", False)):
        yield f"### {title}\n"
        yield "| phase | event | what happens |"
        yield "|---|---|---|"
        merged: dict[tuple[str, str], list[Phase]] = {}
        for (phase, kind), rule in recorder.TABLE.items():
            if (kind in _BUTTONS) is wanted:
                name = _BUTTONS.get(kind, f"`{kind.__name__}`")
                merged.setdefault((name, _what(rule)), []).append(phase)
        for (name, what), phases in merged.items():
            yield f"| {'，'.join(_PHASES[phase].partition(' ')[0] for phase in phases)} | {name} | {what} |"
        yield ""
    yield "阶段 phases: " + "; ".join(f"{name}" for name in _PHASES.values()) + "."


def _what(rule: recorder.Rule) -> str:
    return " ".join((inspect.getdoc(rule) or "").split("\n\n")[0].split())


def _events(state: State) -> Iterator[v.Event]:
    """One event of each kind, as it would come in that state."""
    at = 10**10
    awaited = state.awaited_ns or 0
    yield v.Ready(cut_recording=False, docked=False)
    yield v.Ready(cut_recording=True, docked=False)
    yield v.Ready(cut_recording=True, docked=False, stopped="weather")
    yield v.Ready(cut_recording=False, docked=True)
    yield from (v.RecordPressed(at), v.RecordHeld(at), v.MarkPressed(at), v.MarkHeld(at))
    yield from (v.Docked(), v.Undocked(), v.Quit())
    yield from (v.SourceLost(True, "camera_lost"), v.SourceLost(False, "microphone_lost"))  # noqa: FBT003
    yield from (v.SourceBack(True), v.SourceBack(False))  # noqa: FBT003
    yield from (v.PictureBlind("camera_frozen"), v.PictureBlind(None))
    yield from (v.StorageFailed("storage_full"), v.StorageBack())
    yield from (v.PartBegan(at, (1,)), v.NoticeChecked(True, awaited), v.AnswerOver(True, awaited, at))  # noqa: FBT003


@functools.cache
def transitions() -> dict[tuple[Phase, Phase], set[str]]:
    """Each change of phase that can be reached, and the kinds of event that cause it."""
    found: dict[tuple[Phase, Phase], set[str]] = {}
    seen: set[State] = set()
    waiting = deque([State()])
    while waiting:
        state = waiting.popleft()
        for event in _events(state):
            after, _ = recorder.step(state, event)
            if after.phase is not state.phase:
                found.setdefault((state.phase, after.phase), set()).add(type(event).__name__)
            after = State(**{name: getattr(after, name) for name in _CHANGES_PHASE})
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return found


def _diagram() -> Iterator[str]:
    yield "## Diagram\n"
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> starting"
    for (before, after), causes in transitions().items():
        if after is not Phase.SHUTTING_DOWN:  # on Quit, from everywhere
            yield f"    {before.value} --> {after.value}: {', '.join(sorted(causes))}"
    yield "    shutting_down --> [*]"
    yield "```"


def _lamps() -> Iterator[str]:
    yield "## Lamps\n"
    yield "| | green | red | yellow |"
    yield "|---|---|---|---|"
    shown = {_PHASES[phase]: State(phase=phase) for phase in Phase}
    shown["只录音 sound only"] = State(phase=Phase.RECORDING, mode="sound_only")
    shown["没有图像 picture lost"] = State(phase=Phase.DEGRADED, picture=False)
    shown["需要注意 attention"] = State(phase=Phase.ARMED, attention=True)
    for name, state in shown.items():
        lit = lamps(state)
        yield f"| {name} | {lit.green} | {lit.red} | {lit.yellow} |"


def main() -> None:
    """Write the page."""
    PATH.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
