"""Attacks on what cameras tell directly, by whoever holds a camera's link key: forged, foreign and replayed lines."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from evidence import records
from evidence.certificate import Role
from tests.agency import Agency
from tests.footage import Camera
from tests.office_kit import OfficeKit, running, wait_for
from tests.test_broker_attacks import events, hear, publish

pytestmark = pytest.mark.net


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeKit]:
    with running(OfficeKit(tmp_path_factory.mktemp("office"))) as kit:
        wait_for(lambda: json.loads(kit.client().request("GET", "/v1/health").body)["events"])
        yield kit


_numbers = iter(range(1, 1000))


def new_camera(office: OfficeKit, *, signed: bool = True, vouched: bool = True) -> Camera:
    return Camera(office.agency, [], f"BWC-{next(_numbers):04}", signed=signed, vouched=vouched)


def alert(camera: Camera, what: str = "heat") -> bytes:
    return camera.line("alert", what=what, recording=None, detail="a test")


def opening(camera: Camera) -> bytes:
    return camera.journal[-1].partition(b"\n")[0]


class Sender:
    """A connection with a camera's certificate, which hears what the office answers."""

    def __init__(self, office: OfficeKit, device: str) -> None:
        self._base = f"bodycam/v1/camera/{device}"
        self._answers: queue.Queue[dict[str, object]] = queue.Queue()
        subscribed: queue.Queue[object] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.tls_set_context(office.client(Role.CAMERA, device).context)
        self._client.on_message = lambda _client, _data, message: self._answers.put(json.loads(message.payload))
        self._client.on_subscribe = lambda *told: subscribed.put(told)
        self._client.connect("127.0.0.1", office.broker_port)
        self._client.subscribe(f"{self._base}/ack", qos=1)
        self._client.loop_start()
        subscribed.get(timeout=10)

    def tell(self, *lines: bytes) -> str:
        """Send a message; "taken", or the code by which it is refused."""
        self._client.publish(f"{self._base}/journal", b"\n".join(lines), qos=1)
        answer = self._answers.get(timeout=15)
        name = records.line_sha256(lines[-1])
        refused = answer["refused"]
        assert isinstance(refused, dict)
        if answer["ids"]:
            assert (answer["ids"], refused) == ([name], {})
            return "taken"
        assert list(refused) == [name]
        return str(refused[name])

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def sender(office: OfficeKit) -> Iterator[Callable[[str], Sender]]:
    made: list[Sender] = []

    def connect(device: str) -> Sender:
        made.append(Sender(office, device))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def known(office: OfficeKit, device: str) -> list[tuple[str, str, bool]]:
    done = office.call("alerts", "--json")
    rows = json.loads(done.stdout)["alerts"]
    return [(row["what"], row["standing"], row["signed"]) for row in rows if row["device"] == device]


def spoiled(line: bytes) -> bytes:
    """The same record, with another signature."""
    return line[:-20] + (b"A" if line[-20:-19] != b"A" else b"B") + line[-19:]


def test_each_message_that_does_not_hold_is_refused_and_told(
    office: OfficeKit, sender: Callable[[str], Sender]
) -> None:
    camera, other = new_camera(office), new_camera(office)
    line, marker = alert(camera), camera.line("docked", docked=True)
    earlier = opening(camera)
    camera.boot()
    stranger = Camera(Agency("another"), [], camera.device)
    unsigned = Camera(office.agency, [], camera.device, signed=False, vouched=False)
    tell = sender(camera.device).tell
    assert tell(earlier, spoiled(line)) == "jws-signature"
    assert tell(spoiled(earlier), line) == "jws-signature"
    assert tell(opening(other), alert(other)) == "foreign"
    assert tell(earlier, alert(camera)) == "foreign", "of another boot"
    assert tell(opening(other), line) == "foreign"
    assert tell(earlier, marker) == "not-alert"
    assert tell(line, line) == "not-alert"
    assert tell(opening(stranger), alert(stranger)).startswith("chain")
    assert tell(opening(unsigned), alert(unsigned)) == "session-stranger"
    assert tell(line) == "jws-form"
    assert tell(b"nonsense", b"{}") == "jws-form"
    assert tell(earlier, line, line) == "jws-form"
    assert tell(b"x" * 600_000, line) == "jws-form"
    assert known(office, camera.device) == known(office, other.device) == []
    assert office.log.read_text().count("an alert is refused") >= 13
    assert events(office) == {}, "nothing of it is kept"
    assert tell(earlier, line) == "taken"
    assert known(office, camera.device) == [("heat", "told", True)]


