"""Log-in and log-out at the page, each a leaf of the log; and what people tried and may not do."""

from __future__ import annotations

import threading
import time
from typing import Final

from office.accounts import Accounts
from office.book import Book
from office.config import OidcConfig
from office.errors import OfficeError
from office.oidc import Oidc
from office.people import People
from office.person import Person
from office.sessions import Sessions
from office.site.sessions import Session

LOCAL: Final = "password+totp"
OIDC: Final = "oidc"

_QUIET_SECONDS = 60.0  # between two leaves about the same refusal: nobody fills the log by asking


class Gate:
    """Who is logged in: `find` is the port `office.site.sessions.Sessions`."""

    def __init__(self, accounts: Accounts, sessions: Sessions, people: People, book: Book,
                 oidc: OidcConfig | None = None) -> None:  # fmt: skip
        """Raises `OfficeError` ("oidc")."""
        self.accounts = accounts
        self.oidc = Oidc(oidc) if oidc else None
        self._sessions = sessions
        self._people = people
        self._book = book
        self._told: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def find(self, token: str) -> Session | None:
        """The session of a token, with what its person may do now; None if there is none or the person has left."""
        found = self._sessions.get(token)
        if found is None:
            return None
        member = self._people.get(found.account)
        if not member.active or member.epoch != found.epoch:
            self._sessions.close(token)
            return None
        return Session(found.name, member.person)

    def log_in(self, account: str, password: str, digits: str) -> str:
        """Both factors; the new session's token. Raises `OfficeError` ("log-in", "locked")."""
        try:
            self.accounts.check(account, password, digits)
        except OfficeError as error:
            self._refusal(account if self._known(account) else "?", "log-in", error.code)
            raise
        return self.admit(account, LOCAL)

    def admit(self, account: str, how: str) -> str:
        """Who has proved who he is; the new session's token. Raises `OfficeError` ("log-in")."""
        if not self._known(account):
            raise OfficeError("log-in", f"{account!r} is nobody here: the technician enters people first", 403)
        token, session = self._sessions.open(account, self._people.get(account).epoch)
        with self._book.turn() as turn:
            turn.enter("log-in", by=account, how=how, session=session.name)
        return token

    def log_out(self, token: str) -> None:
        """End a session; what is none changes nothing."""
        if (session := self._sessions.close(token)) is not None:
            with self._book.turn() as turn:
                turn.enter("log-out", by=session.account, session=session.name)

    def refused(self, person: Person, act: str, code: str) -> None:
        """Somebody who is logged in tried what he may not: a leaf, at most one a minute for the same."""
        self._refusal(person.account, act, code)

    def _known(self, account: str) -> bool:
        try:
            return self._people.get(account).active
        except OfficeError:
            return False

    def _refusal(self, account: str, act: str, code: str) -> None:
        key, now = (account, act, code), time.monotonic()
        with self._lock:
            self._told = {one: at for one, at in self._told.items() if now - at < _QUIET_SECONDS}
            if key in self._told:
                return
            self._told[key] = now
        with self._book.turn() as turn:
            turn.enter("refused", by=account, does=act, code=code)
