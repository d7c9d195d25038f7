"""Attacks on the office's broker with the distribution's own clients, by strangers and by a dock that has turned."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence.certificate import Role
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from tests.office_kit import Client, OfficeKit, running, wait_for
from tests.test_office_attacks import STRANGERS, with_names

pytestmark = [pytest.mark.net, pytest.mark.filterwarnings("ignore:Attribute's length")]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeKit]:
    with running(OfficeKit(tmp_path_factory.mktemp("office"))) as kit:
        wait_for(lambda: json.loads(kit.client().request("GET", "/v1/health").body)["events"])
        yield kit


def command(program: str, client: Client, *options: str) -> list[str]:
    return [program, "-h", "127.0.0.1", "-p", str(client.office.broker_port), "-V", "mqttv5", "--insecure", "--cafile",
            str(client.office.roots), "--cert", str(client.chain), "--key", str(client.key), *options]  # fmt: skip


def publish(client: Client, topic: str, text: str, *options: str) -> bool:
    """Whether the broker took the message; QoS 1 tells a denial."""
    line = command("mosquitto_pub", client, "-t", topic, "-m", text, "-q", "1", *options)
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=20)
    return done.returncode == 0 and "Not authorized" not in done.stderr


def hear(client: Client, *topics: str, options: tuple[str, ...] = ()) -> list[str]:
    """Topics of what comes within a second."""
    wanted = [word for topic in topics for word in ("-t", topic)]
    line = command("mosquitto_sub", client, "-F", "%t", "-W", "1", "-q", "1", *wanted, *options)
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=20).stdout.splitlines()


def events(office: OfficeKit) -> dict[str, str]:
    """Id and verdict of what the office has kept."""
    catalogue = Catalogue(Database(sqlite_url(office.data / "catalogue.sqlite")))
    try:
        return {row["id"]: row["verdict"] for row in catalogue.table("events")}
    finally:
        catalogue.close()


def topic(dock: str) -> str:
    return f"bodycam/v1/dock/{dock}/camera/BWC-0001/handin"


NOT_DOCKS = [name for name in STRANGERS if name != "the office itself"]


@pytest.mark.parametrize("stranger", NOT_DOCKS)
def test_a_stranger_tells_nothing(office: OfficeKit, stranger: str, tmp_path: Path) -> None:
    client = Client(office, *STRANGERS[stranger](office.agency).write(tmp_path, "stranger"))
    assert not publish(client, topic("DOCK-1"), "x")
    assert not publish(client, topic("DOCK-2"), "x")


@pytest.mark.parametrize("name", ["dock/+", "dock/#", "+/+", "#", "dock/DOCK-1/camera/#"])
def test_a_wildcard_for_a_name_opens_no_topic(office: OfficeKit, name: str, tmp_path: Path) -> None:
    client = Client(office, *with_names(office.agency, name).write(tmp_path, "wildcard"))
    assert publish(office.client(), "bodycam/v1/dock/DOCK-1/presence", '{"online":true}', "-r")
    assert hear(client, "bodycam/v1/#", "bodycam/v1/dock/DOCK-1/#") == []
    assert not publish(client, topic("DOCK-1"), "x")


def test_a_dock_reads_and_writes_nothing_of_others(office: OfficeKit) -> None:
    one, two = office.client(), office.client(name="DOCK-2")
    assert publish(two, "bodycam/v1/dock/DOCK-2/presence", '{"online":true}', "-r")
    heard = hear(one, "#", "$SYS/#", "bodycam/v1/dock/DOCK-2/#", "$share/all/bodycam/v1/#")
    assert [name for name in heard if not name.startswith("bodycam/v1/dock/DOCK-1/")] == []
    for foreign in (
        topic("DOCK-2"), "bodycam/v1/dock/DOCK-2/ack", "bodycam/v1/office/OFFICE-1/x",
        "$SYS/broker/uptime", "other",
    ):  # fmt: skip
        assert not publish(one, foreign, "x"), foreign


def test_a_last_will_reaches_no_topic_of_others(office: OfficeKit) -> None:
    one, two = office.client(), office.client(name="DOCK-2")
    for target in ("bodycam/v1/dock/DOCK-2/ack", "bodycam/v1/dock/DOCK-1/will"):
        will = ("--will-topic", target, "--will-payload", "x", "--will-retain", "--will-qos", "1")
        line = command("mosquitto_sub", one, "-t", "bodycam/v1/dock/DOCK-1/ack", "-d", *will)
        with subprocess.Popen(["stdbuf", "-oL", *line], stdout=subprocess.PIPE, text=True) as dying:
            assert dying.stdout is not None
            assert any("SUBACK" in said for said in dying.stdout)
            dying.kill()
    wait_for(lambda: "bodycam/v1/dock/DOCK-1/will" in hear(one, "bodycam/v1/dock/DOCK-1/#"))
    assert hear(two, "bodycam/v1/dock/DOCK-2/ack") == []


def test_a_dock_cannot_take_the_offices_session(office: OfficeKit) -> None:
    """By client id alone a session would go to whoever names it, with what it has subscribed to."""
    rogue, honest = office.client(Role.DOCK, "DOCK-666"), office.client()
    for name in ("office-OFFICE-1", "office/OFFICE-1"):
        thief = command("mosquitto_sub", rogue, "-t", "bodycam/v1/dock/DOCK-666/#", "-i", name, "-c", "-W", "3", "-d")
        with subprocess.Popen(["stdbuf", "-oL", *thief], stdout=subprocess.PIPE, text=True) as running_thief:
            assert running_thief.stdout is not None
            assert any("CONNACK (0)" in line for line in running_thief.stdout)
            assert json.loads(honest.request("GET", "/v1/health").body)["events"], name
            running_thief.kill()


def test_a_poisonous_message_keeps_no_other_from_being_kept(office: OfficeKit) -> None:
    rogue, honest = office.client(Role.DOCK, "DOCK-666"), office.client()
    lines = [json.dumps({"id": name}) for name in ("\ud800", "", " ", "\0", "x" * 65)]
    lines += ['{"id":1}', "[]", "{", '{"id":"a","id":"b"}', '{"id":' + "[" * 5000, '{"id":1e999}']
    feed = command("mosquitto_pub", rogue, "-t", topic("DOCK-666"), "-q", "1", "-l")
    with subprocess.Popen(feed, stdin=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL) as flood:
        flood.communicate("\n".join(lines * 20) + "\n", timeout=30)
    assert publish(rogue, "bodycam/v1/dock/DOCK-666/presence", '{"online":"\\ud800"}')
    assert publish(rogue, "bodycam/v1/dock/DOCK-666/camera/é /journal", "x")
    assert publish(honest, topic("DOCK-1"), json.dumps({"id": "ee" * 16, "state": "done"}))
    wait_for(lambda: "ee" * 16 in events(office))
    assert "messages were not kept" not in office.log.read_text()
    kept = events(office)
    assert len(kept) < 40, "each only once"
    assert all(verdict == "malformed" for name, verdict in kept.items() if len(name) == 64)


def test_a_dock_cannot_take_anothers_event_id(office: OfficeKit) -> None:
    rogue, honest = office.client(Role.DOCK, "DOCK-666"), office.client()
    event = json.dumps({"id": "dd" * 16, "state": "done"})
    assert publish(rogue, topic("DOCK-666"), json.dumps({"id": "dd" * 16, "state": "fault"}))
    assert publish(honest, topic("DOCK-1"), event)
    catalogue = Catalogue(Database(sqlite_url(office.data / "catalogue.sqlite")))
    try:
        wait_for(lambda: {row["dock"] for row in catalogue.table("events") if row["id"] == "dd" * 16} >= {"DOCK-1"})
    finally:
        catalogue.close()


def test_a_message_of_more_than_a_mebibyte_is_refused(office: OfficeKit, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * (1024 * 1024 + 1))
    line = command("mosquitto_pub", office.client(), "-t", topic("DOCK-1"), "-r", "-q", "1", "-f", str(big))
    subprocess.run(line, capture_output=True, check=False, timeout=20)
    assert topic("DOCK-1") not in hear(office.client(), "bodycam/v1/dock/DOCK-1/#")
    assert json.loads(office.client().request("GET", "/v1/health").body)["broker"]
