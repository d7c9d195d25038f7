"""Says prompts by priority, from a thread of its own; never two at once.

What waits is said in the order notice, warning, question, choice, hint, and first come, first said within each. A
warning and the notice cut a hint or a choice short. So does the next choice, which takes the place of those that wait:
whoever presses on wants to hear the latest. A hint that could not be said in time is not said at all. In quiet mode all
but the notice become buzzes.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from firmware.hal.ports import Clock, Loudspeaker
from firmware.voice.prompts import Priority, Prompt
from firmware.worker import Worker

_log = logging.getLogger(__name__)

_RANK: Final[Mapping[Priority, int]] = {"notice": 0, "warning": 1, "question": 2, "choice": 3, "hint": 4}
_BUZZES: Final = {1: 3, 2: 2, 3: 1, 4: 1}  # by rank
_WARNING, _QUESTION, _CHOICE = _RANK["warning"], _RANK["question"], _RANK["choice"]
_STALE_NS = 8_000_000_000  # a notice and a little more: later, a hint tells of what is no longer so
_WAITING_LIMIT = 16  # phrases: half a minute of speech, after which nobody knows what a hint was about


@dataclass(order=True, frozen=True, slots=True)
class _Phrase:
    rank: int
    number: int  # in the order of asking
    asked_ns: int = field(compare=False)
    prompts: tuple[Prompt, ...] = field(compare=False)
    buzzed: bool = field(compare=False)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(prompt.key for prompt in self.prompts)


class Speaker:
    """`on_said(key, from_ns, to_ns)` comes once for each prompt that was asked for and did not already wait.

    So it does for one that was cut short, not said at all or failed: whoever waits for it goes on, and the microphone
    tells whether anything was heard. Of a phrase, each prompt has the phrase's span. `on_buzz(count)` gives that many
    short buzzes. Neither may block; both, and `on_failed(where, text)`, are called from any thread.
    """

    def __init__(
        self,
        loudspeaker: Loudspeaker,
        clock: Clock,
        on_said: Callable[[str, int, int], None],
        on_failed: Callable[[str, str], None],
        on_buzz: Callable[[int], None],
    ) -> None:
        self._loudspeaker = loudspeaker
        self._clock = clock
        self._on_said = on_said
        self._on_buzz = on_buzz
        self._worker = Worker("speaker", on_failed)
        self._lock = threading.Lock()
        self._waiting: list[_Phrase] = []  # a heap; the worker has an order to take the next one for each
        self._saying: _Phrase | None = None
        self._since_ns: int | None = None
        self._numbers = itertools.count()
        self.quiet = False
        """Quiet mode. It holds for what is asked for from now on, so that switching it on can still be said."""

    def start(self) -> None:
        """Begin to speak."""
        self._worker.start()

    def say(self, *prompts: Prompt) -> None:
        """Queue prompts as one phrase without a break, unless the same phrase waits already.

        A hundred marks must not hold up the notice. The phrase has the highest priority of its prompts. If too many
        wait, the last of the lowest priority is dropped, but never the notice. Any thread may call.
        """
        if len({prompt.rate for prompt in prompts}) != 1:
            raise ValueError("a phrase has at least one prompt, and one sample rate")
        rank = min(_RANK[prompt.priority] for prompt in prompts)
        now = self._clock.boot_ns()
        phrase = _Phrase(rank, next(self._numbers), now, prompts, buzzed=self.quiet and rank > _RANK["notice"])
        with self._lock:
            if any(phrase.keys == other.keys for other in self._waiting):
                return
            dropped = [other for other in self._waiting if rank == other.rank == _CHOICE]
            self._remove(dropped)
            heapq.heappush(self._waiting, phrase)
            if len(self._waiting) > _WAITING_LIMIT:
                dropped.append(max(self._waiting))
                self._remove(dropped)
            if rank in {_RANK["notice"], _WARNING, _CHOICE}:
                self._cut(_CHOICE)
        self._worker.do(self._next)
        self._tell(dropped)

    @property
    def speaking_since_ns(self) -> int | None:
        """Since when something is being said, on the boot clock; None if nothing is."""
        return self._since_ns

    def stop(self) -> None:
        """Finish a notice that is being said, and warnings; drop all else. Idempotent.

        Nobody would answer a question, and a notice that only waits would tell of a recording that has ended.
        """
        with self._lock:
            dropped = sorted(phrase for phrase in self._waiting if phrase.rank != _WARNING)
            self._remove(dropped)
            self._cut(_QUESTION)
        self._tell(dropped)
        self._worker.stop()

    def _remove(self, phrases: list[_Phrase]) -> None:
        self._waiting = [phrase for phrase in self._waiting if phrase not in phrases]
        heapq.heapify(self._waiting)

    def _cut(self, rank: int) -> None:
        """End what is being said, if it is of that rank or less urgent. The lock keeps all else safe."""
        if self._saying is not None and self._saying.rank >= rank:
            _log.info("cut short", extra={"prompt": " ".join(self._saying.keys)})
            self._loudspeaker.stop()

    def _tell(self, phrases: list[_Phrase], from_ns: int | None = None) -> None:
        to_ns = self._clock.boot_ns()
        for key in (key for phrase in phrases for key in phrase.keys):
            self._on_said(key, to_ns if from_ns is None else from_ns, to_ns)

    def _next(self) -> None:
        with self._lock:
            if not self._waiting:
                return  # it was dropped
            phrase = self._saying = heapq.heappop(self._waiting)
            from_ns = self._since_ns = self._clock.boot_ns()
        stale = phrase.rank >= _CHOICE and from_ns - phrase.asked_ns > _STALE_NS
        try:
            if stale:
                _log.info("not said in time", extra={"prompt": " ".join(phrase.keys)})
            elif phrase.buzzed:
                self._on_buzz(_BUZZES[phrase.rank])
            else:
                self._loudspeaker.play(b"".join(prompt.pcm for prompt in phrase.prompts), phrase.prompts[0].rate)
        finally:
            with self._lock:
                self._saying = self._since_ns = None
            self._tell([phrase], from_ns)
