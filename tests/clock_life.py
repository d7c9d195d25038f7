"""A camera's life between two dockings, on clocks that lie: the real Linux clock over a kernel that tests move.

Recorder, writer, journal, recovery, the camera's hand-in, its port, TLS and the dock are the product's; pictures are
synthetic. The world knows what time it really is.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evidence import age, pki, records, shape
from evidence.documents import Configuration, TimeAnchor
from evidence.pki import Role
from firmware.capture.journal_writer import files
from firmware.clock_discipline import Believable
from firmware.dock_port import DockPort
from firmware.hal import linux_clock
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.handin import HandIn
from firmware.identity import Identity
from runtime import tls
from syncd.bay import Bay
from syncd.camera import Camera as DockedCamera
from tests import tus_office
from tests.agency import Agency, Holder
from tests.camera_rig import DEVICE, MS, SECOND, Camera, Owner, World, lines
from tests.dock_site import PATIENCE, Site
from tests.memory_disk import MemoryDisk

DAY = 86_400 * SECOND


@dataclass
class Kernel:
    """What `firmware.hal.linux_clock` asks the system for. `world.now_ns` is how long the world has lasted."""

    world: World
    began_ms: int  # UTC when the world began
    boot_id: Path
    system_off_ms: int = 0  # of the system's clock, which a real-time clock set
    on_ns: int = 0
    left_ms: list[tuple[int, int]] = field(default_factory=list)  # from when on UTC is how much later than counted
    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def power_on(self) -> None:
        self.on_ns = self.world.now_ns
        self.boot_id.write_text(secrets.token_hex(16))

    def true_ms(self, world_ns: int | None = None) -> int:
        """What UTC really is."""
        now_ns = self.world.now_ns if world_ns is None else world_ns
        return self.began_ms + now_ns // MS + sum(ms for since_ns, ms in self.left_ms if since_ns <= now_ns)

    def clock_gettime_ns(self, _: int) -> int:
        return self.world.now_ns - self.on_ns

    def time_ns(self) -> int:
        return max(0, self.true_ms() + self.system_off_ms) * MS


class Life:
    """One camera, its agency, its dock and its office."""

    def __init__(
        self, tmp: Path, agency: Agency, patch: pytest.MonkeyPatch, began_ms: int, *, rtc: bool, off_ms: int
    ) -> None:
        self.tmp, self.patch = tmp, patch
        self.owner = Owner(agency)
        self.signer = agency.issue(Role.SIGNER, "OFFICE-1")
        self.disk = MemoryDisk()
        self.disk.create("certs/signer.pem").append(pki.to_pem(self.signer.certificate, *self.signer.above))
        self.disk.files["certs/signer.pem"].durable = 1 << 20
        self.kernel = Kernel(World(), began_ms, tmp / "boot_id", off_ms)
        self.rtc = rtc
        self.issued_ms = began_ms - 3 * DAY // MS
        self.identity = self._identity(agency, self.signer)
        self.booted_ns: dict[str, int] = {}
        patch.setattr(linux_clock, "time", self.kernel)
        patch.setattr(linux_clock, "_BOOT_ID", self.kernel.boot_id)
        (tmp / "site").mkdir()
        self.site = Site(tmp / "site", agency, self.signer)
        self.power_on()

    def _identity(self, agency: Agency, signer: Holder) -> Identity:
        recipient = age.recipient_of(self.owner.identity)
        configuration = Configuration(
            "OFFICE-1", DEVICE, "agency", shape.utc_text(self.issued_ms), "unit", "000042", "name", None, (recipient,)
        )
        roots = (agency.root.certificate,)
        chain = pki.validate_chain(signer.certificate, signer.above, roots, role=Role.SIGNER, at=None)
        return Identity(Path(), configuration, "", roots, {pki.key_id(pki.public_key(chain.leaf)): chain})

    def power_on(self) -> None:
        """Boot, after a cut or for the first time. The real-time clock is believed within the product's bounds."""
        self.kernel.power_on()
        believable = Believable.since(self.issued_ms)
        bounds = (believable.earliest_ms, believable.latest_ms)
        self.clock = LinuxClock(LinuxClockConfig(self.tmp / "clock.json", self.rtc, 2000, *bounds))
        self.camera = Camera(self.owner, self.disk, self.kernel.world, self.clock)  # type: ignore[arg-type]
        self.booted_ns[self.camera.boot] = self.kernel.on_ns
        self.handin = HandIn(self.disk, self.camera.journal, self.identity, self.clock, lambda: None)

    def cut(self) -> None:
        """Lose power for ten seconds."""
        self.camera.journal.close()
        self.disk.lose_power()
        self.kernel.world.now_ns += 10 * SECOND
        self.power_on()

    def rest(self, ns: int) -> None:
        """Let time pass with nothing recorded."""
        self.kernel.world.now_ns += ns
        self.camera._next_block_ns = self.clock.boot_ns()

    def undock(self) -> None:
        """The office's time comes with undocking, of the true world, known to 50 ms."""
        self.handin.docked()
        state = self.handin.state()
        utc = shape.utc_text(self.kernel.true_ms())
        anchor = TimeAnchor("OFFICE-1", DEVICE, state.nonce or "", *state.head, utc, 50)
        self.handin.take_anchor(anchor.sign(self.signer.key, pki.key_id(pki.public_key(self.signer.certificate))))

    def dock(self) -> None:
        """Hand everything in to the real dock over TLS, and get receipts and the time."""
        self.patch.setattr(tus_office, "NOW", shape.utc_text(self.kernel.true_ms()))
        chain, key = self.owner.agency.issue(Role.CAMERA, DEVICE).write(self.tmp, "camera")
        context = tls.server_context(chain, key, self.site.roots, check_dates=False)
        port = DockPort(self.handin, self.disk, context, ("127.0.0.1", 0))
        self.handin.docked()
        port.start()
        bay = Bay(self.site.handins, DockedCamera(port.address, self.site.context, PATIENCE), self.site.dial_office())
        try:
            self.site.until(self.site.done, bay)
        finally:
            bay.close()
            port.stop()

    def journal(self) -> dict[int, bytes]:
        return {number: bytes(self.disk.files[records.journal_path(number)].content) for number in files(self.disk)}

    def dishonest(self) -> list[str]:
        """Claims whose bound does not hold what time it really was."""
        return [
            f"{record.seq} {record.kind}: {record.clock.to_json()}, in truth {shape.utc_text(true_ms)}"
            for record in lines(self.disk)
            if record.clock.error_ms is not None
            for true_ms in [self.kernel.true_ms(self.booted_ns[record.boot] + record.clock.boot_ns)]
            if abs(record.clock.utc_ms - true_ms) > record.clock.error_ms
        ]
