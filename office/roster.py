"""keyd's roster: whose approvals count. A file of keyd's own, which the office's web process cannot write.

A key comes in by two people in the log (the approver enters it in his browser, another person confirms it face to face)
and by whoever has keyd's machine account, who compares the fingerprint once more. It goes out by a line, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from evidence import certificate, jose, pki, shape
from evidence.checkpoint import Proof
from evidence.errors import EvidenceError
from evidence.shape import Check
from office import approval
from office.errors import OfficeError
from office.keyd_judge import Approver
from runtime.disk import sync_folder

ENTERED: Final[Mapping[str, Check]] = {
    "act": shape.one_of("approver-key"),
    "by": approval.account,
    "at": shape.utc,
    "spki": shape.text,
}
"""The leaf by which an approver enters the key that his browser made: base64url of its SubjectPublicKeyInfo in DER."""

CONFIRMED: Final[Mapping[str, Check]] = {
    "act": shape.one_of("approver-key-confirmed"),
    "by": approval.account,
    "at": shape.utc,
    "key": shape.number(),
}
"""The leaf by which another person confirms the key of leaf `key`."""

_CARD: Final[Mapping[str, Check]] = {"entered": shape.long_text, "confirmed": shape.long_text}
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Card:
    """A key with its two people."""

    approver: Approver
    spki: str
    confirmed_by: str


def read_key(spki: str) -> ec.EllipticCurvePublicKey:
    """An approver's public key as leaves write it. Raises `OfficeError` ("approver-key")."""
    try:
        return certificate.require_p256(serialization.load_der_public_key(jose.unb64(spki.encode())))
    except (ValueError, TypeError, UnsupportedAlgorithm, EvidenceError) as error:
        raise OfficeError("approver-key", "this is not a P-256 public key in DER", 400) from error


def fingerprint(kid: str) -> str:
    """A key as people read it to each other: 32 digits in groups of four."""
    return " ".join(kid[n : n + 4] for n in range(0, 32, 4))


def read_card(text: bytes, origin: str, log_key: Ed25519PublicKey) -> Card:
    """What `bodycam office account card` wrote, proven by the log. Raises `OfficeError` ("card")."""
    try:
        told = shape.require("card", jose.parse_json(text), _CARD)
        index, entered = _leaf(told["entered"], origin, log_key, ENTERED)
        _, confirmed = _leaf(told["confirmed"], origin, log_key, CONFIRMED)
    except EvidenceError as error:
        raise OfficeError("card", f"the card does not hold: {error.message}", 400) from error
    if confirmed["key"] != index or confirmed["by"] == entered["by"]:
        raise OfficeError("card", "no other person has confirmed this key", 400)
    key = read_key(entered["spki"])
    return Card(Approver(entered["by"], pki.key_id(key), key), entered["spki"], confirmed["by"])


def _leaf(proof: str, origin: str, log_key: Ed25519PublicKey, form: Mapping[str, Check]) -> tuple[int, dict[str, Any]]:
    found = Proof.read(proof.encode())
    found.verify(origin, log_key)
    return found.index, shape.require("log entry", jose.parse_json(found.entry), form)


def _now() -> str:
    return shape.utc_of(datetime.now(UTC))


class Roster:
    """The roster in a file of JSON lines; what was written stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._approvers: dict[str, Approver] = {}

    def approvers(self) -> Mapping[str, Approver]:
        """Those that count now, by key id. Raises `OfficeError` ("roster")."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return {}
        if self._seen != (stat.st_mtime_ns, stat.st_size):
            self._approvers = self._read()
            self._seen = (stat.st_mtime_ns, stat.st_size)
        return self._approvers

    def enrol(self, card: Card, by: str) -> None:
        """Let an approver's key count from now on; an earlier one of the same person counts no more."""
        self._append(
            {"at": _now(), "act": "enrol", "account": card.approver.account, "kid": card.approver.kid,
             "spki": card.spki, "confirmed_by": card.confirmed_by, "by": by}
        )  # fmt: skip

    def withdraw(self, account: str, by: str) -> None:
        """Nothing that this person signs counts from now on. Raises `OfficeError` ("approver-unknown")."""
        if all(approver.account != account for approver in self.approvers().values()):
            raise OfficeError("approver-unknown", f"{account} is not in keyd's roster")
        self._append({"at": _now(), "act": "withdraw", "account": account, "by": by})

    def _append(self, line: dict[str, Any]) -> None:
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            os.write(fd, jose.dump_json(line) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(self._path.parent)

    def _read(self) -> dict[str, Approver]:
        by_account: dict[str, Approver] = {}
        try:
            for text in self._path.read_bytes().splitlines():
                line = json.loads(text)
                by_account.pop(line["account"], None)
                if line["act"] == "enrol":
                    key = read_key(line["spki"])
                    by_account[line["account"]] = Approver(line["account"], pki.key_id(key), key)
        except (ValueError, KeyError, TypeError) as error:
            raise OfficeError("roster", f"{self._path} is damaged ({error}): restore it") from error
        return {approver.kid: approver for approver in by_account.values()}
