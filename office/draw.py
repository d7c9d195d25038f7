"""Drawing a sample that nobody could choose (rule 26; docs/spec/inspection.md, which has it in ten lines). Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "bodycam-inspection-v1"


@dataclass(frozen=True, slots=True)
class Unit:
    """What can be drawn: an activity, or a recording that is of none, and its section."""

    section: str
    item: str  # `activity/LEAF` or `recording/DEVICE/ID`


def commitment(nonce: str) -> str:
    """What is announced of a nonce before the checkpoint exists."""
    return _sha256(nonce)


def frame(units: Iterable[Unit]) -> str:
    """All that can be drawn, as text: a line each, sorted. Its SHA-256 is announced."""
    return "".join(f"{one.section}\t{one.item}\n" for one in sorted(units, key=lambda one: (one.section, one.item)))


def read_frame(text: str) -> list[Unit]:
    """The units of a frame."""
    return [Unit(*line.split("\t")) for line in text.splitlines()]


def seed(root: bytes, nonce: str) -> str:
    """The seed, from the root of the log at the announcement and the nonce that was hidden until then."""
    return _sha256(f"{DOMAIN}\n{root.hex()}\n{nonce}\n")


def draw(units: Iterable[Unit], seed: str, permille: int, least: int) -> dict[str, list[str]]:
    """Draw from each section its share, rounded up, and no fewer than `least` where it has so many."""
    by_section: defaultdict[str, list[str]] = defaultdict(list)
    for one in units:
        by_section[one.section].append(one.item)
    return {
        section: sorted(items, key=lambda item: _sha256(f"{seed}\n{item}"))[: count(len(items), permille, least)]
        for section, items in sorted(by_section.items())
    }


def count(of: int, permille: int, least: int) -> int:
    """How many are drawn of so many."""
    return min(of, max(least, -(-of * permille // 1000)))


def score(verdicts: Iterable[str]) -> int | None:
    """Points of 100: the share of `met` among what was judged. None: nothing was."""
    judged = [one for one in verdicts if one in ("met", "unmet")]
    return round(100 * judged.count("met") / len(judged)) if judged else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
