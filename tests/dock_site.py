"""A camera, a dock and an office on loopback, with real TLS; the office does as the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence import jose, pki, records
from evidence.pki import Role
from runtime import tls
from runtime.outbox import Event
from syncd.bay import Bay, Drain, HandIns
from syncd.camera import Camera
from syncd.events import Events
from syncd.handin import Dock
from syncd.link import Patience
from syncd.office import Office, Signers
from syncd.retries import Retries
from syncd.spool import Spool
from tests.agency import Agency, Holder
from tests.dock_camera import DockedCamera
from tests.tus_office import TusOffice

MIB = 1024 * 1024
PATIENCE = Patience(2.0, 2.0)


class Told:
    """What the dock told, in order: the outbox's writing side (tests/test_outbox.py tests the outbox itself)."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.shown: dict[str, bytes] = {}

    def tell_state(self, topic: str, payload: bytes) -> None:
        self.shown[topic] = payload

    def publish_many(self, events: list[Event]) -> None:
        self.events += events

    def handin(self) -> list[dict[str, Any]]:
        return [jose.parse_json(event.payload) for event in self.events if event.topic.endswith("/handin")]

    def states(self) -> list[str]:
        return [event["state"] for event in self.handin()]

    def faults(self) -> list[str]:
        return [event["code"] for event in self.handin() if event["state"] == "fault"]

    def lines(self) -> list[bytes]:
        return [event.payload for event in self.events if event.topic.endswith("/journal")]


class Site:
    """A camera, a dock and an office on loopback; `visit` is one look of the dock at its bay."""

    def __init__(self, tmp: Path, agency: Agency, signer: Holder) -> None:
        self.tmp, self.agency, self.signer = tmp, agency, signer
        self.roots = tmp / "roots.pem"
        self.roots.write_bytes(pki.to_pem(agency.root.certificate))
        self.camera = DockedCamera(tmp / "camera", agency, signer.certificate)
        self.camera.port.start()
        chain, key = agency.issue(Role.OFFICE, "OFFICE-1").write(tmp, "office")
        context = tls.server_context(chain, key, self.roots)
        self.office = TusOffice(context, [agency.root.certificate], signer)
        self.office.start()
        self.dock_pem = agency.issue(Role.DOCK, "DOCK-1").write(tmp, "dock")
        self.told = Told()
        self.stopping = threading.Event()
        self.start_dock()

    def start_dock(self, *, spool_bytes: int = 1024 * MIB, keep: bool = False) -> None:
        """A dock's process as it starts: nothing known but what is on its disk."""
        self.context = tls.client_context(*self.dock_pem, self.roots)
        self.signers = Signers([self.signer.certificate, *self.signer.above], [self.agency.root.certificate])
        self.spool = Spool(self.tmp / "spool", spool_bytes)
        self.retries = Retries(0.001, 0.001)
        pem = pki.to_pem(self.signer.certificate, *self.signer.above)
        events = Events(self.told, "DOCK-1")  # type: ignore[arg-type]
        roots = [self.agency.root.certificate]
        dock = Dock(self.spool, roots, self.signers, pem, events, self.retries, self.stopping, keep)
        self.handins = HandIns(dock)
        self.bay = Bay(self.handins, self.dial(self.camera), self.dial_office())
        self.drain = Drain(self.handins, self.dial_office())

    def dial(self, camera: DockedCamera) -> Camera:
        return Camera(camera.port.address, self.context, PATIENCE)

    def dial_office(self) -> Office:
        return Office(self.office.address, self.context, self.signers, PATIENCE)

    def record(self, *sizes: int) -> list[tuple[str, int]]:
        """One recording with segments of about these sizes."""
        recording = self.camera.folder.begin_recording()
        return [self.camera.folder.segment(recording, size) for size in sizes]

    def until(self, condition: Callable[[], bool], worker: Bay | Drain | None = None, looks: int = 60) -> None:
        """Let the dock look, again and again, until `condition`; waits are over within milliseconds here."""
        for _ in range(looks):
            (worker or self.bay).work()
            if condition():
                return
            time.sleep(0.002)  # longer than any back-off here
        pytest.fail(f"not reached; told: {self.told.handin()}")

    def done(self) -> bool:
        return "done" in self.told.states()

    def path(self, name: str) -> Path:
        return self.tmp / "spool" / "BWC-0001" / name

    def close(self) -> None:
        self.office.released.set()
        self.bay.close()
        self.drain.close()
        self.camera.port.stop()
        self.office.stop()


def ciphertext(site: Site, key: tuple[str, int]) -> bytes:
    return site.camera.folder.disk.read(records.segment_path(*key))
