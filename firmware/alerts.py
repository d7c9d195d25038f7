"""The camera's alerts on their way to the office, if a network is there (rule 15). Hints: the journal is the truth.

Each message is two lines of the journal as they stand there: the opening of a session and an `alert` that it signed;
whoever has the agency's root can check it alone. It waits in an outbox on disk until the office's application has
acknowledged it. What did not get into the outbox is read from the journal again, so nothing here holds up a record, and
memory holds a few lines at most.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from evidence import jose, records
from evidence.errors import EvidenceError
from firmware.capture.journal_writer import JournalWriter
from runtime.outbox import Event, Outbox

_log = logging.getLogger(__name__)
_ALERT = re.compile(rb'"kind":"alert",')
_BLOCK = 1 << 20
_HELD_LINES = 64
_LOOK_BACK_FILES = 4  # 64 MiB of journal: about twelve hours of recording
_LOOK_BACK_ALERTS = 100
_QUEUE_BYTES = 4 << 20  # of the outbox: what it takes is taken from the journal's reserve
_RECONNECT_LIMIT_SECONDS = 300
_RETRY_SECONDS = (5.0, 300.0)
_STOP_SECONDS = 2.0


class Alerts:
    """Hand `offer` to the journal as `on_durable` and call `start`.

    No socket is open while no alert waits. `on_failed(where, text)` is told of a disk that keeps no outbox.
    """

    def __init__(
        self,
        journal: JournalWriter,
        queue: Path,
        broker: tuple[str, int],
        context: ssl.SSLContext,
        on_failed: Callable[[str, str], None],
    ) -> None:
        """`queue`: file of the outbox. `broker`: host and port of the office's."""
        self._journal = journal
        self._queue = queue
        self._broker = broker
        self._context = context
        self._on_failed = on_failed
        self._base = f"bodycam/v1/camera/{journal.chain.device}"
        self._changed = threading.Condition()  # guards what follows
        self._opening = b""
        self._lines: deque[tuple[bytes, bytes]] = deque()  # opening and alert
        self._behind = True  # alerts stand in the journal that the outbox may lack
        self._stopping = False
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def offer(self, kind: str, line: bytes) -> None:
        """Take a durable line of the journal. Any thread may call; never waits."""
        if kind in ("boot", "summary"):
            self._opening = line
        elif kind == "alert":
            with self._changed:
                if len(self._lines) == _HELD_LINES or not self._opening:
                    self._lines.clear()
                    self._behind = True
                if not self._behind:
                    self._lines.append((self._opening, line))
                self._changed.notify_all()

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End; what waits goes out at the next start. Idempotent."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)  # it may hang in a dead network, and the camera's end does not wait

    def _run(self) -> None:
        pause, most = _RETRY_SECONDS
        while not self._stopping:
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - no thread dies silently, and no disk is full for ever
                self._fail(f"{type(error).__name__}: {error}")
                with self._changed:
                    self._behind = True
                    self._lines.clear()
                    self._changed.wait_for(lambda: self._stopping, pause)
                pause = min(2 * pause, most)

    def _fail(self, text: str) -> None:
        _log.error("alerts cannot be kept for sending", extra={"error": text})
        if text != self._told:  # a fault is a record: the same one is told once
            self._told = text
            self._on_failed("alerts", text)

    def _work(self) -> None:
        """Keep one alert after another in the outbox, which sends them."""
        outbox = Outbox(
            self._queue, self._base, self._broker, self._context, on_demand=True,
            reconnect_limit_seconds=_RECONNECT_LIMIT_SECONDS, limit_bytes=_QUEUE_BYTES,
        )  # fmt: skip
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping or self._behind or self._lines)
                    if self._stopping:
                        return
                    behind, self._behind = self._behind, False
                    lines = list(self._lines)
                    self._lines.clear()
                if behind:
                    self._catch_up(outbox)
                else:
                    outbox.publish_many(
                        [self._event(*pair) for pair in lines], mark=max(records.parse(line).seq for _, line in lines)
                    )
                self._told = ""
        finally:
            outbox.close()

    def _event(self, opening: bytes, line: bytes) -> Event:
        return Event(records.line_sha256(line), f"{self._base}/journal", opening + b"\n" + line)

    def _catch_up(self, outbox: Outbox) -> None:
        """Read from the journal what the outbox never got: all after its mark, within bounds if it has lost that."""
        head, _ = self._journal.head()
        mark = outbox.mark
        mark = -1 if mark is None else mark
        events: deque[Event] = deque()
        for number, size in sorted(self._journal.published().items(), reverse=True)[:_LOOK_BACK_FILES]:
            opening, found = self._read(number, size, mark)
            events.extendleft(reversed([self._event(opening, line) for line in found]))
            if 0 <= self._seq(opening) <= mark:
                break
        outbox.publish_many(list(events)[-_LOOK_BACK_ALERTS:], mark=head)

    def _read(self, number: int, size: int, after_seq: int) -> tuple[bytes, list[bytes]]:
        """A journal file's opening, and its alerts after a record."""
        opening, found = b"", []
        for line in self._file(number, size):
            opening = opening or line
            if _ALERT.search(_payload(line)) and self._seq(line) > after_seq:
                found.append(line)
        return opening, found

    def _file(self, number: int, size: int) -> Iterator[bytes]:
        """Whole lines of a journal file, read a block at a time."""
        rest, offset = b"", 0
        while offset < size:
            block = self._journal.disk.read(records.journal_path(number), offset, min(_BLOCK, size - offset))
            if not block:
                return
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from lines

    @staticmethod
    def _seq(line: bytes) -> int:
        """A line's number; -1 for one that rotted on the card, which is the verifier's to name."""
        try:
            return records.parse(line).seq
        except EvidenceError:
            return -1


def _payload(line: bytes) -> bytes:
    try:
        return jose.payload_of(line)
    except EvidenceError:
        return b""
