"""docs/spec/messages.md against what real programs send: office, dock, camera port, and clients that are not ours."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from evidence import jose, records
from evidence.certificate import Role
from office.archive import Archive
from office.config import OfficeConfig
from runtime.config import load
from tests.dock_camera import DockedCamera
from tests.footage import Camera
from tests.message_kit import DESK, Listener, Message, ask, mqtt, running_dock, spec_path, with_desk
from tests.office_kit import OfficeKit, running, wait_for

pytestmark = pytest.mark.net
DOCK = "bodycam/v1/dock/DOCK-1"
_NAMES = {"DOCK": "[A-Z0-9-]{3,32}", "CAMERA": "[A-Z0-9-]{3,32}", "BAY": "[A-Za-z0-9-]{1,32}", "NAME": "[A-Z0-9-]+"}


@dataclass
class Section:
    """A heading of the specification: topics, and the forms that their payloads may have."""

    title: str
    topics: list[re.Pattern[str]]
    forms: list[Callable[[bytes], None]]
    state: bool
    seen: int = 0


def specification() -> list[Section]:
    text = spec_path().read_text("utf-8")
    blocks = re.findall(r"^```(\w+) ([^\n]+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (definitions,) = [json.loads(body) for _, info, body in blocks if info == "defs"]
    sections = []
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        rest = re.split(r"^## ", rest, flags=re.MULTILINE)[0]
        found = re.findall(r"^```(\w+) ([^\n]+)\n(.*?)^```", rest, re.MULTILINE | re.DOTALL)
        forms = [_form(info.split(), body, definitions) for _, info, body in found]
        patterns = [re.compile(_pattern(topic)) for topic in re.findall("`([^`]+)`", title)]
        sections.append(Section(title, patterns, forms, rest.lstrip().startswith("State")))
    return sections


def _pattern(topic: str) -> str:
    return re.sub("<([A-Z]+)>", lambda name: _NAMES[name[1]], topic) + r"\Z"


def _form(info: list[str], body: str, definitions: Any) -> Callable[[bytes], None]:
    schema = {**json.loads(body), "$defs": definitions} if body.strip() else None
    if schema is not None:
        jsonschema.Draft202012Validator.check_schema(schema)

    def check(payload: bytes) -> None:
        kinds = info[1:] if info[0] == "jws" else []
        values = [payload]
        if kinds:
            lines = payload.split(b"\n")
            assert len(lines) == len(kinds), "a line too many, or too few"
            values = [jose.parse(line, kind).payload for line, kind in zip(lines, kinds, strict=True)]
        for value in values:
            told = jose.parse_json(value)  # whole numbers, no member twice
            if schema is not None:
                jsonschema.validate(told, schema, jsonschema.Draft202012Validator)

    return check


def fits(section: Section, message: Message) -> bool:
    for form in section.forms:
        with contextlib.suppress(Exception):
            form(message.payload)
            return True
    return not message.payload and section.state  # taken back


HEARTBEAT = {"battery_percent": 81, "battery_minutes": 400, "battery_charging": True, "celsius": 41, "odd": "x"}
CHECKS = {"battery_percent": 80, "card_wear_percent": 7, "storage_minutes": 900, "free_bytes": 5}


@dataclass
class Scene:
    heard: list[Message]
    camera: DockedCamera
    answers: dict[str, Any]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A shift in little: a camera hands in, another never comes, the office asks and orders, the dock dies."""
    tmp = tmp_path_factory.mktemp("messages")
    office = OfficeKit(tmp)
    desk = with_desk(office)
    camera = DockedCamera(tmp / "camera", office.agency, office.signer.certificate)
    camera.folder.line("self_check", {"passed": True, "checks": CHECKS})
    camera.folder.line("heartbeat", {"free_bytes": 7_000_000_000, "figures": HEARTBEAT})
    camera.folder.segment(camera.folder.begin_recording(), 100)
    camera.port.start()
    answers: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(camera.port.stop)
        stack.enter_context(running(office))
        listener = Listener(office)
        stack.callback(listener.close)
        dock = stack.enter_context(running_dock(office, {"left": camera.port.address[1], "right": 9}))
        wait_for(lambda: b'"done"' in b"".join(m.payload for m in listener.messages() if m.topic.endswith("/handin")))
        with contextlib.closing(Archive(load(office.config, OfficeConfig))) as archive:
            archive.ledger.issue(
                "BWC-0009", "012345", datetime.now(UTC) - timedelta(hours=1), "keeper", dock="DOCK-1",
                at=datetime.now(UTC) - timedelta(hours=9),
            )  # fmt: skip
            order = archive.orders.give("find", "BWC-0001", None, None, "keeper")
            hold = archive.orders.give("hold", "BWC-0001", "aaaaaaaa-1", None, "keeper")
            for act, name in {"find": order, "hold": hold}.items():
                wait_for(lambda name=name: any(one["result"] for one in archive.orders.answers(name)))
                answers[act] = archive.orders.answers(name)
        answers["status"] = ask(desk, "DOCK-1", '{"ask":"status"}')
        _alert(office)
        wait_for(lambda: listener.last("bodycam/v1/camera/BWC-0007/ack"))
        wait_for(lambda: listener.last("bodycam/v1/to/dock/DOCK-1/deadline/BWC-0009"))
        wait_for(lambda: (listener.last(f"{DOCK}/camera/BWC-0001/telemetry") or {}).get("celsius"))
        dock.end(signal.SIGKILL)
        wait_for(lambda: listener.last(f"{DOCK}/bay/left/presence")["online"] is False)
        yield Scene(listener.messages(), camera, answers)


