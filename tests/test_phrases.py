"""Figures become words: rounded down, never more than the camera keeps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.voice import phrases, prompts


@pytest.mark.parametrize(
    ("hours", "key"),
    [(-1, "hours_0"), (0, "hours_0"), (0.99, "hours_0"), (1, "hours_1"), (8.999, "hours_8"), (23.9, "hours_23"),
     (24, "hours_24"), (400, "hours_24"), (math.inf, "hours_24")],
)  # fmt: skip
def test_hours_are_rounded_down(hours: float, key: str) -> None:
    assert phrases.hours(hours) == key


@pytest.mark.parametrize(
    ("battery", "storage", "trusted", "keys"),
    [
        (5.5, 30, True, ("battery_hours", "hours_5", "storage_hours", "hours_24", "clock_ok")),
        (None, 2, True, ("storage_hours", "hours_2", "clock_ok")),
        (0.2, None, False, ("battery_hours", "hours_0", "clock_untrusted")),
        (None, None, True, ("clock_ok",)),
    ],
)
def test_the_status_is_told_as_far_as_it_is_known(
    battery: float | None, storage: float | None, trusted: bool, keys: tuple[str, ...]
) -> None:
    assert phrases.status(battery, storage, clock_trusted=trusted) == keys


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.booleans())
def test_every_figure_can_be_said(battery: float, storage: float, trusted: bool) -> None:
    assert set(phrases.status(battery, storage, clock_trusted=trusted)) <= _KEYS


_KEYS = prompts.load().keys()
