"""Heads of the cameras' chains as leaves of the log: what a camera handed in was there by then, and is not cut off."""

from __future__ import annotations

from evidence import office_log
from office.book import Book
from office.catalogue import Catalogue, utc_now
from office.log import Log


class Heads:
    """Logs how far each camera's chain is held, before the catalogue tells anything of it."""

    def __init__(self, log: Log, book: Book, catalogue: Catalogue, clock_error_ms: int) -> None:
        """`clock_error_ms`: the bound of this machine's UTC."""
        self._log = log
        self._book = book
        self._catalogue = catalogue
        self._error_ms = clock_error_ms

    def note(self, device: str, head: tuple[int, str], dock: str | None) -> None:
        """Put a head that is held, durable, into the log, unless one that reaches as far is there. Raises OSError.

        For one camera by one thread at a time.
        """
        known = self._catalogue.logged_seq(device)
        if known is not None and known >= head[0]:
            return
        self._log.append(office_log.head_leaf(device, head, utc_now(), self._error_ms, dock))
        self._book.catch_up()
