"""The office's people: who they are, which section they belong to, what they may do (rules 7, 22 and 23).

Each change is a leaf of the log. Roles that decide who watches what (`GUARDED`) are given by two people, and never by
who gets them; until there are others who could confirm, the technician at the machine founds them, and the log says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Connection, Row, Table, Text, delete, insert, select, update

from evidence import pki
from office import approval, roster
from office.book import Book, Enter, Turn
from office.database import METADATA, Database
from office.errors import OfficeError
from office.person import Person, Role

GUARDED: Final = frozenset(Role) - {Role.OFFICER, Role.SECTION_HEAD}
"""Roles that open footage, supervise it, or give roles: given by two people."""

CONFIRMING: Final = frozenset({Role.DIRECTOR, Role.CASE_LEADER, Role.TECHNICIAN})
"""Who may be the second of the two."""

_NAME_LIMIT = 64
ACCOUNT: Final = r"[\w.@-]{1,64}"
"""What an account looks like: it stands in addresses of the page."""

_ACCOUNT = re.compile(ACCOUNT)

persons = Table(
    "persons", METADATA,
    Column("account", Text, primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("number", Text),
    Column("section", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("epoch", BigInteger, nullable=False),  # the leaf since when he could be logged in: of his entry, or a reset
)  # fmt: skip
person_roles = Table(
    "person_roles", METADATA,
    Column("account", Text, primary_key=True),
    Column("role", Text, primary_key=True),
)  # fmt: skip
role_asks = Table(
    "role_asks", METADATA,
    Column("leaf_index", BigInteger, primary_key=True),
    Column("account", Text, nullable=False),
    Column("roles", Text, nullable=False),  # with commas between
    Column("asked_by", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("confirmed_by", Text),
    Column("open", Boolean, nullable=False),  # a later change of the same person's roles closes it
)  # fmt: skip
approver_keys = Table(
    "approver_keys", METADATA,
    Column("leaf_index", BigInteger, primary_key=True),
    Column("account", Text, nullable=False, index=True),
    Column("kid", Text, nullable=False),
    Column("spki", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("confirmed_by", Text),
    Column("confirmed", BigInteger),  # the leaf of that
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with an account, who may have left. `number`: 警号, of loans; `epoch`: earlier log-ins are over."""

    person: Person
    number: str | None
    active: bool
    epoch: int

    @property
    def account(self) -> str:
        """What the log calls this person."""
        return self.person.account

    @property
    def roles(self) -> frozenset[Role]:
        """What he may be; nothing if he has left."""
        return self.person.roles

    def require(self, *roles: Role) -> None:
        """Raise `OfficeError` ("not-your-role") unless he has one of these roles."""
        if self.roles.isdisjoint(roles):
            raise OfficeError("not-your-role", f"{self.account} may not do this: it takes {' or '.join(roles)}", 403)


def who(db: Connection, account: str) -> Member:
    """The person of an account that counts now. Raises `OfficeError` ("person-unknown")."""
    row = db.execute(select(persons).where(persons.c.account == account)).one_or_none()
    if row is None:
        raise OfficeError("person-unknown", f"nobody here has the account {account!r}", 404)
    found = db.execute(select(person_roles.c.role).where(person_roles.c.account == account)).scalars()
    roles = frozenset(map(Role, found)) if row.active else frozenset[Role]()
    return Member(Person(row.account, row.name, roles, row.section), row.number, row.active, row.epoch)


def approver_key(db: Connection, account: str) -> Row[Any] | None:
    """The row of the key with which this person approves: his newest one, if it is confirmed."""
    newest = select(approver_keys).where(approver_keys.c.account == account).order_by(approver_keys.c.leaf_index.desc())
    row = db.execute(newest.limit(1)).one_or_none()
    return row if row is not None and row.confirmed is not None else None


