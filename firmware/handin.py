"""The camera's side of a hand-in: what there is to fetch, receipts and time anchors taken in, segments given up.

Only a receipt of the camera's own office, for the very bytes that the journal signed, lets a segment go (rule 19).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import secrets
import threading
from collections.abc import Callable

from evidence import jose, records, shape
from evidence.documents import Order, Receipt
from evidence.errors import EvidenceError
from evidence.records import Record
from firmware.capture.journal_writer import JournalWriter
from firmware.clock_discipline import Believable, TimeSet, judge
from firmware.dock_host import PortState
from firmware.hal.ports import Clock
from firmware.identity import Identity
from runtime.disk import Disk

_log = logging.getLogger(__name__)
Key = tuple[str, int]
_FRAGMENT = re.compile(rb'"kind":"fragment",')  # nearly all lines, and none of them matters here


class HandIn:
    """`DockPortHost`. What it knows is derived from the journal, read on from where it last stopped."""

    def __init__(
        self, disk: Disk, journal: JournalWriter, identity: Identity, clock: Clock, on_handed_in: Callable[[], None],
        on_find: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._disk = disk
        self._journal = journal
        self._identity = identity
        self._clock = clock
        self._believable = Believable.since(shape.utc_ms(identity.configuration.issued))
        self._on_handed_in = on_handed_in
        self._on_find = on_find
        self._obeyed: set[str] = set()  # orders of this docking: one that is brought again is done
        self._lock = threading.RLock()
        self._read: dict[int, int] = {}
        self._segments: dict[Key, Record] = {}
        self._receipts: dict[Key, str] = {}  # SHA-256 of the receipt, by segment
        self._released: set[Key] = set()
        self._nonce: str | None = None
        self._told = True  # whether this docking's hand-in was called complete

    def docked(self) -> None:
        """A docking begins: the next anchor must answer a nonce of its own."""
        with self._lock:
            self._nonce = secrets.token_hex(16)
            self._told = False
            self._obeyed.clear()

    def state(self) -> PortState:
        with self._lock:
            self._catch_up()
            # A segment that a cut left without a byte has a record, and no file to fetch.
            waiting = [
                (*key, record)
                for key, record in sorted(self._segments.items())
                if key not in self._released and record.body["file_size"]
            ]
            seq, sha256 = self._journal.head()
            return PortState(
                self._identity.device,
                self._journal.chain.boot,
                self._nonce,
                (seq, sha256),
                tuple(sorted(self._journal.published().items())),
                tuple((recording, segment, record.body["file_size"]) for recording, segment, record in waiting),
            )

    def take_receipt(self, jws: str) -> None:
        receipt = Receipt.read(jws, self._identity.signer_of(jws, Receipt.TYP))
        key = (receipt.recording, receipt.segment)
        with self._lock:
            self._catch_up()
            record = self._segments.get(key)
            if receipt.device != self._identity.device or record is None:
                raise EvidenceError("receipt-foreign", "the receipt is for another camera or segment")
            if (receipt.sha256, receipt.size) != (record.body["file_sha256"], record.body["file_size"]):
                raise EvidenceError("receipt-mismatch", "the receipt is for other bytes than this camera recorded")
            if key not in self._receipts:
                self._journal.append("receipt", {"receipt": jws})
                self._receipts[key] = hashlib.sha256(jws.encode()).hexdigest()
            if self._identity.configuration.release_after_seconds == 0:
                self._release(key)
        self._tell()

    def take_anchor(self, jws: str) -> None:
        anchor = self._identity.read_anchor(jws)
        with self._lock:
            if anchor.device != self._identity.device or anchor.nonce != self._nonce:
                raise EvidenceError("anchor-stale", "the time anchor does not answer this docking's nonce")
            before = self._clock.utc()
            decision = judge(shape.utc_ms(anchor.utc), "dock", anchor.error_ms, before, self._believable)
            if not isinstance(decision, TimeSet):
                raise EvidenceError("anchor-absurd", f"{decision}: set the office's clock")
            self._clock.set_utc(decision.ms, decision.source, decision.error_ms)
            stepped = None if before.source == "none" else decision.stepped_ms
            self._journal.append("time_anchor", {"anchor": jws, "stepped_ms": stepped})
            self._nonce = None
        self._tell()

    def take_order(self, jws: str) -> None:
        order = Order.read(jws, self._identity.signer_of(jws, Order.TYP))
        if (order.device, order.act) != (self._identity.device, "find"):
            raise EvidenceError("order-foreign", f"{order.act} of {order.device} is not this camera's to do")
        with self._lock:
            if order.order in self._obeyed:
                return
            self._obeyed.add(order.order)
        self._on_find()

    def _tell(self) -> None:
        """Say once in a docking that all is handed in: the anchor has come, and no segment waits for its receipt."""
        with self._lock:
            self._catch_up()
            held = {key for key, record in self._segments.items() if record.body["file_size"]}
            if self._told or self._nonce is not None or held - self._released - self._receipts.keys():
                return
            self._told = True
        self._on_handed_in()

    @property
    def complete(self) -> bool:
        """Whether this docking's hand-in was called complete."""
        with self._lock:
            return self._told

    def make_room(self) -> bool:
        """Give up the oldest segment that has a receipt, even inside its grace period: recording outranks it."""
        with self._lock:
            self._catch_up()
            held = [key for key in self._receipts if key in self._segments and key not in self._released]
            if not held:
                return False
            self._release(min(held, key=lambda key: self._segments[key].seq))
        return True

    def held_since_ms(self) -> int | None:
        """UTC at which the oldest segment without a receipt was closed, by a clock that was set; None: there is none.

        The first call reads the whole journal: not for the runner's loop.
        """
        with self._lock:
            self._catch_up()
            given = self._receipts.keys() | self._released
            held = [record for key, record in self._segments.items() if key not in given and record.body["file_size"]]
        return min((record.clock.utc_ms for record in held if record.clock.source != "none"), default=None)

    def finish_releases(self) -> None:
        """At start: give up what a cut kept from being given up, after its receipt or its release was recorded."""
        with self._lock:
            self._catch_up()
            if self._identity.configuration.release_after_seconds == 0:
                for key in self._receipts.keys() & self._segments.keys():
                    self._release(key)
            for key in self._released:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.remove(records.segment_path(*key))

    def _release(self, key: Key) -> None:
        if key in self._released:
            return
        recording, segment = key
        body = {"recording": recording, "segment": segment, "receipt_sha256": self._receipts[key]}
        self._journal.append("released", body)  # said first: a cut then leaves a file too many, never one too few
        self._released.add(key)
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(records.segment_path(recording, segment))

    def _catch_up(self) -> None:
        for file, size in sorted(self._journal.published().items()):
            start = self._read.get(file, 0)
            if size <= start:
                continue
            data = self._disk.read(records.journal_path(file), start, size - start)
            for line in data.splitlines():
                with contextlib.suppress(EvidenceError):  # what rotted on the card is the verifier's to name
                    if not _FRAGMENT.search(jose.payload_of(line)):
                        self._take(records.parse(line))
            self._read[file] = size

    def _take(self, record: Record) -> None:
        body = record.body
        if record.kind == "segment":
            self._segments[body["recording"], body["segment"]] = record
        elif record.kind == "released":
            self._released.add((body["recording"], body["segment"]))
        elif record.kind == "receipt":
            with contextlib.suppress(EvidenceError):
                text = body["receipt"]
                receipt = Receipt.read(text, self._identity.signer_of(text, Receipt.TYP))
                self._receipts[receipt.recording, receipt.segment] = hashlib.sha256(text.encode()).hexdigest()
