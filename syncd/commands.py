"""Commands of the office over MQTT, and their answers (docs/spec/messages.md §5).

Whoever holds the broker can send what he likes: what changes anything counts only as an order that the office signed
for this dock, a short time ago. A question changes nothing and needs no signature.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from evidence import jose, shape
from evidence.documents import Order
from evidence.errors import EvidenceError
from evidence.jose import Json
from runtime.outbox import Request
from syncd.errors import DockError
from syncd.office import Signers
from syncd.orders import Orders

_WAITING = 64  # commands; more are a flood, and answered by silence
_EARLY_MS = 60_000  # the office's clock may be ahead of this one

_log = logging.getLogger(__name__)


class Commands:
    """Takes commands, does them one after another in a thread of its own, and answers each.

    `find(device, jws)` lets a camera that is here show itself: False if it is not here; raises `DockError`.
    """

    def __init__(
        self, dock: str, signers: Signers, orders: Orders, find: Callable[[str, bytes], bool],
        status: Callable[[], Json],
    ) -> None:  # fmt: skip
        self._dock = dock
        self._signers = signers
        self._orders = orders
        self._find = find
        self._status = status
        self._queue: queue.Queue[Request | None] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None

    def take(self, request: Request) -> None:
        """Queue a command. Never waits."""
        try:
            self._queue.put_nowait(request)
        except queue.Full:
            _log.warning("command-flood: %d commands wait, one is left undone", _WAITING)

    def start(self, answer: Callable[[Request, bytes], None]) -> None:
        """Do what is queued and what comes."""
        self._thread = threading.Thread(target=self._run, args=(answer,), name="commands")
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the command that is under way."""
        if self._thread is not None:
            while True:
                try:
                    self._queue.put(None, timeout=0.1)
                    break
                except queue.Full:
                    continue
            self._thread.join()

    def _run(self, answer: Callable[[Request, bytes], None]) -> None:
        while (request := self._queue.get()) is not None:
            try:
                answer(request, jose.dump_json(self.carry_out(request.payload)))
            except Exception:  # noqa: BLE001 - an error of this program: the next command must still be heard
                _log.exception("dock-error: a command could not be answered")

    def carry_out(self, payload: bytes) -> Json:
        """Do one command; its answer."""
        text = payload.strip()
        if text.startswith(b"{"):
            return self._ask(text)
        try:
            order = self._signers.order(text)
            self._check(order)
        except EvidenceError as error:
            _log.warning("order-refused: %s", error, extra={"code": error.code})
            return _answer(None, "refused", error.code, error.message)
        try:
            return self._obey(order, text)
        except DockError as error:
            return _answer(order, "failed", error.code, error.message)
        except OSError as error:
            return _answer(order, "failed", "spool-disk", f"the order cannot be kept: {error.strerror or error}")

    def _ask(self, text: bytes) -> Json:
        try:
            shape.require("question", jose.parse_json(text), {"ask": shape.one_of("status")})
        except EvidenceError as error:
            return _answer(None, "refused", error.code, error.message)
        return {**_answer(None, "done"), "status": self._status()}

    def _check(self, order: Order) -> None:
        if order.dock != self._dock:
            raise EvidenceError("order-foreign", f"the order is for {order.dock}")
        now = time.time_ns() // 1_000_000
        if not shape.utc_ms(order.issued) - _EARLY_MS <= now < shape.utc_ms(order.expires):
            now_text = shape.utc_text(now)
            raise EvidenceError("order-expired", f"it counts until {order.expires}, and here it is {now_text}")

    def _obey(self, order: Order, text: bytes) -> Json:
        if order.act == "find":
            if not self._find(order.device, text):
                return _answer(order, "refused", "camera-elsewhere", f"{order.device} is in no bay of this dock")
        elif not self._orders.take(order, text.decode("ascii")):
            return _answer(order, "refused", "order-stale", "a later order about the same is in force")
        facts: dict[str, Any] = {"order": order.order, "act": order.act, "camera": order.device}
        _log.info("order carried out", extra=facts)
        return _answer(order, "done")


def _answer(order: Order | None, result: str, code: str | None = None, detail: str | None = None) -> Json:
    return {"order": order.order if order else None, "result": result, "code": code, "detail": detail}
