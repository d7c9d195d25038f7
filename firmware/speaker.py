"""Says prompts one after another, from a thread of its own; never two at once."""

from __future__ import annotations

from collections.abc import Callable

from firmware.hal.ports import Clock, Loudspeaker
from firmware.voice.prompts import Prompt
from firmware.worker import Worker


class Speaker:
    """`on_said(key, from_ns, to_ns)` and `on_failed(where, text)` are called from the speaker's thread."""

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
        self._worker = Worker("speaker", on_failed)
        self._waiting: set[str] = set()

    def start(self) -> None:
        """Begin to speak."""
        self._worker.start()

    def say(self, prompt: Prompt) -> None:
        """Queue a prompt, unless the same one waits already: a hundred marks must not hold up the notice."""
        if prompt.key in self._waiting:
            return
        self._waiting.add(prompt.key)
        self._worker.do(lambda: self._say(prompt))

    def stop(self) -> None:
        """Finish what is queued, then end."""
        self._worker.stop()

    def _say(self, prompt: Prompt) -> None:
        self._waiting.discard(prompt.key)
        from_ns = self._clock.boot_ns()
        try:
            self._loudspeaker.play(prompt.pcm, prompt.rate)
        finally:
            # Also after a failure: the dialogue goes on, and the microphone tells whether anything was heard.
            self._on_said(prompt.key, from_ns, self._clock.boot_ns())
