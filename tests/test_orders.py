"""Orders to a dock: what counts, what a stolen broker can do with them, and who may write and read where."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence import jose, pki, shape
from evidence.documents import Order
from evidence.errors import EvidenceError
from evidence.pki import Role
from runtime import tls
from runtime.outbox import Outbox
from syncd.commands import Commands
from syncd.errors import AwayError
from syncd.office import Signers
from syncd.orders import Orders
from syncd.urgency import Holds, Urgency
from tests.agency import Agency, Holder
from tests.mosquitto import Broker
from tests.office_kit import wait_for

BASE = "bodycam/v1/dock/DOCK-1"
COMMAND = "bodycam/v1/to/dock/DOCK-1/command"
RECORDING = "aaaaaaaa-1"


class Dock:
    """A dock's side of orders, on a disk; `found` are the orders that a camera was brought."""

    def __init__(self, folder: Path, agency: Agency, signer: Holder) -> None:
        self.folder, self.agency, self.signer = folder, agency, signer
        self.found: list[str] = []
        self.camera_fails = False
        self.start()

    def start(self) -> None:
        """As a process that starts: nothing known but what is on the disk."""
        signers = Signers([self.signer.certificate, *self.signer.above], [self.agency.root.certificate])
        self.holds = Holds()
        self.orders = Orders(self.folder / "orders.json", signers, self.holds)
        self.commands = Commands("DOCK-1", signers, self.orders, self._find, lambda: {"at": "now"})

    def _find(self, device: str, jws: bytes) -> bool:
        if self.camera_fails:
            raise AwayError("camera", "lost", "pulled out")
        if device != "BWC-0001":
            return False
        self.found.append(Order.from_payload(jose.parse(jws, Order.TYP).payload).order)
        return True

    def tell(self, payload: str | bytes) -> dict[str, Any]:
        """Give it a command; its answer."""
        return self.commands.carry_out(payload.encode() if isinstance(payload, str) else payload)

    def result(self, payload: str | bytes) -> tuple[str, str | None]:
        answer = self.tell(payload)
        return answer["result"], answer["code"]

    def urgency(self, segment: int = 0) -> Urgency | None:
        return self.holds.urgency("BWC-0001", RECORDING, segment)


@pytest.fixture
def dock(tmp_path: Path, agency: Agency, signer: Holder) -> Dock:
    return Dock(tmp_path, agency, signer)


def order(act: str = "hold", seconds: float = 0, **changes: Any) -> Order:
    """An order of now, or so many seconds later."""
    begin = datetime.now(UTC) + timedelta(seconds=seconds)
    times = [shape.utc_text(int(at.timestamp() * 1000)) for at in (begin, begin + timedelta(minutes=5))]
    recording = None if act == "find" else RECORDING
    made = Order("OFFICE-1", "0f" * 16, "DOCK-1", "BWC-0001", act, recording, None, times[0], times[1])
    return replace(made, **changes)


def signed(one: Order, by: Holder) -> str:
    return one.sign(by.key, pki.key_id(by.key.public_key()))


def test_what_is_ordered_is_in_force_and_outlives_the_program(dock: Dock, signer: Holder) -> None:
    assert dock.result(signed(order(), signer)) == ("done", None)
    assert dock.urgency() is Urgency.HELD
    dock.start()
    assert dock.urgency() is Urgency.HELD
    assert dock.result(signed(order("first", recording=None), signer)) == ("done", None)
    assert dock.holds.urgency("BWC-0001", "bbbbbbbb-2", 4) is Urgency.FIRST
    assert dock.result(signed(order("usual", 1), signer)) == ("done", None)
    assert dock.urgency() is Urgency.FIRST, "of the whole camera, still"
    assert dock.result(signed(order("usual", 1, recording=None), signer)) == ("done", None)
    assert dock.urgency() is None
    assert dock.result(signed(order("first", 2, segment=3), signer)) == ("done", None)
    dock.start()
    assert [dock.urgency(number) for number in (2, 3)] == [None, Urgency.FIRST]


def test_an_order_twice_or_late_changes_nothing(dock: Dock, signer: Holder) -> None:
    hold, usual = signed(order(), signer), signed(order("usual", 2), signer)
    for _ in range(2):
        assert dock.result(hold) == ("done", None)
    for _ in range(2):
        assert dock.result(usual) == ("done", None)
    assert dock.result(hold) == ("refused", "order-stale")
    assert dock.urgency() is None
    dock.start()
    assert dock.result(hold) == ("refused", "order-stale"), "the dock remembers what was taken back"
    assert dock.urgency() is None


