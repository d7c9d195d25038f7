"""An archive that fails or lies about one camera: that camera keeps its footage, it is told, and other bays go on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from evidence import jose, pki
from evidence.documents import Receipt
from evidence.pki import Role
from runtime import tls
from syncd.bay import Bay
from tests.agency import Agency
from tests.dock_camera import DockedCamera
from tests.dock_site import MIB, Site
from tests.mosquitto import Broker
from tests.office_kit import ROOT
from tests.tus_office import Fault, TusOffice

pytestmark = pytest.mark.net

VICTIM, OTHER = "BWC-0001", "BWC-0002"
Hostility = Callable[[TusOffice], None]


def answering(fault: Fault) -> Hostility:
    """Answers so to every byte of the victim's footage."""

    def begin(office: TusOffice) -> None:
        journal = f"/{VICTIM}/journal/"
        office.faults.append(
            lambda method, path: fault if method == "PATCH" and VICTIM in path and journal not in path else None
        )

    return begin


def signing(**changes: Any) -> Hostility:
    """Signs receipts for the victim that say something else."""

    def alter(receipt: Receipt) -> Receipt:
        return dataclasses.replace(receipt, **changes) if receipt.device == VICTIM else receipt

    return lambda office: setattr(office, "alter", alter)


HOSTILE: dict[str, tuple[Hostility, str]] = {
    "says 204 and did not store": (answering(Fault(act="forget")), "receipt-missing"),
    "200": (answering(Fault(200)), "office-protocol"),
    "500": (answering(Fault(500)), "office-error"),
    "503": (answering(Fault(503, headers=(("Retry-After", "1"),))), "office-busy"),
    "507": (answering(Fault(507, code="storage-full")), "office-full"),
    "trickles": (answering(Fault(act="trickle")), "office-protocol"),
    "signs another segment": (signing(segment=7), "receipt-wrong"),
    "signs another hash": (signing(sha256="0" * 64), "receipt-wrong"),
}


@pytest.fixture
def site(tmp_path: Path, agency: Agency) -> Iterator[Site]:
    site = Site(tmp_path, agency, agency.issue(Role.SIGNER, "OFFICE-1"))
    yield site
    site.close()


@pytest.mark.parametrize("how", HOSTILE)
def test_one_camera_keeps_its_footage_and_the_other_bay_goes_on(site: Site, how: str) -> None:
    hostility, code = HOSTILE[how]
    other = DockedCamera(site.tmp / "other", site.agency, site.signer.certificate, OTHER)
    other.port.start()
    with contextlib.ExitStack() as stack:
        stack.callback(other.port.stop)
        bay = Bay(site.handins, site.dial(other), site.dial_office())
        stack.callback(bay.close)
        (kept,) = site.record(100)
        recording = other.folder.begin_recording()
        for _ in range(3):
            other.folder.segment(recording, MIB)
        hostility(site.office)
        site.until(lambda: code in site.told.faults(), looks=5)
        site.until(lambda: len(other.given) == 3, bay)
        site.bay.work()
    assert set(site.told.faults()) == {code}
    assert site.camera.given == []
    assert kept in site.camera.folder.sizes
    assert not any(device == VICTIM for device, _, _ in site.office.stored) or code == "receipt-wrong"


# --- as a process, with the settings that a dock has when nobody sets any


class Listener:
    """Somebody at the office who hears of faults over MQTT."""

    def __init__(self, broker: Broker, folder: Path, agency: Agency) -> None:
        self.faults: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        chain, key = agency.issue(Role.OFFICE, "OFFICE-1").write(folder, "listener")
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.tls_set_context(tls.client_context(chain, key, folder / "roots.pem"))
        self._client.on_connect = lambda client, *_: client.subscribe("bodycam/v1/dock/+/camera/+/handin", 1)
        self._client.on_message = self._hear
        self._client.connect(*broker.address)
        self._client.loop_start()

    def _hear(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        told = jose.parse_json(bytes(message.payload))
        if told["state"] == "fault":
            self.faults.put((message.topic.split("/")[5], told))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["says 204 and did not store", "500", "503", "507", "trickles", "signs another hash"])
def test_it_is_told_over_mqtt_within_a_minute(tmp_path: Path, site: Site, how: str) -> None:
    hostility, code = HOSTILE[how]
    broker = Broker(tmp_path / "broker", site.agency)
    other = DockedCamera(tmp_path / "other", site.agency, site.signer.certificate, OTHER)
    with contextlib.ExitStack() as stack:
        broker.start()
        stack.callback(broker.kill)
        listener = Listener(broker, tmp_path, site.agency)
        stack.callback(listener.close)
        other.port.start()
        stack.callback(other.port.stop)
        site.record(100)
        recording = other.folder.begin_recording()
        for _ in range(3):
            other.folder.segment(recording, MIB)
        hostility(site.office)
        (tmp_path / "signers.pem").write_bytes(pki.to_pem(site.signer.certificate, *site.signer.above))
        ports = [camera.port.address[1] for camera in (site.camera, other)]
        settings = {
            "certificate": site.dock_pem[0], "key": site.dock_pem[1], "roots": site.roots,
            "signers": tmp_path / "signers.pem", "spool": tmp_path / "dock", "office": f"127.0.0.1:{site.office._port}",
            "broker": f"127.0.0.1:{broker.port}",
        }  # fmt: skip
        lines = [f"{name} = {json.dumps(str(value))}" for name, value in settings.items()]
        bays = [f'[[bays]]\ncamera = "127.0.0.1:{port}"' for port in ports]
        (tmp_path / "dock.toml").write_text("\n".join([*lines, *bays]))
        command = [sys.executable, "-m", "bodycam", "dock", "run", "--config", str(tmp_path / "dock.toml")]
        began = time.monotonic()
        dock = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
        stack.callback(dock.wait, 60)
        stack.callback(dock.terminate)
        device, told = listener.faults.get(timeout=60)
        assert (device, told["code"]) == (VICTIM, code)
        while len(other.given) < 3:
            assert time.monotonic() < began + 120, "the other bay does not go on"
            time.sleep(0.05)
        site.office.released.set()
    assert site.camera.given == []
    assert site.camera.folder.sizes
