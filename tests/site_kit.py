"""The page over a real archive, for tests: its server on loopback with TLS, people who are logged in by a token."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import uvicorn

from evidence.certificate import Role as DeviceRole
from office.archive import Archive
from office.config import OfficeConfig
from office.person import Person, Role
from office.site.app import PAGES, application
from office.site.call import csrf_of
from office.site.listener import context, settings
from office.site.sessions import COOKIE, Session, Sessions
from office.watching import Plays
from runtime.config import load
from tests.office_kit import OfficeKit, wait_for

PlaysOf = Callable[[Archive], Plays]


@dataclass
class TokenSessions:
    """People by the token that their browser holds."""

    people: dict[str, Person] = field(default_factory=dict)

    def find(self, token: str) -> Session | None:
        person = self.people.get(token)
        return Session(f"test-{person.account}", person) if person else None

    def log_in(self, account: str, *roles: Role, name: str = "张三") -> str:
        token = secrets.token_urlsafe(32)
        self.people[token] = Person(account, name, frozenset(roles), "执法一科")
        return token


@dataclass
class PageAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """Asks as a browser does that holds one session's cookie, or none."""

    def __init__(self, site: SiteKit, token: str | None) -> None:
        self.site = site
        self.token = token
        self.cookies = {COOKIE: token} if token else {}

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> PageAnswer:
        tls = ssl._create_unverified_context()  # noqa: S323 - loopback; who serves is no matter of these tests
        link = http.client.HTTPSConnection("127.0.0.1", self.site.port, context=tls, timeout=20)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with contextlib.closing(link):
            link.request(method, path, body, {**({"Cookie": cookies} if cookies else {}), **(headers or {})})
            answer = link.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return PageAnswer(answer.status, names, answer.read())

    def get(self, path: str, **headers: str) -> PageAnswer:
        return self.request("GET", path, headers)

    def json(self, path: str) -> Any:
        answer = self.request("GET", path, {"Accept": "application/json"})
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, *, csrf: str | None = None, **fields: str) -> PageAnswer:
        """Send a form, as one that was given out to this browser."""
        told = {**fields, "csrf": csrf_of(self.token) if csrf is None else csrf}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, kind, urlencode(told).encode())


class SiteKit:
    """The page of an office that does not run: its archive in this process, its server in a thread."""

    def __init__(self, office: OfficeKit, pages: tuple[ModuleType, ...] = PAGES, plays: PlaysOf | None = None,
                 sessions: Callable[[Archive], Sessions] | None = None) -> None:  # fmt: skip
        self.office = office
        self.config = load(office.config, OfficeConfig)
        self.archive = Archive(self.config)
        self.sessions = TokenSessions()
        self.refused: list[tuple[str, str, str]] = []
        self.plays = plays(self.archive) if plays else None
        self.site = application(
            self.archive, sessions(self.archive) if sessions else self.sessions, self._refuse, pages, self.plays
        )  # fmt: skip
        certificate, key = office.agency.issue(DeviceRole.OFFICE, "OFFICE-1").write(office.folder, "page")
        self._server = uvicorn.Server(settings(self.site, context(certificate, key), 5))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def _refuse(self, person: Person, action: str, code: str) -> None:
        self.refused.append((person.account, action, code))

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def browser(self, account: str = "", *roles: Role) -> Browser:
        """Of someone who is logged in; without an account, of nobody."""
        return Browser(self, self.sessions.log_in(account, *roles) if account else None)

    @contextlib.contextmanager
    def serving(self) -> Iterator[SiteKit]:
        self._thread.start()
        try:
            wait_for(lambda: self._server.started)
            yield self
        finally:
            self.site.stop()
            self._server.should_exit = True
            self._thread.join()
            self._socket.close()
            self.archive.close()
