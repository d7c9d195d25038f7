"""What goes on now, looked up once for all who look."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Final

from office import holdings
from office.archive import Archive

_LOOK_SECONDS: Final = 1.0


class Glance:
    """The overview as it was at most a second ago, taken once for all who look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0.0
        self._found: holdings.Row = {}

    def at(self, archive: Archive) -> holdings.Row:
        """It, taken anew if it is older."""
        with self._lock:
            if time.monotonic() - self._taken > _LOOK_SECONDS or not self._found:
                self._found = holdings.overview(archive, datetime.now(UTC))
                self._taken = time.monotonic()
            return self._found
