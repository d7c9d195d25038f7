"""Holds what came of a shift against what its scenario expects, and against what must always be so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hw_sim.scenario.facts import Fact, Pattern
from hw_sim.scenario.plan import Expect, ExpectRecording
from hw_sim.scenario.shift import Played

_SHOWN = 4  # facts told where an expectation was not met
_ROUNDING_MS = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether something holds, and what was seen."""

    what: str
    ok: bool
    seen: str


def judge(played: Played) -> list[Finding]:
    """Everything that was expected."""
    setting = played.scenario.setting
    found = [_met(played, expect) for expect in setting.expect]
    if setting.recordings is not None:
        found += _recordings(played, setting.recordings)
    return [*found, *_always(played)]


def _met(played: Played, expect: Expect) -> Finding:
    pattern = Pattern.parse(expect.fact)
    of_kind = [fact for fact in played.facts if pattern.matches(fact)]
    facts = [fact for fact in of_kind if _within(fact, expect.where)]
    what = expect.what or _words(expect)
    if expect.after is not None:
        after = Pattern.parse(expect.after)
        first = next((fact.at_ns for fact in played.facts if after.matches(fact)), None)
        if first is None:
            return Finding(what, ok=False, seen=f"没有 no {expect.after!r}")
        until = played.ended_ns if expect.within is None else first + int(expect.within * 1e9)
        facts = [fact for fact in facts if first <= fact.at_ns <= until]
    ok = len(facts) == expect.count if expect.count is not None else bool(facts)
    shown = facts or of_kind
    seen = "；".join(f"{played.second(fact.at_ns):.2f} s {_short(fact)}" for fact in shown[:_SHOWN]) or "没有 none"
    return Finding(what, ok, seen if len(shown) <= _SHOWN else f"{seen}；… {len(shown)}")


def _words(expect: Expect) -> str:
    number = "" if expect.count is None else f" ×{expect.count}"
    within = f" {expect.after} + {expect.within:g} s" if expect.within is not None else ""
    return f"{expect.fact}{number}{within}"


def _short(fact: Fact) -> str:
    text = str(fact)
    return text if len(text) <= 160 else f"{text[:157]}…"  # noqa: PLR2004 - a line


def _within(fact: Fact, where: Mapping[str, tuple[float, ...]]) -> bool:
    for path, (low, high) in where.items():
        value = fact.member(path)
        if not isinstance(value, int | float) or not low <= value <= high:
            return False
    return True


def _recordings(played: Played, expected: tuple[ExpectRecording, ...]) -> Iterator[Finding]:
    told = played.verdict["recordings"]
    yield Finding("录像数 recordings", len(told) == len(expected), str(len(told)))
    for wanted, seen in zip(expected, told, strict=False):
        name = seen["recording"]
        yield Finding(f"{name} 段数 parts", seen["parts"] == wanted.parts, str(seen["parts"]))
        yield Finding(f"{name} 已结束 ended", seen["ended"] == wanted.ended, str(seen["ended"]).lower())
        seconds = seen["recorded_ms"] / 1000
        low, high = wanted.seconds
        yield Finding(f"{name} 已录时长 recorded, {low:g} to {high:g} s", low <= seconds <= high, f"{seconds:.2f} s")
        causes = [gap["cause"] for gap in seen["gaps"]]
        wanted_causes = [gap.cause for gap in wanted.gaps]
        yield Finding(f"{name} 中断 gaps: {', '.join(wanted_causes) or 'none'}", causes == wanted_causes, str(causes))
        for gap, body in zip(wanted.gaps, seen["gaps"], strict=False):
            low, high = gap.seconds
            most = body["max_ms"]
            ok = body["min_ms"] / 1000 >= low and (most is None or most / 1000 <= high)
            bounds = f"{body['min_ms'] / 1000:.2f} … {'未知 open' if most is None else f'{most / 1000:.2f}'} s"
            yield Finding(f"{name} 中断时长 gap {gap.cause}, {low:g} to {high:g} s", ok, bounds)


def _always(played: Played) -> Iterator[Finding]:
    """What holds of every shift."""
    yield Finding("演完全程 the shift was played to its end", not played.stopped, played.stopped or "yes")
    wanted = played.scenario.setting.verify
    verdicts = [finding["verdict"] for finding in played.verdict["findings"]]
    missing = set(wanted.findings) - set(verdicts)
    told = "; ".join(finding["message"] for finding in played.verdict["findings"]) or "0 findings"
    what = (
        "验真 the verifier finds nothing wrong"
        if wanted.ok
        else f"验真 the verifier finds {', '.join(wanted.findings)}"
    )
    yield Finding(what, played.verified == wanted.ok and not missing, told)
    if played.exit_status is not None:
        yield Finding("正常关机 the camera's program ended in order", played.exit_status == 0, str(played.exit_status))
    yield _threads(played)
    yield from _bounds(played)


def _threads(played: Played) -> Finding:
    """No thread dies silently: what Python or a library prints as it dies stands in the log as no JSON line."""
    died = [
        f"{log.name}: {line}"
        for log in sorted(played.stage.logs.glob("camera-*.log"))
        for line in log.read_text("utf-8", "replace").splitlines()
        if line.startswith(("Traceback", "Exception in thread", "Exception ignored", "Fatal Python error"))
    ]
    return Finding("没有线程无声退出 no thread died silently", not died, "; ".join(died) or "none")


def _bounds(played: Played) -> Iterator[Finding]:
    """Each gap is told with bounds, and the host's own clock, which the camera cannot see, says how long it was."""
    ends = part_ends(played)
    for fact in played.facts:
        if fact.name != "record" or fact.members["kind"] != "gap":
            continue
        body = fact.members
        after, before = (ends.get((body["recording"], body[key])) for key in ("after_part", "before_part"))
        if after is None or before is None or body["after_part"] == body["before_part"]:
            continue
        length = (before[0] - after[1]) / 1e6
        most = body["max_ms"]
        ok = body["min_ms"] - _ROUNDING_MS <= length and (most is None or length <= most + _ROUNDING_MS)
        seen = f"{body['min_ms'] / 1000:.2f} ≤ {length / 1000:.2f} ≤ {'∞' if most is None else f'{most / 1000:.2f}'} s"
        yield Finding(f"界限属实 the bounds of the gap {body['cause']} hold the truth", ok, seen)


def part_ends(played: Played) -> dict[tuple[str, int], tuple[int, int]]:
    """Where each part begins and ends by the host's clock, from the fragments of its journal."""
    ends: dict[tuple[str, int], tuple[int, int]] = {}
    for from_ns, to_ns, body in fragments(played):
        key = body["recording"], body["part"]
        first, last = ends.get(key, (from_ns, to_ns))
        ends[key] = min(first, from_ns), max(last, to_ns)
    return ends


def fragments(played: Played) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    """Span of each fragment by the host's clock, and its record's body."""
    for fact in played.facts:
        if fact.name == "record" and fact.members["kind"] == "fragment":
            power_on_ns = fact.at_ns - fact.members["boot_ns"]
            yield power_on_ns + fact.members["from_ns"], power_on_ns + fact.members["to_ns"], fact.members
