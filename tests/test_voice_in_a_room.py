"""What the camera says and hears through the real sound library: loudspeaker, air, microphone."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.hal.pyaudio_sound import PyAudioLoudspeaker
from firmware.listening import Hearing
from firmware.speaker import Speaker
from firmware.voice import phrases, prompts, tone
from hw_sim import room
from hw_sim.world import RoomWorld
from tests.test_room import CLOCK, MEDIA, SPEAKER, Ear, running

pytestmark = pytest.mark.sound
TAIL_NS = 700_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with running(tmp_path / "world", RoomWorld()):
        for name, value in room.environment(tmp_path / "world").items():
            monkeypatch.setenv(name, value)
        yield tmp_path / "world"


class Stage:
    """A speaker in the room."""

    def __init__(self) -> None:
        self.said: queue.Queue[tuple[str, int, int]] = queue.Queue()
        self.faults: queue.Queue[tuple[str, str]] = queue.Queue()
        self.speaker = Speaker(
            PyAudioLoudspeaker(SPEAKER),
            CLOCK,
            lambda *said: self.said.put(said),
            lambda *fault: self.faults.put(fault),
            lambda _: None,
        )
        self.speaker.start()

    def next(self) -> tuple[str, int, int]:
        return self.said.get(timeout=20)


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    assert folder
    made = Stage()
    yield made
    made.speaker.stop()
    assert made.faults.empty()


def _listen(ear: Ear, until_ns: int) -> None:
    ear.heard()
    while not ear.blocks or ear.blocks[-1].boot_ns < until_ns:
        ear.listen(0.2)


def test_the_microphone_hears_the_tone_over_the_room_unless_the_loudspeaker_is_mute(folder: Path, stage: Stage) -> None:
    room.ask(folder, "noise", snr_db=0)
    for mute in (False, True):
        room.ask(folder, "mute_loudspeaker", on=mute)
        with Ear() as ear:
            ear.listen(0.2)
            stage.speaker.say(tone.TONE)
            _, _, to_ns = stage.next()
            _listen(ear, to_ns + TAIL_NS)
            assert tone.find(ear.heard(), 48_000).heard != mute


def test_a_warning_cuts_a_phrase_of_hints_short(stage: Stage) -> None:
    loaded = prompts.load()
    status = [loaded[key] for key in phrases.status(5, 12, clock_trusted=True)]
    begun = time.monotonic()
    stage.speaker.say(*status)
    while stage.speaker.speaking_since_ns is None:
        assert time.monotonic() < begun + 5
        threading.Event().wait(0.01)
    threading.Event().wait(1.0)  # in the middle of the phrase: real sound takes real time
    stage.speaker.say(loaded["battery_warning"])
    for prompt in status:
        key, from_ns, to_ns = stage.next()
        assert key == prompt.key
        assert 0.9 < (to_ns - from_ns) / 1e9 < 2.5 < sum(each.seconds for each in status)
    key, from_ns, warned_ns = stage.next()
    assert key == "battery_warning"
    assert from_ns >= to_ns
    assert (warned_ns - from_ns) / 1e9 > loaded[key].seconds


def test_an_officers_answer_is_told_from_the_cameras_own_voice(folder: Path, stage: Stage) -> None:
    hearing = Hearing()
    with Ear() as ear:
        ear.listen(0.2)
        stage.speaker.say(prompts.load()["ask_reason"])
        _, from_ns, asked_ns = stage.next()
        _listen(ear, asked_ns + 2_000_000_000)
        room.ask(folder, "play", file=str(MEDIA / "answer_weather.flac"))
        _listen(ear, asked_ns + 6_000_000_000)
    for block in ear.blocks:
        hearing.add(block)
    hearing.own_voice(from_ns, asked_ns)
    assert not hearing.spoken(from_ns, asked_ns + 2_000_000_000)
    assert hearing.spoken(asked_ns, asked_ns + 6_000_000_000)
