"""What the office tells by itself, over MQTT: orders that docks have not answered, and deadlines (rule 19).

A thread of the running office. Other processes (`bodycam office order`, `issue`, `remote` …) only write the catalogue;
the desk sees it change.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from evidence import jose
from office.archive import Archive
from office.catalogue import utc
from office.deadlines import Deadline, State
from office.duties import OPEN, deadlines, describe

DEADLINE: Final = "bodycam/v1/deadline/"
TO_DOCK: Final = "bodycam/v1/to/dock/"
_LOOK_SECONDS = 0.5
_ANEW_SECONDS = 30.0  # hand-ins, and time, change deadlines too
_TOLD_DUTIES = 32  # of one camera, in one message

_log = logging.getLogger(__name__)


class Wire(Protocol):
    """The connection to the broker."""

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""

    def tell(self, topic: str, payload: bytes) -> None:
        """Let it stand at `topic`, retained; empty: nothing."""

    def order(self, dock: str, order: str, jws: str) -> None:
        """Send an order, to be answered on the dock's reply topic."""


class Desk:
    """Built with the archive; `start` it when the broker can be reached."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._lock = threading.Lock()
        self._told: dict[str, bytes] = {}  # what stands at the broker, by topic
        self._states: dict[tuple[str, str | None], State] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, wire: Wire) -> None:
        """Work until `stop`."""
        self._thread = threading.Thread(target=self._run, args=(wire,), name="desk")
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def connected(self) -> None:
        """A connection begins: what stands at the broker comes anew, and may be nothing."""
        with self._lock:
            self._told.clear()

    def heard(self, topic: str, payload: bytes) -> None:
        """This stands at the broker, from before the connection."""
        with self._lock:
            self._told.setdefault(topic, payload)

    def _run(self, wire: Wire) -> None:
        version, last = -1, 0.0
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                now, was = time.monotonic(), version
                version = self._archive.book.version()
                if wire.connected and (version != was or now - last > _ANEW_SECONDS):
                    last = now
                    self._tell_deadlines(wire)
                if wire.connected:
                    for sending in self._archive.orders.due():
                        wire.order(sending.dock, sending.order, sending.jws)
            except Exception:  # noqa: BLE001 - whatever it is, the next look may do better
                _log.exception("the desk could not do its work")

    def _tell_deadlines(self, wire: Wire) -> None:
        config = self._archive.config
        warn = timedelta(hours=config.warn_hours)
        found = deadlines(self._archive.catalogue, datetime.now(UTC), config.zone, warn)
        self._note(found)
        wanted = messages(found)
        with self._lock:
            gone = [topic for topic in self._told if topic not in wanted]
            fresh = {topic: payload for topic, payload in wanted.items() if self._told.get(topic) != payload}
            self._told = dict(wanted)
        for topic in gone:
            wire.tell(topic, b"")
        for topic, payload in fresh.items():
            wire.tell(topic, payload)

    def _note(self, found: list[Deadline]) -> None:
        """Say in the log what has become urgent."""
        states = {(one.duty.device, one.duty.recording): one.state for one in found}
        for one in found:
            key = (one.duty.device, one.duty.recording)
            if one.state in (State.WARNING, State.OVERDUE) and self._states.get(key) is not one.state:
                told = describe(one)
                facts = {name: told[name] for name in ("state", "recording", "officer", "due", "limit")}
                _log.warning("a deadline", extra={"camera": one.duty.device, **facts})
        self._states = states


def messages(found: list[Deadline]) -> dict[str, bytes]:
    """What is to stand at the broker: for each camera with something to hand in, and at the dock that expects it.

    People are not named: a dock can be stolen.
    """
    cameras: defaultdict[str, list[Deadline]] = defaultdict(list)
    for one in found:
        if one.state in OPEN:
            cameras[one.duty.device].append(one)
    told = {}
    for camera, duties in cameras.items():
        due = min((one.due for one in duties if one.due is not None), default=None)
        payload = jose.dump_json(
            {
                "camera": camera,
                "state": duties[0].state,
                "due": utc(due) if due else None,
                "duties": [
                    {name: described[name] for name in ("recording", "state", "limit", "from", "due")}
                    for described in map(describe, duties[:_TOLD_DUTIES])
                ],
                "more": max(len(duties) - _TOLD_DUTIES, 0),
            }
        )
        told[DEADLINE + camera] = payload
        for dock in {one.duty.dock for one in duties if one.duty.dock}:
            told[f"{TO_DOCK}{dock}/deadline/{camera}"] = payload
    return told
