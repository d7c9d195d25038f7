"""Requests to watch, to be read: whose turn is next, and all that was done with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, or_, select

from office.catalogue import utc_now
from office.errors import OfficeError
from office.person import Person, Role
from office.viewing_rows import VIEWABLE, approvals, requests, viewers, viewers_of, viewings

SEE_ALL: Final = frozenset({Role.DIRECTOR, Role.CASE_LEADER, Role.KEEPER, Role.INSPECTOR})
"""Who reads requests of others: who decides about them, and supervision."""

_NEXT: Final = {Role.DIRECTOR: "asked", Role.CASE_LEADER: "reviewed", Role.KEEPER: "approved"}
_MOST = 200
Row = Mapping[str, Any]


def waiting(db: Connection, person: Person) -> list[Row]:
    """Requests whose next step is this person's, the oldest first."""
    states = [state for role, state in _NEXT.items() if role in person.roles]
    approved = select(approvals.c.request).where(approvals.c.approver == person.account)
    watches = select(viewers.c.request).where(viewers.c.account == person.account)
    free = requests.c.leaf_index.not_in(approved) & requests.c.leaf_index.not_in(watches)
    others = (requests.c.requester != person.account) & or_(
        requests.c.reviewer.is_(None), requests.c.reviewer != person.account
    )
    found = select(requests).where(requests.c.state.in_(states), others, free).order_by(requests.c.leaf_index)
    return [_told(db, row) for row in db.execute(found.limit(_MOST)).mappings()]


def listed(db: Connection, person: Person, *, own: bool) -> list[Row]:
    """The newest requests: one's own (asked, or to watch), or all that this person may read."""
    watches = select(viewers.c.request).where(viewers.c.account == person.account)
    mine: ColumnElement[bool] = or_(requests.c.requester == person.account, requests.c.leaf_index.in_(watches))
    found = select(requests).order_by(requests.c.leaf_index.desc()).limit(_MOST)
    if own or SEE_ALL.isdisjoint(person.roles):
        found = found.where(mine)
    return [_told(db, row) for row in db.execute(found).mappings()]


def of_recording(db: Connection, device: str, recording: str) -> list[Row]:
    """All requests for a recording, the newest first."""
    found = select(requests).where(requests.c.device == device, requests.c.recording == recording)
    return [_told(db, row) for row in db.execute(found.order_by(requests.c.leaf_index.desc())).mappings()]


def one(db: Connection, request: int, person: Person) -> dict[str, Any]:
    """A request with `approvals`, `viewings`. Raises `OfficeError` ("request-unknown"), for who may not read it too."""
    row = db.execute(select(requests).where(requests.c.leaf_index == request)).mappings().one_or_none()
    if row is None or (
        SEE_ALL.isdisjoint(person.roles) and person.account not in {row["requester"], *viewers_of(db, request)}
    ):
        raise OfficeError("request-unknown", f"there is no request {request} that you may read", 404)
    given = select(approvals).where(approvals.c.request == request).order_by(approvals.c.leaf_index)
    watched = select(viewings).where(viewings.c.request == request).order_by(viewings.c.leaf_index)
    return {
        **_told(db, row),
        "approvals": [dict(each) for each in db.execute(given).mappings()],
        "viewings": [dict(each) for each in db.execute(watched).mappings()],
    }


def _told(db: Connection, row: RowMapping) -> dict[str, Any]:
    """`over`: its time is."""
    over = row["state"] in VIEWABLE and row["until"] <= utc_now()
    return {**row, "viewers": viewers_of(db, row["leaf_index"]), "over": over}
