"""Heads of the cameras' chains as leaves of the log: what a camera handed in was there by then, and is not cut off."""

from __future__ import annotations

import logging
import threading

from evidence import office_log
from office.catalogue import Catalogue, utc_now
from office.errors import OfficeError
from office.journals import Journals
from office.log import Log

_log = logging.getLogger(__name__)


class Heads:
    """Logs each camera's newest head, once. Safe to use from several threads."""

    def __init__(self, journals: Journals, log: Log, catalogue: Catalogue, clock_error_ms: int) -> None:
        """`clock_error_ms`: the bound of this machine's UTC."""
        self._journals = journals
        self._log = log
        self._catalogue = catalogue
        self._error_ms = clock_error_ms
        self._lock = threading.Lock()

    def note(self, device: str, dock: str | None) -> None:
        """Put the head that is held into the log, unless it is there. Raises OSError."""
        with self._lock:
            head = self._journals.head(device)
            if head is None or self._catalogue.logged_seq(device) == head[0]:
                return
            leaf = office_log.head_leaf(device, head, utc_now(), self._error_ms, dock)
            self._catalogue.add_head(self._log.append(leaf), leaf)

    def recover(self) -> None:
        """Log what a cut run held and did not log. After the ledger, which knows from the log what it has."""
        for row in self._catalogue.table("devices"):
            try:
                self.note(row["device"], None)
            except OfficeError as error:  # of this camera only: the others hand in
                _log.error("%s", error, extra={"device": row["device"]})
