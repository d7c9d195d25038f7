"""What a campaign showed: one line for people and programs, and a JSON object with all of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.powercut.campaign import Judged
from tests.powercut.loss import Loss

_HARMED = (3, 4)  # invariants: what was durable is whole, and was not touched
_LOST = 10  # the invariant that bounds what is lost (specification §4.9)
_PARTS = ("total", "fragment", "frame", "commit")
_BIN_MS = 50
_KEPT = 200  # problems that are told in full


@dataclass
class Report:
    """Grows with each life that was judged."""

    seed: int
    lives: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    truncated: Counter[str] = field(default_factory=Counter)
    broken: Counter[int] = field(default_factory=Counter)
    problems: list[dict[str, Any]] = field(default_factory=list)
    losses: list[tuple[int, Loss]] = field(default_factory=list)  # with the life's number

    def add(self, judged: Judged) -> None:
        """Take in one life."""
        self.lives += 1
        self.cuts += judged.cuts
        self.truncated += judged.truncated
        self.losses += [(judged.number, loss) for loss in judged.losses]
        for number, problem in judged.problems:
            self.broken[number] += 1
            if len(self.problems) < _KEPT:
                told = {"life": judged.number, "what": judged.what, "invariant": number, "problem": problem}
                self.problems.append(told)

    @property
    def held(self) -> bool:
        """Whether everything did."""
        return not self.broken

    @property
    def harmed(self) -> int:
        """Of what was durable before a cut: pieces that are not as they were."""
        return sum(self.broken[number] for number in _HARMED)

    @property
    def unexplained(self) -> int:
        """Everything else that does not hold, but the bound of §4.9."""
        return sum(self.broken.values()) - self.harmed - self.broken[_LOST]

    def lost(self, part: str, share: float) -> float:
        """Seconds of one part of the loss: the most of a share (0 … 1) of all cuts in a recording."""
        values = sorted(getattr(loss, part) for _, loss in self.losses)
        return values[max(0, math.ceil(share * len(values)) - 1)] / 1e9 if values else 0.0

    def line(self) -> str:
        """The one line."""
        worst, p99 = ([f"{self.lost(part, share):.3f}" for part in _PARTS] for share in (1, 0.99))
        machines = ", ".join(f"{self.cuts[name]} {name}" for name in ("camera", "dock", "office"))
        told = self.truncated
        return (
            f"powercut: {'held' if self.held else 'BROKEN'}: "
            f"{self.lives} lives, {self.cuts.total()} cuts ({machines}); "
            f"lost s in {len(self.losses)} recordings "
            f"max {worst[0]} (fragment {worst[1]}, frame {worst[2]}, commit {worst[3]}), "
            f"p99 {p99[0]} ({p99[1]}, {p99[2]}, {p99[3]}); "
            f"truncated {told['segments']} segments, {told['journal files']} journal lines; "
            f"earlier segments harmed {self.harmed}; unexplained {self.unexplained}; "
            f"within §4.9 {'yes' if not self.broken[_LOST] else f'no ({self.broken[_LOST]})'}; seed {self.seed}"
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, with the worst cut: `--seed S --only N` lives that life again."""
        number, worst = max(self.losses, key=lambda one: one[1].total, default=(None, Loss(0, 0, 0, 0)))
        return {
            "seed": self.seed,
            "held": self.held,
            "lives": self.lives,
            "cuts": dict(self.cuts),
            "cuts_in_a_recording": len(self.losses),
            "lost_s": {
                part: {name: self.lost(part, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))}
                for part in _PARTS
            },
            "histogram_ms": {part: self._histogram(part) for part in _PARTS},
            "worst": {"life": number, **{part: getattr(worst, part) / 1e9 for part in _PARTS}},
            "truncated": dict(self.truncated),
            "harmed": self.harmed,
            "unexplained": self.unexplained,
            "beyond_design": self.broken[_LOST],
            "invariants": {str(number): self.broken[number] for number in range(1, 16)},
            "problems": self.problems,
        }

    def _histogram(self, part: str) -> dict[str, int]:
        bins = Counter(getattr(loss, part) // 1_000_000 // _BIN_MS * _BIN_MS for _, loss in self.losses)
        return {str(start): bins[start] for start in sorted(bins)}
