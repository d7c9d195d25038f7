"""Cables cut and programs killed while a camera is emptied (tests/dock_campaign.py has the full counts)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import dock_campaign
from tests.dock_campaign import Blow
from tests.dock_yard import CAMERA, OFFICE

pytestmark = pytest.mark.net


@pytest.mark.slow
def test_what_is_cut_and_killed_comes_in_once_and_whole(tmp_path: Path) -> None:
    blows = [
        Blow("cut camera", "50%", CAMERA),
        Blow("cut office", "99.9%", OFFICE),
        Blow("kill dock", "given", CAMERA),
    ]
    outcome = dock_campaign.run(tmp_path, blows, megabytes=4, seed=1)
    assert outcome.failures == []
    assert outcome.blows == len(blows)


@pytest.mark.slow
def test_at_every_moment_to_everybody(tmp_path: Path) -> None:
    outcome = dock_campaign.run(tmp_path, dock_campaign.plan(cuts=24, kills=8, seed=2), megabytes=8, seed=2)
    assert outcome.failures == []


def test_a_campaign_strikes_everybody_at_every_moment() -> None:
    struck = {(blow.victim, blow.moment) for blow in dock_campaign.plan(cuts=40, kills=8, seed=3)}
    assert len({victim for victim, _ in struck}) * len(dock_campaign._MOMENTS) == len(struck)