class People:
    """The people over book and database."""

    def __init__(self, book: Book, database: Database) -> None:
        self._book = book
        self._database = database

    def get(self, account: str) -> Member:
        """As `who`."""
        with self._database.read() as db:
            return who(db, account)

    def all(self) -> list[Member]:
        """Everybody, by account."""
        with self._database.read() as db:
            accounts = db.execute(select(persons.c.account).order_by(persons.c.account)).scalars().all()
            return [who(db, account) for account in accounts]

    def waiting(self) -> list[Mapping[str, Any]]:
        """Roles that somebody has asked for and nobody has confirmed yet: rows of `role_asks`."""
        with self._database.read() as db:
            return [*db.execute(select(role_asks).where(role_asks.c.open)).mappings()]

    def approver_keys(self) -> list[Mapping[str, Any]]:
        """All keys of approvers: rows of `approver_keys`."""
        with self._database.read() as db:
            return [*db.execute(select(approver_keys).order_by(approver_keys.c.leaf_index)).mappings()]

    def add(
        self, account: str, name: str, section: str, *, by: str, number: str | None = None, machine: bool = False
    ) -> int:
        """Enter a person, without roles; the leaf. Raises `OfficeError` ("account", "account-taken").

        `machine`: by whoever is at the machine, `by` being what he says of himself.
        """
        if not _ACCOUNT.fullmatch(account):
            raise OfficeError("account", f"an account is 1 to {_NAME_LIMIT} letters, digits, or . @ - _", 400)
        if not all(map(approval.account, (name, section, number or "-"))):
            raise OfficeError("account", f"name, section, number: 1 to {_NAME_LIMIT} printable characters each", 400)
        with self._book.turn() as turn:
            _may_keep(turn, by, machine=machine)
            if turn.db.execute(select(persons).where(persons.c.account == account)).one_or_none() is not None:
                raise OfficeError("account-taken", f"there is an account {account!r} already", 409)
            return turn.enter(
                "person", by=by, account=account, name=name, number=number, section=section, machine=machine
            )

    def ask_roles(self, account: str, roles: Iterable[str], *, by: str, machine: bool = False) -> bool:
        """Give a person exactly these roles; whether they count at once, or wait for a second person.

        Raises `OfficeError` ("role-unknown", "own-roles").
        """
        wanted = sorted(set(roles))
        if not set(wanted) <= set(Role):
            raise OfficeError("role-unknown", f"roles are {', '.join(Role)}", 400)
        with self._book.turn() as turn:
            _may_keep(turn, by, machine=machine)
            member = who(turn.db, account)
            if account == by:
                raise OfficeError("own-roles", "nobody gives himself roles", 403)
            members = {"account": account, "roles": wanted, "machine": machine}
            if GUARDED.isdisjoint(set(wanted) - member.roles):
                turn.enter("roles", by=by, **members)
                return True
            if machine and not _confirmers(turn.db, {account, by}):
                turn.enter("roles", by=by, **members, founding=True)
                return True
            turn.enter("roles-asked", by=by, **members)
            return False

    def confirm_roles(self, asked: int, *, by: str) -> None:
        """The second person's word. Raises `OfficeError` ("nothing-asked", "same-person")."""
        with self._book.turn() as turn:
            who(turn.db, by).require(*CONFIRMING)
            row = turn.db.execute(select(role_asks).where(role_asks.c.leaf_index == asked)).one_or_none()
            if row is None or not row.open:
                raise OfficeError("nothing-asked", "nothing waits under this number", 404)
            if by in {row.account, row.asked_by}:
                raise OfficeError("same-person", "who asks, who confirms and who gets a role are three people", 403)
            turn.enter("roles", by=by, account=row.account, roles=row.roles.split(","), asked=asked, machine=False)

    def leave(self, account: str, *, by: str, machine: bool = False) -> None:
        """The person has no access from now on."""
        with self._book.turn() as turn:
            _may_keep(turn, by, machine=machine)
            who(turn.db, account)
            turn.enter("person-left", by=by, account=account, machine=machine)

    def reset(self, account: str, *, by: str) -> None:
        """At the machine: who is logged in with this account is so no more, and a new code is given out."""
        with self._book.turn() as turn:
            who(turn.db, account)
            turn.enter("account-reset", by=by, account=account, machine=True)

    def enter_key(self, account: str, spki: str) -> int:
        """The approver's own browser has made this key; its leaf. Raises `OfficeError` ("approver-key")."""
        roster.read_key(spki)
        with self._book.turn() as turn:
            who(turn.db, account).require(Role.CASE_LEADER)
            return turn.enter("approver-key", by=account, spki=spki)

    def confirm_key(self, key: int, *, by: str) -> None:
        """Another person has compared the fingerprint. Raises `OfficeError` ("nothing-asked", "same-person")."""
        with self._book.turn() as turn:
            who(turn.db, by).require(*CONFIRMING)
            row = turn.db.execute(select(approver_keys).where(approver_keys.c.leaf_index == key)).one_or_none()
            if row is None or row.confirmed is not None:
                raise OfficeError("nothing-asked", "no key waits under this number", 404)
            if row.account == by:
                raise OfficeError("same-person", "another person confirms an approver's key", 403)
            turn.enter("approver-key-confirmed", by=by, key=key)


