"""The supervised broker: real mosquitto, real mutual TLS, the distribution's own clients as foreign programs."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from evidence import age
from evidence.certificate import Role
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from tests.agency import Agency
from tests.footage import Camera
from tests.office_kit import Client, OfficeKit, alive, running, wait_for

pytestmark = pytest.mark.net


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeKit]:
    with running(OfficeKit(tmp_path_factory.mktemp("office"))) as kit:
        yield kit


def _arguments(office: OfficeKit, client: Client) -> list[str]:
    return ["-h", "127.0.0.1", "-p", str(office.broker_port), "-V", "mqttv5", "--cafile", str(office.roots),
            "--cert", str(client.chain), "--key", str(client.key), "--insecure"]  # fmt: skip


def _publish(
    office: OfficeKit, client: Client, topic: str, text: str, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["mosquitto_pub", *_arguments(office, client), "-t", topic, "-m", text, "-q", "1", *options],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip


def _hear(office: OfficeKit, client: Client, topic: str, count: int, seconds: int = 2) -> list[str]:
    """What `mosquitto_sub` hears of retained messages: ends after `count` or after the time."""
    done = subprocess.run(
        ["mosquitto_sub", *_arguments(office, client), "-t", topic, "-v", "-C", str(count), "-W", str(seconds)],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    return done.stdout.splitlines()


class _Dock:
    """A dock's connection by paho, which hears its acknowledgements."""

    def __init__(self, office: OfficeKit, name: str) -> None:
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        self.acknowledged: queue.Queue[str] = queue.Queue()
        self._subscribed: queue.Queue[object] = queue.Queue()
        self.client.tls_set_context(office.client(Role.DOCK, name).context)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *told: self._subscribed.put(told)
        self.client.connect("127.0.0.1", office.broker_port)
        self.client.subscribe(f"bodycam/v1/dock/{name}/ack", qos=1)
        self.client.loop_start()
        self._subscribed.get(timeout=10)

    def _on_message(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        for one in json.loads(message.payload)["ids"]:
            self.acknowledged.put(one)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def _events(office: OfficeKit) -> dict[str, dict[str, object]]:
    catalogue = Catalogue(Database(sqlite_url(office.data / "catalogue.sqlite")))
    try:
        return {row["id"]: row for row in catalogue.table("events")}
    finally:
        catalogue.close()


def test_a_dock_sees_its_own_topics_and_no_other_docks(office: OfficeKit) -> None:
    one, two = office.client(Role.DOCK, "DOCK-1"), office.client(Role.DOCK, "DOCK-2")
    for client, name in ((one, "DOCK-1"), (two, "DOCK-2")):
        text = json.dumps({"online": True, "name": name})
        assert _publish(office, client, f"bodycam/v1/dock/{name}/presence", text, "-r").returncode == 0
    heard = _hear(office, one, "bodycam/v1/#", 2)
    assert [line.split(" ", 1)[0] for line in heard] == ["bodycam/v1/dock/DOCK-1/presence"]
    _publish(office, two, "bodycam/v1/dock/DOCK-1/presence", "forged", "-r")
    assert _hear(office, one, "bodycam/v1/dock/DOCK-1/presence", 1) == heard


def test_strangers_do_not_get_in(office: OfficeKit) -> None:
    stranger = OfficeKit(office.folder / "stranger", Agency("another")).client(Role.DOCK, "DOCK-1")
    assert _publish(office, stranger, "bodycam/v1/dock/DOCK-1/presence", "x").returncode != 0
    plain = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(office.broker_port), "-t", "a", "-m", "b"]
    assert subprocess.run(plain, capture_output=True, check=False, timeout=20).returncode != 0
    without = [*plain, "--cafile", str(office.roots), "--insecure"]
    assert subprocess.run(without, capture_output=True, check=False, timeout=20).returncode != 0


def test_an_event_is_kept_once_and_then_acknowledged(office: OfficeKit) -> None:
    camera = Camera(office.agency, [age.recipient_of(age.generate_identity())], "BWC-0007")
    camera.line("armed", ring_seconds=30)
    opening, armed = camera.journal[0].splitlines()
    forged = bytearray(armed)
    forged[-1] ^= 1
    dock = _Dock(office, "DOCK-3")
    topic = "bodycam/v1/dock/DOCK-3/camera/BWC-0007"
    progress = {"id": "1f" * 16, "state": "started"}
    sent = [opening, armed, armed, bytes(forged), b"nonsense"]
    for payload in sent:
        dock.client.publish(f"{topic}/journal", payload, qos=1)
    dock.client.publish(f"{topic}/handin", json.dumps(progress), qos=1)
    wanted = {hashlib.sha256(payload).hexdigest() for payload in sent} | {progress["id"]}
    heard: set[str] = set()
    while heard != wanted:
        heard.add(dock.acknowledged.get(timeout=10))
    kept = _events(office)
    verdicts = [kept[hashlib.sha256(payload).hexdigest()]["verdict"] for payload in sent]
    assert verdicts == ["signed", "signed", "signed", "malformed", "malformed"]
    assert kept[hashlib.sha256(armed).hexdigest()]["kind"] == "armed"
    assert kept[progress["id"]]["class"] == "handin"
    dock.close()


def test_presence_reaches_the_catalogue(office: OfficeKit) -> None:
    client = office.client(Role.DOCK, "DOCK-4")

    def online() -> list[int]:
        catalogue = Catalogue(Database(sqlite_url(office.data / "catalogue.sqlite")))
        try:
            return [row["online"] for row in catalogue.table("docks") if row["dock"] == "DOCK-4"]
        finally:
            catalogue.close()

    for state in (True, False):
        _publish(office, client, "bodycam/v1/dock/DOCK-4/presence", json.dumps({"online": state}), "-r")
        wait_for(lambda state=state: online() == [int(state)])


def test_a_killed_broker_comes_back(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path / "an office")
    with running(office):
        os.kill(office.broker_pid, signal.SIGKILL)
        office.await_log("the broker died")
        dock = office.client(Role.DOCK, "DOCK-1")
        event = json.dumps({"id": "ab" * 16, "state": "done"})
        topic = "bodycam/v1/dock/DOCK-1/camera/BWC-0001/handin"
        # As a dock's outbox does: again until it is acknowledged. What nobody was there to hear is gone.
        wait_for(lambda: _publish(office, dock, topic, event).returncode == 0 and "ab" * 16 in _events(office))
    assert not alive(office.broker_pid)


def test_the_broker_ends_with_its_parent(tmp_path: Path) -> None:
    office = OfficeKit(tmp_path)
    office.start()
    first = office.broker_pid
    office.kill()
    wait_for(lambda: not alive(first))
    with running(office):  # and its port is free for the next
        assert office.broker_pid != first
    assert not alive(office.broker_pid)


def test_messages_that_came_while_the_office_was_busy_starting_are_kept(tmp_path: Path) -> None:
    """The office's session outlives its connection: the broker holds what it could not deliver."""
    office = OfficeKit(tmp_path)
    with running(office):
        wait_for(lambda: json.loads(office.client().request("GET", "/v1/health").body)["events"])
    conf = office.data / "broker" / "mosquitto.conf"
    with subprocess.Popen(
        ["mosquitto", "-c", conf],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"},
    ) as alone:
        dock = office.client()
        event = json.dumps({"id": "cd" * 16, "state": "done"})
        topic = "bodycam/v1/dock/DOCK-1/camera/BWC-0001/handin"
        wait_for(lambda: _publish(office, dock, topic, event).returncode == 0)
        alone.terminate()
    with running(office):
        wait_for(lambda: "cd" * 16 in _events(office))
