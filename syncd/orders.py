"""Orders of the office that are in force at this dock, kept as the office signed them and verified at each start.

Of two orders for one camera, recording or segment the later issued counts, whenever it comes: a broker that holds one
back, or brings an old one again, changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path

from evidence import jose, shape
from evidence.documents import ORDER_LIMIT_MS, Order
from evidence.errors import EvidenceError
from runtime.keys import replace_file
from syncd.office import Signers
from syncd.urgency import Holds, Target, Urgency

_URGENCY = {"hold": Urgency.HELD, "first": Urgency.FIRST}
_FORGET_MS = 2 * ORDER_LIMIT_MS  # by then whatever an order that takes back could be followed by has expired

_log = logging.getLogger(__name__)


class Orders:
    """The orders in the file at `path`, applied to `holds`. Safe for several threads."""

    def __init__(self, path: Path, signers: Signers, holds: Holds) -> None:
        self._path = path
        self._holds = holds
        self._lock = threading.Lock()
        self._kept: dict[Target, tuple[Order, str]] = {}  # the last one of each target, and its text
        for text in self._read():
            try:
                self._apply(signers.order(text.encode()), text)
            except EvidenceError as error:
                _log.warning("order-kept: an order in %s does not verify, and counts no more: %s", path, error)

    def take(self, order: Order, text: str) -> bool:
        """Put a verified order in force, durable on return; False: a later one is. Raises OSError."""
        with self._lock:
            last = self._kept.get(order.target)
            if last is not None and last[0].issued > order.issued:
                return False
            before = dict(self._kept)
            self._kept[order.target] = order, text
            try:
                self._write()
            except OSError:
                self._kept = before
                raise
            self._apply(order, text)
            return True

    def _apply(self, order: Order, text: str) -> None:
        self._kept[order.target] = order, text
        if order.act in _URGENCY:
            self._holds.add(*order.target, urgency=_URGENCY[order.act])
        else:
            self._holds.remove(*order.target)

    def _read(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            try:
                found = jose.parse_json(self._path.read_bytes()).get("orders", [])
                return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
            except EvidenceError as error:
                _log.warning("order-kept: %s cannot be read: %s", self._path, error)
        return []

    def _write(self) -> None:
        now = time.time_ns() // 1_000_000
        old = [target for target, (order, _) in self._kept.items() if order.act not in _URGENCY
               and shape.utc_ms(order.issued) < now - _FORGET_MS]  # fmt: skip
        for target in old:
            del self._kept[target]
        replace_file(self._path, jose.dump_json({"orders": [text for _, text in self._kept.values()]}))