def _may_keep(turn: Turn, by: str, *, machine: bool) -> None:
    if not machine:
        who(turn.db, by).require(Role.TECHNICIAN)


def _confirmers(db: Connection, but: set[str]) -> bool:
    """Whether anybody else could confirm."""
    able = (
        select(person_roles.c.account)
        .join(persons, persons.c.account == person_roles.c.account)
        .where(person_roles.c.role.in_(CONFIRMING), persons.c.active, persons.c.account.not_in(but))
    )
    return db.execute(able.limit(1)).first() is not None


def _person(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    names = ("account", "name", "number", "section")
    db.execute(
        insert(persons).values(leaf_index=index, active=True, epoch=index, **{name: leaf[name] for name in names})
    )


def _roles(db: Connection, _: int, leaf: Mapping[str, Any]) -> None:
    account = leaf["account"]
    db.execute(delete(person_roles).where(person_roles.c.account == account))
    for role in leaf["roles"]:
        db.execute(insert(person_roles).values(account=account, role=role))
    closed = update(role_asks).where(role_asks.c.account == account, role_asks.c.open)
    db.execute(closed.values(open=False))
    if "asked" in leaf:
        db.execute(update(role_asks).where(role_asks.c.leaf_index == leaf["asked"]).values(confirmed_by=leaf["by"]))


def _roles_asked(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    db.execute(update(role_asks).where(role_asks.c.account == leaf["account"], role_asks.c.open).values(open=False))
    db.execute(
        insert(role_asks).values(
            leaf_index=index, account=leaf["account"], roles=",".join(leaf["roles"]), asked_by=leaf["by"],
            at=leaf["at"], open=True,
        )
    )  # fmt: skip


def _left(db: Connection, _: int, leaf: Mapping[str, Any]) -> None:
    db.execute(update(persons).where(persons.c.account == leaf["account"]).values(active=False))
    db.execute(delete(person_roles).where(person_roles.c.account == leaf["account"]))
    db.execute(update(role_asks).where(role_asks.c.account == leaf["account"]).values(open=False))


def _reset(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    db.execute(update(persons).where(persons.c.account == leaf["account"]).values(epoch=index))


def _key(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    kid = pki.key_id(roster.read_key(leaf["spki"]))
    db.execute(
        insert(approver_keys).values(leaf_index=index, account=leaf["by"], kid=kid, spki=leaf["spki"], at=leaf["at"])
    )


def _key_confirmed(db: Connection, index: int, leaf: Mapping[str, Any]) -> None:
    found = update(approver_keys).where(approver_keys.c.leaf_index == leaf["key"])
    db.execute(found.values(confirmed_by=leaf["by"], confirmed=index))


ENTERS: Final[Mapping[str, Enter]] = {
    "person": _person,
    "roles": _roles,
    "roles-asked": _roles_asked,
    "person-left": _left,
    "account-reset": _reset,
    "approver-key": _key,
    "approver-key-confirmed": _key_confirmed,
}