def _alert(office: OfficeKit) -> None:
    camera = Camera(office.agency, [], "BWC-0007")
    line = camera.line("alert", what="heat", recording=None, detail="71")
    client = office.client(Role.CAMERA, "BWC-0007")
    path = office.folder / "alert"
    path.write_bytes(camera.journal[0].splitlines()[0] + b"\n" + line)
    told = mqtt(client, "mosquitto_pub", "-q", "1", "-t", "bodycam/v1/camera/BWC-0007/journal", "-f", str(path))
    subprocess.run(told, check=True, timeout=20)


def test_every_message_is_as_the_specification_says(scene: Scene) -> None:
    sections = specification()
    for message in scene.heard:
        matching = [s for s in sections if any(topic.match(message.topic) for topic in s.topics)]
        assert len(matching) == 1, message
        assert fits(matching[0], message), message
        assert message.retained is matching[0].state, message
        matching[0].seen += 1
    assert [section.title for section in sections if not section.seen] == []


def test_the_schemas_refuse_what_is_something_else(scene: Scene) -> None:
    """A schema that takes everything would prove nothing."""
    sections = specification()
    for message in {message.topic: message for message in scene.heard if message.payload}.values():
        (section,) = [s for s in sections if any(topic.match(message.topic) for topic in s.topics)]
        for wrong in (b"", b"[]", b"{}", message.payload[:-1], message.payload + b"\n" + message.payload):
            assert not fits(section, Message(message.topic, wrong, retained=False)) or (not wrong and section.state)
        if message.payload.startswith(b"{"):
            more = {**json.loads(message.payload), "unheard_of": 1}
            assert not fits(section, Message(message.topic, json.dumps(more).encode(), retained=False)), message


def test_telemetry_is_the_cameras_own_word(scene: Scene) -> None:
    told = [m.json for m in scene.heard if m.topic == f"{DOCK}/camera/BWC-0001/telemetry"][-1]
    wanted = {"battery_percent": 81, "battery_charging": True, "celsius": 41, "free_bytes": 7_000_000_000,
              "card_wear_percent": 7, "storage_minutes": 900, "software": "test", "simulated": True,
              "checked": True}  # fmt: skip
    assert {name: told[name] for name in wanted} == wanted
    assert told["clock"] == {"source": "dock", "error_ms": 100}
    journal = [m.payload for m in scene.heard if m.topic == f"{DOCK}/camera/BWC-0001/journal"]
    lines = {records.line_sha256(line): records.parse(line) for line in journal}
    assert {kind: lines[one["sha256"]].kind for kind, one in told["records"].items()} == {
        kind: kind for kind in ("boot", "heartbeat", "self_check")
    }


def test_bays_say_who_is_in_them_and_die_with_their_dock(scene: Scene) -> None:
    def words(bay: str) -> list[tuple[bool, str | None]]:
        found = [m.json for m in scene.heard if m.topic == f"{DOCK}/bay/{bay}/presence"]
        return [(one["online"], one["camera"]) for one in found]

    assert words("left")[-2:] == [(True, "BWC-0001"), (False, None)]
    assert words("right") == [(True, None), (False, None)]
    online = [m.json["online"] for m in scene.heard if m.topic == f"{DOCK}/presence"]
    assert online == [True, False]


def test_orders_are_carried_out_and_answered(scene: Scene) -> None:
    for name in ("find", "hold"):
        assert [(one["dock"], one["result"]) for one in scene.answers[name]] == [("DOCK-1", "done")]
    assert [order.act for order in scene.camera.orders] == ["find"]
    status = scene.answers["status"]
    assert status["result"] == "done"
    assert status["status"]["cameras"] == {"left": "BWC-0001"}
    replies = {m.topic for m in scene.heard if "/reply/" in m.topic}
    assert replies == {f"{DOCK}/reply/OFFICE-1", f"{DOCK}/reply/{DESK}"}


def test_a_camera_that_never_docked_is_told_of(scene: Scene) -> None:
    told = {m.topic: m.json for m in scene.heard if m.topic.endswith("/deadline/BWC-0009") and m.payload}
    assert set(told) == {"bodycam/v1/deadline/BWC-0009", "bodycam/v1/to/dock/DOCK-1/deadline/BWC-0009"}
    (one, other) = told.values()
    assert one == other
    assert [(duty["recording"], duty["limit"]) for duty in one["duties"]] == [(None, "same_day")]
    assert "012345" not in json.dumps(one), "people are not named"


def test_the_specification_names_no_schema_twice() -> None:
    titles = [section.title for section in specification()]
    assert len(titles) == len(set(titles)) > 10
    assert all(section.forms for section in specification())


def test_the_example_of_the_first_screen_is_one(scene: Scene) -> None:
    text = Path(spec_path()).read_text("utf-8")
    shown = text.split("```")[1]
    assert "mosquitto_rr" in shown
    assert '{"order":null,"result":"done","code":null,"detail":null,"status":{"at":' in shown
    assert json.dumps(scene.answers["status"], separators=(",", ":")).startswith(
        '{"order":null,"result":"done","code":null,"detail":null,"status":{"at":'
    )
