"""What the camera and its wearer say: looks for the notice in the microphone's sound, and listens for an answer.

Called from the runner's loop, but for the searches themselves, which take a second or more on a slow board.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from firmware.books import Books
from firmware.capture.vocabulary import AnswerOver, Event, NoticeChecked
from firmware.hal.ports import Clock, SoundBlock
from firmware.listening import RATE, Hearing
from firmware.self_check import Tone
from firmware.voice import notice, tone
from firmware.voice.prompts import Prompt
from firmware.worker import Worker

_log = logging.getLogger(__name__)

_NOTICE_MARGIN_NS = 700_000_000  # the room's and the card's delay after the loudspeaker is done
_SILENT_SECONDS = 5.0  # no sound at all by then: the notice was not heard
_LEAD_NS = 100_000_000  # blocks that had begun when the loudspeaker did
_LOOK_SECONDS = 0.1
_ROOM_NS = 1_000_000_000  # of the room before the tone, for its level

After = Callable[[float, Callable[[], None]], None]


class Dialogue:
    """`after(seconds, action)` and `post(event)` are the loop's."""

    def __init__(
        self, clock: Clock, books: Books, prompts: Mapping[str, Prompt], worker: Worker, after: After,
        post: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._clock = clock
        self._books = books
        self._prompt = prompts["notice"]
        self._worker = worker
        self._after = after
        self._post = post
        self._hearing = Hearing()

    def hear(self, block: SoundBlock) -> None:
        """Take the next block of the microphone's sound."""
        self._hearing.add(block)

    def said(self, from_ns: int, to_ns: int) -> None:
        """The camera itself spoke between two boot times. Any thread may tell."""
        self._hearing.own_voice(from_ns, to_ns)

    def find_tone(self, from_ns: int, to_ns: int, on_found: Callable[[Tone], None]) -> None:
        """Look for the self-check's tone, said in that span; `on_found` is called from the worker's thread."""

        def search(sound: NDArray[np.int16], _: int) -> None:
            found = tone.find(sound, RATE)
            level = self._hearing.rms_dbfs(from_ns - _ROOM_NS, from_ns)
            on_found(Tone(found.heard, round(found.score * 1000), None if level is None else round(level)))

        self._when_heard(from_ns, to_ns, search)

    def check_notice(self, attempt: int, from_ns: int, to_ns: int) -> None:
        """Look for the notice that was said in that span, once its sound is there; `NoticeChecked` follows."""
        recording = self._books.recording

        def search(sound: NDArray[np.int16], first_ns: int) -> None:
            self._search(recording, attempt, (from_ns, to_ns), sound, first_ns)

        self._when_heard(from_ns, to_ns, search)

    def _when_heard(self, from_ns: int, to_ns: int, search: Callable[[NDArray[np.int16], int], None]) -> None:
        """Search the sound of a span, and where it begins, in the worker's thread once all of it is there."""
        until_ns = to_ns + _NOTICE_MARGIN_NS
        deadline_ns = until_ns + int(_SILENT_SECONDS * 1e9)

        def look() -> None:
            if self._hearing.latest_ns < until_ns and self._clock.boot_ns() < deadline_ns:
                self._after(_LOOK_SECONDS, look)
                return
            sound, first_ns = self._hearing.span(from_ns - _LEAD_NS, until_ns)
            self._worker.do(lambda: search(sound, first_ns))

        look()

    def listen(self, from_ns: int, seconds: float) -> None:
        """Tell `AnswerOver` when so much time has passed since `from_ns`."""
        spent = (self._clock.boot_ns() - from_ns) / 1e9
        self._after(max(0.0, seconds - spent), lambda: self._answer_over(from_ns))

    def _answer_over(self, from_ns: int) -> None:
        to_ns = self._clock.boot_ns()
        self._worker.do(lambda: self._judge(from_ns, to_ns))

    def _judge(self, from_ns: int, to_ns: int) -> None:
        spoke = False
        try:
            spoke = self._hearing.spoken(from_ns, to_ns)
        finally:
            self._post(AnswerOver(spoke, from_ns, to_ns))  # also after a failure: the dialogue goes on

    def _search(
        self, recording: str | None, attempt: int, said: tuple[int, int], sound: NDArray[np.int16], first_ns: int
    ) -> None:
        heard = False
        try:
            found = notice.find(sound, np.frombuffer(self._prompt.pcm, np.int16), self._prompt.rate)
            heard, span = found.heard, said
            if heard:
                start_ns = first_ns + found.offset_samples * 1_000_000_000 // RATE
                span = (start_ns, start_ns + len(self._prompt.pcm) // 2 * 1_000_000_000 // self._prompt.rate)
            _log.info("notice", extra={"heard": heard, "score": round(found.score, 3), "attempt": attempt})
            if recording is not None:
                body = {
                    "recording": recording,
                    "attempt": attempt,
                    "heard": heard,
                    "score_permille": round(found.score * 1000),
                    "from_ns": span[0],
                    "to_ns": span[1],
                }
                self._books.record("notice", body)
        finally:
            self._post(NoticeChecked(heard, said[0]))  # also after a failure: the dialogue goes on
