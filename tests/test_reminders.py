"""The reminders, minute by minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.hal.ports import Look, SoundBlock
from firmware.reminders import Facts, Reminders, Surroundings, Thresholds

MINUTE = 60_000_000_000
HOUR_MS = 3_600_000
NOW_MS = 1_795_500_000_000

ARMED = Facts(0, assigned=True, docked=False, recording_from_ns=None)
WALKING = replace(ARMED, speed_mps=1.4, motion_levels=0.0)
SHAKING = replace(ARMED, motion_levels=12.0)
RECORDING = replace(ARMED, recording_from_ns=0, motion_levels=12.0, loudness_dbfs=-20.0)
FORGOTTEN = replace(RECORDING, motion_levels=0.4, loudness_dbfs=-60.0)
OVERDUE = replace(ARMED, utc_ms=NOW_MS, held_since_ms=NOW_MS - 25 * HOUR_MS)


def told(facts: Callable[[int], Facts] | Facts, minutes: int) -> Mapping[int, tuple[str, ...]]:
    """What is said in which minute."""
    reminders = Reminders()
    said = {}
    for minute in range(minutes):
        now = facts if isinstance(facts, Facts) else facts(minute)
        if keys := reminders.tick(replace(now, boot_ns=minute * MINUTE)):
            said[minute] = keys
    return said


@pytest.mark.parametrize(
    ("facts", "minutes", "said"),
    [
        (WALKING, 30, {5: "not_recording", 15: "not_recording", 25: "not_recording"}),
        (SHAKING, 12, {5: "not_recording"}),
        (ARMED, 60, {}),  # nothing tells that anybody moves
        (replace(ARMED, speed_mps=0.2, motion_levels=3.0), 60, {}),
        (replace(WALKING, docked=True), 60, {}),
        (replace(WALKING, assigned=False), 60, {}),
        (replace(WALKING, recording_from_ns=0, loudness_dbfs=-20.0), 60, {}),
        (FORGOTTEN, 45, {20: "forgotten_stop", 30: "forgotten_stop", 40: "forgotten_stop"}),
        (replace(FORGOTTEN, motion_levels=None, speed_mps=0.1), 25, {20: "forgotten_stop"}),  # sound only
        (replace(FORGOTTEN, motion_levels=None), 60, {}),
        (replace(FORGOTTEN, loudness_dbfs=None), 60, {}),
        (replace(FORGOTTEN, loudness_dbfs=-30.0), 60, {}),
        (replace(FORGOTTEN, motion_levels=3.0), 60, {}),
        (replace(FORGOTTEN, speed_mps=3.0), 60, {}),  # in a car, the camera held still
        (RECORDING, 700, {540: "shift_long"}),
        (OVERDUE, 60, {0: "hand_in_overdue"}),
        (replace(OVERDUE, held_since_ms=NOW_MS - 24 * HOUR_MS), 60, {}),
        (replace(OVERDUE, utc_ms=None), 60, {}),
        (replace(OVERDUE, held_since_ms=None), 60, {}),
        (replace(OVERDUE, docked=True), 60, {}),
    ],
)
def test_what_is_said_and_when(facts: Facts, minutes: int, said: Mapping[int, str]) -> None:
    assert told(facts, minutes) == {minute: (key,) for minute, key in said.items()}


def test_a_rest_begins_the_count_again() -> None:
    assert told(lambda minute: ARMED if minute == 4 else WALKING, 12) == {10: ("not_recording",)}
    assert told(lambda minute: RECORDING if minute % 20 == 19 else FORGOTTEN, 200) == {}


def test_the_pause_outlasts_a_short_change() -> None:
    """Start forgotten, a moment's rest, forgotten again: not twice within ten minutes."""
    said = told(lambda minute: ARMED if minute == 6 else WALKING, 20)
    assert said == {5: ("not_recording",), 15: ("not_recording",)}


def test_each_recordings_nine_hours_count_for_themselves() -> None:
    said = told(lambda minute: replace(RECORDING, recording_from_ns=minute // 600 * 600 * MINUTE), 1200)
    assert said == {540: ("shift_long",), 1140: ("shift_long",)}


def test_an_overdue_hand_in_is_told_when_the_clock_is_set_at_last_and_the_dock_left() -> None:
    def facts(minute: int) -> Facts:
        return replace(OVERDUE, docked=minute < 7, utc_ms=None if minute < 3 else NOW_MS)

    assert told(facts, 60) == {7: ("hand_in_overdue",)}


def test_thresholds_are_settable() -> None:
    reminders = Reminders(Thresholds(start_minutes=1, repeat_minutes=1))
    assert [reminders.tick(replace(WALKING, boot_ns=minute * MINUTE)) for minute in range(3)] == [
        (), ("not_recording",), ("not_recording",),
    ]  # fmt: skip


# --- Surroundings ----------------------------------------------------------------------------------------------------


def scene() -> NDArray[Any]:
    """Patches of light and shadow, 24 pixels each."""
    return np.kron(np.random.default_rng(0).uniform(40, 200, (12, 18)), np.ones((24, 24)))


def watched(*pictures: NDArray[Any]) -> float | None:
    around = Surroundings()
    for picture in pictures:
        around.see(Look(picture.clip(0, 255).astype(np.uint8), 0))
    return around.motion_levels(0)


def test_walking_moves_and_noise_does_not() -> None:
    limits, rng, still = Thresholds(), np.random.default_rng(1), scene()
    noise = watched(*(still + rng.normal(0, 4, still.shape) for _ in range(20)))
    walk = watched(*(np.roll(still, 6 * step, axis=1)[20:200, 20:300] for step in range(20)))
    assert noise is not None
    assert noise < limits.still_levels
    assert walk is not None
    assert walk > limits.moving_levels


def test_a_lamp_that_is_switched_on_moves_nothing() -> None:
    still = scene()
    brightened = watched(still, still + 30)
    assert brightened is not None
    assert brightened < Thresholds().still_levels


def test_without_pictures_or_sound_nothing_is_told() -> None:
    def figures() -> tuple[float | None, float | None]:
        return around.motion_levels(now), around.loudness_dbfs(now)

    around, now = Surroundings(), 0
    assert figures() == (None, None)
    around.see(Look(np.zeros((180, 320), np.uint8), 0))
    assert watched(scene()) is None, "one picture moves nothing yet"
    around.see(Look(np.zeros((180, 320), np.uint8), 0))
    around.hear(SoundBlock(bytes(4_800), 0))
    assert figures() == (0.0, -96.0)
    now = MINUTE - 1
    assert figures() == (0.0, -96.0)
    now = MINUTE
    assert figures() == (None, None), "what was a minute ago is no longer told"


def test_a_few_words_in_a_quiet_minute_are_not_silence() -> None:
    rng = np.random.default_rng(2)

    def block(amplitude: float) -> SoundBlock:
        return SoundBlock(rng.normal(0, amplitude, 2_400).astype("<i2").tobytes(), 0)

    around = Surroundings()
    for number in range(1_200):
        around.hear(block(2_000 if number < 140 else 20))
    assert (around.loudness_dbfs(0) or -96) > Thresholds().silent_dbfs
    for _ in range(1_200):
        around.hear(block(20))
    assert (around.loudness_dbfs(0) or 0) < Thresholds().silent_dbfs
