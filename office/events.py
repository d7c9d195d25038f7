"""Messages of docks and cameras: kept once, then acknowledged. Hints only: nothing here is evidence or waited for.

A message counts as delivered when the catalogue holds it durable and its id was published on the sender's `ack`; what
the broker says about delivery is not enough, since it acknowledges before it writes to disk. A camera's line that does
not hold is refused there.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography import x509
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from evidence import jose, records, shape
from evidence.errors import EvidenceError
from evidence.records import Record
from evidence.session import Session, open_session
from office import direct
from office.archive import Archive
from office.catalogue import Event, utc_now
from office.config import OfficeConfig
from office.desk import DEADLINE, TO_DOCK, Desk
from runtime import tls

_log = logging.getLogger(__name__)
_PREFIX = "bodycam/v1/"
_BAY = re.compile("[A-Za-z0-9-]{1,32}")
_STATE_LIMIT = 16_384  # bytes
_SESSION_SECONDS = 30 * 24 * 3600
_BATCH = 200
_QUEUE_LIMIT = 1000  # messages
_SESSIONS_LIMIT = 1024
_KEEP_ALIVE_SECONDS = 20


class Hints:
    """Judges journal lines that come as messages, by the session keys that came as messages.

    `openings(camera)`: lines that open its sessions, of those that came before; in whichever order, a line is judged
    alike in the end (`judge` it again when an opening has come).
    """

    def __init__(self, roots: Sequence[x509.Certificate], openings: Callable[[str], list[bytes]]) -> None:
        self._roots = roots
        self._openings = openings
        self.forget()

    def forget(self) -> None:
        """Know no session any more; each is learnt again."""
        self._sessions: dict[str, Session] = {}
        self._asked: set[str] = set()  # cameras whose former openings are known: a flood must not ask for them again
        self._opened: set[str] = set()

    def opened(self) -> set[str]:
        """Cameras of which a new session has come since this was asked: what came before it can be judged now."""
        opened, self._opened = self._opened, set()
        return opened

    def event(self, topic: str, payload: bytes) -> Event | None:
        """The event of a message; None for one that is none, such as presence."""
        parts = topic.removeprefix(_PREFIX).split("/")
        match parts:
            case ["dock", dock, "camera", camera, "journal"]:
                return self.judge(dock, camera, payload)
            case ["dock", dock, "camera", camera, what] if shape.identifier(camera):
                return _message(dock, camera, what, payload)
        return None

    def judge(self, dock: str, camera: str, payload: bytes) -> Event:
        """The event of a journal line."""
        key = hashlib.sha256(payload).hexdigest()
        try:
            record = records.parse(payload)
            verdict = "signed" if self._signed(record) else "unverified"
        except EvidenceError:
            return Event(key, dock, camera, "journal", None, None, "malformed", payload)
        if record.device != camera:
            verdict = "malformed"
        return Event(key, dock, camera, "journal", record.kind, record.seq, verdict, payload)

    def _signed(self, record: Record) -> bool:
        if record.kind in ("boot", "summary"):
            if self._open(record):
                self._opened.add(record.device)
        elif record.kid not in self._sessions and record.device not in self._asked:
            if len(self._asked) >= _SESSIONS_LIMIT:
                self._asked.clear()
            self._asked.add(record.device)
            for line in self._openings(record.device):
                self._open(records.parse(line))
        known = self._sessions.get(record.kid)
        if known is None or known.boot != record.boot:
            return False
        record.jws.verify(known.key)
        return True

    def _open(self, record: Record) -> bool:
        """Learn a session, if it is signed; whether it is new."""
        session = open_session(record.body, record.device, record.boot, self._roots)
        fresh = session.signed and record.kid not in self._sessions
        if fresh:
            if len(self._sessions) >= _SESSIONS_LIMIT:
                self._sessions.clear()
                self._asked.clear()
            self._sessions[record.kid] = session
        return fresh


def _camera_of(topic: str) -> str | None:
    """Whose journal a message on a camera's own topic is of; None for other topics."""
    match topic.removeprefix(_PREFIX).split("/"):
        case ["camera", camera, "journal"] if shape.identifier(camera):
            return camera
    return None


def _message(dock: str, camera: str, what: str, payload: bytes) -> Event:
    try:
        key = jose.parse_json(payload)["id"]
        if isinstance(key, str) and 0 < len(key) <= 64:  # noqa: PLR2004 - a SHA-256 in hex is the longest id there is
            return Event(key, dock, camera, what, None, None, "unverified", payload)
    except (EvidenceError, KeyError):
        pass
    return Event(hashlib.sha256(payload).hexdigest(), dock, camera, what, None, None, "malformed", payload)


