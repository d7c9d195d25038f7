"""What the lens sees, on its way to journal and wearer (rule 17): real threads, looks that a test gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from firmware.capture.state import Phase
from firmware.hal.ports import Control, Look
from tests.camera_rig import Owner, lines
from tests.runner_rig import Rig

MS = 1_000_000


@pytest.fixture(scope="module")
def owner() -> Owner:
    return Owner()


@pytest.fixture
def rig(owner: Owner) -> Rig:
    return Rig(owner)


class Eye:
    """Gives looks one after another, each judged before the next comes."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._noise = np.random.default_rng(5)
        self._count = 0

    def see(self, count: int, *, covered: bool) -> None:
        for _ in range(count):
            self._count += 1
            luma = self._noise.normal(30, 1.5, (180, 320)) if covered else self._noise.uniform(40, 200, (180, 320))
            view = self._rig.runner._watch.view
            view.look(Look(luma.astype(np.uint8), self._count * 500 * MS))
            self._rig.wait(lambda: not view._busy.is_set())  # noqa: B023 - called at once


def findings(rig: Rig) -> list[dict[str, Any]]:
    return [dict(record.body) for record in lines(rig.disk) if record.kind == "view_quality"]


def begin(rig: Rig, control: Control = Control.RECORD_PRESSED) -> None:
    rig.panel.press(control, rig.clock.boot_ns())
    rig.wait(lambda: rig.phase() in (Phase.RECORDING, Phase.DEGRADED))
    rig.see(12)


def test_a_covered_lens_is_recorded_when_it_begins_and_when_it_has_passed(rig: Rig) -> None:
    rig.start()
    begin(rig)
    eye = Eye(rig)
    eye.see(14, covered=True)
    rig.wait(lambda: len(findings(rig)) == 1)
    eye.see(14, covered=False)
    rig.wait(lambda: len(findings(rig)) == 2)
    rig.stop()
    begun, passed = findings(rig)
    assert (begun["finding"], passed["finding"]) == ("covered", "covered_passed")
    assert begun["recording"] is not None
    assert all(isinstance(value, int) for value in begun["figures"].values())


def test_a_lens_that_was_covered_before_the_recording_is_recorded_in_it(rig: Rig) -> None:
    rig.start()
    Eye(rig).see(14, covered=True)
    assert findings(rig) == []  # nobody wears it yet
    begin(rig)
    rig.wait(lambda: len(findings(rig)) == 1)
    rig.stop()


def test_sound_only_is_not_asked_for_a_better_view(rig: Rig) -> None:
    rig.start()
    begin(rig, Control.MARK_HELD)
    Eye(rig).see(20, covered=True)
    rig.stop()
    assert findings(rig) == []


def test_the_wearer_is_told_once_a_minute_at_most(rig: Rig) -> None:
    rig.start()
    begin(rig)
    eye = Eye(rig)
    for _ in range(3):
        eye.see(14, covered=True)
        eye.see(14, covered=False)
    rig.wait(lambda: len(findings(rig)) == 6)
    rig.stop()
    said = []
    while not rig.loudspeaker.said.empty():
        said.append(rig.loudspeaker.said.get())
    assert said.count(rig.prompts["lens_blocked"].pcm) == 1
