"""How long a recording is kept (rule 20): a law over acts of the log, which only ever lengthens.

    at least whole years from the recording's end, as its receipts promise
    longer in a class of more years, or of no end
    without an end while it is in a case that is not closed, then with the case file
    without an end while a hold is on it

Whoever enters an act does so by the functions here, within a turn of the book. `office.locks` puts what the law says
into force at the stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, and_, func, insert, select, update

from office.book import Enter, Leaf, Turn
from office.catalogue import utc, utc_now
from office.database import METADATA
from office.errors import OfficeError
from office.schema import RECORDINGS, SEGMENTS

MINIMUM_YEARS: Final = 2  # rule 20
_LAST = datetime(2106, 2, 7, tzinfo=UTC)  # object stores count seconds in 32 bits: later dates wrap into the past


def retain_until(ended: datetime, years: int) -> datetime:
    """`years` full years after `ended`: 29 February ends on 1 March. Refused beyond 2106. Raises `OfficeError`."""
    try:
        until = ended.replace(year=ended.year + years)
    except ValueError:
        until = (ended - timedelta(days=1)).replace(year=ended.year + years) + timedelta(days=1)
    return within_range(until)


def within_range(until: datetime) -> datetime:
    """`until`, if every store can keep it. Raises `OfficeError` ("retention-range")."""
    if until > _LAST:
        raise OfficeError("retention-range", f"retention until {until:%Y-%m-%d} cannot be kept: check clock and term")
    return until


# --- The law ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """What bears on how long a recording is kept. In `years` and `files` None is: for good."""

    ended: datetime  # the recording's end; the last hand-in, where no clock bears an earlier one out
    promised: datetime  # the latest date in its receipts
    years: tuple[int | None, ...] = ()  # of the classes that it was ever given
    files: tuple[datetime | None, ...] = ()  # until when the files of its closed cases are kept
    open_cases: int = 0
    holds: int = 0


def term(facts: Facts) -> datetime | None:
    """The date before which it is not disposed of; None: there is no end so far. Raises `OfficeError`."""
    if facts.open_cases or facts.holds or None in facts.years or None in facts.files:
        return None
    classes = [retain_until(facts.ended, years) for years in facts.years if years is not None]
    return max([facts.promised, *classes, *(until for until in facts.files if until is not None)])


# --- What the acts leave ---------------------------------------------------------------------------------------------

_OF: Final = ("device", "recording")


def _table(name: str, *columns: Column[Any]) -> Table:
    of = [Column(member, Text, nullable=False, index=True) for member in _OF]
    return Table(name, METADATA, Column("leaf_index", BigInteger, primary_key=True), *of, *columns)


CLASSES: Final = _table("retention_classes", Column("name", Text, nullable=False), Column("years", BigInteger))
CASES: Final = _table(
    "retention_cases",
    Column("case_no", Text, nullable=False, index=True),
    Column("closed", BigInteger),  # the leaf
    Column("file_until", Text),  # None although closed: for good
)
HOLDS: Final = _table("retention_holds", Column("reason", Text), Column("released", BigInteger))  # the leaf


def _class(db: Connection, index: int, leaf: Leaf) -> None:
    db.execute(insert(CLASSES).values(leaf_index=index, **_of(leaf), name=leaf["class"], years=leaf["years"]))


def _bound(db: Connection, index: int, leaf: Leaf) -> None:
    db.execute(insert(CASES).values(leaf_index=index, **_of(leaf), case_no=leaf["case"]))


def _closed(db: Connection, index: int, leaf: Leaf) -> None:
    of_it = and_(CASES.c.case_no == leaf["case"], CASES.c.closed.is_(None))
    db.execute(update(CASES).where(of_it).values(closed=index, file_until=leaf["until"]))


def _hold(db: Connection, index: int, leaf: Leaf) -> None:
    db.execute(insert(HOLDS).values(leaf_index=index, **_of(leaf), reason=leaf["reason"]))


def _released(db: Connection, index: int, leaf: Leaf) -> None:
    db.execute(update(HOLDS).where(HOLDS.c.leaf_index == leaf["hold"]).values(released=index))


ENTERS: Final[Mapping[str, Enter]] = {
    "retention-class": _class,
    "case-bound": _bound,
    "case-closed": _closed,
    "hold": _hold,
    "hold-released": _released,
}


def _of(leaf: Leaf) -> dict[str, Any]:
    return {member: leaf[member] for member in _OF}


def facts(db: Connection, device: str, recording: str) -> Facts:
    """What bears on it now. Raises `OfficeError` ("recording-unknown") if the office holds nothing of it."""
    held = _held(db, device, recording)
    if held is None:
        raise OfficeError("recording-unknown", f"the office holds nothing of {recording} of {device}", 404)
    ended, promised = held
    classes, cases, holds = (
        db.execute(select(table).where(table.c.device == device, table.c.recording == recording)).all()
        for table in (CLASSES, CASES, HOLDS)
    )
    return Facts(
        ended,
        promised,
        years=tuple(row.years for row in classes),
        files=tuple(row.file_until and _time(row.file_until) for row in cases if row.closed is not None),
        open_cases=sum(row.closed is None for row in cases),
        holds=sum(row.released is None for row in holds),
    )


def _held(db: Connection, device: str, recording: str) -> tuple[datetime, datetime] | None:
    """When it ended, as `office.receipts` judges that, and the latest date in its receipts."""
    of_it = (SEGMENTS.c.device == device, SEGMENTS.c.recording == recording)
    segments = db.execute(select(func.max(SEGMENTS.c.received), func.max(SEGMENTS.c.retain_until)).where(*of_it)).one()
    if segments[0] is None:
        return None
    received, promised = map(_time, segments)
    end = _told(db, device, recording)
    ended = min(_time(end.ended), received) if end is not None and end.ended_by_set_clock else received
    return ended, promised


def _told(db: Connection, device: str, recording: str) -> Any:
    """What the journal tells of it."""
    of_it = (RECORDINGS.c.device == device, RECORDINGS.c.recording == recording)
    return db.execute(select(RECORDINGS).where(*of_it)).one_or_none()


def _time(told: str) -> datetime:
    return datetime.fromisoformat(told)


# --- The acts --------------------------------------------------------------------------------------------------------


def change_class(turn: Turn, *, by: str, device: str, recording: str, name: str, years: int | None, reason: str) -> int:
    """Put a recording into a class of so many years (None: for good); the leaf. Raises `OfficeError`.

    "retention-down": it is in a class of more years.
    """
    known = facts(turn.db, device, recording)
    if any(_longer(one, years) for one in (MINIMUM_YEARS, *known.years)):
        raise OfficeError("retention-down", "a term is only ever lengthened: the recording is in a longer class", 409)
    if years is not None:
        retain_until(known.ended, years)  # or it would be entered, and no store could keep it
    return _enter(turn, "retention-class", by, device, recording, reason, **{"class": name}, years=years)


def _longer(one: int | None, than: int | None) -> bool:
    return than is not None and (one is None or one > than)


def bind_case(turn: Turn, *, by: str, device: str, recording: str, case: str, reason: str) -> int:
    """A recording belongs to a case: kept without an end until the case is closed; the leaf. Raises `OfficeError`.

    "case-bound-already": it does, and the case is open.
    """
    _known(turn.db, device, recording)
    of_it = and_(CASES.c.device == device, CASES.c.recording == recording, CASES.c.case_no == case)
    if turn.db.execute(select(CASES).where(of_it, CASES.c.closed.is_(None))).first():
        raise OfficeError("case-bound-already", f"{recording} is in case {case} already", 409)
    return _enter(turn, "case-bound", by, device, recording, reason, case=case)


def close_case(turn: Turn, *, by: str, case: str, until: datetime | None, reason: str) -> int:
    """A case is closed, and its file is kept until then (None: for good); the leaf. Raises `OfficeError`."""
    if until is not None and within_range(until) <= _time(utc_now()):
        raise OfficeError("retention-down", "a case file's term ends in the future", 409)
    return turn.enter("case-closed", by=by, case=case, until=until and utc(until), reason=reason_of(reason))


def hold(turn: Turn, *, by: str, device: str, recording: str, reason: str) -> int:
    """Keep a recording without an end, whatever its term (rule 9: a complaint); the leaf. Raises `OfficeError`."""
    _known(turn.db, device, recording)
    return _enter(turn, "hold", by, device, recording, reason)


def release_hold(turn: Turn, *, by: str, hold: int, reason: str) -> int:
    """End a hold, by its leaf; others on the recording stay; the leaf. Raises `OfficeError` ("hold-unknown")."""
    row = turn.db.execute(select(HOLDS).where(HOLDS.c.leaf_index == hold, HOLDS.c.released.is_(None))).one_or_none()
    if row is None:
        raise OfficeError("hold-unknown", f"there is no hold {hold} that is in force", 409)
    return _enter(turn, "hold-released", by, row.device, row.recording, reason, hold=hold)


def _enter(turn: Turn, act: str, by: str, device: str, recording: str, reason: str, **members: Any) -> int:
    return turn.enter(act, by=by, device=device, recording=recording, reason=reason_of(reason), **members)


_REASON_LIMIT = 2_000


def reason_of(told: str) -> str:
    """What an act's reason says, without the blanks around it. Raises `OfficeError` ("reason")."""
    if not told.strip() or len(told) > _REASON_LIMIT:
        raise OfficeError("reason", f"the act wants its reason, of at most {_REASON_LIMIT} characters", 400)
    return told.strip()


def _known(db: Connection, device: str, recording: str) -> None:
    """Also of one that is not handed in whole, or not at all so far: a hold does not wait for that."""
    if _told(db, device, recording) is None:
        raise OfficeError("recording-unknown", f"no recording {recording} of {device} was handed in", 404)


def touched(db: Connection, index: int, leaf: Leaf) -> set[tuple[str, str]]:
    """The recordings on whose term a leaf bears; those of a closed case are known by its rows."""
    if leaf["act"] == "case-closed":
        rows = db.execute(select(CASES.c.device, CASES.c.recording).where(CASES.c.closed == index))
        return {(row.device, row.recording) for row in rows}
    return {(leaf["device"], leaf["recording"])} if leaf["act"] in ENTERS or leaf["act"] == "ingest" else set()
