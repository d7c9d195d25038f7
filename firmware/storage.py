"""Trying a disk that has refused a part, ever later, until it takes data again."""

from __future__ import annotations

from collections.abc import Callable

from firmware.capture.vocabulary import StorageBack
from firmware.capture.writer import Run, Writer
from firmware.loop import Loop

_RETRY_SECONDS = (2.0, 32.0)  # a refused part is tried again after the first, then ever later up to the second


class Storage:
    """Called from the loop. `refused()` tells whether the disk is still thought to refuse."""

    def __init__(self, now_ns: Callable[[], int], writer: Writer, loop: Loop, refused: Callable[[], bool]) -> None:
        self._now_ns = now_ns
        self._writer = writer
        self._loop = loop
        self._refused = refused
        self._failed_ns: int | None = None
        self._pause = _RETRY_SECONDS[0]

    def try_later(self) -> None:
        """Ask the disk again after a while; `StorageBack` follows when it is back."""
        now = self._now_ns()
        least, most = _RETRY_SECONDS
        again = self._failed_ns is not None and now - self._failed_ns < 2 * most * 1e9
        self._pause = min(2 * self._pause, most) if again else least
        self._failed_ns = now
        self._loop.after(self._pause, self._ask)

    def _ask(self) -> None:
        self._writer.submit(Run(self._probe))

    def _probe(self) -> None:
        """In the writer's order: all that was queued has been written or given up, and records are taken again."""
        back = False
        try:
            back = self._writer.make_room()
        finally:
            self._loop.put(lambda: self._probed(back=back))

    def _probed(self, *, back: bool) -> None:
        if back:
            self._loop.put(StorageBack())
        elif self._refused():
            self._loop.after(self._pause, self._ask)
