"""What of a shift stands in its picture: lanes of bars and marks on one time axis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hw_sim.demo import stage as stages
from hw_sim.scenario.facts import Fact
from hw_sim.scenario.judge import fragments, part_ends
from hw_sim.scenario.shift import Played
from hw_sim.scenario.words import ACTORS, COLOURS, DETAILS, RECORDS, TRUTHS, VALUES
from hw_sim.words import CAUSES, PHASES

_BUTTONS: Final = {
    stages.RECORD_PIN: ("录像键", "#34495e"),
    stages.MARK_PIN: ("标记键", "#8e6bb0"),
    stages.DOCK_PIN: ("采集站", "#7fa8d8"),
}
_LAMPS: Final = {5: ("绿", "#2e9e4f"), 6: ("红", "#d63031"), 13: ("黄", "#e0b400"), 19: ("振动", "#555555")}
_TOUCH_NS = 100_000_000  # fragments closer than this are one bar
_CUT_SHORT_NS = 300_000_000  # of a prompt that was not said to its end
_GLITCH_NS = 10_000_000  # a pin that the camera claims or gives up flickers
_FAULT = "#b8324f"


@dataclass(frozen=True, slots=True)
class Bar:
    """A span of time, nanoseconds of the host's clock. `inside`: its label stands in it, and only if there is room."""

    from_ns: int
    to_ns: int
    colour: str
    label: str = ""
    inside: bool = True


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the picture. `stacked`: each item gets room for its label."""

    title: str
    bars: tuple[Bar, ...]
    stacked: bool = False


def lanes(played: Played) -> list[Lane]:
    """The lanes, those without anything in them left out."""
    found = [
        Lane("供电 power", tuple(_power(played))),
        Lane("阶段 phase", tuple(_phases(played))),
        Lane("画面 picture", tuple(_recorded(played, "frames", "#c0392b"))),
        Lane("声音 sound", tuple(_recorded(played, "samples", "#2471a3"))),
        Lane("中断 gaps", tuple(_gaps(played)), stacked=True),
        Lane("语音 prompts", tuple(_prompts(played)), stacked=True),
        Lane("人声 speech", tuple(_speech(played)), stacked=True),
        Lane("按键 buttons", tuple(_levels(played, _BUTTONS, closed=0)), stacked=True),
        Lane("故障 faults made", tuple(_faults(played)), stacked=True),
        Lane("日志 journal", tuple(_records(played)), stacked=True),
        *(
            Lane(f"{word}灯 lamp" if pin != stages.DOCK_PIN and word != "振动" else f"{word} buzz", lit)
            for pin, (word, colour) in _LAMPS.items()
            if (lit := tuple(_levels(played, {pin: ("", colour)}, closed=1)))
        ),
    ]
    return [replace(lane, bars=tuple(sorted(lane.bars, key=lambda bar: bar.from_ns))) for lane in found if lane.bars]


def _named(played: Played, *names: str) -> list[Fact]:
    return [fact for fact in played.facts if fact.name in names]


def _power(played: Played) -> Iterator[Bar]:
    on: int | None = played.began_ns
    for fact in _named(played, "power"):
        if fact.members["action"] == "on":
            on = fact.at_ns
        elif on is not None:
            yield Bar(on, fact.at_ns, "#8fb996", "通电")
            on = None
    if on is not None:
        yield Bar(on, played.ended_ns, "#8fb996", "通电")


def _phases(played: Played) -> Iterator[Bar]:
    ends = [fact for fact in played.facts if fact.name == "phase" or _stops_the_camera(fact)]
    for number, fact in enumerate(ends):
        after = ends[number + 1].at_ns if number + 1 < len(ends) else played.ended_ns
        if fact.name == "phase":
            phase = fact.members["phase"]
            word, colour = PHASES.get(phase, phase), COLOURS.get(phase, "#888888")
            yield Bar(fact.at_ns, max(after, fact.at_ns), colour, word)


def _stops_the_camera(fact: Fact) -> bool:
    return (fact.name, fact.members.get("action")) in {("power", "cut"), ("program", "kill")}


def _recorded(played: Played, member: str, colour: str) -> Iterator[Bar]:
    """Spans of the fragments in which there is something of it, joined."""
    spans = sorted((a, b) for a, b, body in fragments(played) if body[member])
    joined: list[tuple[int, int]] = []
    for from_ns, to_ns in spans:
        if joined and from_ns - joined[-1][1] < _TOUCH_NS:
            joined[-1] = joined[-1][0], max(to_ns, joined[-1][1])
        else:
            joined.append((from_ns, to_ns))
    for from_ns, to_ns in joined:
        yield Bar(from_ns, to_ns, colour, f"{(to_ns - from_ns) / 1e9:.1f} s")


def _gaps(played: Played) -> Iterator[Bar]:
    ends = part_ends(played)
    for fact in _journal(played, "gap"):
        body = fact.members
        after = ends.get((body["recording"], body["after_part"]))
        before = ends.get((body["recording"], body["before_part"]))
        from_ns = after[1] if after else fact.at_ns
        most = "未知" if body["max_ms"] is None else f"{body['max_ms'] / 1000:.1f}"
        cause = CAUSES.get(body["cause"], body["cause"])
        label = f"{cause} {body['cause']}：{body['min_ms'] / 1000:.1f}–{most} s"
        yield Bar(from_ns, before[0] if before else played.ended_ns, "#4a4a4a", label, inside=False)


def _prompts(played: Played) -> Iterator[Bar]:
    """From when a prompt could be said, since the one before was over, to its end."""
    texts = _texts()
    said = _named(played, "said")
    over_ns = 0
    for fact in _named(played, "say"):
        key, death_ns = fact.members["prompt"], _death(played, fact.at_ns)
        ends = (s.at_ns for s in said if fact.at_ns <= s.at_ns <= death_ns and s.members["prompt"] == key)
        end = next(ends, None)
        from_ns = max(fact.at_ns, over_ns) if end is not None and over_ns < end else fact.at_ns
        over_ns = end or over_ns
        label = fact.members.get("text") or texts.get(key) or key
        label = label if len(label) <= 16 else f"{label[:15]}…"  # noqa: PLR2004 - the notice is 30 long
        # One that was not said to its end ended with the camera, or somewhere: nobody tells.
        to_ns = end or (death_ns if death_ns < played.ended_ns else from_ns + _CUT_SHORT_NS)
        yield Bar(from_ns, to_ns, "#5dade2", f"{label} {key}", inside=False)


def _death(played: Played, at_ns: int) -> int:
    """When the camera that runs at that time was killed; the shift's end if it was not."""
    return next((f.at_ns for f in played.facts if f.at_ns > at_ns and _stops_the_camera(f)), played.ended_ns)


