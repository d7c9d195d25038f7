"""What happens in one life, made from its seed alone: deeds, the disk's slowness, where the power goes."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

from tests.camera_rig import MS, SECOND

End = Literal["power", "process"]
MachineName = Literal["camera", "dock", "office"]
Deed = tuple[float, str]  # seconds after the start of the boot, what

SCRIPT: tuple[Deed, ...] = ((2.2, "press"), (2.9, "still"), (4.4, "still"), (5.1, "end"), (5.4, "quit"))
DOCKED: tuple[Deed, ...] = (*SCRIPT[:-1], (5.4, "dock"), (5.6, "visit"), (5.9, "quit"))
LAST: tuple[Deed, ...] = ((0.4, "mark"), (0.8, "still"), (1.4, "end"), (1.6, "quit"))
LAST_DOCKED: tuple[Deed, ...] = (*LAST[:-1], (1.6, "dock"), (1.8, "empty"), (2.0, "quit"))

_DEEDS = ("press", "press", "press", "still", "still", "mark", "end", "encoder", "sound lost", "sound back")
_OPERATIONS = 110  # about as many as a boot has


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a machine's power goes: at an operation of its disk, counted from when this is set, or at a time."""

    end: End
    operation: int = 0
    after_ns: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """`boots`: what is done in each boot of the camera, and how it ends; the last one is left alone."""

    seed: int
    boots: tuple[tuple[tuple[Deed, ...], Cut | None], ...]
    delays: str = "none"
    docked: bool = False
    dock: Cut | None = None
    office: Cut | None = None
    keep: bool = False
    release_after_seconds: int = 0
    utc_error_ms: int | None = 400


def at_operation(number: int, machine: MachineName, seed: int, *, docked: bool) -> Plan:
    """The scripted recording, cut at that operation of that machine."""
    script, last = (DOCKED, LAST_DOCKED) if docked else (SCRIPT, LAST)
    cut = Cut("power", number)
    boots = ((script, cut if machine == "camera" else None), (last, None))
    return Plan(
        seed, boots, docked=docked, dock=cut if machine == "dock" else None,
        office=cut if machine == "office" else None, keep=bool(number % 2),
    )  # fmt: skip


def at_random(seed: int) -> Plan:
    """A life of its own: one to three cuts of the camera, and now and then of dock and office."""
    chance = random.Random(seed)
    docked = chance.random() < 1 / 12
    boots = [(_deeds(chance, docked=docked), _cut(chance))]
    if chance.random() < 1 / 3:
        # Again while it recovers: within the first operations of the next boot, or later in it.
        again = Cut(_end(chance), operation=chance.randint(1, 40 if chance.random() < 2 / 3 else _OPERATIONS))
        boots.append((LAST, again))
        if chance.random() < 1 / 4:
            boots.append((LAST, Cut("power", operation=chance.randint(1, 60))))
    return Plan(
        seed,
        (*boots, (LAST_DOCKED if docked else LAST, None)),
        chance.choice(["steady", "card", "any", "any"]),
        docked,
        Cut("power", chance.randint(1, 120)) if docked and chance.random() < 2 / 3 else None,
        Cut("power", chance.randint(1, 160)) if docked and chance.random() < 2 / 3 else None,
        chance.random() < 1 / 2,
        chance.choice([0, 3600]),
        chance.choice([None, 0, 400]),
    )


def _end(chance: random.Random) -> End:
    return "power" if chance.random() < 3 / 4 else "process"


def _cut(chance: random.Random) -> Cut:
    if chance.random() < 1 / 2:
        return Cut("power", operation=chance.randint(1, _OPERATIONS))
    return Cut("power", after_ns=chance.randint(1, 7 * SECOND))


def _deeds(chance: random.Random, *, docked: bool) -> tuple[Deed, ...]:
    if chance.random() < 1 / 2:
        return DOCKED if docked else SCRIPT
    at, deeds = chance.uniform(0.3, 2.0), [(chance.uniform(0.2, 1.5), "press")]
    for _ in range(chance.randint(2, 8)):
        at += chance.uniform(0.1, 1.2)
        deeds.append((at, chance.choice(_DEEDS)))
    if docked:  # while it records, maybe: closed segments leave already
        start = chance.uniform(1.0, at)
        deeds += [(start, "dock"), *((start + chance.uniform(0.1, 2.0), "visit") for _ in range(3))]
    return (*sorted(deeds), (at + 0.5, "end"), (at + 0.9, "quit"))


def sync_ns(delays: str, chance: random.Random) -> int:
    """How long one sync takes: `none`, or 5 to 1,000 ms."""
    if delays == "none":
        return 0
    if delays == "steady":
        return chance.randint(5, 20) * MS
    if delays == "card":
        return chance.randint(5, 40) * MS if chance.random() < 19 / 20 else chance.randint(100, 1000) * MS
    return round(5 * math.pow(200, chance.random()) * MS)
