"""Says prompts one after another, from a thread of its own; never two at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from firmware.hal.ports import Clock, DriverError, Loudspeaker
from firmware.voice.prompts import Prompt


class Speaker:
    """`on_said(key, from_ns, to_ns)` and `on_failed(key, text)` are called from the speaker's thread."""

    def __init__(
        self,
        loudspeaker: Loudspeaker,
        clock: Clock,
        on_said: Callable[[str, int, int], None],
        on_failed: Callable[[str, str], None],
    ) -> None:
        self._loudspeaker = loudspeaker
        self._clock = clock
        self._on_said = on_said
        self._on_failed = on_failed
        self._queue: queue.SimpleQueue[Prompt | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="speaker")

    def start(self) -> None:
        """Begin to speak."""
        self._thread.start()

    def say(self, prompt: Prompt) -> None:
        """Queue a prompt."""
        self._queue.put(prompt)

    def stop(self) -> None:
        """Finish what is queued, then end."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (prompt := self._queue.get()) is not None:
            from_ns = self._clock.boot_ns()
            try:
                self._loudspeaker.play(prompt.pcm, prompt.rate)
            except DriverError as error:
                self._on_failed(prompt.key, str(error))
            # Also after a failure: the dialogue goes on, and the microphone tells whether anything was heard.
            self._on_said(prompt.key, from_ns, self._clock.boot_ns())
