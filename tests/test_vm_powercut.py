"""A handful of power cuts of a real kernel and disk; more by `scripts/powercut --vm N`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hw_sim import guest
from hw_sim.guest import Kernel
from tests.vm_powercut import Cuts, Machine, cache

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fuse,
    pytest.mark.skipif(bool(guest.missing()), reason=guest.missing() or "all is there"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse; run: modprobe fuse"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
]


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return guest.kernel(cache())


@pytest.mark.parametrize("cached", [False, True], ids=["a plain disk", "a disk that forgets what was not flushed"])
def test_a_real_kernel_keeps_what_was_confirmed(kernel: Kernel, tmp_path: Path, cached: bool) -> None:
    machine, cuts = Machine(kernel, tmp_path / "machine", 3, cached=cached), Cuts()
    for _ in range(3):
        machine.cut(cuts)
    machine.finish()
    assert cuts.count == 3
    assert cuts.records > 30
    assert cuts.lost_ns


def test_a_camera_that_does_not_sync_is_found_out(kernel: Kernel, tmp_path: Path) -> None:
    """Or the test above would prove nothing."""
    machine = Machine(kernel, tmp_path / "machine", 5, cached=True, syncs=False)
    with pytest.raises(AssertionError, match="was confirmed and is gone"):
        machine.cut(Cuts())