class Subscriber:
    """Takes messages from the broker into the catalogue, and acknowledges them."""

    def __init__(self, config: OfficeConfig, archive: Archive, desk: Desk) -> None:
        self._config = config
        self._office = archive.office
        self._catalogue = archive.catalogue
        self._orders = archive.orders
        self._roots = archive.roots
        self._revoked = archive.revoked
        self._desk = desk
        self._hints = Hints(archive.roots, archive.catalogue.openings)
        # Bounded, so that a flood waits at the broker, which has bounds of its own.
        self._queue: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_QUEUE_LIMIT)
        self._thread = threading.Thread(target=self._work, name="events")
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"office-{self._office}",
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=True,
        )
        self._client.tls_set_context(tls.client_context(config.certificate, config.key, config.roots))
        self._client.reconnect_delay_set(1, 10)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._client.is_connected()

    def start(self) -> None:
        """Connect, and stay connected."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_SECONDS
        self._thread.start()
        self._client.connect_async(
            self._config.broker_address, self._config.broker_port, _KEEP_ALIVE_SECONDS,
            clean_start=False, properties=properties,
        )  # fmt: skip
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; what has arrived is kept first."""
        self._queue.put(None)
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            _log.error("the broker refuses the office: %s", reason)
            return
        self._desk.connected()
        theirs, ours = SubscribeOptions(qos=1, noLocal=True), SubscribeOptions(qos=0, noLocal=True)
        client.subscribe(
            [(f"{_PREFIX}dock/#", theirs), (f"{_PREFIX}camera/#", theirs), (f"{DEADLINE}+", ours),
             (f"{TO_DOCK}+/deadline/+", ours)]
        )  # fmt: skip

    def tell(self, topic: str, payload: bytes) -> None:
        """As `Wire.tell`."""
        self._client.publish(topic, payload, qos=1, retain=True)

    def order(self, dock: str, order: str, jws: str) -> None:
        """As `Wire.order`."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = f"{_PREFIX}dock/{dock}/reply/{self._office}"
        properties.CorrelationData = bytes.fromhex(order)
        self._client.publish(f"{TO_DOCK}{dock}/command", jws, qos=1, properties=properties)

    def _on_message(self, _: mqtt.Client, __: Any, message: mqtt.MQTTMessage) -> None:
        if "/deadline/" in message.topic and not message.topic.startswith(f"{_PREFIX}dock/"):
            self._desk.heard(message.topic, bytes(message.payload))
            return
        self._queue.put((message.topic, bytes(message.payload)))

    def _work(self) -> None:
        last = False
        while not last:
            batch = [self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            last = None in batch
            try:
                self._take([item for item in batch if item is not None])
            except Exception:  # noqa: BLE001 - the docks send again what is not acknowledged
                _log.exception("messages were not kept")
                self._hints.forget()

    def _take(self, batch: Sequence[tuple[str, bytes]]) -> None:
        events = []
        for topic, payload in batch:
            if self._state(topic, payload):
                continue
            if (camera := _camera_of(topic)) is not None:
                self._alert(camera, payload)
            elif (event := self._hints.event(topic, payload)) is not None:
                events.append(event)
        if not events:
            return
        self._catalogue.add_events(events)
        self._judge_again(self._hints.opened())
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for event in events:
            ids[f"dock/{event.dock}"].append(event.id)
        for sender, told in ids.items():
            self._acknowledge(sender, told, {})

    def _acknowledge(self, sender: str, taken: Sequence[str], refused: Mapping[str, str]) -> None:
        told = jose.dump_json({"ids": list(taken), "refused": dict(refused)})
        self._client.publish(f"{_PREFIX}{sender}/ack", told, qos=1)

    def _alert(self, camera: str, payload: bytes) -> None:
        """An alert told directly. What does not hold is told to the sender and in the log, and kept nowhere."""
        name = records.line_sha256(direct.line_of(payload))
        try:
            record, session = direct.judge(camera, payload, self._roots, self._revoked.now)
            fresh = self._catalogue.tell_alert(record, signed=session.signed)
        except EvidenceError as error:
            _log.warning("an alert is refused: %s", error, extra={"camera": camera, "sha256": name})
            self._acknowledge(f"camera/{camera}", [], {name: error.code})
            return
        if fresh:
            facts = {"camera": camera, "what": record.body["what"], "recording": record.body["recording"]}
            _log.warning("a camera alerts", extra=facts)
        self._acknowledge(f"camera/{camera}", [name], {})

    def _judge_again(self, cameras: set[str]) -> None:
        """Lines that came before the opening of their session."""
        for camera in cameras:
            judged = [self._hints.judge(dock, camera, line) for dock, line in self._catalogue.unverified(camera)]
            self._catalogue.verified([event for event in judged if event.verdict == "signed"])

    def _state(self, topic: str, payload: bytes) -> bool:
        """Take in a message of which the last one counts; False if it is of another kind."""
        if len(payload) > _STATE_LIMIT:
            payload = b""
        match topic.removeprefix(_PREFIX).split("/"):
            case ["dock", dock, "presence"]:
                self._presence(dock, online=_told(payload).get("online") is True)
            case ["dock", dock, "bay", bay, "presence"] if _BAY.fullmatch(bay):
                told = _told(payload)
                camera = told.get("camera")
                known = camera if shape.identifier(camera) else None
                self._catalogue.set_bay(dock, bay, known, online=told.get("online") is True)
            case ["dock", dock, "telemetry"]:
                self._catalogue.set_telemetry(dock, "", payload)
            case ["dock", dock, "camera", camera, "telemetry"] if shape.identifier(camera):
                self._catalogue.set_telemetry(dock, camera, payload)
            case ["dock", dock, "reply", *_]:
                self._orders.answered(dock, payload)
            case _:
                return False
        return True

    def _presence(self, dock: str, *, online: bool) -> None:
        known = {row["dock"]: row["online"] for row in self._catalogue.table("docks")}
        if online and not known.get(dock):
            self._orders.came_back(dock)
        bays = [row["bay"] for row in self._catalogue.table("bays") if row["dock"] == dock and row["online"]]
        self._catalogue.set_presence(dock, online=online)
        if not online:  # its last will is that of its bays, too; a dock that is back says so again
            gone = jose.dump_json({"online": False, "camera": None, "since": utc_now()})
            for bay in bays:
                self.tell(f"{_PREFIX}dock/{dock}/bay/{bay}/presence", gone)


def _told(payload: bytes) -> jose.Json:
    try:
        return jose.parse_json(payload)
    except EvidenceError:
        return {}
