"""Simulated time: what is due happens while the disk takes its time, as it does beside the writer's thread."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from tests.camera_rig import World

Act = Callable[[], None]


class Timeline:
    """What is to happen, by the world's clock."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._due: list[tuple[int, int, Act, bool]] = []
        self._order = itertools.count()

    def at(self, ns: int, act: Act, *, alone: bool = False) -> None:
        """Let it happen then. `alone`: not in the middle of a sync, but when that is over."""
        heapq.heappush(self._due, (ns, next(self._order), act, alone))

    def clear(self) -> None:
        self._due.clear()

    def pass_(self, ns: int) -> None:
        """Let so much time pass in the middle of something."""
        until, later = self.world.now_ns + ns, []
        while self._due and self._due[0][0] <= until:
            due = heapq.heappop(self._due)
            if due[3]:
                later.append(due)
            else:
                self._happen(due)
        for due in later:
            heapq.heappush(self._due, due)
        self.world.now_ns = max(self.world.now_ns, until)

    def run(self, until: int, settle: Act) -> None:
        """Let time pass until then, or until all is done that was due; `settle` is called after each happening."""
        while self._due and self._due[0][0] <= until:
            self._happen(heapq.heappop(self._due))
            settle()
        self.world.now_ns = max(self.world.now_ns, until)

    def _happen(self, due: tuple[int, int, Act, bool]) -> None:
        self.world.now_ns = max(self.world.now_ns, due[0])
        due[2]()
