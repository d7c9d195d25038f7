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

from evidence import jose, shape
from evidence.documents import Order
from evidence.errors import EvidenceError
from office.catalogue import Catalogue, utc, utc_now
from office.log import Log

_COUNTS = timedelta(minutes=5)  # an order that was sent counts for so long
_AGAIN = timedelta(seconds=15)  # sent again, if nobody has answered
_FIND = timedelta(minutes=1)  # whoever waits before the bays for longer has gone
_WAITING = (  # orders, each with the docks that are there and have neither answered nor been asked since
    "SELECT o.*, d.dock, EXISTS (SELECT 1 FROM bays b WHERE b.dock=d.dock AND b.online AND b.camera=o.device) AS here "
    "FROM orders o JOIN docks d ON d.online LEFT JOIN order_docks a ON a.id=o.id AND a.dock=d.dock "
    "WHERE o.ended IS NULL AND (a.result IS NULL OR (a.result='failed' AND o.act<>'find')) "
    "AND (a.sent IS NULL OR a.sent<?) ORDER BY o.at, d.dock"
)
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
    """The orders over catalogue and log."""

    def __init__(self, catalogue: Catalogue, log: Log, office: str, key: ec.EllipticCurvePrivateKey, kid: str) -> None:
        self._catalogue = catalogue
        self._log = log
        self._office = office
        self._key = key
        self._kid = kid

    def give(self, act: str, device: str, recording: str | None, segment: int | None, by: str) -> str:
        """Order something of all docks; its id. Ends an earlier order about the same. Raises `EvidenceError`."""
        order, at = secrets.token_hex(16), utc_now()
        self.sign("DOCK-0", order, act, (device, recording, segment))  # is it one?
        target = {"device": device, "recording": recording, "segment": segment}
        self._log.append({"act": "order", "order": order, "does": act, **target, "by": by, "at": at})
        with self._catalogue.transaction() as db:
            if act != "find":
                db.execute(
                    "UPDATE orders SET ended=? WHERE ended IS NULL AND act<>'find' AND device=? AND recording IS ? "
                    "AND segment IS ?", (at, device, recording, segment),
                )  # fmt: skip
            db.execute(
                "INSERT INTO orders VALUES (?,?,?,?,?,?,?,NULL)", (order, act, device, recording, segment, by, at)
            )
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
        waiting: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self._catalogue.rows(_WAITING, utc(now - _AGAIN)):
            waiting[row["id"]].append(row)
        sendings = []
        for order, rows in waiting.items():
            first = rows[0]
            if first["act"] == "find":
                if datetime.fromisoformat(first["at"]) < now - _FIND:
                    self._end(order)
                    continue
                rows = [row for row in rows if row["here"]] or rows  # noqa: PLW2901 - the docks that have it, if any
            target = (first["device"], first["recording"], first["segment"])
            sendings += [
                Sending(row["dock"], order, self.sign(row["dock"], order, first["act"], target)) for row in rows
            ]
        if sendings:
            with self._catalogue.transaction() as db:
                db.executemany(
                    "INSERT INTO order_docks VALUES (?,?,?,NULL,NULL,NULL) "
                    "ON CONFLICT (id, dock) DO UPDATE SET sent=excluded.sent",
                    [(sending.order, sending.dock, utc(now)) for sending in sendings],
                )
        return sendings

    def answered(self, dock: str, payload: bytes) -> None:
        """Take in a dock's answer; what is none changes nothing."""
        try:
            answer = shape.require("answer", jose.parse_json(payload), _ANSWER)
        except EvidenceError:
            return
        with self._catalogue.transaction() as db:
            db.execute(
                "UPDATE order_docks SET result=?, code=?, detail=? WHERE id=? AND dock=?",
                (answer["result"], answer["code"], answer["detail"], answer["order"], dock),
            )

    def came_back(self, dock: str) -> None:
        """A dock is there again, maybe with an empty disk: what is in force is told to it anew."""
        with self._catalogue.transaction() as db:
            db.execute(
                "DELETE FROM order_docks WHERE dock=? AND id IN "
                "(SELECT id FROM orders WHERE ended IS NULL AND act IN ('hold', 'first'))", (dock,),
            )  # fmt: skip

    def answers(self, order: str) -> list[dict[str, Any]]:
        """`dock`, `result`, `code`, `detail` of each dock that it was sent to."""
        return self._catalogue.rows("SELECT * FROM order_docks WHERE id=? ORDER BY dock", order)

    def _end(self, order: str) -> None:
        with self._catalogue.transaction() as db:
            db.execute("UPDATE orders SET ended=? WHERE id=?", (utc_now(), order))


def describe(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers with stable keys."""
    return [{name: answer[name] for name in ("dock", "result", "code", "detail")} for answer in answers]
