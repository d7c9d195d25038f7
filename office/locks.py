"""What the law of retention says, brought into force at the stores: later dates, holds on and off.

A term without an end is a hold there, since a lock's date can only be a date.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from office import retention
from office.book import Book
from office.disposal import disposed_at, held_segments
from office.follower import Follower
from office.log import Log
from office.store import segment_name
from office.stores.port import ObjectStore


class Locks:
    """Follows the log; used by one thread at a time."""

    def __init__(self, path: Path, book: Book, log: Log, places: Collection[ObjectStore]) -> None:
        self._follower = Follower(path, log)
        self._book = book
        self._places = places

    def follow(self) -> None:
        """Bring into force what the log has told since. Raises `OfficeError`, OSError: it is tried again then."""
        while leaves := self._follower.leaves():
            wanted: dict[tuple[str, str], None] = {}  # in order, each once
            with self._book.turn() as turn:
                for index, leaf in leaves:
                    for key in retention.touched(turn.db, index, leaf):
                        if leaf["act"] != "ingest" or _special(turn.db, *key):
                            wanted[key] = None
                terms = {key: self._term(turn.db, *key) for key in wanted}
            for (device, recording), told in terms.items():
                if told is not None:
                    self._apply(device, recording, *told)
            self._follower.done(leaves[-1][0])

    def _term(self, db: Connection, device: str, recording: str) -> tuple[datetime | None, list[int]] | None:
        """Until when, and which segments; None: nothing is held of it."""
        gone = disposed_at(db, device, recording)
        segments = [row.segment for row in held_segments(db, device, recording) if row.leaf_index > gone]
        return (retention.term(retention.facts(db, device, recording)), segments) if segments else None

    def _apply(self, device: str, recording: str, until: datetime | None, segments: list[int]) -> None:
        for place in self._places:
            there = set(place.names(segment_name(device, recording, 0).rpartition("/")[0]))
            for name in (segment_name(device, recording, segment) for segment in segments):
                if name in there:
                    enforce(place, name, until)


def enforce(place: ObjectStore, name: str, until: datetime | None) -> None:
    """Lock a file until then, None: until told otherwise. Raises as `ObjectStore` does."""
    hold = place.lock(name).hold
    if until is not None:
        place.extend(name, until)
    if hold != (until is None):
        place.hold(name, on=until is None)


def in_force(db: Connection, leaf: Mapping[str, str]) -> datetime | None:
    """Until when the segment of an `ingest` leaf is to be locked; None: until told otherwise. Raises `OfficeError`."""
    if not _special(db, leaf["device"], leaf["recording"]):
        return datetime.fromisoformat(leaf["retain_until"])
    return retention.term(retention.facts(db, leaf["device"], leaf["recording"]))


def _special(db: Connection, device: str, recording: str) -> bool:
    """Whether more than the receipts' promise bears on its term."""
    return any(
        db.execute(select(table).where(table.c.device == device, table.c.recording == recording)).first()
        for table in (retention.CLASSES, retention.CASES, retention.HOLDS)
    )
