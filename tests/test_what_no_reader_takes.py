"""Nothing that a reader refuses gets into the chain: one such line, and nothing behind it is proven any more."""

from __future__ import annotations

from typing import Any

import pytest

from evidence.errors import EvidenceError
from evidence.records import Stamp
from firmware.capture.writer import Run
from tests.camera_rig import BootClock, Camera, Owner, World, of_kind, verified
from tests.memory_disk import MemoryDisk


@pytest.fixture(scope="session")
def owner() -> Owner:
    return Owner()


@pytest.fixture
def camera(owner: Owner) -> Camera:
    world = World()
    return Camera(owner, MemoryDisk(), world, BootClock(world))


@pytest.mark.parametrize(
    "figure", [0.5, 10**30, -(10**30), [[[[[[[[1]]]]]]]], float("nan"), "\ud800", {"\ud800": 1}, {1: 1, "1": 2}]
)
def test_figures_that_no_reader_takes_are_a_fault_and_not_a_line(owner: Owner, camera: Camera, figure: Any) -> None:
    camera.writer.submit(
        Run(lambda: camera.journal.append("heartbeat", {"free_bytes": 1, "figures": {"figure": figure}}))
    )
    camera.press()
    camera.run(2)
    camera.end()
    camera.quit()
    assert [where for where, _ in camera.faults] == ["journal"]
    assert not of_kind(camera.disk, "heartbeat")  # type: ignore[arg-type]
    verified(owner, camera.disk)  # type: ignore[arg-type]


@pytest.mark.parametrize("error_ms", [-1, 10**33, 2**63])
def test_a_clock_with_an_impossible_bound_does_not_get_into_a_line(camera: Camera, error_ms: int) -> None:
    before = camera.journal.chain.seq, camera.journal.chain.prev
    with pytest.raises(EvidenceError):
        camera.journal.chain.append("armed", {"ring_seconds": 1}, Stamp(1, 0, "gnss", error_ms))
    assert (camera.journal.chain.seq, camera.journal.chain.prev) == before
