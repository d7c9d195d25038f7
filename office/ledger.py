"""Who has which camera since when, and who works away from the unit (rules 7, 8 and 19).

Each act is a leaf of the office's log before it is a row of the catalogue, so nobody can quietly change afterwards when
a camera was given out, or when remote work was declared; the rows are made again from the leaves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from office.catalogue import Catalogue, enter_export, enter_head, utc, utc_now
from office.contact import meet
from office.errors import OfficeError
from office.log import Log

SHIFT_LIMIT: Final = timedelta(hours=24)
_EARLY = timedelta(minutes=5)  # clocks of two machines
Leaf = dict[str, Any]


class Ledger:
    """The ledger over catalogue and log."""

    def __init__(self, catalogue: Catalogue, log: Log) -> None:
        self._catalogue = catalogue
        self._log = log

    def issue(
        self, device: str, officer: str, shift_end: datetime, by: str, *, at: datetime | None = None,
        dock: str | None = None,
    ) -> None:  # fmt: skip
        """A camera is given out until `shift_end`; `dock`: where it is to come back. Ends an earlier use of it.

        Raises `OfficeError`: "in-the-future", "shift-length".
        """
        issued = _past(at)
        if not timedelta() < shift_end - issued <= SHIFT_LIMIT:
            raise OfficeError("shift-length", "a shift ends after it began, within 24 hours: declare remote work", 400)
        self._enter(
            {"act": "issue", "device": device, "officer": officer, "issued": utc(issued),
             "shift_end": utc(shift_end), "dock": dock, "by": by}
        )  # fmt: skip

    def give_back(self, device: str, by: str, *, at: datetime | None = None) -> None:
        """The officer has given the camera back. Raises `OfficeError`: "in-the-future", "not-issued"."""
        returned = utc(_past(at))
        last = self._catalogue.rows(
            "SELECT returned FROM loans WHERE device=? AND issued<=? ORDER BY issued DESC LIMIT 1", device, returned
        )
        if not last or last[0]["returned"] is not None:
            raise OfficeError("not-issued", f"nobody had {device} at that time: see bodycam office deadlines", 409)
        self._enter({"act": "return", "device": device, "returned": returned, "by": by})

    def declare_remote(
        self, device: str, reason: str, by: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> None:
        """Who has the camera works away from the unit, and why; `until`: when the return is expected.

        Raises `OfficeError`: "in-the-future", "reason", "already-remote".
        """
        if not reason.strip():
            raise OfficeError("reason", "remote work needs its reason", 400)
        begin = utc(_past(since))
        if self._catalogue.rows("SELECT 1 FROM remotes WHERE device=? AND returned IS NULL", device):
            raise OfficeError("already-remote", f"{device} is away: enter its return first", 409)
        self._enter(
            {"act": "remote", "device": device, "since": begin, "until": utc(until) if until else None,
             "reason": reason, "by": by}
        )  # fmt: skip

    def came_back(self, device: str, by: str, *, at: datetime | None = None) -> None:
        """Who had the camera is back at the unit. Raises `OfficeError`: "in-the-future", "not-remote"."""
        returned = utc(_past(at))
        if not self._catalogue.rows(
            "SELECT 1 FROM remotes WHERE device=? AND returned IS NULL AND since<=?", device, returned
        ):
            raise OfficeError("not-remote", f"no remote work of {device} was declared for that time", 409)
        self._enter({"act": "back", "device": device, "returned": returned, "by": by})

    def recover(self) -> None:
        """Enter what the log has and the catalogue has not. Before the journals, which tell what has been met."""
        leaves = self._log.entries(*_ROWS, *_OTHERS)
        with self._catalogue.transaction() as db:
            for index, leaf in leaves:
                _OTHERS.get(leaf["act"], _apply)(db, index, leaf)

    def _enter(self, leaf: Leaf) -> None:
        whole = {**leaf, "at": utc_now()}
        index = self._log.append(whole)
        with self._catalogue.transaction() as db:
            _apply(db, index, whole)


def _apply(db: sqlite3.Connection, index: int, leaf: Mapping[str, Any]) -> None:
    """Enter a leaf; entered before, it changes nothing."""
    _ROWS[leaf["act"]](db, index, leaf)
    row = db.execute("SELECT docked_since, contact FROM devices WHERE device=?", (leaf["device"],)).fetchone()
    if row and row["contact"]:  # it may have been in a dock before this was entered, and still be
        meet(db, leaf["device"], row["docked_since"] or row["contact"], row["contact"])


def _issue(db: sqlite3.Connection, index: int, leaf: Mapping[str, Any]) -> None:
    names = ("device", "officer", "issued", "shift_end", "dock", "by")
    values = [leaf[name] for name in names]
    db.execute("INSERT OR IGNORE INTO loans VALUES (?,?,?,?,?,?,?,NULL,?,NULL)", (index, *values, leaf["shift_end"]))
    db.execute(
        "UPDATE loans SET ends=? WHERE device=? AND issued<? AND ends>?",
        (leaf["issued"], leaf["device"], leaf["issued"], leaf["issued"]),
    )


def _return(db: sqlite3.Connection, _index: int, leaf: Mapping[str, Any]) -> None:
    db.execute(
        "UPDATE loans SET returned=?, ends=min(ends, ?) WHERE returned IS NULL AND leaf_index="
        "(SELECT leaf_index FROM loans WHERE device=? AND issued<=? ORDER BY issued DESC LIMIT 1)",
        (leaf["returned"], leaf["returned"], leaf["device"], leaf["returned"]),
    )


def _remote(db: sqlite3.Connection, index: int, leaf: Mapping[str, Any]) -> None:
    values = [leaf[name] for name in ("device", "since", "until", "reason", "by", "at")]
    db.execute("INSERT OR IGNORE INTO remotes VALUES (?,?,?,?,?,?,?,NULL)", (index, *values))


def _back(db: sqlite3.Connection, _index: int, leaf: Mapping[str, Any]) -> None:
    db.execute(
        "UPDATE remotes SET returned=? WHERE returned IS NULL AND leaf_index="
        "(SELECT leaf_index FROM remotes WHERE device=? AND since<=? ORDER BY since DESC LIMIT 1)",
        (leaf["returned"], leaf["device"], leaf["returned"]),
    )


_ROWS: Final[Mapping[str, Callable[[sqlite3.Connection, int, Mapping[str, Any]], None]]] = {
    "issue": _issue, "return": _return, "remote": _remote, "back": _back,
}  # fmt: skip
_OTHERS: Final = {"head": enter_head, "export": enter_export}
"""What the catalogue has from the log besides: heads and exports, whoever wrote them."""


def _past(at: datetime | None) -> datetime:
    now = datetime.now(UTC)
    if at is not None and at > now + _EARLY:
        raise OfficeError("in-the-future", "what has not happened yet cannot be entered", 400)
    return at or now
