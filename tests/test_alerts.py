"""Alerts from the camera's journal to the office: the real outbox, broker, office and certificates."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence import records
from evidence.pki import Role
from firmware import alerts as module
from firmware import main
from firmware.alerts import Alerts
from firmware.config import CameraConfig
from runtime import tls
from runtime.config import load
from runtime.outbox import OutboxError, waiting
from tests import runner_rig
from tests.builders import present_agency
from tests.camera_rig import DEVICE, BootClock, Camera, Owner, World, of_kind, verified
from tests.memory_disk import MemoryDisk
from tests.office_kit import OfficeKit, running, wait_for

pytestmark = pytest.mark.net


@pytest.fixture(scope="module")
def owner() -> Owner:
    return Owner(present_agency())


@pytest.fixture
def office(tmp_path: Path, owner: Owner) -> OfficeKit:
    return OfficeKit(tmp_path / "office", owner.agency)


class Rig:
    """A camera's journal, and its alerts' way out."""

    def __init__(self, owner: Owner, office: OfficeKit, context: ssl.SSLContext | None = None) -> None:
        self.owner, self.office = owner, office
        self.disk = MemoryDisk()
        self.world = World()
        self.clock = BootClock(self.world)
        self.camera = Camera(owner, self.disk, self.world, self.clock)
        self.queue = office.folder / "alerts.sqlite"
        self.context = context or office.client(Role.CAMERA, DEVICE).context
        self.told: list[tuple[str, str]] = []
        self._running: list[Alerts] = []

    def alerts(self, queue: Path | None = None) -> Alerts:
        """Listening from now on."""
        broker = ("127.0.0.1", self.office.broker_port)
        made = Alerts(
            self.camera.journal, queue or self.queue, broker, self.context, lambda *told: self.told.append(told)
        )
        self.camera.journal.on_durable = made.offer
        made.start()
        self._running.append(made)
        return made

    def alert(self, what: str, detail: str = "a test") -> None:
        self.camera.journal.append("alert", {"what": what, "recording": None, "detail": detail})

    def reboot(self) -> None:
        """Another boot over the same disk."""
        self.camera = Camera(self.owner, self.disk, self.world, self.clock)

    def close(self) -> None:
        for made in self._running:
            made.stop()


@pytest.fixture
def make(owner: Owner) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def build(*arguments: Any) -> Rig:
        rigs.append(Rig(owner, *arguments))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("alerts", "outbox")]


def listed(office: OfficeKit) -> list[tuple[str, str]]:
    """What and how it stands, of each alert that the office knows."""
    done = office.call("alerts", "--json")
    assert done.returncode == 0, done.stderr
    return [(alert["what"], alert["standing"]) for alert in json.loads(done.stdout)["alerts"]]


def told(office: OfficeKit, *whats: str) -> None:
    """Wait until the office knows of just these alerts, told directly."""
    wanted = [(what, "told") for what in whats]
    wait_for(lambda: sorted(listed(office)) == sorted(wanted))


def queued(rig: Rig) -> int:
    """Alerts that wait; -1 while the outbox is being made."""
    with contextlib.suppress(OutboxError):
        return waiting(rig.queue)
    return -1


def connections(port: int) -> int:
    """Connections to the broker, the office's own one included."""
    done = subprocess.run(
        ["ss", "-tnH", "state", "established", "dst", f"127.0.0.1:{port}"], capture_output=True, text=True, check=True
    )
    return len(done.stdout.splitlines())


def test_an_alert_is_known_before_the_hand_in_and_confirmed_by_it(make: Callable[..., Rig], office: OfficeKit) -> None:
    with running(office):
        wait_for(lambda: json.loads(office.client().request("GET", "/v1/health").body)["events"])
        silent = connections(office.broker_port)
        rig = make(office)
        rig.alerts()
        rig.camera.journal.append("docked", {"docked": False})
        assert connections(office.broker_port) == silent, "nothing to tell, and a connection"
        rig.alert("storage_full", "the card does not take the recording")
        told(office, "storage_full")
        wait_for(lambda: connections(office.broker_port) == silent)
        rig.alert("camera_lost")
        told(office, "storage_full", "camera_lost")
        assert "尚未移交" in office.call("alerts").stdout
        rig.close()
        journal = bytes(rig.disk.files[records.journal_path(0)].content)
        office.client().hand_in_journal(DEVICE, [journal])
        assert listed(office) == [("storage_full", "confirmed"), ("camera_lost", "confirmed")]
    assert rig.told == []
    verified(rig.owner, rig.disk)


def test_alerts_wait_on_the_disk_for_a_network(make: Callable[..., Rig], office: OfficeKit) -> None:
    rig = make(office)
    first = rig.alerts()
    rig.alert("camera_lost")
    rig.alert("microphone_lost")
    wait_for(lambda: queued(rig) == 2)
    first.stop()
    rig.reboot()
    rig.alerts()
    rig.alert("heat")
    with running(office):
        told(office, "camera_lost", "microphone_lost", "heat")
        wait_for(lambda: queued(rig) == 0)
    assert rig.told == []


def test_what_never_got_into_the_outbox_is_read_from_the_journal(make: Callable[..., Rig], office: OfficeKit) -> None:
    rig = make(office)
    rig.alerts().stop()  # so that it knows how far it has read
    rig.camera.journal.on_durable = lambda _kind, _line: None
    rig.alert("camera_lost")  # as if the power went before the outbox had it
    for _ in range(2):
        rig.reboot()
        rig.camera.press()
        rig.camera.run(3)
        rig.camera.end()
        rig.alert("heat")
    rig.alerts()
    with running(office):
        told(office, "camera_lost", "heat", "heat")


