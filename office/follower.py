"""How far somebody has followed the log, remembered over runs. What is lost of that costs time, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from office.log import Log
from runtime.keys import replace_file

_LEAVES = 256  # at once


class Follower:
    """Follows the log leaf by leaf; one thread at a time. `path`: the file with the next leaf's index."""

    def __init__(self, path: Path, log: Log) -> None:
        self._path = path
        self._log = log
        self.next_leaf = self._remembered()

    def _remembered(self) -> int:
        try:
            told = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0
        return told if type(told) is int and 0 <= told <= self._log.size else 0

    def leaves(self) -> list[tuple[int, dict[str, Any]]]:
        """The next leaves with their indexes; the same ones until `done`."""
        return self._log.since(self.next_leaf, _LEAVES)

    def done(self, index: int) -> None:
        """What follows from the leaves up to this one has been done."""
        self.next_leaf = index + 1
        replace_file(self._path, json.dumps(self.next_leaf).encode())