def test_a_replayed_line_changes_nothing(office: OfficeKit, sender: Callable[[str], Sender]) -> None:
    camera = new_camera(office)
    line, tell = alert(camera), sender(camera.device).tell
    first = [tell(opening(camera), line) for _ in range(3)]
    assert first == ["taken"] * 3, "or a camera whose acknowledgement was lost would send it for ever"
    office.client().hand_in_journal(camera.device, camera.journal)
    camera.boot()
    assert tell(opening(camera), line) == "foreign", "not under another boot's opening"
    assert known(office, camera.device) == [("heat", "confirmed", True)]
    alerted = [fact for fact in map(json.loads, office.log.read_text().splitlines()) if "alerts" in fact["message"]]
    assert len([fact for fact in alerted if fact["camera"] == camera.device]) == 1, "told anew"


def test_a_line_in_the_place_of_one_that_was_handed_in_is_a_fork(
    office: OfficeKit, sender: Callable[[str], Sender]
) -> None:
    """Whoever has the session key of a camera could invent what it has not written."""
    camera = new_camera(office)
    assert camera._chain is not None
    place = (camera._chain.seq, camera._chain.prev)
    camera.line("docked", docked=True)
    office.client().hand_in_journal(camera.device, camera.journal)
    camera._chain.seq, camera._chain.prev = place
    invented = alert(camera)
    assert sender(camera.device).tell(opening(camera), invented) == "fork"
    assert known(office, camera.device) == []


def test_an_alert_that_the_journal_does_not_bear_out_stays_visible(
    office: OfficeKit, sender: Callable[[str], Sender]
) -> None:
    camera = new_camera(office)
    assert camera._chain is not None
    place, held = (camera._chain.seq, camera._chain.prev), camera.journal[-1]
    assert sender(camera.device).tell(opening(camera), alert(camera, "storage_full")) == "taken"
    camera._chain.seq, camera._chain.prev = place
    camera.journal[-1] = held
    alert(camera)
    camera.line("docked", docked=True)
    office.client().hand_in_journal(camera.device, camera.journal)
    standing = {what: how for what, how, _ in known(office, camera.device)}
    assert standing == {"storage_full": "contradicted", "heat": "handed_in"}
    assert "查明原因" in office.call("alerts").stdout


def test_a_camera_without_its_evidence_key_is_heard_and_called_unsigned(
    office: OfficeKit, sender: Callable[[str], Sender]
) -> None:
    camera = new_camera(office, signed=False)
    assert sender(camera.device).tell(opening(camera), alert(camera)) == "taken"
    assert known(office, camera.device) == [("heat", "told", False)]
    office.client().hand_in_journal(camera.device, camera.journal)
    assert known(office, camera.device) == [("heat", "confirmed", False)]


def test_a_camera_reads_and_writes_nothing_of_others(office: OfficeKit) -> None:
    one, dock = office.client(Role.CAMERA, "BWC-0900"), office.client()
    assert publish(one, "bodycam/v1/camera/BWC-0900/journal", "x")
    for foreign in (
        "bodycam/v1/camera/BWC-0901/journal", "bodycam/v1/camera/BWC-0901/ack", "bodycam/v1/dock/DOCK-1/presence",
        "bodycam/v1/dock/DOCK-1/camera/BWC-0900/journal", "bodycam/v1/office/OFFICE-1/x",
    ):  # fmt: skip
        assert not publish(one, foreign, "x"), foreign
    assert not publish(dock, "bodycam/v1/camera/BWC-0900/journal", "x"), "a dock does not speak for a camera"
    assert publish(dock, "bodycam/v1/dock/DOCK-1/presence", '{"online":true}', "-r")
    assert hear(one, "#", "bodycam/v1/#", "bodycam/v1/dock/DOCK-1/#") == []
