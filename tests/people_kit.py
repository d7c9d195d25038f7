"""An office with people in it, its log and book, without a process: for tests of roles and viewings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from evidence import jose
from office import approval, people, viewing_rows
from office.book import Book
from office.database import Database, sqlite_url
from office.log import Log
from office.people import People
from office.viewing import Viewing
from tests.agency import new_key

ORIGIN = "bodycam/AGENCY-1/OFFICE-1"
DEVICE, RECORDING = "BWC-0001", "9f9f9f9f-1"
EVERYBODY = {
    "zhang": ["officer"], "sun": ["officer"], "wang": ["director"], "li": ["case_leader"], "zhao": ["case_leader"],
    "qian": ["keeper"], "zhou": ["inspector"], "wu": ["technician"],
}  # fmt: skip


class Town:
    """Everybody of `EVERYBODY` has his roles; li and zhao have keys with which they approve."""

    def __init__(self, folder: Path, *, log: Log | None = None, held: Callable[[str, str], bool] | None = None) -> None:
        self.folder = folder
        self.log = log or Log(folder / "log", ORIGIN, Ed25519PrivateKey.generate())
        self.database = Database(sqlite_url(folder / "town.sqlite"))
        self.book = Book(folder, self.log, self.database, {**people.ENTERS, **viewing_rows.ENTERS})
        self.people = People(self.book, self.database)
        self.viewing = Viewing(self.book, self.log.origin, held or (lambda _, recording: recording == RECORDING))
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        for account, roles in EVERYBODY.items():
            self.people.add(account, f"{account} 某", "执法一科", by="root", machine=True)
            with self.book.turn() as turn:  # as if two had confirmed it
                turn.enter("roles", by="root", account=account, roles=roles, machine=True)
        for account in ("li", "zhao"):
            self.give_key(account)

    def give_key(self, account: str) -> None:
        """A browser makes a key, and the technician confirms it."""
        self.keys[account] = new_key()
        leaf = self.people.enter_key(account, spki(self.keys[account]))
        self.people.confirm_key(leaf, by="wu")

    def reviewed(self, *, by: str = "zhang", **more: object) -> int:
        """A request that the director has reviewed."""
        members = {"purpose": "case", "reason": "核对现场取证", "case": "承县应急罚〔2026〕17号", **more}
        request = self.viewing.ask(DEVICE, RECORDING, by=by, **members)  # type: ignore[arg-type]
        self.viewing.review(request, by="wang", accepted=True)
        return request

    def approve(self, request: int, by: str = "li", lasts: timedelta = timedelta(hours=2)) -> str:
        """As the approver's browser does it; the approval."""
        _, text = self.viewing.statement(request, by=by, until=datetime.now(UTC) + lasts)
        jws = approval.assemble(text, raw_signature(self.keys[by], text))
        self.viewing.approve(request, jws, by=by)
        return jws

    def registered(self) -> tuple[int, str]:
        """A request that has come all the way, with its approval."""
        request = self.reviewed()
        jws = self.approve(request)
        self.viewing.register(request, by="qian")
        return request, jws


def spki(key: ec.EllipticCurvePrivateKey) -> str:
    """As leaves write a public key."""
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    return jose.b64(der)


def raw_signature(key: ec.EllipticCurvePrivateKey, text: str) -> bytes:
    """What WebCrypto gives: r and s, and s may be in its high form."""
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
