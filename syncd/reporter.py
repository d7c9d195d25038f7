"""Tells how the dock stands: every second in a file, and whenever the screen or Prometheus asks."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import threading
import time
from collections.abc import Iterator, Mapping

from runtime.outbox import Outbox
from syncd import page, status
from syncd.bay import HandIns
from syncd.board import Board
from syncd.config import DockConfig
from syncd.listener import Listener, Shown
from syncd.metrics import CONTENT_TYPE, exposition
from syncd.status import DockStatus, SpoolStatus
from syncd.urgency import due_ms

_SPOOL_SECONDS = 5.0  # walking through the spool costs more than the rest

_log = logging.getLogger(__name__)


class Reporter:
    """Gathers a `DockStatus`. Nothing that fails here stops a hand-in."""

    def __init__(self, dock: str, certificate_end_ms: int, board: Board, handins: HandIns, outbox: Outbox) -> None:
        self._dock, self._end_ms = dock, certificate_end_ms
        self._board, self._handins, self._outbox = board, handins, outbox
        self._spool = handins.dock.spool
        self._version = importlib.metadata.version("bodycam")
        self._lock = threading.Lock()
        self._spool_seen = float("-inf")
        self._spool_status = SpoolStatus()
        self._stopping = threading.Event()
        self._failing = False

    def status(self) -> DockStatus:
        """How it stands now. For any thread."""
        board, outbox = self._board, self._outbox
        return DockStatus(
            dock=self._dock,
            utc_ms=time.time_ns() // 10**6,
            boot_seconds=status.boot_now(),
            version=self._version,
            bays=board.bays(self._due, self._handins.objections),
            spool=self._look_at_spool(),
            office_code=board.office_code,
            broker_trouble=outbox.trouble,
            outbox_events=outbox.pending(),
            certificate_end_ms=self._end_ms,
            read_bytes=board.read_bytes,
            segments=board.segments,
            faults=dict(board.faults),
        )

    @contextlib.contextmanager
    def telling(self, settings: DockConfig) -> Iterator[None]:
        """Write the file and listen, if that is configured, until the block ends."""
        thread = threading.Thread(target=self._run, name="status")
        thread.start()
        try:
            with contextlib.ExitStack() as listeners:
                for listener in self._listeners(settings):
                    listeners.callback(listener.close)
                yield
        finally:
            self._stopping.set()
            thread.join()

    def _listeners(self, settings: DockConfig) -> Iterator[Listener]:
        if settings.screen is not None:
            yield from _listen("screen", ("127.0.0.1", settings.screen.port), page.pages(self.status), loopback=True)
        if settings.metrics is not None:
            shown = {"/metrics": lambda: (CONTENT_TYPE, exposition(self.status(), time.time_ns() // 10**6))}
            yield from _listen("metrics", (settings.metrics.address, settings.metrics.port), shown)

    def _run(self) -> None:
        while not self._stopping.wait(1.0):
            self._write()

    def _write(self) -> None:
        try:
            status.write(self._spool.root, self.status())
            self._failing = False
        except Exception:  # noqa: BLE001 - whatever it is, hand-ins go on
            if not self._failing:
                _log.exception("status: cannot be told; tried again")
            self._failing = True

    def _due(self, device: str, key: tuple[str, int]) -> int | None:
        record = self._handins.of(device).known(key)
        return due_ms(record) if record is not None else None

    def _look_at_spool(self) -> SpoolStatus:
        with self._lock:
            if time.monotonic() - self._spool_seen > _SPOOL_SECONDS:
                self._spool_status, self._spool_seen = SpoolStatus.of(self._spool), time.monotonic()
            return self._spool_status


def _listen(
    what: str, address: tuple[str, int], shown: Mapping[str, Shown], *, loopback: bool = False
) -> Iterator[Listener]:
    """Listen, or say why not: a busy port must not keep a camera from being emptied."""
    try:
        listener = Listener(address, shown, loopback=loopback)
    except OSError as error:
        _log.error("%s: cannot listen at %s:%d: %s", what, *address, error)
        return
    _log.info("%s: listening", what, extra={"address": address[0], "port": listener.port})
    yield listener
