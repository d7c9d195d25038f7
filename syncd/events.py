"""What the dock tells over MQTT (docs/spec/messages.md). Hints only: the journal is the truth."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from typing import Literal

from evidence import jose, records
from evidence.jose import Json
from runtime.outbox import Event, Outbox, OutboxError

State = Literal["started", "progress", "receipt", "done", "fault"]

_log = logging.getLogger(__name__)


class Events:
    """Publishes through the outbox; never blocks on the network and never fails a hand-in."""

    def __init__(self, outbox: Outbox, dock: str) -> None:
        self._outbox = outbox
        self._base = f"bodycam/v1/dock/{dock}"

    def journal_lines(self, device: str, lines: Iterable[bytes]) -> None:
        """Verified lines, without line feeds; the event's id is the line's hash, so that twice is once."""
        topic = f"{self._base}/camera/{device}/journal"
        self._publish([Event(records.line_sha256(line), topic, line) for line in lines])

    def handin(self, device: str, state: State, **facts: str | int) -> None:
        """How a hand-in goes; also in the log. Whole numbers only: JSON is read strictly at the other end."""
        level = logging.WARNING if state == "fault" else logging.INFO
        _log.log(level, "hand-in %s", state, extra={"camera": device, **facts})
        name = uuid.uuid4().hex
        payload = jose.dump_json({"id": name, "state": state, **facts})
        self._publish([Event(name, f"{self._base}/camera/{device}/handin", payload)])

    def bay(self, bay: str, state: Json) -> None:
        """Who is in this bay; retained."""
        self._outbox.tell_state(f"{self._base}/bay/{bay}/presence", jose.dump_json(state))

    def telemetry(self, figures: Json, device: str | None = None) -> None:
        """How a camera, or the dock itself, is; retained."""
        place = self._base if device is None else f"{self._base}/camera/{device}"
        self._outbox.tell_state(f"{place}/telemetry", jose.dump_json(figures))

    def _publish(self, events: list[Event]) -> None:
        try:
            self._outbox.publish_many(events)
        except OutboxError:
            _log.exception("outbox-disk: %d events could not be kept", len(events))
