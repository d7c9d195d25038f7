"""A scenario, read strictly: what surrounds the camera, who does what when, and what must come of it.

docs/scenarios.md tells each key. Times are seconds since the shift began, that is since the camera's power came first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from hw_sim.scenario.actions import ACTIONS, Action
from hw_sim.scenario.facts import Pattern
from hw_sim.world import World
from runtime import config
from runtime.config import Between, ConfigError, Matches

Seconds = Annotated[float, Between(0, 3600)]
Text = Annotated[str, Matches(r".+")]
_SHIPPED = "shifts"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What the office decides for the camera: settings of `bodycam provision camera`."""

    officer: str = "000123"
    officer_name: str = "张三"
    unit: str = "执法大队"
    activity: str | None = "inspection"
    segment_seconds: int = 5
    pre_event_seconds: int = 3
    answer_seconds: int = 4
    notice_attempts: int | None = None
    planned_shift_minutes: int | None = None
    release_after_seconds: int | None = None
    quiet: bool | None = None


@dataclass(frozen=True, slots=True)
class When:
    """When a step is done: at a time, after a fact that must come within so many seconds, or some time later."""

    time: Seconds | None = None
    after: Text | None = None
    within: Seconds = 20.0  # seconds for the fact to come, from the step before on
    later: Seconds = 0.0  # seconds after the fact, or after the end of the step before

    def __post_init__(self) -> None:
        if self.time is not None and (self.after is not None or self.later):
            raise ValueError("a step has a time, or comes after a fact or later than the step before; not both")
        if self.after is not None:
            Pattern.parse(self.after)


@dataclass(frozen=True, slots=True)
class Step:
    """Who does what when. `name` tells apart steps that are alike, in patterns and in the report."""

    when: When
    actor: str
    action: str
    deed: Action
    arguments: Mapping[str, Any]  # as the scenario gives them
    name: str | None = None

    def members(self) -> dict[str, Any]:
        """As a fact's members, with what the scenario left to the action's defaults."""
        named = {"action": self.action, "name": self.name, **dataclasses.asdict(self.deed)}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Expect:
    """A fact that must be there: at least once, or just `count` times; none at all with `count = 0`.

    `where`: members that must lie in a range. `after`: only facts from the first fact of that pattern on count, and
    `within` so many seconds of it.
    """

    fact: Text
    what: str = ""  # in words
    where: dict[str, tuple[float, ...]] = field(default_factory=dict)
    count: Annotated[int, Between(0)] | None = None
    after: Text | None = None
    within: Seconds | None = None

    def __post_init__(self) -> None:
        for pattern in (self.fact, self.after):
            if pattern is not None:
                Pattern.parse(pattern)
        if any(len(bounds) != 2 for bounds in self.where.values()):  # noqa: PLR2004 - from, to
            raise ValueError("where: a range is [FROM, TO], both included")
        if self.within is not None and self.after is None:
            raise ValueError("within: counts from the fact that `after` names")


@dataclass(frozen=True, slots=True)
class ExpectGap:
    """A gap: its cause, and what its least and greatest length may be, seconds."""

    cause: str
    seconds: tuple[float, ...] = (0.0, 3600.0)


@dataclass(frozen=True, slots=True)
class ExpectRecording:
    """A recording. `seconds`: how much of it must be recorded, gaps not counted."""

    parts: Annotated[int, Between(1)] = 1
    ended: bool = True
    seconds: tuple[float, ...] = (0.0, 3600.0)
    gaps: tuple[ExpectGap, ...] = ()


@dataclass(frozen=True, slots=True)
class ExpectVerdict:
    """What `bodycam verify` must say of the card."""

    ok: bool = True
    findings: tuple[str, ...] = ()  # verdicts that must be among its findings


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything of a scenario but its steps."""

    name: Annotated[str, Matches(r"[a-z0-9]+(-[a-z0-9]+)*")]
    title: Text
    rules: tuple[Annotated[int, Between(1, 29)], ...] = ()  # articles that it shows
    hand_in: bool = False  # dock and office are there
    world: World = field(default_factory=World)
    camera: Provisioned = field(default_factory=Provisioned)
    expect: tuple[Expect, ...] = ()
    recordings: tuple[ExpectRecording, ...] | None = None  # none named: not looked at
    verify: ExpectVerdict = field(default_factory=ExpectVerdict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One shift. `firmware`: keys and tables of camera.toml, which the camera itself checks."""

    setting: Setting
    at: tuple[Step, ...]
    firmware: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Doing:
    """A step's own keys, before those of its action are known."""

    actor: Text
    action: Text
    name: Text | None = None


def load(path: Path) -> Scenario:
    """Read a scenario. Raises ConfigError: which file, which key, what is expected."""
    table = config.read(path)
    steps = table.pop("at", None)
    firmware = table.pop("firmware", {})
    setting = config.fill(Setting, table, path)
    if not isinstance(steps, list) or not steps:
        raise ConfigError(f"{path}: at: expected at least one step [[at]]")
    if not isinstance(firmware, dict):
        raise ConfigError(f"{path}: firmware: expected a table of camera.toml's keys")
    return Scenario(setting, tuple(_step(step, path, n) for n, step in enumerate(steps)), firmware)


def shipped() -> dict[str, Path]:
    """The scenarios that the project ships, by name."""
    folder = Path(str(resources.files("hw_sim.scenario") / _SHIPPED))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _step(table: Any, path: Path, number: int) -> Step:
    key = f"at[{number}]"
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {key}: expected a table, found {table!r}")
    when = config.fill(When, _some(table, When), path, key)
    doing = config.fill(_Doing, _some(table, _Doing), path, key)
    kind = ACTIONS.get(f"{doing.actor} {doing.action}")
    if kind is None:
        known = ", ".join(ACTIONS)
        raise ConfigError(f"{path}: {key}: {doing.actor!r} cannot {doing.action!r}; expected one of {known}")
    own = {k: v for k, v in table.items() if k not in When.__slots__ and k not in _Doing.__slots__}
    deed = config.fill(kind, own, path, key)
    return Step(when, doing.actor, doing.action, deed, own, doing.name)


def _some(table: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name in kind.__slots__}
