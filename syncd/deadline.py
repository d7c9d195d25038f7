"""Deadlines of steps: one thread looks after all of them, since a step is short and there are thousands in a second."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator


class Deadlines:
    """What is under way and until when. Safe for several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: dict[object, tuple[float, Callable[[], None]]] = {}  # until when, and what ends it then
        self._looks_at: float | None = None  # when the thread wakes; None: there is no thread yet

    @contextlib.contextmanager
    def within(self, seconds: float, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut`, in another thread, if the block takes longer, which makes it fail; the failure is TimeoutError.

        `cut` must neither block nor raise.
        """
        step = object()
        self._begin(step, time.monotonic() + seconds, cut)
        try:
            yield
        except Exception as error:
            if not self._end(step):
                raise TimeoutError(f"not done within {math.ceil(seconds)} s") from error
            raise
        finally:
            self._end(step)

    def _begin(self, step: object, until: float, cut: Callable[[], None]) -> None:
        with self._changed:
            self._open[step] = until, cut
            if self._looks_at is None:
                threading.Thread(target=self._look, name="deadlines", daemon=True).start()
                self._looks_at = until
            elif until < self._looks_at:  # most steps have the same time, and wake nobody
                self._changed.notify()

    def _end(self, step: object) -> bool:
        """Whether it was in time."""
        with self._changed:
            return self._open.pop(step, None) is not None

    def _look(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for step in [step for step, (until, _) in self._open.items() if until <= now]:
                    _, cut = self._open.pop(step)
                    cut()
                self._looks_at = min((until for until, _ in self._open.values()), default=math.inf)
                self._changed.wait(None if self._looks_at == math.inf else self._looks_at - now)
