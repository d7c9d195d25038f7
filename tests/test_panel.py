"""What the buttons do, case by case (docs/spec/panel.md): event → phase and commands."""

from __future__ import annotations

import pytest

from firmware.capture import recorder
from firmware.capture.state import Phase
from firmware.capture.vocabulary import (
    Alert,
    Arm,
    AwaitChoice,
    AwaitConfirm,
    BeginPart,
    CheckNotice,
    ChoiceOver,
    CloseDockPort,
    Command,
    ConfirmOver,
    Docked,
    EndPart,
    EndRecording,
    Exit,
    KeepActivity,
    KeepStop,
    Mark,
    MarkHeld,
    MarkPressed,
    NoticeChecked,
    OpenDockPort,
    PartBegan,
    PictureBlind,
    Quiet,
    Quit,
    Ready,
    RecordHeld,
    RecordPressed,
    RecordReleased,
    Said,
    Say,
    SourceBack,
    SourceLost,
    StorageBack,
    TellStatus,
    Undocked,
    Warned,
)
from tests import panel_spec
from tests.test_recorder import ALERT, BEGAN, ENDED, HEARD, LOST_SOUND, PRESS, READY, Row, play

S = 1_000_000_000
GO_ON: Row = (RecordPressed(100 * S), Phase.RECORDING, [BeginPart(100 * S, "privacy")])
HOLD: Row = (RecordHeld(30), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(30)])
FIRST = Say("choose_activity", ("activity_inspection",))
STATUS: list[Command] = [TellStatus(check=False)]
CHECK: list[Command] = [TellStatus(check=True)]


def grounds(*names: str) -> list[Row]:
    """Press the marker after a hold: each press tells the next ground and gives time anew."""
    return [
        (MarkPressed(31 + n), Phase.RECORDING, [Say(f"ground_{name}"), AwaitConfirm(31 + n)])
        for n, name in enumerate(names)
    ]


def short_press(at_ns: int, phase: Phase, commands: list[Command]) -> list[Row]:
    return [(RecordPressed(at_ns), phase, []), (RecordReleased(at_ns + 1), phase, commands)]


STOPPED: list[Row] = [
    READY,
    PRESS,
    BEGAN,
    *HEARD,
    HOLD,
    *grounds("weather", "change_of_site", "privacy"),
    (
        RecordHeld(40),
        Phase.STOPPED,
        [Alert("statement_due", ALERT), Say("statement_due"), KeepStop("privacy", 40), EndPart(),
         Say("recording_stopped")],
    ),
]  # fmt: skip