def _texts() -> dict[str, str]:
    """What the prompts say, from the camera's package data; its code is none of our business."""
    path = Path(__file__).parents[2] / "firmware" / "voice" / "prompts" / "zh" / "prompts.json"
    try:
        return {entry["key"]: entry["text"] for entry in json.loads(path.read_text("utf-8"))["prompts"]}
    except (OSError, ValueError, KeyError):
        return {}


def _speech(played: Played) -> Iterator[Bar]:
    facts = _named(played, "sound")
    for fact in facts:
        if fact.members["event"] == "clip_started":
            file = fact.members["file"]
            over = (f.at_ns for f in facts if f.members["event"] == "clip_ended" and f.members["file"] == file)
            end = next((at for at in over if at >= fact.at_ns), played.ended_ns)
            yield Bar(fact.at_ns, end, "#58a55c", Path(file).stem, inside=False)


def _levels(played: Played, pins: dict[int, tuple[str, str]], closed: int) -> Iterator[Bar]:
    """Spans in which a pin has that level. Who kills the camera opens every pin."""
    since: dict[int, int] = {}

    def until(pin: int, at_ns: int) -> Iterator[Bar]:
        from_ns = since.pop(pin, at_ns)
        if at_ns - from_ns >= _GLITCH_NS:
            yield Bar(from_ns, at_ns, pins[pin][1], pins[pin][0], inside=False)

    for fact in played.facts:
        if _stops_the_camera(fact):
            yield from (bar for pin in pins for bar in until(pin, fact.at_ns))
        elif fact.name == "pin" and fact.members["pin"] in pins:
            if fact.members["level"] == closed:
                since.setdefault(fact.members["pin"], fact.at_ns)
            else:
                yield from until(fact.members["pin"], fact.at_ns)
    yield from (bar for pin in pins for bar in until(pin, played.ended_ns))


def _faults(played: Played) -> Iterator[Bar]:
    for done in played.done:
        step = done.step
        if step.actor in {"officer", "owner", "dock"}:
            continue
        detail = " ".join(str(value) for value in step.arguments.values())
        label = f"{ACTORS.get(step.actor, step.actor)} {step.actor} {step.action} {detail}".strip()
        yield Bar(done.from_ns, done.from_ns, _FAULT, label, inside=False)


def _records(played: Played) -> Iterator[Bar]:
    for fact in _journal(played, *RECORDS):
        kind = fact.members["kind"]
        detail: Any = fact.members.get(DETAILS.get(kind, ""))
        told = TRUTHS[kind][detail] if isinstance(detail, bool) else VALUES.get(detail, detail or "")
        colour = _FAULT if kind in {"alert", "fault", "gap"} else "#34495e"
        yield Bar(fact.at_ns, fact.at_ns, colour, f"{RECORDS[kind]} {told}".strip(), inside=False)


def _journal(played: Played, *kinds: str) -> Iterable[Fact]:
    return [fact for fact in played.facts if fact.name == "record" and fact.members["kind"] in kinds]
