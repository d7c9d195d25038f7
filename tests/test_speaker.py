"""The speaker: one prompt after another, and none that already waits."""

from __future__ import annotations

import threading

from firmware.speaker import Speaker
from firmware.voice.prompts import Prompt
from tests.camera_rig import BootClock, World
from tests.runner_rig import Loudspeaker


class _SlowLoudspeaker(Loudspeaker):
    """Plays nothing to its end before it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def play(self, pcm: bytes, rate: int) -> None:
        self.begun.set()
        assert self.go.wait(10)
        super().play(pcm, rate)


def test_a_storm_of_marks_does_not_hold_up_the_notice() -> None:
    loudspeaker, said = _SlowLoudspeaker(), []
    speaker = Speaker(loudspeaker, BootClock(World()), lambda key, _from, _to: said.append(key), lambda *_: None)
    speaker.start()
    marked, notice = Prompt("marked", "", b"", 8_000), Prompt("notice", "", b"", 8_000)
    speaker.say(marked)
    assert loudspeaker.begun.wait(10)
    for _ in range(70):
        speaker.say(marked)  # one is being said; one more is enough
    speaker.say(notice)
    loudspeaker.go.set()
    speaker.stop()
    assert said == ["marked", "marked", "notice"]
