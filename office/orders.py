"""Orders to docks: kept until each dock has answered, told again to a dock that comes back (docs/spec/messages.md §5).

The office signs each one for one dock and a few minutes, as it is sent. Who ordered what is a leaf of the office's log.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import BigInteger, Column, Connection, Index, Select, Table, Text, delete, exists, select, update

from evidence import jose, shape
from evidence.documents import Order
from evidence.errors import EvidenceError
from office.book import Book
from office.catalogue import utc
from office.database import METADATA, Database, Row, put, put_new, tellable
from office.schema import BAYS, DOCKS, HINTS

ORDERS: Final = Table(
    "orders",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("act", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("recording", Text),
    Column("segment", BigInteger),
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("ended", Text),
    Index("orders_ended", "ended"),
)
ORDER_DOCKS: Final = Table(
    "order_docks",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("dock", Text, primary_key=True),
    Column("sent", Text, nullable=False),
    Column("result", Text),
    Column("code", Text),
    Column("detail", Text),
    info=HINTS,
)

_COUNTS = timedelta(minutes=5)  # an order that was sent counts for so long
_AGAIN = timedelta(seconds=15)  # sent again, if nobody has answered
_FIND = timedelta(minutes=1)  # whoever waits before the bays for longer has gone
_ANSWER: dict[str, shape.Check] = {
    "order": shape.hexadecimal(32),
    "result": shape.one_of("done", "refused", "failed"),
    "code": shape.optional(shape.text),
    "detail": shape.optional(shape.text),
}
RESULTS: Final = {
    "done": "已执行 done",
    "refused": "拒绝 refused",
    "failed": "失败 failed",
    None: "未答复 no answer yet",
}
"""What a dock answered, for people."""


@dataclass(frozen=True, slots=True)
class Sending:
    """An order as it goes to one dock."""

    dock: str
    order: str
    jws: str


class Orders:
    """The orders over book and database."""

    def __init__(self, database: Database, book: Book, office: str, key: ec.EllipticCurvePrivateKey, kid: str) -> None:
        self._database = database
        self._book = book
        self._office = office
        self._key = key
        self._kid = kid

    def give(self, act: str, device: str, recording: str | None, segment: int | None, by: str) -> str:
        """Order something of all docks; its id. Ends an earlier order about the same. Raises `EvidenceError`."""
        order = secrets.token_hex(16)
        self.sign("DOCK-0", order, act, (device, recording, segment))  # is it one?
        with self._book.turn() as turn:
            turn.enter("order", by=by, order=order, does=act, device=device, recording=recording, segment=segment)
        return order

    def sign(self, dock: str, order: str, act: str, target: tuple[str, str | None, int | None]) -> str:
        """An order for one dock, from now on."""
        now = datetime.now(UTC)
        signed = Order(self._office, order, dock, target[0], act, target[1], target[2], utc(now), utc(now + _COUNTS))
        text = signed.sign(self._key, self._kid)
        Order.from_payload(jose.parse(text, Order.TYP).payload)
        return text

    def due(self) -> list[Sending]:
        """What is to be sent now; it is noted as sent. What was to be found and was not is over."""
        now = datetime.now(UTC)
        waiting: defaultdict[str, list[Row]] = defaultdict(list)
        with self._database.read() as db:
            for row in db.execute(_waiting(now)).mappings():
                waiting[row["id"]].append(dict(row))
        sendings = []
        for order, rows in waiting.items():
            first = rows[0]
            if first["act"] == "find":
                rows = [row for row in rows if row["here"]] or rows  # noqa: PLW2901 - the docks that have it, if any
            target = (first["device"], first["recording"], first["segment"])
            sendings += [Sending(row["to"], order, self.sign(row["to"], order, first["act"], target)) for row in rows]
        if sendings:
            told = [{"id": sending.order, "dock": sending.dock, "sent": utc(now)} for sending in sendings]
            with self._database.begin() as db:
                put(db, ORDER_DOCKS, told, "sent")
        return sendings

    def answered(self, dock: str, payload: bytes) -> None:
        """Take in a dock's answer; what is none changes nothing."""
        try:
            answer = shape.require("answer", jose.parse_json(payload), _ANSWER)
        except EvidenceError:
            return
        this = (ORDER_DOCKS.c.id == answer["order"]) & (ORDER_DOCKS.c.dock == dock)
        told = {name: tellable(answer[name]) if answer[name] else None for name in ("result", "code", "detail")}
        with self._database.begin() as db:
            db.execute(update(ORDER_DOCKS).where(this).values(told))

    def came_back(self, dock: str) -> None:
        """A dock is there again, maybe with an empty disk: what is in force is told to it anew."""
        in_force = select(ORDERS.c.id).where(ORDERS.c.ended.is_(None), ORDERS.c.act.in_(("hold", "first")))
        with self._database.begin() as db:
            db.execute(delete(ORDER_DOCKS).where(ORDER_DOCKS.c.dock == dock, ORDER_DOCKS.c.id.in_(in_force)))

    def answers(self, order: str) -> list[dict[str, Any]]:
        """`dock`, `result`, `code`, `detail` of each dock that it was sent to."""
        with self._database.read() as db:
            found = db.execute(select(ORDER_DOCKS).where(ORDER_DOCKS.c.id == order).order_by(ORDER_DOCKS.c.dock))
            return [dict(row) for row in found.mappings()]


def _waiting(now: datetime) -> Select[Any]:
    """Orders, each with the docks that are there and have neither answered nor been asked since."""
    answer, to = ORDER_DOCKS.c, DOCKS.c.dock
    here = exists().where(BAYS.c.dock == to, BAYS.c.online, BAYS.c.camera == ORDERS.c.device)
    pairs = ORDERS.join(DOCKS, DOCKS.c.online).outerjoin(ORDER_DOCKS, (answer.id == ORDERS.c.id) & (answer.dock == to))
    return (
        select(ORDERS, to.label("to"), here.label("here"))
        .select_from(pairs)
        .where(
            ORDERS.c.ended.is_(None) | (ORDERS.c.ended > utc(now)),
            answer.result.is_(None) | ((answer.result == "failed") & (ORDERS.c.act != "find")),
            answer.sent.is_(None) | (answer.sent < utc(now - _AGAIN)),
        )
        .order_by(ORDERS.c.at, to)
    )


def _enter(db: Connection, _index: int, leaf: Row) -> None:
    order, at = ORDERS.c, leaf["at"]
    target = {name: leaf[name] for name in ("device", "recording", "segment")}
    ended = None
    if leaf["does"] == "find":
        ended = utc(datetime.fromisoformat(at) + _FIND)
    else:
        same = [order[name].is_not_distinct_from(value) for name, value in target.items()]
        db.execute(update(ORDERS).where(order.ended.is_(None), *same).values(ended=at))
    row = {"id": leaf["order"], "act": leaf["does"], "by": leaf["by"], "at": at, "ended": ended}
    put_new(db, ORDERS, {**row, **target})


ENTERS: Final = {"order": _enter}
"""The orders (`office.book`). One to find a camera ends by itself."""


def describe(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers with stable keys."""
    return [{name: answer[name] for name in ("dock", "result", "code", "detail")} for answer in answers]