def test_a_lost_outbox_is_filled_again_and_the_office_takes_each_alert_once(
    make: Callable[..., Rig], office: OfficeKit
) -> None:
    rig = make(office)
    with running(office):
        rig.alerts()
        rig.alert("camera_lost")
        told(office, "camera_lost")
        rig.close()
        for path in rig.queue.parent.glob("alerts.sqlite*"):
            path.unlink()
        rig.reboot()
        rig.alerts()
        rig.alert("heat")
        told(office, "camera_lost", "heat")
        wait_for(lambda: queued(rig) == 0)


def test_looking_back_has_a_bound(make: Callable[..., Rig], office: OfficeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_BACK_FILES", 2)
    monkeypatch.setattr(module, "_LOOK_BACK_ALERTS", 3)
    rig = make(office)
    rig.alert("camera_lost")
    for _ in range(2):
        rig.reboot()
        rig.alert("heat")
        rig.alert("battery_low")
    rig.alerts()
    with running(office):
        told(office, "battery_low", "heat", "battery_low")


def test_a_disk_that_keeps_no_outbox_delays_nothing_and_costs_no_memory(
    make: Callable[..., Rig], office: OfficeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", (0.05, 0.05))
    rig = make(office)
    nowhere = office.folder / "missing" / "alerts.sqlite"
    made = rig.alerts(nowhere)
    wait_for(lambda: len(rig.told) == 1)
    for number in range(300):
        rig.alert("heat", f"number {number}")
    assert len(made._lines) <= 64
    assert len(of_kind(rig.disk, "alert")) == 300
    assert rig.told[0][0] == "alerts"
    assert "may be moved away" in rig.told[0][1]
    assert len(rig.told) == 1, "the same fault over and over"
    nowhere.parent.mkdir()
    with running(office):
        wait_for(lambda: len(listed(office)) == 100)
        shown = json.loads(office.call("alerts", "--json").stdout)["alerts"]
        assert [alert["detail"] for alert in shown] == [f"number {number}" for number in range(200, 300)]


def test_an_outbox_that_stalls_makes_no_record_wait(make: Callable[..., Rig], office: OfficeKit) -> None:
    """Somebody holds the database, as a slow card would."""
    rig = make(office)
    made = rig.alerts()
    wait_for(lambda: queued(rig) == 0)
    with contextlib.closing(sqlite3.connect(rig.queue, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        for _ in range(90):
            rig.alert("heat")
        assert time.monotonic() - began < 3, "a record waited for the outbox"
        assert len(made._lines) <= 64
        holder.execute("ROLLBACK")
    wait_for(lambda: queued(rig) == 90)


def test_a_wrong_certificate_is_kept_out_and_stops_nothing(
    make: Callable[..., Rig], office: OfficeKit, tmp_path: Path
) -> None:
    chain, key = present_agency().issue(Role.CAMERA, DEVICE).write(tmp_path, "stranger")
    rig = make(office, tls.client_context(chain, key, office.roots))
    with running(office):
        made = rig.alerts()
        rig.alert("heat")
        office.await_log("broker: ")  # which tells of the certificate that it refused
        rig.alert("heat")
        wait_for(lambda: queued(rig) == 2)
        began = time.monotonic()
        made.stop()
        assert time.monotonic() - began < 5
        assert listed(office) == []


def test_a_broker_that_is_not_the_offices_is_told_nothing(
    make: Callable[..., Rig], office: OfficeKit, tmp_path: Path
) -> None:
    """Its certificate is of this agency, but a dock's."""
    dock = office.agency.issue(Role.DOCK, "DOCK-1").write(tmp_path, "dock")
    context = tls.server_context(*dock, office.roots)
    heard: list[bytes] = []
    met = threading.Event()

    def listen() -> None:
        link, _ = server.accept()
        with contextlib.suppress(OSError), link, context.wrap_socket(link, server_side=True) as secure:
            heard.append(secure.recv(4096))
        met.set()

    with socket.create_server(("127.0.0.1", office.broker_port)) as server:
        thread = threading.Thread(target=listen)
        thread.start()
        rig = make(office)
        rig.alerts()
        rig.alert("heat")
        assert met.wait(15)
        thread.join()
    assert b"".join(heard) == b""


def test_the_program_sends_alerts_by_its_configuration_only(office: OfficeKit, owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    (tmp_path / "keys").mkdir()
    chain, key = owner.agency.issue(Role.CAMERA, DEVICE).write(tmp_path, "camera")
    chain.rename(tmp_path / "certs" / "camera.pem")
    key.rename(tmp_path / "keys" / "camera.key.pem")
    (tmp_path / "certs" / "root.pem").write_bytes(office.roots.read_bytes())
    (tmp_path / "camera.toml").write_text(
        f'credentials = "."\n[alerts]\nhost = "127.0.0.1"\nport = {office.broker_port}\nqueue = "queue.sqlite"\n'
    )
    camera = runner_rig.Rig(owner)
    body = {"what": "heat", "recording": None, "detail": "a test"}
    with running(office), contextlib.ExitStack() as ending:
        silent = CameraConfig(credentials=tmp_path)
        main._send_alerts(silent, camera.journal, camera.clock, camera.runner, ending)
        camera.journal.append("alert", body)
        told_of = load(tmp_path / "camera.toml", CameraConfig)
        main._send_alerts(told_of, camera.journal, camera.clock, camera.runner, ending)
        camera.journal.append("alert", body)
        told(office, "heat", "heat")  # the first one from the journal
    assert (tmp_path / "queue.sqlite").exists()


def test_a_camera_without_the_table_needs_no_mqtt() -> None:
    script = "import sys, firmware.main; sys.exit('paho' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
