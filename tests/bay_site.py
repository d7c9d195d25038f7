"""A dock with its bays in a network of its own, and cameras that are put in and pulled out over real links."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evidence import records
from evidence.pki import Role
from hw_sim.dock_link import CAMERA_ADDRESS, CAMERA_INTERFACE, Cable, Network
from syncd.bay import Bay
from syncd.bays import Bays
from syncd.camera import Camera
from syncd.link import Patience
from syncd.office import Office
from syncd.shares import Shares
from tests.agency import Holder
from tests.builders import present_agency
from tests.dock_camera import DockedCamera
from tests.dock_site import Site

CAMERA_PORT = 8443
LONG = Patience(3.0, 30.0)  # as docks have it: nothing here may wait for it


@contextlib.contextmanager
def networks(count: int) -> Iterator[list[Network]]:
    """So many networks, or the test is skipped."""
    with contextlib.ExitStack() as stack:
        made = []
        try:
            for _ in range(count):
                made.append(Network())
                stack.callback(made[-1].close)
        except PermissionError:
            pytest.skip("network namespaces cannot be made here: run as root, with CAP_SYS_ADMIN")
        yield made


class DockableCamera:
    """A camera on a link of its own, whose port is open while its contact is closed."""

    def __init__(
        self, dock: Network, network: Network, number: int, camera: DockedCamera, megabits: int | None
    ) -> None:
        self.interface = f"bay{number}"
        self.camera = camera
        self.network = network
        self._dock, self._megabits = dock, megabits
        self.cable: Cable | None = None

    def put_in(self) -> None:
        """As a hand does: first the link, then the contact."""
        self.plug()
        self.close_contact()

    def plug(self) -> None:
        self.cable = self.cable or Cable(self._dock, self.interface, self.network, self._megabits)
        self.cable.plug()

    def close_contact(self) -> None:
        with self.network.entered():
            self.camera.port.start()

    def pull_out(self, *, whole: bool = False) -> None:
        """The link first; the camera notices its contact later. `whole`: the interface goes with it."""
        assert self.cable is not None
        if whole:
            self.cable.remove()
            self.cable = None
        else:
            self.cable.pull()

    def open_contact(self) -> None:
        self.camera.port.stop()


class BaySite:
    """Dock and office in one network, `cameras` on links of so many megabits a second."""

    def __init__(
        self,
        tmp: Path,
        nets: list[Network],
        megabits: int | None = None,
        poll_seconds: float = 0.05,
        office_blocks: int = 4,
    ) -> None:
        agency = present_agency()
        signer = agency.issue(Role.SIGNER, "OFFICE-1")
        self.agency, self.network = agency, nets[0]
        with self.network.entered():
            self.site = Site(tmp, agency, signer)
        self.site.camera.port.stop()
        self.shares = Shares(office_blocks)
        self.office, self.told = self.site.office, self.site.told
        self.cameras = [
            DockableCamera(nets[0], net, number, self._camera(tmp, signer, number), megabits)
            for number, net in enumerate(nets[1:], 1)
        ]
        self.bays = Bays(self._bay, poll_seconds)
        with self.network.entered():
            self.bays.watch({camera.interface: f"B{number}" for number, camera in enumerate(self.cameras, 1)})

    def _camera(self, tmp: Path, signer: Holder, number: int) -> DockedCamera:
        where = f"{CAMERA_ADDRESS}%{CAMERA_INTERFACE}", CAMERA_PORT
        device = f"BWC-{number:04}"
        return DockedCamera(tmp / device, self.agency, signer.certificate, device, where)

    def _bay(self, name: str, address: tuple[str, int], eager: bool) -> Bay:
        site = self.site
        office = Office(site.office.address, site.context, site.signers, LONG, self.shares.join())
        return Bay(site.handins, Camera(address, site.context, LONG), office, name, eager=eager)

    def fill(self, *sizes: int) -> dict[tuple[str, str, int], str]:
        """Give each camera one recording with segments of about these sizes; SHA-256 by device, recording, segment."""
        made = {}
        for one in self.cameras:
            folder = one.camera.folder
            recording = folder.begin_recording()
            for size in sizes:
                key = folder.segment(recording, size)
                made[folder.device, *key] = hashlib.sha256(folder.disk.read(records.segment_path(*key))).hexdigest()
        return made

    def stored(self) -> dict[tuple[str, str, int], str]:
        """SHA-256 of what the office holds, as `fill` tells it."""
        return {key: hashlib.sha256(data).hexdigest() for key, data in self.office.stored.items()}

    def wait(self, condition: Callable[[], bool], seconds: float = 20.0) -> float:
        """Wait until `condition`; returns for how long."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() < began + seconds, self.told.handin()
            time.sleep(0.01)
        return time.monotonic() - began

    def close(self) -> None:
        self.office.released.set()
        self.bays.stop()
        for one in self.cameras:
            one.camera.port.stop()
        self.site.close()