def test_orders_in_any_order_end_alike(tmp_path: Path, agency: Agency, signer: Holder) -> None:
    sent = [signed(order("hold", n, order=f"{n:032x}"), signer) for n in (0, 4)]
    sent += [signed(order("usual", n, order=f"{n:032x}"), signer) for n in (2, 6)]
    for number, way in enumerate(([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2, 1, 1], [2, 3, 3, 0, 1])):
        folder = tmp_path / str(number)
        folder.mkdir()
        one = Dock(folder, agency, signer)
        for index in way:
            one.tell(sent[index])
        assert one.urgency() is None, way


def test_a_camera_is_found_or_not(dock: Dock, signer: Holder) -> None:
    assert dock.result(signed(order("find"), signer)) == ("done", None)
    assert dock.found == ["0f" * 16]
    assert dock.result(signed(order("find", device="BWC-0002"), signer)) == ("refused", "camera-elsewhere")
    dock.camera_fails = True
    assert dock.result(signed(order("find"), signer)) == ("failed", "camera-lost")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dock": "DOCK-2"}, "order-foreign"),
        ({"seconds": -301}, "order-expired"),
        ({"seconds": 120}, "order-expired"),
        ({"seconds": -400 * 24 * 3600}, "chain-dates"),
    ],
)
def test_an_order_for_elsewhere_or_another_time_is_refused(
    dock: Dock, signer: Holder, changes: dict[str, Any], code: str
) -> None:
    assert dock.result(signed(order(**changes), signer)) == ("refused", code)
    assert dock.urgency() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"act": "hold", "recording": None}, {"act": "hold", "segment": 1}, {"act": "first", "segment": None},
        {"act": "usual", "recording": None, "segment": 1}, {"act": "find", "recording": RECORDING},
        {"expires": "2036-01-01T00:00:00.000Z"}, {"expires": "2026-01-01T00:00:00.000Z"}, {"act": "erase"},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_what_is_no_order_is_refused_by_every_reader(dock: Dock, signer: Holder, wrong: dict[str, Any]) -> None:
    text = signed(replace(order("find" if wrong.get("act") == "find" else "hold"), **wrong), signer)
    assert dock.result(text) == ("refused", "shape")
    with pytest.raises(EvidenceError, match=r"shape|order"):
        Order.read(text, signer.key.public_key())


def test_only_the_offices_signer_commands(dock: Dock, agency: Agency, signer: Holder) -> None:
    """Whoever holds the broker has its TLS key, and may have others of the agency."""
    stranger = Agency("another", at=datetime.now(UTC)).issue(Role.SIGNER, "OFFICE-1")
    for holder in (agency.issue(Role.OFFICE, "OFFICE-1"), agency.issue(Role.DOCK, "DOCK-1"), stranger):
        assert dock.result(signed(order(), holder)) == ("refused", "signer-unknown")
    forged = order().sign(stranger.key, pki.key_id(signer.key.public_key()))
    assert dock.result(forged) == ("refused", "jws-signature")
    head, _, tail = signed(order(), signer).rpartition(".")
    body = head.split(".")[0] + "." + jose.b64(jose.dump_json({"v": 1}))
    assert dock.result(f"{body}.{tail}") == ("refused", "jws-signature")
    for junk in ("", "x", "{", "[]", '{"ask":"erase"}', '{"ask":"status","more":1}', '{"act":"hold"}', "\xff", "é.a.b"):
        assert dock.tell(junk)["result"] == "refused", junk
    assert (dock.urgency(), dock.found) == (None, [])


def test_orders_kept_on_a_disk_that_was_changed_count_no_more(
    dock: Dock, agency: Agency, signer: Holder, caplog: pytest.LogCaptureFixture
) -> None:
    forged = signed(order(), agency.issue(Role.OFFICE, "OFFICE-1"))
    genuine = signed(order("first", recording=None), signer)
    (dock.folder / "orders.json").write_text(json.dumps({"orders": [forged, genuine, 1, "x"]}))
    dock.start()
    assert dock.urgency() is Urgency.FIRST
    assert "order-kept" in caplog.text
    (dock.folder / "orders.json").write_text("{")
    dock.start()
    assert dock.urgency() is None


# --- By the broker ---------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path, agency: Agency) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker", agency)
    broker.start()
    yield broker
    broker.kill()


class Wire:
    """The distribution's clients, each under a name of its own."""

    def __init__(self, folder: Path, agency: Agency, broker: Broker) -> None:
        self.folder, self.agency, self.broker = folder, agency, broker

    def call(self, program: str, role: Role, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        chain, key = self.agency.issue(role, name).write(self.folder, f"{role}-{name}")
        line = [program, "-h", "127.0.0.1", "-p", str(self.broker.port), "-V", "mqttv5", "--insecure", "--cafile",
                str(self.broker.roots), "--cert", str(chain), "--key", str(key), "-q", "1", *options]  # fmt: skip
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=20)

    def publishes(self, role: Role, name: str, topic: str) -> bool:
        done = self.call("mosquitto_pub", role, name, "-t", topic, "-m", "x")
        return done.returncode == 0 and "Not authorized" not in done.stderr

    def asks(self, payload: str, reply: str, *options: str) -> str:
        done = self.call(
            "mosquitto_rr", Role.DESK, "DESK-1", "-W", "1", "-t", COMMAND, "-e", reply, "-m", payload, *options
        )
        return done.stdout.strip()


