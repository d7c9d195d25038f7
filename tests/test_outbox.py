from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from evidence import pki
from evidence.pki import Role
from runtime import outbox as module
from runtime import tls
from runtime.outbox import Event, Outbox, OutboxError
from tests.agency import Agency
from tests.builders import present_agency
from tests.mosquitto import Broker

pytestmark = pytest.mark.net

BASE = "bodycam/v1/dock/DOCK-1"
TOPIC = f"{BASE}/camera/BWC-0001/journal"


def context(tmp: Path, agency: Agency, role: Role, name: str) -> ssl.SSLContext:
    chain, key = agency.issue(role, name).write(tmp, name)
    (tmp / "roots.pem").write_bytes(pki.to_pem(agency.root.certificate))
    return tls.client_context(chain, key, tmp / "roots.pem")


@pytest.fixture
def broker(tmp_path: Path, agency: Agency) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker", agency)
    broker.start()
    yield broker
    broker.kill()


Make = Callable[..., Outbox]


@pytest.fixture
def make(tmp_path: Path, agency: Agency, broker: Broker) -> Iterator[Make]:
    """Outboxes over one database; all closed at the end."""
    made: list[Outbox] = []
    tls_context = context(tmp_path, agency, Role.DOCK, "DOCK-1")

    def build(**options: Any) -> Outbox:
        settings: dict[str, Any] = {"resend_seconds": 0.5, "address": broker.address, "context": tls_context} | options
        box = Outbox(tmp_path / "outbox.sqlite", BASE, **settings)
        made.append(box)
        return box

    yield build
    for box in made:
        box.close()


class Application:
    """The office's end: takes events in and, if told to, acknowledges them in batches."""

    def __init__(self, address: tuple[str, int], tls_context: ssl.SSLContext, *, acknowledge: bool = True) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.presence: list[bool] = []
        self.states: list[tuple[str, bytes]] = []
        self.acknowledge = acknowledge
        self.changed = threading.Condition()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="office/OFFICE-1", protocol=MQTTv5)
        self.client.tls_set_context(tls_context)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe("bodycam/v1/#", 1)
        self.client.on_message = self._take
        self.client.connect_async(*address, keepalive=20, clean_start=True)
        self.client.loop_start()

    def _take(self, client: Client, _data: Any, message: Any) -> None:
        with self.changed:
            if "/bay/" in message.topic:
                self.states.append((message.topic, message.payload))
            elif message.topic.endswith("/presence"):
                self.presence.append(json.loads(message.payload)["online"])
            elif not message.topic.endswith("/ack"):
                self.got.append((message.topic, message.payload))
                if self.acknowledge:
                    name = json.loads(message.payload)["id"]
                    client.publish(f"{BASE}/ack", json.dumps({"ids": [name]}), 1)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool], seconds: float = 20) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, seconds)

    def ids(self) -> list[str]:
        with self.changed:
            return [json.loads(payload)["id"] for _, payload in self.got]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def application(tmp_path: Path, agency: Agency, broker: Broker) -> Iterator[Application]:
    app = Application(broker.address, context(tmp_path, agency, Role.OFFICE, "OFFICE-1"))
    yield app
    app.close()


def event(number: int) -> Event:
    name = f"event-{number}"
    return Event(name, TOPIC, json.dumps({"id": name, "text": "x" * 700}).encode())


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_events_arrive_in_order_and_are_forgotten_once_acknowledged(make: Make, application: Application) -> None:
    box = make()
    box.publish_many([event(n) for n in range(200)])
    box.publish(TOPIC, event(200).payload, "event-200")
    assert eventually(lambda: box.pending() == 0), box.trouble
    assert list(dict.fromkeys(application.ids())) == [f"event-{n}" for n in range(201)]
    assert box.trouble is None


def test_no_event_is_lost_when_the_broker_is_killed_again_and_again(
    make: Make, application: Application, broker: Broker
) -> None:
    box = make()
    total = 0
    for _ in range(4):
        box.publish_many([event(n) for n in range(total, total + 150)])
        total += 150
        heard = len(application.ids())
        application.wait(lambda heard=heard: len(application.got) > heard + 20)  # type: ignore[misc]
        broker.kill()
        broker.start()
    assert eventually(lambda: box.pending() == 0, 30), box.trouble
    assert set(application.ids()) == {f"event-{n}" for n in range(total)}
    assert {payload for _, payload in application.got} == {event(n).payload for n in range(total)}


