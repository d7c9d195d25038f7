"""The recorder's table, case by case: event → phase and commands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firmware.capture import recorder
from firmware.capture.recorder import step
from firmware.capture.state import Phase, State, lamps
from firmware.capture.vocabulary import (
    Alert,
    AnswerOver,
    Arm,
    AwaitConfirm,
    BeginPart,
    CheckNotice,
    CloseDockPort,
    Command,
    ConfirmOver,
    Docked,
    EndPart,
    EndRecording,
    Event,
    Exit,
    HandedIn,
    KeepReason,
    ListenForAnswer,
    Mark,
    MarkPressed,
    MarkReleased,
    NoticeChecked,
    OpenDockPort,
    PartBegan,
    Quit,
    Ready,
    RecordHeld,
    RecordPressed,
    Said,
    Say,
    SelfChecked,
    Show,
    SourceBack,
    SourceLost,
    StorageBack,
    StorageFailed,
    TellStatus,
    Undocked,
)

OPEN = (Phase.RECORDING, Phase.DEGRADED, Phase.INTERRUPTED)
ALERT = "…"  # any detail

# name: events, each with the phase after it and the commands it causes (Show left out, it has a test of its own)
Row = tuple[Event, Phase, list[Command]]
READY: Row = (Ready(cut_recording=False, docked=False), Phase.ARMED, [Arm()])
PRESS: Row = (RecordPressed(5), Phase.RECORDING, [BeginPart(5, None)])
BEGAN: Row = (PartBegan(5, ()), Phase.RECORDING, [Say("notice")])
HEARD: list[Row] = [
    (Said("notice", 6, 7), Phase.RECORDING, [CheckNotice(1, 6, 7)]),
    (NoticeChecked(heard=True, from_ns=6), Phase.RECORDING, []),
]
GAP: list[Row] = [
    (PartBegan(20, (9,)), Phase.RECORDING, [Say("notice")]),
    (Said("notice", 21, 22), Phase.RECORDING, [CheckNotice(1, 21, 22)]),
    (NoticeChecked(heard=True, from_ns=21), Phase.RECORDING, [Say("ask_reason")]),
    (Said("ask_reason", 23, 24), Phase.RECORDING, [ListenForAnswer(24)]),
]
CUT: Row = (Ready(cut_recording=True, docked=False), Phase.RECORDING, [BeginPart(None, "power_cut")])
LOST_SOUND: Row = (
    SourceLost(picture=False, cause="microphone_lost"),
    Phase.DEGRADED,
    [Say("microphone_fault"), Alert("microphone_lost", ALERT)],
)
LOST_BOTH: Row = (
    SourceLost(picture=True, cause="camera_stall"),
    Phase.INTERRUPTED,
    [EndPart(), Say("camera_fault"), Say("cannot_continue"), Alert("camera_stall", ALERT)],
)
ENDED: list[Command] = [EndRecording(None, "end_of_activity"), Say("recording_ended"), Arm()]

CASES: dict[str, list[Row]] = {
    "a recording from press to end": [
        READY,
        PRESS,
        BEGAN,
        *HEARD,
        (RecordHeld(30), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(30)]),
        (RecordHeld(31), Phase.ARMED, ENDED),
    ],
    "a double press stops nothing": [
        READY,
        PRESS,
        (RecordPressed(6), Phase.RECORDING, []),
        (RecordPressed(7), Phase.RECORDING, []),
    ],
    "an unconfirmed hold ends nothing": [
        READY,
        PRESS,
        (RecordHeld(30), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(30)]),
        (ConfirmOver(30), Phase.RECORDING, []),
        (RecordHeld(50), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(50)]),
        (ConfirmOver(30), Phase.RECORDING, []),
        (RecordHeld(51), Phase.ARMED, ENDED),
    ],
    "a press while starting is kept": [
        (RecordPressed(1), Phase.STARTING, []),
        (RecordPressed(2), Phase.STARTING, []),
        (Ready(cut_recording=False, docked=False), Phase.RECORDING, [BeginPart(1, None)]),
    ],
    "a press while starting goes into the recording that was cut": [
        (RecordPressed(1), Phase.STARTING, []),
        (Ready(cut_recording=True, docked=True), Phase.RECORDING, [BeginPart(1, "power_cut"), OpenDockPort()]),
    ],
    "the reason is spoken": [
        CUT,
        *GAP,
        (
            AnswerOver(spoke=True, from_ns=24, to_ns=40),
            Phase.RECORDING,
            [KeepReason(9, "speech_followed", 24, 40), Say("reason_kept")],
        ),
    ],
    "the reason is spoken with the button down, past the time": [
        CUT,
        *GAP,
        (MarkPressed(30), Phase.RECORDING, []),
        (AnswerOver(spoke=True, from_ns=24, to_ns=40), Phase.RECORDING, [ListenForAnswer(40)]),
        (MarkReleased(45), Phase.RECORDING, [KeepReason(9, "button_held", 30, 45), Say("reason_kept")]),
        (AnswerOver(spoke=False, from_ns=40, to_ns=50), Phase.RECORDING, []),
        (MarkPressed(55), Phase.RECORDING, [Mark(55, still=True), Say("marked")]),
    ],
    "unanswered twice": [
        CUT,
        *GAP,
        (AnswerOver(spoke=False, from_ns=24, to_ns=40), Phase.RECORDING, [Say("ask_reason_again")]),
        (Said("ask_reason_again", 41, 42), Phase.RECORDING, [ListenForAnswer(42)]),
        (AnswerOver(spoke=True, from_ns=24, to_ns=43), Phase.RECORDING, []),  # the first question's, too late
        (
            AnswerOver(spoke=False, from_ns=42, to_ns=60),
            Phase.RECORDING,
            [Alert("explanation_due", ALERT), KeepReason(9, "unanswered", 42, 60), Say("reason_missing")],
        ),
    ],
    "two gaps, two questions": [
        CUT,
        (PartBegan(20, (9, 11)), Phase.RECORDING, [Say("notice")]),
        (Said("notice", 21, 22), Phase.RECORDING, [CheckNotice(1, 21, 22)]),
        (NoticeChecked(heard=True, from_ns=21), Phase.RECORDING, [Say("ask_reason")]),
        (Said("ask_reason", 23, 24), Phase.RECORDING, [ListenForAnswer(24)]),
        (
            AnswerOver(spoke=True, from_ns=24, to_ns=40),
            Phase.RECORDING,
            [KeepReason(9, "speech_followed", 24, 40), Say("reason_kept"), Say("ask_reason")],
        ),
        (RecordHeld(41), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(41)]),
        (RecordHeld(42), Phase.ARMED, [KeepReason(11, "unanswered", 0, 0), *ENDED]),
    ],
    "the notice is not heard": [
        READY,
        PRESS,
        BEGAN,
        (Said("notice", 6, 7), Phase.RECORDING, [CheckNotice(1, 6, 7)]),
        (NoticeChecked(heard=False, from_ns=6), Phase.RECORDING, [Say("notice")]),
        (Said("notice", 8, 9), Phase.RECORDING, [CheckNotice(2, 8, 9)]),
        (
            NoticeChecked(heard=False, from_ns=8),
            Phase.RECORDING,
            [Alert("notice_not_heard", ALERT), Say("microphone_silent")],
        ),
    ],
    "an earlier part's notice does not count for the next": [
        READY,
        PRESS,
        BEGAN,
        (Said("notice", 6, 7), Phase.RECORDING, [CheckNotice(1, 6, 7)]),
        (PartBegan(20, ()), Phase.RECORDING, [Say("notice")]),
        (NoticeChecked(heard=True, from_ns=6), Phase.RECORDING, []),
        (Said("notice", 19, 21), Phase.RECORDING, []),
        (Said("notice", 22, 24), Phase.RECORDING, [CheckNotice(1, 22, 24)]),
    ],
    "losing one of picture and sound never stops the other": [
        READY,
        PRESS,
        LOST_SOUND,
        LOST_BOTH,
        (SourceBack(picture=True), Phase.DEGRADED, [BeginPart(None, "camera_stall")]),
        (SourceBack(picture=False), Phase.RECORDING, [Say("recording_resumed")]),
    ],
    "nothing can be recorded at the press: loud, and begun as soon as anything comes": [
        READY,
        (SourceLost(picture=False, cause="microphone_lost"), Phase.ARMED, [Say("microphone_fault")]),
        (SourceLost(picture=True, cause="camera_lost"), Phase.ARMED, [Say("camera_fault")]),
        (RecordPressed(5), Phase.INTERRUPTED, [Say("cannot_continue"), Alert("camera_lost", ALERT)]),
        (SourceBack(picture=False), Phase.DEGRADED, [BeginPart(5, "camera_lost")]),
    ],
    "the lens fails while starting": [
        (SourceLost(picture=True, cause="camera_lost"), Phase.STARTING, [Say("camera_fault")]),
        READY,
        (RecordPressed(5), Phase.DEGRADED, [BeginPart(5, None)]),
    ],
    "the card is full": [
        READY,
        PRESS,
        (
            StorageFailed("storage_full"),
            Phase.INTERRUPTED,
            [EndPart(), Say("storage_low"), Say("cannot_continue"), Alert("storage_full", ALERT)],
        ),
        (SourceBack(picture=True), Phase.INTERRUPTED, []),
        (StorageBack(), Phase.RECORDING, [BeginPart(None, "storage_full")]),
    ],
    "the card is slow, and picture and sound go meanwhile": [
        READY,
        PRESS,
        (StorageFailed("slow_storage"), Phase.INTERRUPTED, [EndPart(), Alert("slow_storage", ALERT)]),
        (SourceLost(picture=False, cause="microphone_lost"), Phase.INTERRUPTED, [Say("microphone_fault")]),
        (SourceLost(picture=True, cause="camera_stall"), Phase.INTERRUPTED, [Say("camera_fault")]),
        (StorageBack(), Phase.INTERRUPTED, []),
        (SourceBack(picture=True), Phase.DEGRADED, [BeginPart(None, "slow_storage")]),
    ],
    "the recording ends while interrupted": [
        READY,
        PRESS,
        LOST_SOUND,
        LOST_BOTH,
        (RecordHeld(30), Phase.INTERRUPTED, [Say("hold_again_to_end"), AwaitConfirm(30)]),
        (RecordHeld(31), Phase.ARMED, [EndRecording("camera_stall", "end_of_activity"), Say("recording_ended"), Arm()]),
    ],
    "a gap that is told late is explained all the same": [
        READY,
        PRESS,
        LOST_SOUND,
        LOST_BOTH,
        (PartBegan(20, (9,)), Phase.INTERRUPTED, []),
        (RecordHeld(30), Phase.INTERRUPTED, [Say("hold_again_to_end"), AwaitConfirm(30)]),
        (
            RecordHeld(31),
            Phase.ARMED,
            [
                KeepReason(9, "unanswered", 0, 0),
                EndRecording("camera_stall", "end_of_activity"),
                Say("recording_ended"),
                Arm(),
            ],
        ),
    ],
    "docked while recording: go on": [
        READY,
        PRESS,
        (Docked(), Phase.RECORDING, [OpenDockPort()]),
        (Docked(), Phase.RECORDING, []),
        (HandedIn(), Phase.RECORDING, []),
        (RecordHeld(30), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(30)]),
        (RecordHeld(31), Phase.DOCKED, ENDED),
        (HandedIn(), Phase.DOCKED, [Say("handed_in")]),
        (Undocked(), Phase.ARMED, [CloseDockPort(), TellStatus(check=True)]),
        (Undocked(), Phase.ARMED, []),
    ],
    "recording may begin in the dock": [
        (Ready(cut_recording=False, docked=True), Phase.DOCKED, [Arm(), OpenDockPort(), Say("docked")]),
        (RecordPressed(5), Phase.RECORDING, [BeginPart(5, None)]),
    ],
    "a failed check warns and refuses nothing": [
        READY,
        (SelfChecked(("storage_low", "clock_untrusted")), Phase.ARMED, [Say("storage_low"), Say("clock_untrusted")]),
        (SelfChecked(()), Phase.ARMED, [Say("self_check_passed")]),
        PRESS,
        (SelfChecked(("storage_low",)), Phase.RECORDING, []),
    ],
    "stopped while recording": [
        CUT,
        *GAP,
        (
            Quit(),
            Phase.SHUTTING_DOWN,
            [KeepReason(9, "unanswered", 0, 0), EndRecording("shutdown"), Exit()],
        ),
        (RecordPressed(90), Phase.SHUTTING_DOWN, []),
    ],
}


def play(rows: list[Row]) -> None:
    """Let each event happen: what must come of it comes."""
    state = State()
    for event, phase, expected in rows:
        state, commands = step(state, event)
        told = [replace(c, detail=ALERT) if isinstance(c, Alert) else c for c in commands if not isinstance(c, Show)]
        assert (event, state.phase, told) == (event, phase, expected)


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    play(CASES[name])


def test_lamps_and_buzzer_tell_each_change_of_phase() -> None:
    state, shown = State(), []
    for event in (READY[0], PRESS[0], LOST_SOUND[0], LOST_BOTH[0]):
        state, commands = step(state, event)
        shown += [(c.lamps.green, c.lamps.red, c.lamps.yellow, c.buzz) for c in commands if isinstance(c, Show)]
    assert shown == [
        ("on", "off", "off", True),
        ("on", "on", "off", True),
        ("on", "blinking", "off", True),
        ("on", "blinking", "blinking", True),
    ]


def test_sound_only_shows_yellow() -> None:
    state = State(phase=Phase.DEGRADED, picture=False)
    assert lamps(state).yellow == "on"
    assert lamps(state).red == "off"


def test_the_table_names_only_phases_and_events_there_are() -> None:
    assert all(isinstance(phase, Phase) and callable(rule) for (phase, _), rule in recorder.TABLE.items())
    assert (Phase.SHUTTING_DOWN, RecordPressed) not in recorder.TABLE
