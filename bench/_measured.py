"""What benchmarks share: programs they need, CPU seconds spent, ways measured in turns."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Callable


def lacks(*programs: str) -> bool:
    """Whether a program is not installed; says which."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        sys.stderr.write(f"scripts/bench: install {', '.join(missing)}\n")
    return bool(missing)


def measure(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each way, children included, in turns; the first turn warms caches."""
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            before = spent()
            way()
            if turn:
                measured[name].append(spent() - before)
    return measured


def spent() -> float:
    """CPU seconds of this process and its ended children."""
    return time.process_time() + children()


def children() -> float:
    """CPU seconds of the programs that this one has run to their end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
