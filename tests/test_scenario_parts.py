"""The parts of a scenario: strict reading, facts and patterns, the judge, the picture, the rewriting of orders."""

from __future__ import annotations

import dataclasses
import itertools
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_sim import world as worlds
from hw_sim.demo.stage import Stage
from hw_sim.scenario import lanes, plan, rewrite, timeline, toml
from hw_sim.scenario.facts import Diary, Fact, Pattern
from hw_sim.scenario.judge import judge
from hw_sim.scenario.shift import Done, Played
from runtime.config import ConfigError

SMALL = """\
name = "small"
title = "小 small"

[[at]]
after = "phase armed"
actor = "officer"
action = "press"

[[at]]
later = 1
actor = "lens"
action = "fault"
kind = "hang"
frames = 25
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --- Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('name = "small"', 'name = "Small one"'), "name: expected text (text like"),
        (('title = "小 small"', ""), "title: missing"),
        (('title = "小 small"', 'titel = "x"'), "titel: unknown key"),
        (('action = "press"', 'action = "dance"'), "at[0]: 'officer' cannot 'dance'; expected one of officer press,"),
        (('kind = "hang"', ""), "at[1].kind: missing"),
        (("frames = 25", "frames = 0"), "at[1].frames: expected a whole number (at least 1), found 0"),
        (("frames = 25", "loudness = 3"), "at[1].loudness: unknown key"),
        (("later = 1", "later = 1\ntime = 3"), "at[1]: a step has a time, or comes after a fact"),
        (('after = "phase armed"', 'after = "=armed"'), "at[0]: a fact is NAME [VALUE]"),
        (('title = "小 small"', 'title = "小"\n[world.lens]\nscene = 3'), "world.lens.scene: expected text, found 3"),
        (("[[at]]", "[at]"), "is not TOML"),
        (("frames = 25", "[[expect]]\nfact = 'say x'\nwhere = { a = [1] }"), "expect[0]: where: a range is [FROM, TO]"),
        (("frames = 25", "[[expect]]\nfact = 'say x'\nwithin = 3"), "expect[0]: within: counts from the fact"),
        (("frames = 25", "[[recordings]]\nparts = 0"), "recordings[0].parts: expected a whole number"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    path = write(tmp_path, SMALL.replace(*change, 1))
    with pytest.raises(ConfigError) as raised:
        plan.load(path)
    assert says in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("pattern", "fact", "matches"),
    [
        ("phase armed", Fact(0, "phase", {"phase": "armed"}), True),
        ("phase", Fact(0, "phase", {"phase": "armed"}), True),
        ("phase recording", Fact(0, "phase", {"phase": "armed"}), False),
        ("record notice heard=true", Fact(0, "record", {"kind": "notice", "heard": True}), True),
        ("record notice heard=True", Fact(0, "record", {"kind": "notice", "heard": True}), False),
        ("record gap max_ms=null", Fact(0, "record", {"kind": "gap", "max_ms": None}), True),
        ("record armed checks.clock=rtc", Fact(0, "record", {"kind": "armed", "checks": {"clock": "rtc"}}), True),
        ("pin 19 level=1", Fact(0, "pin", {"pin": 19, "level": 1}), True),
        ("lens fault kind=hang", Fact(0, "lens", {"action": "fault", "kind": "hang"}), True),
    ],
)  # fmt: skip
def test_a_pattern_matches_by_name_and_members(pattern: str, fact: Fact, matches: bool) -> None:
    assert Pattern.parse(pattern).matches(fact) is matches


def test_a_diary_reads_whole_lines_once_and_waits_with_a_bound(tmp_path: Path) -> None:
    log, diary = tmp_path / "room.jsonl", Diary()
    diary.follow_room(log)
    log.write_text('{"boottime_ns": 5, "event": "ready"}\n{"boottime_ns": 9, "ev', encoding="utf-8")
    diary.gather()
    with log.open("a", encoding="utf-8") as file:
        file.write('ent": "stopped"}\n')
    found = diary.wait(Pattern.parse("sound stopped"), 0, 5)
    assert found is not None
    assert found.at_ns == 9
    assert [fact.at_ns for fact in diary.facts] == [5, 9]
    assert diary.wait(Pattern.parse("sound kitchen"), 0, 0.05) is None


# --- Judging and drawing ---------------------------------------------------------------------------------------------


def played(tmp_path: Path, text: str, *facts: Fact, **changes: Any) -> Played:
    """A shift of ten seconds that nobody played."""
    stage = Stage(tmp_path, 1, 2, 3)
    stage.logs.mkdir(exist_ok=True)
    made = Played(plan.load(write(tmp_path, text)), stage, ended_ns=10**10, exit_status=0, verified=True)
    made.verdict = {"findings": [], "recordings": []}
    made.facts = sorted(facts, key=lambda fact: fact.at_ns)
    return dataclasses.replace(made, **changes)


def said(second: float, prompt: str) -> Fact:
    return Fact(int(second * 1e9), "say", {"prompt": prompt})


def record(second: float, kind: str, **body: Any) -> Fact:
    at_ns = int(second * 1e9)
    return Fact(at_ns, "record", {"kind": kind, "seq": 1, "boot": "00" * 16, "boot_ns": at_ns, **body})


@pytest.mark.parametrize(
    ("expect", "holds"),
    [
        ('fact = "say notice"', True),
        ('fact = "say notice"\ncount = 2', True),
        ('fact = "say notice"\ncount = 1', False),
        ('fact = "say marked"\ncount = 0', True),
        ('fact = "say notice"\nafter = "say ask_reason"', True),
        ('fact = "say notice"\nafter = "say ask_reason"\ncount = 1', True),
        ('fact = "say notice"\nafter = "say ask_reason"\nwithin = 1', False),
        ('fact = "say notice"\nafter = "say marked"', False),
        ('fact = "record marker"\nwhere = { at_ns = [5, 7] }', True),
        ('fact = "record marker"\nwhere = { at_ns = [7, 9] }', False),
        ('fact = "record marker"\nwhere = { "at.ns" = [0, 9] }', False),
    ],
)
def test_an_expectation_holds_or_does_not(tmp_path: Path, expect: str, holds: bool) -> None:
    facts = [said(1, "notice"), said(2, "ask_reason"), said(5, "notice"), record(6, "marker", at_ns=6)]
    finding, *always = judge(played(tmp_path, f"{SMALL}\n[[expect]]\n{expect}\n", *facts))
    assert finding.ok is holds
    assert all(other.ok for other in always)


def gap(**changes: Any) -> list[Fact]:
    """A part that ends at 3 s, a gap, a part that begins at 5 s by the host's clock."""
    body = {"recording": "r", "after_part": 1, "before_part": 2, "cause": "crash", "min_ms": 1500, "max_ms": 2500}
    one = {"recording": "r", "samples": 2400, "frames": 1}
    return [
        record(3, "fragment", **one, part=1, from_ns=1 * 10**9, to_ns=3 * 10**9),
        record(6, "fragment", **one, part=2, from_ns=5 * 10**9, to_ns=6 * 10**9),
        record(6, "gap", **{**body, **changes}),
    ]


