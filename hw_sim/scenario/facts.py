"""What a shift's programs tell, as facts on one clock, and patterns that facts match.

A fact has a name, the host's CLOCK_BOOTTIME and members. Facts come from the camera's log (its messages: `say`,
`phase`, `alert`, ...), its journal (`record`), the room (`sound`), the pins (`pin`) and the steps of the shift itself,
whose name is the actor.

A pattern is one line of text: a name, the chief member's value, further members: `say ask_reason`, `alert camera_lost`,
`record gap cause=power_cut`, `pin 19 level=1`, `lens hang`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

CHIEF = {
    "say": "prompt",
    "said": "prompt",
    "phase": "phase",
    "alert": "what",
    "fault": "where",
    "record": "kind",
    "sound": "event",
    "pin": "pin",
}
"""The member that a pattern's second word means; `action` for a step's."""
POLL_SECONDS = 0.02
_LOG_MEMBERS = frozenset({"time", "level", "program", "source", "message"})
_ENVELOPE = frozenset({"seq", "boot", "boot_ns", "utc", "source", "error_ms"})  # of a record, around its body
_RECEDING_NS = 2_000_000  # the log tells whole milliseconds


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened at `at_ns` of the host's CLOCK_BOOTTIME."""

    at_ns: int
    name: str
    members: Mapping[str, Any]

    def member(self, path: str) -> Any:
        """The value at a path such as `checks.clock_source`; None if there is none."""
        value: Any = self.members
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def __str__(self) -> str:
        chief = CHIEF.get(self.name, "action")
        hidden = {chief} | (_ENVELOPE if self.name == "record" else frozenset())
        others = [f"{key}={_spelt(value)}" for key, value in self.members.items() if key not in hidden]
        return " ".join([self.name, _spelt(self.members.get(chief, "")), *others]).strip()


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a fact must be: its name, and the values that these members have, as JSON or plain text spells them."""

    text: str
    name: str
    members: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pattern. Raises ValueError with what is expected."""
        words = text.split()
        if not words or "=" in words[0]:
            raise ValueError(f"a fact is NAME [VALUE] [MEMBER=VALUE ...], for example 'phase recording', not {text!r}")
        name, *rest = words
        if rest and "=" not in rest[0]:
            rest[0] = f"{CHIEF.get(name, 'action')}={rest[0]}"
        pairs = [word.partition("=") for word in rest]
        if any(not key or not equals for key, equals, _ in pairs):
            raise ValueError(f"after its value a fact has MEMBER=VALUE only, not {text!r}")
        return cls(text, name, {key: value for key, _, value in pairs})

    def matches(self, fact: Fact) -> bool:
        """Tell whether `fact` is one."""
        return self.name == fact.name and all(
            wanted == _spelt(fact.member(path)) for path, wanted in self.members.items()
        )


def _spelt(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Tail:
    """Whole lines of files that grow, each read once."""

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        self._files = files
        self._read: dict[Path, int] = {}

    def lines(self) -> Iterator[bytes]:
        """The lines that have come since the last call."""
        with contextlib.suppress(OSError):  # a card without power
            for path in self._files():
                yield from self._new(path)

    def _new(self, path: Path) -> Iterator[bytes]:
        at = self._read.get(path, 0)
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(at)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path] = at + len(whole)
            yield from whole.splitlines()


@dataclass(slots=True)
class Diary:
    """The facts of a shift, gathered whenever somebody waits; `check` raises if waiting makes no sense any more."""

    check: Callable[[], None] = lambda: None
    facts: list[Fact] = field(default_factory=list)
    _sources: list[tuple[Tail, Callable[[bytes], Fact | None]]] = field(default_factory=list)

    def follow_log(self, path: Path) -> None:
        """Gather the log of a program from its beginning."""
        offset_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.time_ns()
        self._sources.append((Tail(lambda: [path]), lambda line: _from_log(line, offset_ns)))

    def follow_room(self, path: Path) -> None:
        """Gather the room's diary."""
        self._sources.append((Tail(lambda: [path]), lambda line: _from_json(line, "sound", "boottime_ns")))

    def follow_pins(self, path: Path) -> None:
        """Gather the changes of the pins' levels."""
        self._sources.append((Tail(lambda: [path]), lambda line: _from_json(line, "pin", "boot_ns")))

    def follow_journal(self, folder: Path, power_on_ns: int) -> Callable[[], None]:
        """Gather records of one boot as they are published; the result ends that."""
        tail = Tail(lambda: sorted(folder.glob("*.jws")))
        for _ in tail.lines():
            pass  # of boots before
        source = (tail, lambda line: record_fact(line, lambda _: power_on_ns))
        self._sources.append(source)
        return lambda: self._sources.remove(source)

    def add(self, name: str, members: Mapping[str, Any]) -> Fact:
        """Add a fact of now."""
        fact = Fact(now_ns(), name, members)
        self.facts.append(fact)
        return fact

    def gather(self) -> None:
        """Read what has come."""
        for tail, parse in self._sources:
            self.facts += [fact for line in tail.lines() if (fact := parse(line)) is not None]

    def rest(self, seconds: float) -> None:
        """Let time pass."""
        until = now_ns() + int(seconds * 1e9)
        while (left := until - now_ns()) > 0:
            self.gather()
            self.check()
            time.sleep(min(POLL_SECONDS, max(left, 0) / 1e9))

    def wait(self, pattern: Pattern, since_ns: int, seconds: float) -> Fact | None:
        """The first fact from `since_ns` on that matches; None if none comes in time."""
        deadline = now_ns() + int(seconds * 1e9)
        while True:
            self.gather()
            matching = [f for f in self.facts if f.at_ns >= since_ns - _RECEDING_NS and pattern.matches(f)]
            if matching:
                return min(matching, key=lambda fact: fact.at_ns)
            if now_ns() > deadline:
                return None
            self.check()
            time.sleep(POLL_SECONDS)


def now_ns() -> int:
    """The host's CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def record_fact(line: bytes, power_on_ns: Callable[[str], int]) -> Fact | None:
    """A journal line as a fact; None if it is none. Signatures are the verifier's business, not ours.

    `power_on_ns` tells when the power came in whose time that boot counts. Members: `kind`, `seq`, `boot`, `source` and
    `error_ms` of the clock, and those of the body.
    """
    try:
        payload = line.split(b".")[1]
        told = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        clock = told["clock"]
        at_ns = power_on_ns(told["boot"]) + clock["boot_ns"]
        members = {"kind": told["kind"], "seq": told["seq"], "boot": told["boot"], "boot_ns": clock["boot_ns"]}
        members |= {"utc": clock["utc"], "source": clock["source"], "error_ms": clock["error_ms"]}
        return Fact(at_ns, "record", {**members, **told["body"]})
    except (ValueError, IndexError, KeyError, TypeError, binascii.Error):
        return None


def _from_log(line: bytes, offset_ns: int) -> Fact | None:
    try:
        told = json.loads(line)
        at_ns = int(datetime.fromisoformat(told["time"]).timestamp() * 1000) * 1_000_000 + offset_ns
        return Fact(at_ns, told["message"], {k: v for k, v in told.items() if k not in _LOG_MEMBERS})
    except (ValueError, KeyError, TypeError):
        return None


def _from_json(line: bytes, name: str, clock: str) -> Fact | None:
    try:
        told = json.loads(line)
        return Fact(told.pop(clock), name, told)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