CASES: dict[str, list[Row]] = {
    "stopped for privacy, gone on later, and asked": [
        *STOPPED,
        (StorageBack(), Phase.STOPPED, []),
        (MarkPressed(50 * S), Phase.STOPPED, [Say("not_recording")]),
        (MarkPressed(50 * S + 1), Phase.STOPPED, STATUS),
        GO_ON,
        (PartBegan(100 * S, (9,)), Phase.RECORDING, [Say("notice")]),
        (Said("notice", 101 * S, 102 * S), Phase.RECORDING, [CheckNotice(1, 101 * S, 102 * S)]),
        (NoticeChecked(heard=True, from_ns=101 * S), Phase.RECORDING, [Say("ask_reason")]),
    ],
    "stopped, and ended for good by holding the marker": [
        *STOPPED,
        (MarkHeld(60 * S), Phase.ARMED, [EndRecording("privacy", "privacy"), Say("recording_ended"), Arm()]),
    ],
    "stopped, and docked: it is over": [
        *STOPPED,
        (Docked(), Phase.DOCKED, [EndRecording("privacy", "privacy"), Say("recording_ended"), Arm(), OpenDockPort()]),
    ],
    "stopped, switched off, and stopped still after the next start": [
        *STOPPED,
        (Quit(), Phase.SHUTTING_DOWN, [Exit()]),
    ],
    "a start finds what the officer had stopped": [
        (
            Ready(cut_recording=True, docked=False, activity="case", stopped="weather"),
            Phase.STOPPED,
            [Say("recording_stopped")],
        ),
        (RecordPressed(5), Phase.RECORDING, [BeginPart(5, "weather", activity="case")]),
    ],
    "a start in the dock ends what the officer had stopped": [
        (
            Ready(cut_recording=True, docked=True, stopped="weather"),
            Phase.DOCKED,
            [EndRecording("weather", "weather"), Say("recording_ended"), Arm(), OpenDockPort()],
        ),
    ],
    "ended on another ground": [
        READY,
        PRESS,
        HOLD,
        *grounds("weather", "change_of_site", "privacy", "other"),
        (RecordHeld(40), Phase.ARMED, [EndRecording(None, "other"), Say("recording_ended"), Arm()]),
    ],
    "the grounds come round, and a hold that is not confirmed forgets them": [
        READY,
        PRESS,
        HOLD,
        *grounds("weather", "change_of_site", "privacy", "other", "end_of_activity", "weather"),
        (ConfirmOver(30), Phase.RECORDING, []),  # of before
        (ConfirmOver(36), Phase.RECORDING, []),
        (MarkPressed(5 * S), Phase.RECORDING, [Mark(5 * S, still=True), Say("marked")]),
        (RecordHeld(50 * S), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(50 * S)]),
        (RecordHeld(51 * S), Phase.ARMED, ENDED),
    ],
    "the kind of activity": [
        READY,
        PRESS,
        *short_press(1, Phase.RECORDING, []),  # an accident
        *short_press(
            3 * S, Phase.RECORDING, [Say("choose_activity", ("activity_inspection",)), AwaitChoice(3 * S + 1)]
        ),
        *short_press(4 * S, Phase.RECORDING, [Say("activity_complaint"), AwaitChoice(4 * S + 1)]),
        *short_press(5 * S, Phase.RECORDING, [Say("activity_case"), AwaitChoice(5 * S + 1)]),
        (ChoiceOver(4 * S + 1), Phase.RECORDING, []),
        (ChoiceOver(5 * S + 1), Phase.RECORDING, [KeepActivity("case")]),
        *short_press(9 * S, Phase.RECORDING, [Say("choose_activity", ("activity_case",)), AwaitChoice(9 * S + 1)]),
        (ChoiceOver(9 * S + 1), Phase.RECORDING, []),  # told, not changed
    ],
    "a hold is no short press, and what was chosen is kept at the end": [
        READY,
        PRESS,
        *short_press(
            3 * S, Phase.RECORDING, [Say("choose_activity", ("activity_inspection",)), AwaitChoice(3 * S + 1)]
        ),
        *short_press(4 * S, Phase.RECORDING, [Say("activity_complaint"), AwaitChoice(4 * S + 1)]),
        (RecordPressed(5 * S), Phase.RECORDING, []),
        (RecordHeld(6 * S), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(6 * S)]),
        (RecordReleased(7 * S), Phase.RECORDING, []),
        (RecordPressed(8 * S), Phase.RECORDING, []),
        (RecordHeld(9 * S), Phase.ARMED, [KeepActivity("complaint"), *ENDED]),
    ],
    "sound only: no still, no word of a lost picture, and lost sound does not bring the picture in": [
        READY,
        (MarkPressed(1), Phase.ARMED, [Say("not_recording")]),
        (MarkHeld(2), Phase.RECORDING, [BeginPart(2, None, "sound_only"), Say("sound_only_started")]),
        (SourceLost(picture=True, cause="camera_lost"), Phase.RECORDING, []),
        (PictureBlind("camera_black"), Phase.RECORDING, []),
        (MarkPressed(5 * S), Phase.RECORDING, [Mark(5 * S, still=False), Say("marked")]),
        (SourceBack(picture=True), Phase.RECORDING, []),
        (
            SourceLost(picture=False, cause="microphone_lost"),
            Phase.INTERRUPTED,
            [EndPart(), Say("microphone_fault"), Say("cannot_continue"), Alert("microphone_lost", ALERT)],
        ),
        (SourceBack(picture=False), Phase.RECORDING, [BeginPart(None, "microphone_lost", "sound_only")]),
        (PictureBlind(None), Phase.RECORDING, []),
        (RecordHeld(30 * S), Phase.RECORDING, [Say("hold_again_to_end"), AwaitConfirm(30 * S)]),
        (RecordHeld(31 * S), Phase.ARMED, ENDED),
        (RecordPressed(40 * S), Phase.RECORDING, [BeginPart(40 * S, None)]),  # the next one has pictures again
    ],
    "a double press of the marker tells how it stands, and marks once": [
        READY,
        (MarkPressed(1), Phase.ARMED, [Say("not_recording")]),
        (MarkPressed(2), Phase.ARMED, CHECK),
        PRESS,
        (MarkPressed(5 * S), Phase.RECORDING, [Mark(5 * S, still=True), Say("marked")]),
        (MarkPressed(5 * S + 1), Phase.RECORDING, STATUS),
        (MarkPressed(7 * S), Phase.RECORDING, [Mark(7 * S, still=True), Say("marked")]),
        (
            MarkPressed(8 * S),
            Phase.RECORDING,
            [Mark(8 * S, still=True), Say("marked")],
        ),  # no double one
    ],
    "quiet, and loud again": [
        READY,
        PRESS,
        (MarkHeld(5), Phase.RECORDING, [Quiet(on=True), Say("quiet_on")]),
        (MarkHeld(6), Phase.RECORDING, [Quiet(on=False), Say("quiet_off")]),
    ],
    "pictures that show nothing are recorded": [
        READY,
        PRESS,
        (PictureBlind("camera_frozen"), Phase.DEGRADED, [Say("camera_frozen"), Alert("camera_frozen", ALERT)]),
        (SourceLost(picture=False, cause="microphone_lost"), Phase.DEGRADED, LOST_SOUND[2]),
        (SourceBack(picture=False), Phase.DEGRADED, []),
        (PictureBlind(None), Phase.RECORDING, [Say("recording_resumed")]),
    ],
    "a warning is said and told": [
        READY,
        (Warned("battery_warning"), Phase.ARMED, [Say("battery_warning")]),
        (Warned("battery_low", "battery_low", "4 %"), Phase.ARMED, [Alert("battery_low", ALERT), Say("battery_low")]),
    ],
    "undocked: checked for its next use": [
        (Ready(cut_recording=False, docked=True), Phase.DOCKED, [Arm(), OpenDockPort(), Say("docked")]),
        (Undocked(), Phase.ARMED, [CloseDockPort(), *CHECK]),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    play(CASES[name])


def test_the_page_is_the_table() -> None:
    assert panel_spec.PATH.read_text("utf-8") == panel_spec.page(), "run: python -m tests.panel_spec"


def test_every_rule_says_what_it_does() -> None:
    assert all((rule.__doc__ or "").strip().endswith(".") for rule in recorder.TABLE.values())


def test_whatever_was_stopped_or_interrupted_can_be_left() -> None:
    ways = set(panel_spec.transitions())
    for phase in Phase:
        if phase is not Phase.SHUTTING_DOWN:
            assert any(before is phase and after is not Phase.SHUTTING_DOWN for before, after in ways)
            assert (phase, Phase.SHUTTING_DOWN) in ways
