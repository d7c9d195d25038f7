"""Contact between camera and bay over real links: namespaces of the kernel and veth pairs that are pulled for real."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hw_sim.dock_link import Cable, Network
from syncd.contact import Interface, Ports, Watcher

pytestmark = pytest.mark.net


def network() -> Network:
    try:
        return Network()
    except PermissionError:
        pytest.skip("making network namespaces is not permitted here: run as root")


@pytest.fixture
def dock() -> Iterator[Network]:
    made = network()
    yield made
    made.close()


@pytest.fixture
def camera() -> Iterator[Network]:
    made = network()
    yield made
    made.close()


class Told:
    """What a watcher tells."""

    def __init__(self, dock: Network, *ports: str) -> None:
        self.told: list[tuple[str, str]] = []
        with dock.entered():
            self.watcher = Watcher(
                ports,
                lambda port, link: self.told.append((port, link.name)),
                lambda port: self.told.append((port, "")),
            )

    def wait(self, *told: tuple[str, str], seconds: float = 3.0) -> float:
        began = time.monotonic()
        while self.told != list(told):
            assert time.monotonic() < began + seconds, self.told
            time.sleep(0.002)
        self.told.clear()
        return time.monotonic() - began


def test_contacts_come_and_go(dock: Network, camera: Network) -> None:
    cable = Cable(dock, "bay1", camera)
    told = Told(dock, "bay1", "bay2")
    try:
        cable.plug()
        print(told.wait(("bay1", "bay1")))
        print(dock.run("ip", "addr"))
        cable.pull()
        print(told.wait(("bay1", "")))
        cable.plug()
        print(told.wait(("bay1", "bay1")))
        cable.remove()
        print(told.wait(("bay1", "")))
        cable2 = Cable(dock, "bay1", camera)
        cable2.plug()
        print(told.wait(("bay1", "bay1")))
    finally:
        told.watcher.stop()
