"""What may befall a disk: rules of `hw_sim.forgetful_ops`, by chance or by name."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from hw_sim.forgetful_ops import OPERATIONS

Rules = Sequence[Mapping[str, Any]]
READ_ONLY: Rules = [{"op": op, "errno": "EROFS"} for op in OPERATIONS if op not in ("open", "read")]
_ACTS = ("fsync", "fsync", "fsyncdir", "fsyncdir", "write", "create", "truncate", "mkdir", "rename", "unlink", "read")


def fails(op: str, match: str = "*", errno: str = "EIO", **more: Any) -> Mapping[str, Any]:
    """One operation that is refused."""
    return {"op": op, "match": match, "errno": errno, **more}


def by_chance(chance: random.Random, places: Sequence[str]) -> Rules:
    """A card or disk that is read-only, or fails, is full or slow in a few ways at `places`."""
    if chance.random() < 0.1:
        return READ_ONLY
    return [
        {
            "op": chance.choice(_ACTS),
            "match": chance.choice(places),
            "errno": chance.choice(["EIO", "EIO", "ENOSPC", "EROFS", ""]),
            "delay_ms": chance.choice([0, 0, 5, 50, 125]),
            "skip": chance.choice([0, 0, 1, 2, 5, 9]),
            "count": chance.choice([1, 1, 2, 5, 30]),
        }
        for _ in range(chance.randint(1, 3))
    ]
