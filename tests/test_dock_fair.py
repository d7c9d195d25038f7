"""Many cameras put in at once: each gets its share of the line to the office, an urgent one more."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

import pytest

from hw_sim.dock_link import shape
from tests.bay_site import BaySite, DockableCamera, networks
from tests.dock_site import MIB

pytestmark = [pytest.mark.net, pytest.mark.slow]

CAMERAS = 8


def put_all_in(bay: BaySite, segments: int) -> list[float]:
    """Seconds that each camera takes until its last receipt."""
    began = time.monotonic()
    took: dict[DockableCamera, float] = {}
    threads = [threading.Thread(target=camera.put_in) for camera in bay.cameras]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def all_in() -> bool:
        for camera in bay.cameras:
            if len(camera.camera.given) == segments:
                took.setdefault(camera, time.monotonic() - began)
        return len(took) == len(bay.cameras)

    bay.wait(all_in, 120)
    return [took[camera] for camera in bay.cameras]


def test_the_slowest_gets_nearly_as_much_as_all(tmp_path: Path) -> None:
    with networks(CAMERAS + 1) as nets:
        bay = BaySite(tmp_path, nets, megabits=100)
        try:
            made = bay.fill(*[4 * MIB] * 3)
            rates = [1 / seconds for seconds in put_all_in(bay, 3)]
            assert bay.stored() == made
            assert bay.told.faults() == []
        finally:
            bay.close()
    assert min(rates) >= 0.8 * statistics.mean(rates)


def test_what_the_office_waits_for_is_there_before_the_rest(tmp_path: Path) -> None:
    with networks(CAMERAS + 1) as nets:
        shape(nets[0], "lo", 160)  # the line to the office
        bay = BaySite(tmp_path, nets, office_blocks=2)
        try:
            made = bay.fill(*[4 * MIB] * 3)
            urgent = bay.cameras[CAMERAS // 2].camera.folder
            bay.site.handins.dock.holds.add(urgent.device, next(iter(urgent.sizes))[0])
            took = put_all_in(bay, 3)
            assert bay.stored() == made
        finally:
            bay.close()
    rest = [seconds for number, seconds in enumerate(took) if number != CAMERAS // 2]
    assert took[CAMERAS // 2] < 0.75 * min(rest)
    assert max(rest) < 1.5 * min(rest)
