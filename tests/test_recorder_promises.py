"""What the recorder promises whatever happens: any events, in any order, carried out as the runner does."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.capture.recorder import step
from firmware.capture.state import Asking, Phase, State
from firmware.capture.vocabulary import (
    Alert,
    AnswerOver,
    BeginPart,
    ChoiceOver,
    Command,
    ConfirmOver,
    Docked,
    EndPart,
    EndRecording,
    Event,
    HandedIn,
    KeepReason,
    KeepStop,
    MarkHeld,
    MarkPressed,
    MarkReleased,
    NoticeChecked,
    PartBegan,
    PictureBlind,
    Quit,
    Ready,
    RecordHeld,
    RecordPressed,
    RecordReleased,
    Said,
    Say,
    SelfChecked,
    SourceBack,
    SourceLost,
    StorageBack,
    StorageFailed,
    Undocked,
    Warned,
)

OPEN = (Phase.RECORDING, Phase.DEGRADED, Phase.INTERRUPTED)

times = st.integers(0, 1000)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Ready, st.booleans(), st.booleans()),
    st.builds(SelfChecked, st.sampled_from([(), ("storage_low",)])),
    st.builds(RecordPressed, times),
    st.builds(RecordReleased, times),
    st.builds(RecordHeld, times),
    st.builds(MarkPressed, times),
    st.builds(MarkHeld, times),
    st.builds(MarkReleased, times),
    st.just(Docked()),
    st.just(Undocked()),
    st.builds(SourceLost, st.booleans(), st.sampled_from(["camera_stall", "microphone_lost"])),
    st.builds(SourceBack, st.booleans()),
    st.builds(PictureBlind, st.sampled_from([None, "camera_frozen", "camera_black"])),
    st.builds(Warned, st.just("battery_low"), st.sampled_from([None, "battery_low"])),
    st.builds(StorageFailed, st.sampled_from(["storage_full", "slow_storage", "unknown"])),
    st.just(StorageBack()),
    st.just(PartBegan(0, ())),  # what it tells is put in by the world below
    st.builds(Said, st.sampled_from(["notice", "ask_reason", "ask_reason_again", "marked"]), times, times),
    st.builds(NoticeChecked, st.booleans(), times),
    st.builds(AnswerOver, st.booleans(), times, times),
    st.builds(ConfirmOver, times),
    st.builds(ChoiceOver, times),
    st.just(HandedIn()),
    st.just(Quit()),
)


class World:
    """Carries out commands as the runner does, and holds the recorder to its promises."""

    def __init__(self) -> None:
        self.state = State()
        self.part = False
        self.open = False
        self.gaps: dict[int, int] = {}  # gap: how often its reason was kept
        self.due: list[int] = []
        self.said_notice = 0
        self.parts_told = 0
        self.stopped_at_quit = False
        self.events: list[Event] = []

    def take(self, event: Event) -> None:
        if isinstance(event, PartBegan):
            if not self.open:
                return
            gap = len(self.gaps) + 1
            self.gaps[gap] = 0
            self.due.append(gap)
            event = PartBegan(len(self.events), tuple(self.due))
        elif isinstance(event, Said | NoticeChecked | AnswerOver) and len(self.events) % 2:
            event = self.apt(event)  # else hardly any news would be of what is awaited
        before = self.state
        self.events.append(event)
        self.state, commands = step(before, event)
        assert step(before, event) == (self.state, commands), "pure"
        for command in commands:
            self.do(command)
        self.hold(before, event, commands)

    def apt(self, event: Event) -> Event:
        state = self.state
        if isinstance(event, Said):
            key = {Asking.NOTICE: "notice", Asking.REASON: "ask_reason"}.get(state.asking, event.key)
            return Said(key, state.part_ns + event.from_ns, state.part_ns + event.from_ns + 5)
        if isinstance(event, NoticeChecked | AnswerOver):
            return replace(event, from_ns=state.awaited_ns or 0)
        return event

    def do(self, command: Command) -> None:
        if isinstance(command, BeginPart):
            assert not self.part, "a part begins inside another"
            self.part = self.open = True
        elif isinstance(command, EndPart):
            assert self.part
            self.part = False
        elif isinstance(command, KeepStop):
            assert self.open
        elif isinstance(command, EndRecording):
            self.part = self.open = False
            assert self.due == [], "a gap is left without a reason"
        elif isinstance(command, KeepReason):
            self.gaps[command.gap_seq] += 1
            assert self.gaps[command.gap_seq] == 1, "a reason is kept twice"
            self.due.remove(command.gap_seq)

    def hold(self, before: State, event: Event, commands: list[Command]) -> None:
        recording = self.state.phase in (Phase.RECORDING, Phase.DEGRADED)
        self.stopped_at_quit |= isinstance(event, Quit) and before.phase is Phase.STOPPED
        assert self.part == recording, "recording is not left without EndPart or EndRecording"
        if before.phase in OPEN and self.state.phase not in OPEN:
            kind = KeepStop if self.state.phase is Phase.STOPPED else EndRecording
            assert any(isinstance(c, kind) for c in commands)
            confirmed = isinstance(event, RecordHeld) and before.hold_ns is not None
            assert confirmed or isinstance(event, Quit), "only a confirmed hold or a shutdown ends a recording"
        if before.phase is Phase.STOPPED and self.state.phase not in (Phase.STOPPED, Phase.SHUTTING_DOWN):
            goes_on = isinstance(event, RecordPressed) and self.state.phase in OPEN
            ended = isinstance(event, MarkHeld | Docked) and any(isinstance(c, EndRecording) for c in commands)
            assert goes_on or ended, "nothing but the officer ends what the officer stopped"
        if isinstance(event, RecordPressed):
            assert not any(isinstance(c, EndPart | EndRecording) for c in commands)
        if isinstance(event, PartBegan) and recording:
            assert Say("notice") in commands
        if recording:
            assert self.state.able, "a state that records nothing does not call itself recording"
            assert self.state.phase is self.state.recording
        unanswered = [c for c in commands if isinstance(c, KeepReason) and c.basis == "unanswered"]
        if unanswered and isinstance(event, AnswerOver):
            assert any(isinstance(c, Alert) and c.what == "explanation_due" for c in commands)


@settings(max_examples=250, deadline=None)
@given(st.lists(events, max_size=60), st.booleans())
def test_whatever_happens(sequence: list[Event], cut: bool) -> None:
    world = World()
    if cut:
        world.take(Ready(cut_recording=True, docked=False))
    for event in sequence:
        world.take(event)
    stopped = world.state.phase is Phase.STOPPED
    world.take(Quit())
    if stopped or world.stopped_at_quit:
        return  # it goes on after the next start
    assert not world.open
    assert all(kept == 1 for kept in world.gaps.values()), "each gap ends in exactly one reason"


@given(st.lists(events, max_size=12), st.integers(0, 99))
def test_a_press_while_starting_is_never_lost(sequence: list[Event], at_ns: int) -> None:
    world = World()
    world.take(RecordPressed(at_ns))
    for event in sequence:
        if not isinstance(event, Ready | Quit):
            world.take(event)
    assert world.state.phase is Phase.STARTING
    world.take(SourceBack(picture=True))
    state, commands = step(world.state, Ready(cut_recording=False, docked=False))
    assert BeginPart(at_ns, None) in commands  # of picture and sound
    assert state.phase in OPEN