@pytest.mark.parametrize(
    ("changes", "holds"),
    [({}, True), ({"max_ms": None}, True), ({"min_ms": 2100}, False), ({"max_ms": 1900}, False)],
)
def test_a_gap_is_held_against_the_hosts_clock(tmp_path: Path, changes: dict[str, Any], holds: bool) -> None:
    findings = judge(played(tmp_path, SMALL, *gap(**changes)))
    assert all(finding.ok for finding in findings) is holds


def test_recordings_are_held_against_the_verifiers_word(tmp_path: Path) -> None:
    text = f'{SMALL}\n[[recordings]]\nparts = 2\nseconds = [9, 11]\ngaps = [{{ cause = "crash", seconds = [1, 2] }}]\n'
    told = {"recording": "r", "parts": 2, "ended": True, "recorded_ms": 10_000, "segments": []}
    body = {"cause": "crash", "min_ms": 1000, "max_ms": 2000}

    def holds(**changes: Any) -> bool:
        verdict = {"findings": [], "recordings": [{**told, "gaps": [body], **changes}]}
        return all(finding.ok for finding in judge(played(tmp_path, text, verdict=verdict)))

    assert holds()
    assert not holds(parts=1)
    assert not holds(ended=False)
    assert not holds(recorded_ms=8_000)
    assert not holds(gaps=[])
    assert not holds(gaps=[{**body, "cause": "power_cut"}])
    assert not holds(gaps=[{**body, "max_ms": 3000}])
    assert holds(gaps=[{**body, "max_ms": None}])  # an open end is no contradiction
    assert not all(finding.ok for finding in judge(played(tmp_path, text)))  # no recording at all


