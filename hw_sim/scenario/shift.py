"""Runs a scenario: the unchanged firmware as a process, in real time, in the simulated world."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evidence import records
from evidence.errors import EvidenceError
from hw_sim.control import ControlError
from hw_sim.demo import stage as stages
from hw_sim.demo.programs import DemoError, command
from hw_sim.demo.stage import Stage
from hw_sim.forgetful_fs import DiskError
from hw_sim.scenario import toml
from hw_sim.scenario.facts import Diary, Fact, Pattern, now_ns, record_fact
from hw_sim.scenario.plan import Scenario, Step
from hw_sim.scenario.site import ShiftError, Site, media
from hw_sim.world import World
from runtime import config

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was done, by the host's CLOCK_BOOTTIME."""

    step: Step
    from_ns: int
    to_ns: int


@dataclass(slots=True)
class Played:
    """What came of a shift. Facts are sorted by time; those of the journal are what the card holds in the end."""

    scenario: Scenario
    stage: Stage
    began_ns: int = 0
    ended_ns: int = 0
    began_utc: float = 0.0
    done: list[Done] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    stopped: str = ""  # why the shift could not be played to its end
    exit_status: int | None = None  # of the camera's program at the end; None if it was off
    verified: bool = False
    verdict: Mapping[str, Any] = field(default_factory=dict)  # of `bodycam verify --json`

    def second(self, at_ns: int) -> float:
        """Seconds since the shift began."""
        return round((at_ns - self.began_ns) / 1e9, 3)


def play(scenario: Scenario, root: Path, say: Say) -> Played:
    """Provision everybody below the new folder `root`, play the shift, verify the card."""
    stage = stages.build(root, _world(scenario.setting.world), _settings(scenario))
    _configure(stage, scenario.firmware)
    played = Played(scenario, stage)
    diary = Diary()
    try:
        with Site(stage, diary) as site:
            if scenario.setting.hand_in:
                site.open_archive()
            _play(site, played, say)
            played.facts += _journal(stage, site)
    except (ShiftError, ControlError, DemoError, DiskError) as error:
        played.stopped = str(error)
    played.ended_ns = played.ended_ns or now_ns()
    played.facts.sort(key=lambda fact: fact.at_ns)
    _verify(played)
    return played


def _play(site: Site, played: Played, say: Say) -> None:
    diary = site.diary
    try:
        played.began_ns, played.began_utc = now_ns(), time.time()
        site.power_on()
        before_ns = played.began_ns
        for step in played.scenario.at:
            _await(diary, step, played.began_ns, before_ns)
            fact = diary.add(step.actor, step.members())
            say(f"{played.second(fact.at_ns):7.2f} s  {fact}")
            before_ns = fact.at_ns
            step.deed.do(site)
            played.done.append(Done(step, fact.at_ns, now_ns()))
    except (ShiftError, ControlError, DemoError, DiskError) as error:
        played.stopped = str(error)
    finally:
        played.ended_ns = now_ns()
        played.exit_status = site.shut_down()
        diary.gather()
        played.facts += [fact for fact in diary.facts if fact.name != "record"]


def _await(diary: Diary, step: Step, began_ns: int, before_ns: int) -> None:
    when = step.when
    if when.after is not None and diary.wait(Pattern.parse(when.after), before_ns, when.within) is None:
        raise ShiftError(f"no {when.after!r} within {when.within:g} s, for the step {step.actor} {step.action}")
    pause = when.later if when.time is None else when.time - (now_ns() - began_ns) / 1e9
    diary.rest(max(0.0, pause))


def _world(world: World) -> World:
    """The world, with files named by the scenario where they are."""
    scene, sound = world.lens.scene, world.room.sound
    lens = world.lens if scene == "drawn" else dataclasses.replace(world.lens, scene=str(media(scene)))
    room = world.room if sound in {"silence", "tone"} else dataclasses.replace(world.room, sound=str(media(sound)))
    return dataclasses.replace(world, lens=lens, room=room)


def _settings(scenario: Scenario) -> Mapping[str, object]:
    told = scenario.setting.camera
    return {name: value for name in told.__slots__ if (value := getattr(told, name)) not in (None, "")}


def _configure(stage: Stage, firmware: Mapping[str, Any]) -> None:
    path = stage.camera / "camera.toml"
    path.write_text(toml.dump(_merged(config.read(path), firmware)), encoding="utf-8")


def _merged(table: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(table)
    for key, value in over.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _journal(stage: Stage, site: Site) -> list[Fact]:
    """The journal's records, as the card holds them at the end."""
    powers = {power.kernel_boot: power.power_on_boottime_ns for power in site.boots}
    lines = [line for path in sorted((stage.card / "journal").glob("*.jws")) for line in path.read_bytes().splitlines()]
    boots: dict[str, int] = {}
    found = []
    for line in lines:
        try:
            record = records.parse(line)
        except EvidenceError:
            continue  # a torn line; the verifier has its word for it
        if record.kind == "boot":
            boots[record.boot] = powers[record.body["kernel_boot"]]
        fact = record_fact(line, boots.__getitem__)
        found += [fact] if fact is not None else []
    return found


def _verify(played: Played) -> None:
    """`bodycam verify` as a process of its own, on what the card holds, with the office's key to look inside."""
    stage = played.stage
    identity = str(stage.office / "keys" / "office.age")
    arguments = ["verify", str(stage.card), "--trust", str(stage.root_certificate), "--identity", identity, "--json"]
    done = command(arguments, check=False)
    played.verified = done.returncode == 0
    if done.stdout.startswith("{"):
        played.verdict = json.loads(done.stdout)
    else:
        played.verdict = {"findings": [{"verdict": "missing", "message": done.stderr.strip()}], "recordings": []}