def test_events_outlive_the_program(make: Make, broker: Broker, application: Application, tmp_path: Path) -> None:
    broker.kill()
    first = make()
    first.publish_many([event(n) for n in range(5)])
    first.publish(*_arguments(event(3)))
    assert first.pending() == 5
    first.close()
    assert module.waiting(tmp_path / "outbox.sqlite") == 5
    broker.start()
    again = make()
    assert eventually(lambda: again.pending() == 0)
    assert set(application.ids()) == {f"event-{n}" for n in range(5)}


def _arguments(one: Event) -> tuple[str, bytes, str]:
    return one.topic, one.payload, one.id


def test_the_brokers_acknowledgement_counts_for_nothing(make: Make, application: Application) -> None:
    application.acknowledge = False
    box = make()
    box.publish(*_arguments(event(1)))
    assert application.wait(lambda: len(application.got) >= 3), "it is not sent again"
    assert set(application.ids()) == {"event-1"}
    assert box.pending() == 1
    application.acknowledge = True
    assert eventually(lambda: box.pending() == 0)


def test_only_so_many_events_are_under_way(make: Make, application: Application) -> None:
    application.acknowledge = False
    box = make(resend_seconds=60.0)
    box.publish_many([event(n) for n in range(module.WINDOW + 50)])
    assert application.wait(lambda: len(application.got) >= module.WINDOW)
    assert not application.wait(lambda: len(application.got) > module.WINDOW, 0.5)


def test_events_that_are_never_acknowledged_hold_up_no_others(make: Make, application: Application) -> None:
    denied = "bodycam/v1/dock/DOCK-2/camera/BWC-0001/journal"
    box = make()
    box.publish_many([Event(f"poison-{n}", denied, b"{}") for n in range(2 * module.WINDOW + 50)])
    box.publish_many([event(n) for n in range(10)])
    assert eventually(lambda: box.pending() == 2 * module.WINDOW + 50), box.trouble
    assert application.ids()[:10] == [f"event-{n}" for n in range(10)]


def test_a_denial_by_the_access_rules_is_visible(make: Make, application: Application) -> None:
    box = make()
    foreign = "bodycam/v1/dock/DOCK-2/camera/BWC-0001/journal"
    box.publish(foreign, event(1).payload, "event-1")
    assert eventually(lambda: "mqtt-denied" in (box.trouble or "")), box.trouble
    assert foreign in (box.trouble or "")
    box.publish(*_arguments(event(2)))
    assert eventually(lambda: box.pending() == 1)
    assert application.ids() == ["event-2"]


def test_without_presence_nothing_is_told_of_it(make: Make, application: Application) -> None:
    box = make()
    box.publish(*_arguments(event(1)))
    assert eventually(lambda: box.pending() == 0)
    box.close()
    assert application.presence == []


def test_on_demand_a_socket_is_open_only_while_an_event_waits(
    make: Make, application: Application, tmp_path: Path
) -> None:
    """The broker's own log tells of each connection; what is asked is whether there was any."""

    def connections() -> int:
        return (tmp_path / "broker/log").read_text().count("New client connected from 127.0.0.1:") - 1  # the office's

    assert eventually(application.client.is_connected)
    assert eventually(lambda: connections() == 0)
    box = make(on_demand=True)
    assert box._client.socket() is None
    for number in (1, 2):
        box.publish(*_arguments(event(number)))
        assert eventually(lambda: box.pending() == 0), box.trouble
        assert eventually(lambda: box._client.socket() is None), "it stays connected"
        assert connections() == number
        assert box.trouble is None, "an end that was meant is no trouble"
    application.acknowledge = False
    box.publish(*_arguments(event(3)))
    assert application.wait(lambda: "event-3" in application.ids())
    assert box._client.socket() is not None, "until the application says so"


