"""What a target is: a function of bytes that returns, or raises something that no parser of this project may raise.

A target refuses nothing itself: it hands the bytes to parsers through `attempt`, which takes the one error that each of
them may raise and lets everything else through. Beyond that it may assert what must hold of bytes that were accepted.
"""

from __future__ import annotations

import re
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


def attempt(parse: Callable[..., T], *arguments: Any, also: Collection[str] = (), **options: Any) -> T | None:
    """What `parse` makes of its arguments; None if it refuses by a listed code, or one of those in `also`."""
    try:
        return parse(*arguments, **options)
    except EvidenceError as error:
        if error.code not in CODES and error.code not in also:
            raise AssertionError(f"the code {error.code!r} is not listed") from error
        return None


def corpus(name: str) -> list[bytes]:
    """What is kept of a target's inputs."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def inputs(name: str) -> list[bytes]:
    """Seeds and corpus of a target."""
    return [*SEEDS[name](), *corpus(name)]
