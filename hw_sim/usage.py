"""What a process has used, as the kernel tells."""

from __future__ import annotations

import os
from pathlib import Path


def cpu(pid: int) -> float:
    """Seconds of a process, user and system, in all its threads."""
    return cpu_of(Path(f"/proc/{pid}/stat"))


def cpu_of(stat: Path) -> float:
    """Seconds that a `stat` of /proc tells, of a process or of one thread."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
