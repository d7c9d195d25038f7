"""Whose block goes to the office next. All bays share one line; urgent footage has a larger share of it, never all.

Start-time fair queueing (Goyal, Vin, Cheng 1996): in virtual time each block begins where the one before it of the same
bay ended, and ends its size divided by its weight later; of those that wait, the earliest begins. So a bay that others
made wait is served before them. One that had nothing to send can claim little of what it did not use: enough to make
good the moments between two of its blocks, in which it waits for nothing and others are served.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator

_CREDIT = 4 * 1024 * 1024  # bytes of a routine bay


class Shares:
    """The line to the office, on which `at_once` blocks are under way at a time. Safe for several threads."""

    def __init__(self, at_once: int = 4) -> None:
        self._lock = threading.Lock()
        self._free = at_once
        self._now = 0.0  # virtual time: where the block that began last began
        self._waiting: dict[Share, tuple[float, int, float]] = {}  # begin, order of coming, cost
        self._coming = itertools.count()

    def join(self) -> Share:
        """Take part. One for each bay, since its blocks go one after another."""
        with self._lock:
            return Share(self, self._now)

    def ask(self, share: Share, cost: float) -> None:
        """Queue a block; `share.turned` is set when it may go."""
        with self._lock:
            share.turned.clear()
            self._waiting[share] = max(self._now - _CREDIT, share.end), next(self._coming), cost
            self._hand_out()

    def leave(self, share: Share) -> bool:
        """Stop waiting; False: it does not wait, its turn has come."""
        with self._lock:
            return self._waiting.pop(share, None) is not None

    def give_back(self) -> None:
        """A block is no longer under way."""
        with self._lock:
            self._free += 1
            self._hand_out()

    def _hand_out(self) -> None:
        while self._free and self._waiting:
            share = min(self._waiting, key=self._waiting.__getitem__)
            begin, _, cost = self._waiting.pop(share)
            self._free -= 1
            self._now, share.end = max(self._now, begin), begin + cost
            share.turned.set()


class Share:
    """One bay's part of the line; for one thread, but for `cut`."""

    def __init__(self, shares: Shares, end: float) -> None:
        self._shares = shares
        self._reason: Callable[[], Exception] | None = None
        self.turned = threading.Event()
        self.end = end  # virtual time at which its last block ended

    @contextlib.contextmanager
    def turn(self, size: int, weight: int = 1) -> Iterator[None]:
        """Wait until a block of `size` bytes may go; it is under way until the block of code ends."""
        self._shares.ask(self, size / weight)
        if self._reason is None:  # else what `cut` has set may have been cleared
            self.turned.wait()
        if self._reason is not None and self._shares.leave(self):
            raise self._reason()
        try:
            yield
        finally:
            self._shares.give_back()

    def cut(self, reason: Callable[[], Exception]) -> None:
        """End the waiting: it, and every later turn that would have to wait, raises `reason()`. For any thread."""
        self._reason = reason
        self.turned.set()
