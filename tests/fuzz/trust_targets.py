"""Targets of trust: what docks bring cameras, what cameras prove, what the office orders, what a token answers."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from typing import Any

from cryptography.hazmat.primitives import serialization

from evidence import challenge, jose, pki, shape
from evidence.documents import Configuration, Order
from evidence.pki import Role
from evidence.revoked import Revoked, bundle_of
from firmware import identity as identities
from runtime import token
from runtime.token import TokenError
from syncd.commands import Commands
from syncd.orders import Orders
from syncd.urgency import Holds
from tests.builders import present_agency
from tests.evidence_keys import AGENCY, key
from tests.fuzz.format_targets import SIGNERS
from tests.fuzz.program_targets import scratch
from tests.fuzz.signed import DEVICE, OWN, document_of
from tests.fuzz.target import attempt, taken, target
from tests.papers_desk import Desk, crl, utc

_BOOT = "1" * 32
_NONCE = "0" * 32
_OF_CAMERAS = ("configuration-old",)
"""Codes of docs/spec/dock.md §2."""


# --- papers


@functools.cache
def desk() -> Desk:
    """A camera with its papers, which only the present process has."""
    folder = scratch() / "papers"
    folder.mkdir()
    return Desk(folder, present_agency())


def _papers() -> list[bytes]:
    agency = desk().agency
    longer = pki.to_pem(desk().link.certificate, *desk().link.above)
    dock = agency.issue(Role.DOCK, "DOCK-1").certificate
    lists = bundle_of([agency.issuing.certificate], [crl(agency.issuing, dock)])
    configuration = jose.payload_of(desk().configuration(issued=utc(1)).encode())
    return [configuration, longer, lists]


@target(_papers)
def paper(data: bytes) -> None:
    """What a dock brings: whatever the camera takes of it, it starts again with that, and asks for its next paper."""
    if not data.isascii():  # the port takes nothing else
        return
    papers, text = desk().papers, data.decode("ascii").strip()
    attempt(papers.take_certificate, text, also=_OF_CAMERAS)
    attempt(papers.take_revocations, text, also=_OF_CAMERAS)
    signer = desk().signer
    signed = jose.sign(data, signer.key, Configuration.TYP, pki.key_id(signer.key.public_key()))
    attempt(papers.take_configuration, signed, also=_OF_CAMERAS)
    attempt(papers.take_configuration, text, also=_OF_CAMERAS)
    jose.dump_json(papers.state())
    papers.request()
    identities.load(desk().tmp)


# --- quarantine


def _proof(payload: bytes, chain: list[str]) -> jose.Json:
    return {"chain": chain, "jws": jose.sign(payload, key(OWN), challenge.TYP, pki.key_id(key(OWN).public_key()))}


@functools.cache
def _chain() -> list[str]:
    certificates = AGENCY.session(DEVICE, _BOOT, OWN)
    return [jose.b64(one.public_bytes(serialization.Encoding.DER)) for one in certificates]


def _answers() -> list[bytes]:
    payload = jose.dump_json({"v": 1, "device": DEVICE, "dock": "DOCK-1", "nonce": _NONCE})
    return [jose.dump_json(_proof(payload, _chain())), payload]


@target(_answers)
def proof(data: bytes) -> None:
    """What a camera proves its evidence key by: as it comes, and signed by such a key over any payload."""
    lists = Revoked((AGENCY.root,))
    for value in (attempt(jose.parse_json, data), _proof(data, _chain())):
        if value is not None:
            attempt(challenge.check, value, [AGENCY.root], lists, DEVICE, "DOCK-1", _NONCE)


# --- orders


def _order(**changes: Any) -> bytes:
    now = time.time_ns() // 1_000_000
    order = Order(
        "OFFICE-1", _NONCE, "DOCK-1", DEVICE, "hold", "bfe3b5b1-1", None, shape.utc_text(now),
        shape.utc_text(now + 600_000),
    )  # fmt: skip
    signed = dataclasses.replace(order, **changes).sign(AGENCY.key("signer"), AGENCY.kid("signer"))
    return jose.payload_of(signed.encode())


@functools.cache
def _commands() -> Commands:
    path = scratch() / "orders.json"
    return Commands("DOCK-1", SIGNERS, Orders(path, SIGNERS, Holds()), lambda *_: False, dict)


def _orders() -> list[bytes]:
    return [_order(), _order(act="first", segment=3), _order(act="find", recording=None), b'{"ask":"status"}']


@target(_orders)
def command(data: bytes) -> None:
    """What comes as a command, and as an order of the office over any payload: each is answered, and kept readable."""
    for told in (data, document_of(data, Order.TYP)):
        answer = _commands().carry_out(told)
        jose.dump_json(answer)
        if answer["result"] == "done":
            taken.append("command")
    Orders(scratch() / "orders.json", SIGNERS, Holds())


@target(lambda: [json.dumps({"orders": [document_of(_order(), Order.TYP).decode()]}).encode()])
def kept_orders(data: bytes) -> None:
    """The dock's own file of orders, damaged in any way: what verifies of it counts, and it is gone on with."""
    path = scratch() / "kept-orders.json"
    path.write_bytes(data)
    holds = Holds()
    orders = Orders(path, SIGNERS, holds)
    if holds.changes:
        taken.append("kept_orders")
    text = document_of(_order(issued=shape.utc_text(time.time_ns() // 1_000_000 + 1)), Order.TYP)
    assert orders.take(SIGNERS.order(text), text.decode()) in {True, False}
    Orders(path, SIGNERS, Holds())


# --- a token


@target(
    lambda: [
        b'{"points":["04' + b"ab" * 64 + b'"]}',
        b'{"signature":"' + b"cd" * 64 + b'","guarded":true}\nBye.\n',
        b'{"destroyed":2}',
        b'{"error":"pin","message":"PinIncorrect"}',
    ]
)
def token_answer(data: bytes) -> None:
    """What a token's process prints: the maker's library prints there, too."""
    for deed in ("list", "make", "sign", "destroy"):
        answer = attempt(token._read, "token", deed, data, 0, error=TokenError)
        for point in answer.get("points", []) if answer else ():
            attempt(token._of_point, point, error=TokenError)