def test_an_event_that_is_refused_is_told_and_sent_no_more(
    make: Make, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    application.acknowledge = False
    box = make()
    box.publish(*_arguments(event(1)))
    assert application.wait(lambda: bool(application.got))
    for wrong in ('{"ids":[],"refused":["event-1"]}', '{"ids":[],"refused":{"event-1":1}}'):
        application.client.publish(f"{BASE}/ack", wrong, 1)
    application.client.publish(f"{BASE}/ack", '{"ids":[],"refused":{"event-1":"foreign"}}', 1)
    assert eventually(lambda: box.pending() == 0)
    assert "event-refused" in caplog.text
    assert "event-1: foreign" in caplog.text


def test_a_mark_is_kept_with_its_events_or_not_at_all(make: Make, broker: Broker) -> None:
    broker.kill()
    box = make(limit_bytes=64 * 4096)
    assert make().mark is None
    box.publish_many([event(1)], mark=7)
    box.publish_many([], mark=9)
    assert box.mark == 9
    with pytest.raises(OutboxError):
        box.publish_many([event(number) for number in range(1000)], mark=11)
    assert (box.mark, box.pending()) == (9, 1)
    box.close()
    assert make().mark == 9


def test_presence_is_retained_and_ends_with_the_connection(
    make: Make, broker: Broker, tmp_path: Path, agency: Agency, application: Application
) -> None:
    box = make(presence={"bays": 1})
    assert application.wait(lambda: application.presence == [True])
    late = Application(broker.address, context(tmp_path, agency, Role.DOCK, "DOCK-1"), acknowledge=False)
    try:
        assert late.wait(lambda: late.presence == [True]), "not retained"
    finally:
        late.close()
    link = box._client.socket()
    assert isinstance(link, ssl.SSLSocket)
    socket.socket.shutdown(link, socket.SHUT_RDWR)
    assert application.wait(lambda: application.presence == [True, False, True]), application.presence
    box.close()
    assert application.wait(lambda: application.presence == [True, False, True, False])


def test_a_state_stands_whatever_becomes_of_the_broker(
    make: Make, broker: Broker, application: Application, tmp_path: Path
) -> None:
    topic = f"{BASE}/bay/1/presence"
    box = make(presence={"bays": ["1"]}, on_request=lambda _: None)

    def stands() -> list[bytes]:
        return [payload for _, payload in application.states if _ == topic]

    for number in range(50):
        box.tell_state(topic, b'{"online":true,"n":%d}' % number)
    assert application.wait(lambda: stands()[-1:] == [b'{"online":true,"n":49}'])
    order = [json.loads(payload)["n"] for payload in stands()]
    assert order == sorted(order), "nothing old after something new"
    broker.kill()
    (tmp_path / "broker/mosquitto.db").unlink(missing_ok=True)  # it has lost all that was retained
    box.tell_state(topic, b'{"online":true,"n":50}')
    broker.start()
    assert application.wait(lambda: stands()[-1:] == [b'{"online":true,"n":50}'])
    # The office says in its stead that it is gone, as it does after a last will; it is not.
    application.client.publish(topic, b'{"online":false}', 1, retain=True)
    assert application.wait(lambda: stands()[-2:] == [b'{"online":false}', b'{"online":true,"n":50}'])


def test_nothing_is_told_to_a_broker_that_is_not_the_offices(make: Make, tmp_path: Path, agency: Agency) -> None:
    poser = Broker(tmp_path / "poser", agency, Role.DOCK)
    poser.start()
    try:
        box = make(address=poser.address)
        box.publish(*_arguments(event(1)))
        assert eventually(lambda: "mqtt-identity" in (box.trouble or "")), box.trouble
        assert box.pending() == 1
        assert "CONNECT" not in (tmp_path / "poser/log").read_text()
    finally:
        box.close()
        poser.kill()


def test_a_dock_of_another_agency_is_not_let_in(make: Make, tmp_path: Path) -> None:
    stranger = context(tmp_path, present_agency(), Role.DOCK, "DOCK-1")
    box = make(context=stranger)
    assert eventually(lambda: "mqtt-away" in (box.trouble or "")), box.trouble


def test_an_unreadable_acknowledgement_changes_nothing(make: Make, application: Application) -> None:
    application.acknowledge = False
    box = make()
    box.publish(*_arguments(event(1)))
    assert application.wait(lambda: bool(application.got))
    for payload in (b"", b"[]", b'{"ids":"event-1"}', b'{"ids":[1]}', b'{"ids":["event-9"]}', b"\xff"):
        application.client.publish(f"{BASE}/ack", payload, 1)
    before = len(application.ids())
    assert application.wait(lambda: len(application.got) >= before + 2), "it stopped sending"
    assert box.pending() == 1


def test_publishing_does_not_wait_for_the_network(make: Make, broker: Broker) -> None:
    broker.kill()
    silent = socket.create_server(("127.0.0.1", broker.port), reuse_port=False)
    try:
        box = make()
        began = time.monotonic()
        box.publish(*_arguments(event(1)))
        assert time.monotonic() - began < 2
        assert box.pending() == 1
    finally:
        silent.close()


def test_a_full_outbox_says_so_and_keeps_what_it_has(make: Make, broker: Broker) -> None:
    broker.kill()
    box = make(limit_bytes=64 * 4096)

    def fill() -> None:
        for start in range(0, 4000, 100):
            box.publish_many([event(n) for n in range(start, start + 100)])

    with pytest.raises(OutboxError, match="free or replace"):
        fill()
    held = box.pending()
    assert held > 0
    assert held % 100 == 0


def test_a_file_that_is_no_outbox_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(b"not a database" * 400)
    with pytest.raises(OutboxError, match="may be moved away"):
        make()