@pytest.mark.parametrize(
    "changes", [{"verified": False}, {"exit_status": 1}, {"stopped": "no 'phase armed' within 20 s"}]
)
def test_what_must_always_hold_is_not_forgotten(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert all(finding.ok for finding in judge(played(tmp_path, SMALL)))
    assert not all(finding.ok for finding in judge(played(tmp_path, SMALL, **changes)))


def test_a_thread_that_died_is_found_in_the_log(tmp_path: Path) -> None:
    shift = played(tmp_path, SMALL)
    (shift.stage.logs / "camera-1.log").write_text("Exception in thread eye:\nTraceback\n", encoding="utf-8")
    assert any("camera-1.log: Exception in thread eye" in f.seen for f in judge(shift) if not f.ok)


def test_the_picture_shows_what_was_recorded_and_what_was_not(tmp_path: Path) -> None:
    shift = played(tmp_path, SMALL, *gap(), said(1, "notice"), Fact(1, "phase", {"phase": "recording"}))
    shift.done = [Done(shift.scenario.at[1], 2 * 10**9, 2 * 10**9)]
    titles = {lane.title: lane.bars for lane in lanes.lanes(shift)}
    assert [(bar.from_ns, bar.to_ns) for bar in titles["画面 picture"]] == [(10**9, 3 * 10**9), (5 * 10**9, 6 * 10**9)]
    assert [(bar.from_ns, bar.to_ns) for bar in titles["中断 gaps"]] == [(3 * 10**9, 5 * 10**9)]
    root = ET.fromstring(timeline.svg(shift, judge(shift)))  # noqa: S314 - our own
    words = " ".join(text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert all(word in words for word in ("小 small", "程序崩溃 crash", "镜头 lens fault hang", "notice", "符合预期"))


def test_labels_of_a_lane_do_not_cover_each_other(tmp_path: Path) -> None:
    shift = played(tmp_path, SMALL, *(said(1 + n / 10, f"prompt_{n}") for n in range(6)))
    picture = timeline._Picture(shift)
    (lane,) = (lane for lane in lanes.lanes(shift) if lane.title.startswith("语音"))
    placed = sorted(zip(picture._rows(lane), map(picture._extent, lane.bars), strict=True))
    for (row, (_, right)), (next_row, (left, _)) in itertools.pairwise(placed):
        assert row != next_row or right <= left


# --- Recording -------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")))
values = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), texts, st.lists(st.integers(0, 9)))
keys = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
tables = st.recursive(
    st.dictionaries(keys, values),
    lambda inner: st.dictionaries(keys, st.one_of(values, inner, st.lists(inner, min_size=1, max_size=3)), max_size=4),
    max_leaves=8,
)


@given(tables)
def test_toml_that_is_written_reads_back(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml.dump(table)) == table


def orders(*given: tuple[float, str, dict[str, Any]]) -> Iterator[str]:
    for second, to, order in given:
        yield json.dumps({"boottime_ns": int(second * 1e9), "to": to, **order}) + "\n"


def rewritten(
    folder: Path, *given: tuple[float, str, dict[str, Any]]
) -> list[tuple[float | None, str, dict[str, Any]]]:
    """The steps of the scenario that is made of these orders, read back."""
    worlds.create(folder / "world")
    (folder / "world" / "orders.jsonl").write_text("".join(orders(*given)), encoding="utf-8")
    path = write(folder, rewrite.scenario(folder / "world", "small", folder / "camera"))
    return [(step.when.time, f"{step.actor} {step.action}", dict(step.arguments)) for step in plan.load(path).at]


def test_orders_become_steps(tmp_path: Path) -> None:
    clip = str(Path("somewhere", "hw_sim", "media", "answer_battery.flac"))
    assert rewritten(
        tmp_path,
        (90, "power", {"do": "on"}),  # for the room
        (100, "power", {"do": "on"}),
        (100.4, "program", {"do": "start"}),
        (103, "camera", {"do": "pin", "pin": 17, "level": 0}),
        (103.25, "camera", {"do": "pin", "pin": 17, "level": None}),
        (105, "camera", {"do": "press", "pin": 27, "seconds": 0.2}),
        (106, "camera", {"do": "lens_fault", "kind": "hang", "frames": 3}),
        (107, "camera", {"do": "pin", "pin": 27, "level": 0}),
        (107.1, "room", {"do": "play", "file": clip}),
        (111, "camera", {"do": "pin", "pin": 27, "level": None}),
        (112, "card", {"do": "limit", "bytes": 40_000_000}),
        (112, "card", {"do": "rules", "rules": [{"op": "fsync", "delay_ms": 90}]}),
        (113, "card", {"do": "cut", "keep": "bytes", "seed": 4}),
        (115, "power", {"do": "on"}),
        (115.5, "program", {"do": "start"}),
        (117, "program", {"do": "start"}),  # killed by somebody who does not say so
        (120, "camera", {"do": "pin", "pin": 22, "level": 0}),
        (125, "program", {"do": "stop"}),
    ) == [
        (3.0, "officer press", {"button": "record", "seconds": 0.25}),
        (5.0, "officer press", {"button": "mark", "seconds": 0.2}),
        (6.0, "lens fault", {"kind": "hang", "frames": 3}),
        (7.0, "officer push", {"button": "mark"}),
        (7.1, "officer say", {"clip": "answer_battery", "wait": False}),
        (11.0, "officer release", {"button": "mark"}),
        (12.0, "card size", {"megabytes": 40.0}),
        (12.0, "card rules", {"rules": [{"op": "fsync", "delay_ms": 90}]}),
        (13.0, "power cut", {"keep": "bytes", "seed": 4}),
        (15.0, "power on", {}),
        (17.0, "program kill", {}),
        (17.0, "program start", {}),
        (20.0, "dock insert", {}),
        (25.0, "officer wait", {}),
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "no camera was started"),
        ([(1, "power", {"do": "on"}), (2, "program", {"do": "start"})], "nothing was done"),
        (
            [(1, "power", {"do": "on"}), (2, "program", {"do": "start"}), (3, "camera", {"do": "fly"})],
            "no actor of a scenario can do 'camera fly'",
        ),
    ],
)
def test_what_cannot_be_a_scenario_is_refused(
    tmp_path: Path, given: list[tuple[float, str, dict[str, Any]]], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        rewritten(tmp_path, *given)
