"""The scrub: reads again all that the office holds, at a bounded rate, and compares it with receipts and log.

It goes along the leaves of the log, which no catalogue can hide anything from, remembers where it stands, and begins
anew when it is through. A fault is a leaf, and stands until a later look finds it gone. What the law wants locked and
is not, it locks; what lacks a copy, it copies.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from sqlalchemy import BigInteger, Column, Connection, Table, Text, func, insert, select, update

from evidence import jose
from evidence.errors import EvidenceError
from evidence.journal import JournalReader
from office.book import Book, Enter, Leaf
from office.database import METADATA, Database
from office.disposal import disposed_at
from office.errors import OfficeError
from office.follower import Follower
from office.locks import enforce, in_force
from office.log import Log
from office.schema import HEADS
from office.second import Copies
from office.store import Store, journal_name, receipt_name, segment_name
from office.stores.port import ObjectStore

_logger = logging.getLogger(__name__)
_RECEIPT_COMES = timedelta(hours=1)  # after its leaf, in a run that is not cut
_OFFICE: Final = "office"

FAULTS: Final = Table(
    "store_faults",
    METADATA,
    Column("leaf_index", BigInteger, primary_key=True),
    Column("place", Text, nullable=False),
    Column("name", Text, nullable=False, index=True),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("found", Text, nullable=False),
    Column("over", BigInteger),  # the leaf
)


def _fault(db: Connection, index: int, leaf: Leaf) -> None:
    told = {name: leaf[name] for name in ("place", "name", "code", "detail")}
    db.execute(insert(FAULTS).values(leaf_index=index, **told, found=leaf["at"]))


def _over(db: Connection, index: int, leaf: Leaf) -> None:
    db.execute(update(FAULTS).where(FAULTS.c.leaf_index == leaf["fault"]).values(over=index))


ENTERS: Final[Mapping[str, Enter]] = {"store-fault": _fault, "store-fault-over": _over}


@dataclass(frozen=True, slots=True)
class Fault:
    """`code`: missing, changed, unlocked, meddled, unreadable, receipt, journal."""

    place: str
    name: str
    code: str
    detail: str


class Scrub:
    """One pass after the other over log, store and places; used by one thread at a time."""

    def __init__(
        self,
        path: Path,
        database: Database,
        book: Book,
        log: Log,
        store: Store,
        places: Mapping[str, ObjectStore],
        copies: Copies,
        roots: Sequence[x509.Certificate],
    ) -> None:
        """`path`: remembers the next leaf. `places`: where segments stand, `store` first."""
        self._follower = Follower(path, log)
        self._database = database
        self._book = book
        self._log = log
        self._store = store
        self._places = places
        self._copies = copies
        self._roots = roots

    @property
    def next_leaf(self) -> int:
        """Where it stands."""
        return self._follower.next_leaf

    def run(self, stopping: threading.Event, bytes_per_second: int | None = None) -> Iterator[Fault]:
        """The rest of a pass; at its end the next one begins at the first leaf. Every fault, known or not.

        Raises `OfficeError` if a place cannot be reached: that says nothing of what it holds.
        """
        while not stopping.is_set() and (leaves := self._follower.leaves()):
            for index, leaf in leaves:
                if leaf["act"] != "ingest":
                    continue
                yield from self._noted(self._segment(index, leaf))
                if bytes_per_second:
                    stopping.wait(len(self._places) * leaf["size"] / bytes_per_second)
                if stopping.is_set():
                    return
                self._follower.done(index)
            self._follower.done(leaves[-1][0])
        if not stopping.is_set():
            for device in self._store.devices():
                yield from self._noted(self._journals(device))
            self._follower.done(-1)

    def open_faults(self) -> list[dict[str, Any]]:
        """Those that stand."""
        with self._database.read() as db:
            rows = db.execute(select(FAULTS).where(FAULTS.c.over.is_(None)).order_by(FAULTS.c.leaf_index))
            return [dict(row) for row in rows.mappings()]

    # One look.

    def _segment(self, index: int, leaf: Mapping[str, Any]) -> Iterator[tuple[str, str, Fault | None]]:
        """Place and name of all that was looked at, with what is wrong there."""
        key = (leaf["device"], leaf["recording"], leaf["segment"])
        receipt, name = receipt_name(*key), segment_name(*key)
        yield "store", receipt, self._receipt(receipt, index, leaf)
        with self._database.read() as db:
            if disposed_at(db, *key[:2]) > index:
                return
            until = in_force(db, leaf)
        for place, store in self._places.items():
            if place != "store" and not store.exists(name):
                self._mend(lambda: self._copies.ensure(leaf))
            yield place, name, self._object(place, store, name, leaf, until)

    @staticmethod
    def _mend(copy: Callable[[], None]) -> None:
        try:
            copy()
        except (OfficeError, OSError) as error:
            _logger.error("no second copy: %s", error)  # noqa: TRY400 - the line says what is wrong

    def _receipt(self, name: str, index: int, leaf: Mapping[str, Any]) -> Fault | None:
        told = ("device", "recording", "segment", "sha256", "size", "received", "retain_until")
        try:
            receipt = jose.parse_json(jose.parse(self._store.local.path(name).read_bytes(), "bodycam-receipt").payload)
        except FileNotFoundError:
            if datetime.now(UTC) - datetime.fromisoformat(leaf["received"]) < _RECEIPT_COMES:
                return None
            return Fault("store", name, "missing", f"leaf {index} tells of it")
        except EvidenceError as error:
            return Fault("store", name, "receipt", str(error))
        wrong = [member for member in told if receipt.get(member) != leaf[member]]
        if receipt.get("leaf_index") != index:
            wrong.append("leaf_index")
        return Fault("store", name, "receipt", f"is not as in leaf {index}: {', '.join(wrong)}") if wrong else None

    @staticmethod
    def _object(
        place: str, store: ObjectStore, name: str, leaf: Mapping[str, Any], until: datetime | None
    ) -> Fault | None:
        try:
            found = store.read_back(name)
            if found != (leaf["sha256"], leaf["size"]):
                return Fault(place, name, "changed", f"SHA-256 {found[0]}, {found[1]} bytes; received {leaf['sha256']}")
            if (why := store.meddled(name)) is not None:
                return Fault(place, name, "meddled", why)
            promised = datetime.fromisoformat(leaf["retain_until"])
            if (lock := store.lock(name)) and not lock.covers(until):
                enforce(store, name, until)
            if not lock.covers(promised) or not store.lock(name).covers(until):
                return Fault(place, name, "unlocked", f"was locked until {lock.until}, to be {until or 'held'}")
        except FileNotFoundError:
            return Fault(place, name, "missing", "it is not there")
        except OSError as error:
            return Fault(place, name, "unreadable", str(error))
        return None

    def _journals(self, device: str) -> Iterator[tuple[str, str, Fault | None]]:
        """Whether its journal verifies from the first line on, and reaches as far as the log says."""
        self._mend(lambda: self._copies.ensure_journals(device))
        with self._database.read() as db:  # before the file is read, which may grow
            told = db.execute(select(func.max(HEADS.c.seq)).where(HEADS.c.device == device)).scalar()
        reader, file = JournalReader(self._roots, device=device, refuse_strangers=True), 0
        fault = None
        try:
            for file in self._store.journal_files(device):
                with self._store.journal(device, file).open("rb") as lines:
                    for line in lines:
                        if line.endswith(b"\n"):  # the last one may be growing
                            reader.feed(file, line)
        except (EvidenceError, OSError) as error:
            fault = Fault("store", journal_name(device, file), "journal", str(error))
        head = reader.head[0] if reader.head else -1
        if fault is None and told is not None and told > head:
            fault = Fault("store", journal_name(device, file), "journal", f"ends at {head}, the log knows it to {told}")
        yield "store", f"{device}/journal", fault

    # What is told of it.

    def _noted(self, found: Iterator[tuple[str, str, Fault | None]]) -> Iterator[Fault]:
        for place, name, fault in found:
            with self._database.read() as db:
                of_it = select(FAULTS).where(FAULTS.c.place == place, FAULTS.c.name == name, FAULTS.c.over.is_(None))
                known = db.execute(of_it).all()
            codes = {row.code for row in known}
            if codes != ({fault.code} if fault else set()):
                self._enter(place, name, fault, {row.leaf_index: row.code for row in known})
            if fault is not None:
                yield fault

    def _enter(self, place: str, name: str, fault: Fault | None, known: Mapping[int, str]) -> None:
        with self._book.turn() as turn:
            for index, code in known.items():
                if fault is None or code != fault.code:
                    turn.enter("store-fault-over", by=_OFFICE, fault=index, place=place, name=name)
            if fault is not None and fault.code not in known.values():
                told = {"code": fault.code, "detail": fault.detail[:500]}
                turn.enter("store-fault", by=_OFFICE, place=place, name=name, **told)
                _logger.error("the store is damaged: %s", fault)
