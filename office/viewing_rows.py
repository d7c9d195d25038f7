"""The rows of the viewing flow, made from leaves of the log alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, func, insert, select, update

from office.book import Enter
from office.database import METADATA

VIEWABLE: Final = ("registered",)
STATES: Final = {
    "asked": "待审核 asked",
    "reviewed": "待批准 reviewed",
    "approved": "待登记 approved",
    "registered": "可调阅 registered",
    "refused": "未批准 refused",
    "withdrawn": "已撤回 withdrawn",
    "ended": "已终止 ended",
}
"""Where a request stands; one that is registered is over as well when its time is."""

_APPROVALS_OF_SECRETS = 2

requests = Table(
    "view_requests", METADATA,
    Column("leaf_index", BigInteger, primary_key=True),
    Column("requester", Text, nullable=False, index=True),
    Column("device", Text, nullable=False),
    Column("recording", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("case_name", Text),
    Column("reason", Text, nullable=False),
    Column("secrecy", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("reviewer", Text),
    Column("reviewed", BigInteger),  # leaf
    Column("review_note", Text),
    Column("keeper", Text),
    Column("registered", BigInteger),  # leaf
    Column("begins", Text),
    Column("until", Text),
    Column("closed_by", Text),
    Column("closed_note", Text),
    Column("closed_at", Text),
)  # fmt: skip
viewers = Table(
    "view_viewers", METADATA,
    Column("request", BigInteger, primary_key=True),
    Column("account", Text, primary_key=True),
)  # fmt: skip
approvals = Table(
    "view_approvals", METADATA,
    Column("leaf_index", BigInteger, primary_key=True),
    Column("request", BigInteger, nullable=False, index=True),
    Column("approver", Text, nullable=False),
    Column("jws", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("until", Text, nullable=False),
)  # fmt: skip
viewings = Table(
    "viewings", METADATA,
    Column("leaf_index", BigInteger, primary_key=True),
    Column("request", BigInteger, nullable=False, index=True),
    Column("viewer", Text, nullable=False),
    Column("began", Text, nullable=False),
    Column("ended", Text),
)  # fmt: skip
secrecies = Table(
    "secrecies", METADATA,
    Column("device", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("secrecy", Text, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
)  # fmt: skip


def viewers_of(db: Connection, request: int) -> list[str]:
    """Accounts, in their order."""
    found = select(viewers.c.account).where(viewers.c.request == request).order_by(viewers.c.account)
    return list(db.execute(found).scalars())


def secrecy_of(db: Connection, device: str, recording: str) -> str:
    """The secrecy class of a recording."""
    row = select(secrecies.c.secrecy).where(secrecies.c.device == device, secrecies.c.recording == recording)
    return db.execute(row).scalar() or "open"


def _asked(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    names = ("device", "recording", "purpose", "reason", "secrecy", "at")
    members = {name: leaf[name] for name in names}
    db.execute(
        insert(requests).values(
            leaf_index=index, requester=leaf["by"], case_name=leaf["case"], state="asked", **members
        )
    )
    for account in leaf["viewers"]:
        db.execute(insert(viewers).values(request=index, account=account))


def _change(db: Connection, request: int, **values: Any) -> None:
    db.execute(update(requests).where(requests.c.leaf_index == request).values(**values))


def _reviewed(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    _change(db, leaf["request"], state="reviewed", reviewer=leaf["by"], reviewed=index, review_note=leaf["note"])


def _approved(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    request = leaf["request"]
    db.execute(
        insert(approvals).values(
            leaf_index=index, request=request, approver=leaf["by"], jws=leaf["approval"], at=leaf["at"],
            until=leaf["until"],
        )
    )  # fmt: skip
    given = db.execute(select(func.count()).select_from(approvals).where(approvals.c.request == request)).scalar_one()
    secrecy = db.execute(select(requests.c.secrecy).where(requests.c.leaf_index == request)).scalar_one()
    if given >= (1 if secrecy == "open" else _APPROVALS_OF_SECRETS):
        _change(db, request, state="approved")


def _registered(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    times = {"begins": leaf["from"], "until": leaf["until"]}
    _change(db, leaf["request"], state="registered", keeper=leaf["by"], registered=index, **times)


def _closed(db: Connection, _: int, leaf: Mapping[str, Any]) -> None:
    closed = {"closed_by": leaf["by"], "closed_note": leaf["note"], "closed_at": leaf["at"]}
    _change(db, leaf["request"], state=leaf["how"], **closed)


def _viewing(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    members = {"request": leaf["request"], "viewer": leaf["by"], "began": leaf["at"]}
    db.execute(insert(viewings).values(leaf_index=index, **members))


def _over(db: Connection, _: int, leaf: Mapping[str, Any]) -> None:
    db.execute(update(viewings).where(viewings.c.leaf_index == leaf["viewing"]).values(ended=leaf["at"]))


def _secrecy(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    key = {"device": leaf["device"], "recording": leaf["recording"]}
    values = {"secrecy": leaf["secrecy"], "leaf_index": index}
    changed = update(secrecies).where(*(secrecies.c[name] == value for name, value in key.items())).values(**values)
    if not db.execute(changed).rowcount:
        db.execute(insert(secrecies).values(**key, **values))


ENTERS: Final[Mapping[str, Enter]] = {
    "view-asked": _asked,
    "view-reviewed": _reviewed,
    "view-approved": _approved,
    "view-registered": _registered,
    "view-closed": _closed,
    "viewing": _viewing,
    "viewing-over": _over,
    "secrecy": _secrecy,
}
