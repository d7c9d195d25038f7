"""The office's acts: each a leaf of the log first, then rows of the catalogue, made again from the leaves at any time.

What people do (requests, approvals, holds, findings, …) is entered through a `Turn`: one at a time over all processes
of the office, so that what was checked still holds when it is entered.

    with book.turn() as turn:
        row = turn.db.execute(select(requests).where(...)).one_or_none()    # may it be done?
        if row is None: raise OfficeError(...)
        turn.enter("view-approved", by=person.account, request=row.leaf_index)    # log, then `Enter` of that act
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, insert, select, update

from office.catalogue import utc_now
from office.database import METADATA, Database
from office.errors import OfficeError
from office.log import Log
from office.schema import empty

Leaf = Mapping[str, Any]
Enter = Callable[[Connection, int, Leaf], None]
"""Makes the rows of a leaf, by its index. Pure but for the connection: run again when the catalogue is rebuilt.

It must not need what journals and receipts tell (recordings, segments, …): a rebuild reads the log before them.
"""

ANEW: Final = -1
"""In the place of `leaves`, by a version of the catalogue that needs all of it made again."""

_READ: Final = Table(
    "book",
    METADATA,
    Column("leaves", BigInteger, nullable=False),  # entered
    Column("root", Text, nullable=False),  # of the log over them
    Column("acts", BigInteger, nullable=False),  # leaves up to the last act of a person
)


def together(*domains: Mapping[str, Enter]) -> Mapping[str, Enter]:
    """What all of these domains make of each act, in their order."""
    found: defaultdict[str, list[Enter]] = defaultdict(list)
    for domain in domains:
        for act, enter in domain.items():
            found[act].append(enter)
    return {act: _each(enters) for act, enters in found.items()}


def _each(enters: Sequence[Enter]) -> Enter:
    def enter(db: Connection, index: int, leaf: Leaf) -> None:
        for one in enters:
            one(db, index, leaf)

    return enter


def leaves(database: Database) -> int:
    """How many leaves of the log have been entered."""
    with database.read() as db:
        return db.scalar(select(_READ.c.leaves)) or 0


class Book:
    """The acts over log and database. Safe for several threads and several processes."""

    def __init__(self, folder: Path, log: Log, database: Database, enters: Mapping[str, Enter]) -> None:
        """`folder` holds the lock; `enters`: by act; leaves of other acts make no rows here."""
        self._log = log
        self._database = database
        self._enters = enters
        self._lock = threading.Lock()
        self._path = folder / "book.lock"

    @contextlib.contextmanager
    def turn(self) -> Iterator[Turn]:
        """All that is entered within it is in the log when it ends, and in the catalogue."""
        with self._alone(), self._database.begin() as db:
            turn = Turn(self._log, db, self._enters)
            turn.catch_up()
            yield turn

    def catch_up(self) -> None:
        """Enter what the log has and the catalogue has not: after a cut, or what another process has logged."""
        with self.turn():
            pass

    def version(self) -> int:
        """Another number after an act of a person, in whichever process."""
        with self._database.read() as db:
            return db.scalar(select(_READ.c.acts)) or 0

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)


class Turn:
    """`db`: to look, and nothing else."""

    def __init__(self, log: Log, db: Connection, enters: Mapping[str, Enter]) -> None:
        self.db = db
        self._log = log
        self._enters = enters

    def enter(self, act: str, *, by: str, **members: Any) -> int:
        """Log an act, and make its rows; its leaf's index. Raises OSError.

        `by`: the account of who acts. Nothing secret goes into a leaf: auditors read the log.
        """
        index = self._log.append({"act": act, "by": by, "at": utc_now(), **members})
        self.catch_up()  # other processes may have logged something before it
        return index

    def catch_up(self) -> None:
        """Make the rows of all leaves that have none yet, in the order of the log."""
        known = self.db.execute(select(_READ)).one_or_none()
        if known is not None and known.leaves == ANEW:
            empty(self.db)
            known = None
        leaves = self._log.since(known.leaves if known else 0)
        if known is None:
            self.db.execute(insert(_READ).values(leaves=0, root=self._log.root(0).hex(), acts=0))
        elif known.leaves > self._log.size or self._log.root(known.leaves).hex() != known.root:
            raise OfficeError(
                "catalogue-log", "the catalogue was made from another log: ask why, then bodycam office rebuild"
            )
        for index, leaf in leaves:
            if (enter := self._enters.get(leaf["act"])) is not None:
                enter(self.db, index, leaf)
        if leaves:
            size = leaves[-1][0] + 1
            acts = max((index + 1 for index, leaf in leaves if "by" in leaf), default=_READ.c.acts)
            self.db.execute(update(_READ).values(leaves=size, root=self._log.root(size).hex(), acts=acts))
