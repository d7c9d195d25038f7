"""What a target is: a function of bytes that returns, or raises something that no parser of this project may raise.

A target refuses nothing itself: it hands the bytes to parsers through `attempt`, which takes the one error that each of
them may raise and lets everything else through. Beyond that it may assert what must hold of bytes that were accepted.

For a new parser, write a function under `@target(seeds)`; where a signature, a hash or a seal would stop every changed
byte, take the bytes for what lies behind it and sign them here (`signed.py`). `python -m tests.fuzz NAME --keep` then
fills its corpus, and what it finds becomes a test in `tests/test_fuzz_found.py`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from evidence.errors import EvidenceError

T = TypeVar("T")
Fuzzed = Callable[[bytes], object]
Seeds = Callable[[], list[bytes]]

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).resolve().parent / "corpus"

TARGETS: dict[str, Fuzzed] = {}
"""Target name → function of bytes."""

SEEDS: dict[str, Seeds] = {}
"""Target name → good inputs to begin with, made from the vectors."""


def target(seeds: Seeds) -> Callable[[Fuzzed], Fuzzed]:
    """Enter a function into the table, under its name."""

    def enter(function: Fuzzed) -> Fuzzed:
        name = function.__name__.replace("_", "-")
        TARGETS[name], SEEDS[name] = function, seeds
        return function

    return enter


def _listed() -> frozenset[str]:
    """The codes that section 9 of the specification lists."""
    text = (ROOT / "docs" / "spec" / "evidence.md").read_text(encoding="utf-8")
    rows = text.partition("\n## 9. Errors")[2].partition("\n## ")[0].splitlines()
    return frozenset(code for row in rows for code in re.findall(r"`([a-z0-9-]+)`", row.partition(" | ")[0]))


CODES = _listed()


taken: list[str] = []
"""Where, in a target, something was taken and not refused: what is never taken is hardly tested."""


def attempt(
    parse: Callable[..., T],
    *arguments: Any,
    also: Collection[str] = (),
    error: type[Exception] = EvidenceError,
    **options: Any,
) -> T | None:
    """What `parse` makes of its arguments; None if it refuses by its one `error`.

    An `EvidenceError` must have a listed code, or one of those in `also`.
    """
    try:
        found = parse(*arguments, **options)
    except error as refusal:
        if isinstance(refusal, EvidenceError) and refusal.code not in CODES and refusal.code not in also:
            raise AssertionError(f"the code {refusal.code!r} is not listed") from refusal
        return None
    caller = sys._getframe(1)
    taken.append(f"{caller.f_code.co_name} {caller.f_lineno}")
    del taken[:-1000]
    return found


def corpus(name: str) -> list[bytes]:
    """What is kept of a target's inputs."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def inputs(name: str) -> list[bytes]:
    """Seeds and corpus of a target."""
    return [*SEEDS[name](), *corpus(name)]
