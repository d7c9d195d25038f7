"""MQTT 5 outbox: events wait in SQLite until the application at the other end has acknowledged them.

A broker acknowledges before it has written to disk, and may be killed; so its acknowledgement counts for nothing here.
An event is sent again until its id comes back on `<base>/ack` ({"ids": […], "refused": {id: why}}): taken, or refused
for good, which is said here and sent no more. What arrives twice has the same id.
Delivery is in order but for what is sent again: turns go round, so events that nobody will ever acknowledge hold up no
others.

Besides events there are states and requests (docs/spec/messages.md). A state is retained, the last one counts, and it
is told anew at each connection, so it needs neither disk nor acknowledgement. A request comes from the office on
`bodycam/v1/to/<role>/<ID>/command` and is answered on the response topic that it names.
"""

from __future__ import annotations

import logging
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from evidence import jose
from evidence.errors import EvidenceError
from evidence.pki import Role
from runtime import tls
from runtime.event_store import Event, EventStore, OutboxError, waiting

__all__ = ["WINDOW", "Event", "Outbox", "OutboxError", "Request", "waiting"]

WINDOW: Final = 100  # events under way: sent within the last `resend_seconds` and not acknowledged
_KEEPALIVE = 20  # seconds
_QOS = 1
_ACK_LIMIT = 1024 * 1024  # bytes of an acknowledgement

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A message of the office that wants an answer: hand it back to `Outbox.answer`."""

    payload: bytes
    reply_to: str  # below `<base>/reply/`
    correlation: bytes | None


class Outbox:
    """Sends from a thread of its own; publishing only writes to the disk. Safe for several threads."""

    def __init__(
        self,
        path: Path,
        base: str,
        address: tuple[str, int],
        context: ssl.SSLContext,
        *,
        presence: Mapping[str, Any] | None = None,
        on_request: Callable[[Request], None] | None = None,
        on_demand: bool = False,
        resend_seconds: float = 10.0,
        reconnect_limit_seconds: int = 30,
        limit_bytes: int = 1024**3,
    ) -> None:
        """`base`: this program's part of the topics, `bodycam/v1/<role>/<ID>`; the broker must be of role office.

        `presence`: what is told, besides `online`, on `<base>/presence`; None: nothing, and there is no last will.
        `on_request`: takes requests, from paho's thread: it must not wait, and may call `answer` later, from any.
        `on_demand`: no socket is open while no event waits. Raises `OutboxError`.
        """
        self._base = base
        self._commands = base.replace("bodycam/v1/", "bodycam/v1/to/", 1) + "/command"
        self._address = address
        self._presence = presence
        self._on_request = on_request
        self._states: dict[str, bytes] = {}  # by topic
        self._untold: dict[str, bytes] = {}  # those that this connection has not told yet
        self._on_demand = on_demand
        self._resend = resend_seconds
        self._changed = threading.Condition(threading.RLock())  # guards what follows, and the database
        self._store = EventStore(path, limit_bytes)
        self._sent: dict[str, float] = {}  # events under way, and when they were sent
        self._turn = 0  # `seq` of the last event that had its turn
        self._topics: dict[int, str] = {}  # by message id, of which there are 65,535; for telling what was denied
        self._linked = False  # connected, or trying to be
        self._connected = False
        self._closing = False
        self._trouble: str | None = None
        self._impostor: str | None = None  # why the connection that is being made was given up
        self._client = self._make_client(context, reconnect_limit_seconds)
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why events do not get through, if that is known: no connection, or the broker's refusal."""
        with self._changed:
            return self._trouble

    def publish(self, topic: str, payload: bytes, event_id: str) -> None:
        """Keep one event, durable on return; one whose id already waits is not kept twice. Raises `OutboxError`."""
        self.publish_many([Event(event_id, topic, payload)])

    def tell_state(self, topic: str, payload: bytes) -> None:
        """Let `payload` stand at `topic`, retained, until the next one; also when the broker has lost it. Never waits.

        At most once is enough (QoS 0): what a broken connection swallowed is told by the next one, and nothing old is
        sent again after something new.
        """
        with self._changed:
            if self._states.get(topic) == payload:
                return
            self._states[topic] = payload
            self._untold[topic] = payload
            self._changed.notify_all()

    def answer(self, request: Request, payload: bytes) -> None:
        """Answer a request; an answer that is lost is asked for again."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if request.correlation is not None:
            properties.CorrelationData = request.correlation
        self._client.publish(request.reply_to, payload, 0, properties=properties)

    @property
    def mark(self) -> int | None:
        """The mark that was kept last; None: none ever was."""
        with self._changed:
            return self._store.mark()

    def publish_many(self, events: Iterable[Event], *, mark: int | None = None) -> None:
        """As `publish`, all or none, at the price of one. `mark`: how far the sender's own source was read, with it."""
        with self._changed:
            self._store.keep(events, mark)
            self._changed.notify_all()

    def pending(self) -> int:
        """Events that nobody has acknowledged."""
        with self._changed:
            return self._store.count()

    def close(self) -> None:
        """Say goodbye and stop; what waits goes out at the next start. Idempotent."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            connected = self._connected
            self._changed.notify_all()
        self._thread.join()
        if connected:
            self._send_states(self._states_due())
            self._tell_presence(online=False)
        self._link(wanted=False)
        self._store.close()

    # --- sending

    def _run(self) -> None:
        while not self._closing:
            try:
                self._work()
            except sqlite3.Error:
                _log.exception("outbox-disk: events cannot be read; tried again")
                with self._changed:
                    self._changed.wait(self._resend)

    def _work(self) -> None:
        with self._changed:
            if self._closing:
                return
            wanted = not self._on_demand or self._store.count() > 0
            due, wait = self._due(time.monotonic())
            states = self._states_due()
            if not due and not states and wanted is self._linked:
                self._changed.wait(wait)
        if wanted is not self._linked:
            self._link(wanted=wanted)
        self._send_states(states)
        for event in due:
            self._send(event)

    def _link(self, *, wanted: bool) -> None:
        """Connect, and stay so; or say goodbye. Not from paho's thread, which this waits for."""
        self._linked = wanted
        if wanted:
            self._client.connect_async(*self._address, keepalive=_KEEPALIVE, clean_start=True)
            self._client.loop_start()
        else:
            self._client.disconnect()
            self._client.loop_stop()

    def _states_due(self) -> dict[str, bytes]:
        if not self._connected:
            return {}
        states, self._untold = self._untold, {}
        return states

    def _send_states(self, states: Mapping[str, bytes]) -> None:
        for topic, payload in states.items():
            self._client.publish(topic, payload, 0, retain=True)

    def _due(self, now: float) -> tuple[list[Event], float | None]:
        """Events to send now; if there are none, how long to wait (None: until something changes)."""
        if not self._connected:
            return [], None
        self._sent = {name: at for name, at in self._sent.items() if now - at < self._resend}
        due: list[Event] = []
        if free := WINDOW - len(self._sent):
            fresh = [row for row in self._store.in_turn(self._turn, WINDOW) if row[1].id not in self._sent]
            for seq, event in fresh[:free]:
                self._turn = seq
                due.append(event)
        return due, self._resend - (now - min(self._sent.values())) if self._sent else None

    def _send(self, event: Event) -> None:
        # paho calls back with its own locks held, so it is never called with ours.
        with self._changed:
            if not self._connected:
                return  # paho would queue it in memory
            self._sent[event.id] = time.monotonic()
        info = self._client.publish(event.topic, event.payload, _QOS)
        self._topics[info.mid] = event.topic

    def _tell_presence(self, *, online: bool) -> None:
        if self._presence is None:
            return
        info = self._client.publish(self._base + "/presence", self._presence_payload(online=online), _QOS, retain=True)
        self._topics[info.mid] = self._base + "/presence"

    def _presence_payload(self, *, online: bool) -> bytes:
        return jose.dump_json({"online": online, **(self._presence or {})})

    # --- callbacks, from paho's thread

    def _make_client(self, context: ssl.SSLContext, reconnect_limit_seconds: int) -> Client:
        name = self._base.removeprefix("bodycam/v1/")
        client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTv5)
        client.tls_set_context(context)
        client.max_inflight_messages_set(WINDOW)
        client.reconnect_delay_set(1, reconnect_limit_seconds)
        if self._presence is not None:
            client.will_set(self._base + "/presence", self._presence_payload(online=False), _QOS, retain=True)
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_socket_open(self, _client: Client, _data: Any, sock: Any) -> None:
        try:
            tls.require_peer(sock, Role.OFFICE)
        except tls.PeerError as error:
            self._impostor = f"mqtt-identity: {error}"
            sock.close()
            raise ConnectionRefusedError(str(error)) from error  # paho takes an OSError as a failed connection

    def _on_connect(
        self, client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._note(f"mqtt-refused: the broker refuses the connection: {reason}")
            return
        self._subscribe(client)
        self._tell_presence(online=True)
        with self._changed:
            self._connected = True
            self._trouble = None
            self._untold = dict(self._states)
            self._changed.notify_all()

    def _subscribe(self, client: Client) -> None:
        wanted = [(self._base + "/ack", SubscribeOptions(qos=_QOS))]
        if self._on_request is not None:
            fresh = SubscribeOptions(qos=_QOS, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            others = SubscribeOptions(noLocal=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            wanted += [(self._commands, fresh), (self._base + "/bay/+/presence", others)]
        client.subscribe(wanted)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        self._note(self._impostor or "mqtt-away: the broker cannot be reached")
        self._impostor = None

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._changed:
            self._connected = False
            self._sent.clear()
            meant = self._closing or not self._linked
        if not meant:
            self._note(f"mqtt-away: the connection to the broker ended: {reason}")

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._note(f"mqtt-denied: the broker does not let this program read what is told to it: {reason}")

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        topic = self._topics.pop(mid, "an event")
        if reason.is_failure:
            self._note(f"mqtt-denied: the broker does not take {topic}: {reason}; correct its access rules")

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.topic == self._base + "/ack":
            self._on_ack(bytes(message.payload))
        elif message.topic == self._commands:
            self._take_request(message)
        else:
            with self._changed:  # the office says that this end is gone, and it is back
                state = self._states.get(message.topic)
                if state is not None and state != message.payload:
                    self._untold[message.topic] = state
                    self._changed.notify_all()

    def _take_request(self, message: MQTTMessage) -> None:
        properties = message.properties
        reply_to = getattr(properties, "ResponseTopic", "")
        below = self._base + "/reply/"
        if not reply_to.startswith(below) or {"+", "#"} & set(reply_to):
            _log.warning("command-form: a command without a response topic below %s is left undone", below)
            return
        correlation = getattr(properties, "CorrelationData", None)
        if self._on_request is not None:
            self._on_request(Request(bytes(message.payload), reply_to, correlation))

    def _on_ack(self, payload: bytes) -> None:
        try:
            taken, refused = _acknowledged(payload)
        except EvidenceError as error:
            _log.warning("mqtt-ack: an acknowledgement cannot be read: %s", error.message)
            return
        ids = [*taken, *refused]
        for name, why in refused.items():
            _log.error("event-refused: the office refuses an event, it is sent no more: %s: %s", name, why)
        with self._changed:
            try:
                self._store.forget(ids)
            except sqlite3.Error:
                _log.exception("outbox-disk: an acknowledgement could not be kept; the events go out again")
                return
            for name in ids:
                self._sent.pop(name, None)
            self._changed.notify_all()

    def _note(self, trouble: str) -> None:
        with self._changed:
            known, self._trouble = self._trouble, trouble
        if trouble != known:
            _log.warning(trouble)


def _acknowledged(payload: bytes) -> tuple[list[str], dict[str, str]]:
    """Ids that were taken, and those that were refused, with the reason."""
    if len(payload) > _ACK_LIMIT:
        raise EvidenceError("shape", "it is too long")
    told = jose.parse_json(payload)
    ids, refused = told.get("ids"), told.get("refused", {})
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids):
        raise EvidenceError("shape", "a list of ids is expected")
    if not isinstance(refused, dict) or not all(isinstance(why, str) for why in refused.values()):
        raise EvidenceError("shape", "reasons by id are expected")
    return ids, refused
