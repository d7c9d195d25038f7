"""One request of a person, as the handler of an action sees it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from office.archive import Archive
from office.person import Person
from office.site.actions import Action, Table
from office.site.sessions import COOKIE, Session
from office.site.text import Language, Text

if TYPE_CHECKING:
    from office.site.frame import Frame

GUEST: Final = "__Host-guest"
"""Stands in for a session's token in the forms of people who are not logged in."""
LANGUAGE: Final = "__Host-language"
FLASH: Final = "__Host-told"
CSRF: Final = "csrf"  # field of forms
CSRF_HEADER: Final = "x-csrf"  # for programs and scripts
TOKEN_BYTES: Final = 32


@dataclass
class Call:
    """Who asks for what. `values`: by field, checked; `session` is None only for actions that anyone may do."""

    frame: Frame
    request: Request
    action: Action | None
    session: Session | None
    language: Language
    values: Mapping[str, Any] = field(default_factory=dict)
    guest: str = ""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def archive(self) -> Archive:
        """What the office holds."""
        return self.frame.archive

    @property
    def table(self) -> Table:
        """All actions."""
        return self.frame.table

    @property
    def person(self) -> Person:
        """Who asks. Only for actions that are not for anyone."""
        if self.session is None:
            raise TypeError("this action is for anyone: nobody may be logged in")
        return self.session.person

    @property
    def csrf(self) -> str:
        """What forms must bring back: only pages that this browser was given know it."""
        return csrf_of(self.request.cookies.get(COOKIE) if self.session else self.guest)

    @property
    def here(self) -> str:
        """Where who asks is, to come back to: the page of a GET, else the first page."""
        if self.request.method != "GET":
            return "/"
        return self.request.url.path + (f"?{self.request.url.query}" if self.request.url.query else "")

    def in_menu(self, entry: Action) -> bool:
        """Whether this page belongs to an entry of the main menu."""
        path = self.request.url.path
        return path == entry.path or (entry.path != "/" and path.startswith(f"{entry.path}/"))

    @property
    def wants_json(self) -> bool:
        """Whether a program asks."""
        accept = self.request.headers.get("accept", "")
        return "application/json" in accept and "text/html" not in accept

    def may(self, name: str) -> bool:
        """Whether who asks may do this action at all; whether just now, its handler decides."""
        return self.table[name].allows(self.session.person if self.session else None)

    def say(self, text: Text) -> str:
        """A wording in the language of who asks."""
        return text.of(self.language)

    def page(self, template: str, data: Mapping[str, Any] | None = None, status: int = 200) -> Response:
        """A page; for programs, the data themselves. `data`: what JSON can hold, data classes, enums and `Text`."""
        data = data or {}
        if self.wants_json:
            return Answer(self.plain(data), status_code=status)
        return self.frame.render(self, template, data, status)

    def done(self, to: str, told: Text | None = None) -> Response:
        """After something was done: go on to an address of the page, where it is told. For programs: JSON."""
        if self.wants_json:
            return JSONResponse({"location": to, "told": self.say(told) if told else None})
        response = RedirectResponse(to, status_code=303)
        if told is not None:
            text = json.dumps(self.say(told)).replace(" ", "\\u0020").replace(";", "\\u003b").replace(",", "\\u002c")
            set_cookie(response, FLASH, text.strip('"').replace('\\"', "\\u0022"), 60)
        return response

    def plain(self, value: Any) -> Any:
        """A value as JSON has it."""
        match value:
            case Text():
                return self.say(value)
            case Enum():
                return value.value
            case Path():
                return str(value)
            case Mapping():
                return {str(name): self.plain(each) for name, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.plain(each) for each in value]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {each.name: self.plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        return value


class Answer(JSONResponse):
    """Data for programs."""


def csrf_of(token: str | None) -> str:
    """Told of a secret that only the browser holds; gives nothing of it away."""
    return hashlib.sha256(f"bodycam csrf {token}".encode()).hexdigest()[:40] if token else ""


def csrf_holds(token: str | None, sent: str) -> bool:
    """Whether a form was given out to who sends it."""
    return bool(token) and secrets.compare_digest(csrf_of(token).encode(), sent.encode())


def set_cookie(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """A cookie of this site alone, which no script reads; None: until the browser ends."""
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def log_in(response: Response, token: str, seconds: int) -> Response:
    """The browser has this session's token from now on."""
    set_cookie(response, COOKIE, token, seconds)
    return response


def log_out(response: Response) -> Response:
    """The browser forgets it."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response
