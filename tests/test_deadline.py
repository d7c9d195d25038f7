"""Deadlines of steps: what is late is cut, by one thread for all."""

from __future__ import annotations

import threading

import pytest

from syncd.deadline import Deadlines


def test_what_is_late_is_cut_and_fails_as_a_time_out() -> None:
    deadlines, cut = Deadlines(), threading.Event()

    def wait() -> None:
        assert cut.wait(10)
        raise ConnectionAbortedError("cut")

    with pytest.raises(TimeoutError, match="not done within 1 s"), deadlines.within(0.05, cut.set):
        wait()


def test_what_is_in_time_is_not_cut_and_keeps_its_own_failure() -> None:
    deadlines, cut, other = Deadlines(), threading.Event(), threading.Event()
    with deadlines.within(0.05, cut.set):
        pass
    with pytest.raises(ValueError, match="its own"), deadlines.within(0.05, cut.set):
        raise ValueError("its own")
    with deadlines.within(0.1, other.set):  # due after those
        assert other.wait(10)
    assert not cut.is_set()


def test_a_short_step_is_not_made_to_wait_for_a_long_one_and_all_have_one_thread() -> None:
    deadlines, short, never = Deadlines(), threading.Event(), threading.Event()
    before = threading.active_count()
    with deadlines.within(600, never.set):
        for _ in range(3):
            short.clear()
            with deadlines.within(0.02, short.set):
                assert short.wait(10)
        assert threading.active_count() == before + 1
    assert not never.is_set()
