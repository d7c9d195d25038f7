"""The speaker: what is said first, what is cut short, and that whoever waits for a prompt is told of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from firmware.hal.ports import DriverError
from firmware.speaker import Speaker
from firmware.voice.prompts import Priority, Prompt
from tests.camera_rig import BootClock
from tests.runner_rig import RealTime

PATIENCE = 10.0


def prompt(key: str, priority: Priority = "hint", rate: int = 8_000) -> Prompt:
    return Prompt(key, key, f"[{key}]".encode(), rate, priority)


class _Loudspeaker:
    """Plays a clip until a test lets it end, or until it is stopped."""

    def __init__(self) -> None:
        self.played: list[str] = []
        self.together = 0
        self.at_once = 0
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.stopped = 0
        self.broken: Exception | None = None

    def play(self, pcm: bytes, rate: int) -> None:
        assert rate == 8_000
        self.together += 1
        self.at_once = max(self.at_once, self.together)
        self.played.append(pcm.decode())
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE)
        self.together -= 1
        if self.broken:
            raise self.broken

    def stop(self) -> None:
        self.stopped += 1
        self.go.release()

    def describe(self) -> dict[str, str]:
        return {}


class _Clock(BootClock):
    """Real time, which a test may move on."""

    ahead_ns = 0

    def boot_ns(self) -> int:
        return super().boot_ns() + self.ahead_ns


class Stage:
    def __init__(self) -> None:
        self.clock = _Clock(RealTime())
        self.loudspeaker = _Loudspeaker()
        self.said: list[str] = []
        self.spans: list[tuple[int, int]] = []
        self.faults: list[tuple[str, str]] = []
        self.buzzes: list[int] = []
        self.speaker = Speaker(
            self.loudspeaker,
            self.clock,
            self._told,
            lambda where, what: self.faults.append((where, what)),
            self.buzzes.append,
        )
        self.speaker.start()

    def _told(self, key: str, from_ns: int, to_ns: int) -> None:
        self.said.append(key)
        self.spans.append((from_ns, to_ns))

    def begin(self, *prompts: Prompt) -> None:
        """Say it, and wait until it is being said."""
        self.speaker.say(*prompts)
        self.await_begin()

    def await_begin(self) -> None:
        assert self.loudspeaker.begun.acquire(timeout=PATIENCE)

    def finish(self) -> None:
        """Let what is being said come to its end."""
        self.loudspeaker.go.release()

    def play(self, count: int) -> None:
        """Let so many phrases be said to their end."""
        for _ in range(count):
            self.finish()
        self.wait(lambda: self.speaker.speaking_since_ns is None)

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, "it never came"
            threading.Event().wait(0.002)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    for _ in range(40):
        made.finish()
    made.speaker.stop()
    assert "speaker" not in {thread.name for thread in threading.enumerate()}
    assert made.loudspeaker.at_once <= 1


def test_what_waits_is_said_by_priority_and_then_in_order(stage: Stage) -> None:
    stage.begin(prompt("question 0", "question"))
    waiting: list[tuple[str, Priority]] = [
        ("hint 1", "hint"), ("question 1", "question"), ("warning 1", "warning"), ("hint 2", "hint"),
        ("warning 2", "warning"), ("notice", "notice"), ("question 2", "question"),
    ]  # fmt: skip
    for key, priority in waiting:
        stage.speaker.say(prompt(key, priority))
    for _ in range(8):
        stage.finish()
    stage.wait(lambda: len(stage.said) == 8)
    assert stage.said == [
        "question 0", "notice", "warning 1", "warning 2", "question 1", "question 2", "hint 1", "hint 2",
    ]  # fmt: skip


def _cutting() -> list[tuple[Priority, Priority, bool]]:
    priorities: list[Priority] = ["notice", "warning", "question", "choice", "hint"]
    cut, cutting = ("hint", "choice"), ("notice", "warning", "choice")
    return [(now, then, now in cut and then in cutting) for now in priorities for then in priorities]


@pytest.mark.parametrize(("now", "then", "cut"), _cutting())
def test_only_a_hint_or_a_choice_is_cut_short_and_only_for_what_is_more_urgent_or_the_next_choice(
    stage: Stage, now: Priority, then: Priority, cut: bool
) -> None:
    stage.begin(prompt("first", now))
    stage.speaker.say(prompt("second", then))
    assert stage.loudspeaker.stopped == cut
    assert stage.loudspeaker.played == ["[first]"] or cut
    if not cut:
        assert stage.said == []
        stage.finish()
    stage.finish()
    stage.wait(lambda: stage.said == ["first", "second"])  # the one that was cut is told too, once
    assert stage.spans[0][0] < stage.spans[0][1] <= stage.spans[1][0]


def test_the_latest_choice_takes_the_place_of_those_that_wait(stage: Stage) -> None:
    stage.begin(prompt("notice", "notice"))
    for key in ("weather", "change of site", "privacy"):
        stage.speaker.say(prompt(key, "choice"))
    stage.speaker.say(prompt("marked"))
    for _ in range(3):
        stage.finish()
    stage.wait(lambda: len(stage.said) == 5)
    assert stage.said == ["weather", "change of site", "notice", "privacy", "marked"]
    assert stage.loudspeaker.played == ["[notice]", "[privacy]", "[marked]"]


def test_a_hint_that_could_not_be_said_in_time_is_not_said(stage: Stage) -> None:
    stage.begin(prompt("notice", "notice"))
    stage.speaker.say(prompt("stopped"))
    stage.speaker.say(prompt("fault", "warning"))
    stage.clock.ahead_ns = 9_000_000_000
    for _ in range(2):
        stage.finish()
    stage.wait(lambda: len(stage.said) == 3)
    assert stage.said == ["notice", "fault", "stopped"]
    assert stage.loudspeaker.played == ["[notice]", "[fault]"]


def test_a_cut_hint_does_not_take_the_warning_with_it(stage: Stage) -> None:
    stage.begin(prompt("hint"))
    stage.speaker.say(prompt("warning 1", "warning"))
    stage.await_begin()
    stage.speaker.say(prompt("warning 2", "warning"))
    assert stage.loudspeaker.stopped == 1
    stage.finish()
    stage.finish()
    stage.wait(lambda: stage.said == ["hint", "warning 1", "warning 2"])


def test_a_storm_of_marks_does_not_hold_up_the_notice(stage: Stage) -> None:
    stage.begin(prompt("question", "question"))
    for _ in range(70):
        stage.speaker.say(prompt("marked"))
    stage.speaker.say(prompt("notice", "notice"))
    for _ in range(3):
        stage.finish()
    stage.wait(lambda: stage.said == ["question", "notice", "marked"])


def test_a_phrase_is_one_clip_and_each_of_its_prompts_is_told(stage: Stage) -> None:
    stage.begin(prompt("battery_hours"), prompt("hours_5"), prompt("clock_untrusted", "warning"))
    stage.speaker.say(prompt("notice", "notice"))  # the phrase is as urgent as the most urgent of it
    assert stage.loudspeaker.stopped == 0
    stage.finish()
    stage.finish()
    stage.wait(lambda: len(stage.said) == 4)
    assert stage.loudspeaker.played == ["[battery_hours][hours_5][clock_untrusted]", "[notice]"]
    assert stage.said == ["battery_hours", "hours_5", "clock_untrusted", "notice"]
    assert len(set(stage.spans[:3])) == 1


@pytest.mark.parametrize("phrase", [(), (prompt("a"), prompt("b", rate=16_000))])
def test_a_phrase_that_cannot_be_one_clip_is_refused(stage: Stage, phrase: tuple[Prompt, ...]) -> None:
    with pytest.raises(ValueError, match="one sample rate"):
        stage.speaker.say(*phrase)


def test_too_many_are_dropped_from_the_end_and_told(stage: Stage) -> None:
    stage.begin(prompt("question", "question"))
    for number in range(16):
        stage.speaker.say(prompt(f"hint {number}"))
    assert stage.said == []
    stage.speaker.say(prompt("one too many"))
    assert stage.said == ["one too many"]
    stage.speaker.say(prompt("warning", "warning"))
    assert stage.said == ["one too many", "hint 15"]
    for _ in range(17):
        stage.finish()
    stage.wait(lambda: len(stage.said) == 19)
    assert stage.said[2:5] == ["question", "warning", "hint 0"]
    assert sorted(stage.said) == sorted({*stage.said})


@pytest.mark.parametrize("error", [DriverError("test", "no loudspeaker"), ValueError("a bug in a driver")])
def test_a_broken_loudspeaker_is_a_fault_and_the_dialogue_goes_on(stage: Stage, error: Exception) -> None:
    stage.loudspeaker.broken = error
    stage.speaker.say(prompt("notice", "notice"))
    stage.speaker.say(prompt("ask_reason", "question"))
    stage.finish()
    stage.finish()
    stage.wait(lambda: stage.said == ["notice", "ask_reason"] and len(stage.faults) == 2)
    assert all(where == "speaker" and str(error) in what for where, what in stage.faults)


def test_in_quiet_mode_all_but_the_notice_buzz(stage: Stage) -> None:
    stage.begin(prompt("quiet_on"))
    stage.speaker.say(prompt("asked for before", "question"))
    stage.speaker.quiet = True
    stage.speaker.say(prompt("warning", "warning"))
    assert stage.loudspeaker.stopped == 1
    stage.wait(lambda: stage.buzzes == [3])
    stage.await_begin()
    stage.speaker.say(prompt("question", "question"))
    stage.speaker.say(prompt("hint"), prompt("another"))
    stage.speaker.say(prompt("notice", "notice"))
    stage.finish()
    stage.await_begin()
    stage.finish()
    stage.wait(lambda: len(stage.said) == 7)
    assert stage.buzzes == [3, 2, 1]
    assert stage.loudspeaker.played == ["[quiet_on]", "[asked for before]", "[notice]"]
    assert stage.said == ["quiet_on", "warning", "asked for before", "notice", "question", "hint", "another"]
    stage.speaker.quiet = False
    stage.begin(prompt("quiet_off"))


def test_at_the_end_the_notice_is_finished_and_what_waits_is_dropped_but_warnings(stage: Stage) -> None:
    stage.begin(prompt("notice", "notice"))
    stage.speaker.say(prompt("hint"))
    stage.speaker.say(prompt("question", "question"))
    stage.speaker.say(prompt("warning", "warning"))
    stage.speaker.say(prompt("next", "notice"))
    ending = threading.Thread(target=stage.speaker.stop)
    ending.start()
    stage.wait(lambda: stage.said == ["next", "question", "hint"])
    assert stage.loudspeaker.stopped == 0
    stage.finish()
    stage.finish()
    ending.join(PATIENCE)
    assert stage.said == ["next", "question", "hint", "notice", "warning"]


@pytest.mark.parametrize("priority", ["question", "choice", "hint"])
def test_at_the_end_what_nobody_waits_for_is_cut_short(stage: Stage, priority: Priority) -> None:
    stage.begin(prompt("it", priority))
    stage.speaker.stop()
    assert stage.said == ["it"]
    assert stage.loudspeaker.stopped == 1


def test_it_is_told_since_when_something_is_being_said(stage: Stage) -> None:
    assert stage.speaker.speaking_since_ns is None
    stage.begin(prompt("hint"))
    since = stage.speaker.speaking_since_ns
    stage.play(1)
    assert stage.spans[0][0] == since


def test_asked_for_by_many_threads_each_prompt_is_told_once(stage: Stage) -> None:
    for _ in range(400):
        stage.loudspeaker.go.release()

    priorities: tuple[Priority, ...] = ("hint", "question", "warning")

    def ask(number: int) -> None:
        for turn in range(20):
            stage.speaker.say(prompt(f"{number}-{turn}", priorities[turn % 3]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    stage.wait(lambda: len(stage.said) == 100)
    assert len(set(stage.said)) == 100