@pytest.mark.net
def test_a_dock_answers_mosquitto_rr(
    dock: Dock, tmp_path: Path, agency: Agency, broker: Broker, signer: Holder
) -> None:
    chain, key = agency.issue(Role.DOCK, "DOCK-1").write(tmp_path, "dock")
    context = tls.client_context(chain, key, broker.roots)
    box = Outbox(tmp_path / "outbox.sqlite", BASE, broker.address, context, on_request=dock.commands.take)
    dock.commands.start(box.answer)
    wire = Wire(tmp_path, agency, broker)
    try:
        wait_for(lambda: box._connected)
        found = wire.asks(signed(order("find"), signer), f"{BASE}/reply/DESK-1", "-D", "publish", "correlation-data",
                          "seventeen", "-F", "%D %p")  # fmt: skip
        assert found.split(" ", 1)[0] == "seventeen", "correlation data comes back as it was"
        assert json.loads(found.split(" ", 1)[1])["result"] == "done"
        assert json.loads(wire.asks('{"ask":"status"}', f"{BASE}/reply/DESK-1"))["status"] == {"at": "now"}
        assert json.loads(wire.asks("nonsense", f"{BASE}/reply/DESK-1"))["result"] == "refused"
        # An answer goes nowhere else, and nothing is done whose answer could not be heard.
        for reply in ("bodycam/v1/dock/DOCK-2/reply/DESK-1", f"{BASE}/ack", "elsewhere"):
            assert wire.asks(signed(order("find", order="1f" * 16), signer), reply) == ""
        wire.call("mosquitto_pub", Role.DESK, "DESK-1", "-t", COMMAND, "-m", signed(order(), signer), "-r")
        assert json.loads(wire.asks('{"ask":"status"}', f"{BASE}/reply/DESK-1"))["result"] == "done"
        assert dock.found == ["0f" * 16]
        assert dock.urgency() is None
    finally:
        dock.commands.stop()
        box.close()


@pytest.mark.net
def test_who_may_write_and_read_commands(tmp_path: Path, agency: Agency, broker: Broker) -> None:
    wire = Wire(tmp_path, agency, broker)
    assert wire.publishes(Role.OFFICE, "OFFICE-1", COMMAND)
    assert wire.publishes(Role.DESK, "DESK-1", COMMAND)
    for role, name in (
        (Role.DOCK, "DOCK-1"),
        (Role.DOCK, "DOCK-2"),
        (Role.CAMERA, "BWC-0001"),
        (Role.DESK, "DESK-9"),
    ):
        assert not wire.publishes(role, name, COMMAND), name
    for topic in ("bodycam/v1/deadline/BWC-0001", f"{BASE}/ack", "bodycam/v1/to/dock/DOCK-1/deadline/BWC-0001"):
        assert not wire.publishes(Role.DESK, "DESK-1", topic), topic
        assert wire.call("mosquitto_pub", Role.OFFICE, "OFFICE-1", "-t", topic, "-m", "told", "-r").returncode == 0

    def hears(role: Role, name: str) -> list[str]:
        done = wire.call("mosquitto_sub", role, name, "-F", "%t", "-W", "1", "-t", "bodycam/v1/#", "-t", "#")
        return sorted(set(done.stdout.split()))

    told = [f"{BASE}/ack", "bodycam/v1/deadline/BWC-0001", "bodycam/v1/to/dock/DOCK-1/deadline/BWC-0001"]
    assert hears(Role.DESK, "DESK-1") == sorted(told)
    assert hears(Role.DOCK, "DOCK-1") == sorted([told[0], told[2]])
    assert hears(Role.DOCK, "DOCK-2") == []
    assert hears(Role.CAMERA, "BWC-0001") == []


@pytest.mark.net
def test_a_desk_cannot_pass_for_an_office(tmp_path: Path, agency: Agency) -> None:
    """Its certificate is of another role, and not for servers at all."""
    chain, key = agency.issue(Role.DESK, "DESK-1").write(tmp_path, "desk")
    (tmp_path / "roots.pem").write_bytes(pki.to_pem(agency.root.certificate))
    dock = agency.issue(Role.DOCK, "DOCK-1").write(tmp_path, "dock")
    serving = tls.server_context(chain, key, tmp_path / "roots.pem")
    near, far = socket.socketpair()

    def serve() -> None:
        with contextlib.suppress(OSError), serving.wrap_socket(far, server_side=True) as link:
            link.read(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        tls.client_context(*dock, tmp_path / "roots.pem").wrap_socket(near)
    near.close()
    thread.join()
