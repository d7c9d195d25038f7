"""Lives by the thousand, over several processes: each one judged, and what became of it handed back."""

from __future__ import annotations

import functools
import gc
import itertools
import logging
import multiprocessing
import random
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.powercut.invariants import INVARIANTS, Aftermath, aftermath
from tests.powercut.life import Life, lived
from tests.powercut.loss import Loss
from tests.powercut.plan import MachineName, Plan, at_operation, at_random

SITE = 0  # in the place of an invariant's number: what dock and office promised
_SWEEP = 20  # lives of this process
_lived = itertools.count(1)
FAILED = -1  # the life could not be lived: an error that nobody foresaw


@dataclass
class Judged:
    """One life. `problems`: by the number of the invariant that does not hold, or `SITE` or `FAILED`."""

    number: int
    seed: int
    what: str
    cuts: Counter[str] = field(default_factory=Counter)  # by machine
    losses: list[Loss] = field(default_factory=list)
    truncated: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scripted:
    """A life in which one machine is cut at one operation of the script."""

    machine: MachineName
    operation: int
    docked: bool

    def __str__(self) -> str:
        return f"{self.machine} at operation {self.operation} of the script{' with its hand-in' * self.docked}"


@dataclass(frozen=True, slots=True)
class Campaign:
    """`count` lives from `seed`: the script's operations first, the rest at random."""

    seed: int
    count: int
    script: tuple[Scripted, ...]

    def plan(self, number: int) -> tuple[Plan, str]:
        """Life `number`, from 0: the same for the same seed and script."""
        seed = self.seed * 1_000_003 + number
        if number < len(self.script):
            one = self.script[number]
            return at_operation(one.operation, one.machine, seed, docked=one.docked), str(one)
        return at_random(seed), "at random"

    def judge(self, number: int) -> Judged:
        """Live it and judge it."""
        plan, what = self.plan(number)
        judged = Judged(number, plan.seed, what)
        try:
            with lived(plan) as life:
                judged.cuts.update(life.cuts)
                _judge(life, judged)
            if next(_lived) % _SWEEP == 0:
                gc.collect()
        except Exception:  # noqa: BLE001 - whatever the product raises, it is a finding
            judged.problems.append((FAILED, traceback.format_exc()))
        return judged

    def run(self, jobs: int, numbers: Sequence[int] | None = None) -> Iterator[Judged]:
        """All lives, or those, in any order."""
        numbers = range(self.count) if numbers is None else numbers
        if jobs <= 1:
            yield from map(self.judge, numbers)
            return
        with multiprocessing.get_context("fork").Pool(jobs, initializer=_hush) as pool:
            yield from pool.imap_unordered(self.judge, numbers, chunksize=8)


@contextmanager
def quiet() -> Iterator[None]:
    """What the programs log of their faults is expected here; garbage is swept now and then only."""
    _hush()
    try:
        yield
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


def _hush() -> None:
    gc.disable()
    logging.disable(logging.CRITICAL)


@functools.cache
def script(seed: int) -> tuple[Scripted, ...]:
    """Every operation of the scripted recording, and of each machine in its hand-in."""
    counted = {docked: _operations(seed, docked=docked) for docked in (False, True)}
    plain, docked = counted[False]["camera"], counted[True]
    return (
        *(Scripted("camera", number, docked=False) for number in range(1, plain + 1)),
        *(Scripted("camera", number, docked=True) for number in range(plain + 1, docked["camera"] + 1)),
        *(Scripted(name, number, docked=True) for name in ("dock", "office") for number in range(1, docked[name] + 1)),
    )


def sampled(seed: int, docked: int) -> tuple[Scripted, ...]:
    """The script's operations, but of those in a hand-in only some."""
    whole = script(seed)
    handin = [one for one in whole if one.docked]
    chosen = set(random.Random(seed).sample(handin, docked))
    return tuple(one for one in whole if not one.docked or one in chosen)


def _operations(seed: int, *, docked: bool) -> dict[str, int]:
    """How many operations each machine has in a first boot of the script that nobody disturbs."""
    plan = at_operation(0, "camera", seed, docked=docked)
    with lived(Plan(seed, ((plan.boots[0][0], None),), docked=docked)) as life:
        provisioned = life.provisioned
        return {
            machine.name: machine.operations - (provisioned if machine is life.machine else 0)
            for machine in (life.machine, life.dock, life.office)
        }


def _judge(life: Life, judged: Judged) -> None:
    after = aftermath(life)
    fragments = after.evidence.of("fragment")
    life.judge_losses({(one.body["recording"], one.body["part"], one.body["from_ns"]) for one in fragments})
    judged.losses = life.losses
    judged.truncated = _truncated(after)
    for number, check in INVARIANTS.items():
        judged.problems += [(number, problem) for problem in check(after)]
    if life.plan.docked:
        judged.problems += [(SITE, problem) for problem in life.site.judge(after.evidence)]
        if not life.emptied:
            judged.problems.append((SITE, "the camera's hand-in was never complete"))


def _truncated(after: Aftermath) -> Counter[str]:
    late = [line.body for line in after.evidence.of("segment") if not line.body["closed"]]
    found = Counter(
        {
            "segments": len(late),
            "unattested bytes": sum(body["file_size"] - body["attested_len"] for body in late),
            "journal files": len(after.evidence.torn),
            "journal bytes": sum(length for _, length, _ in after.evidence.torn.values()),
        }
    )
    return +found
