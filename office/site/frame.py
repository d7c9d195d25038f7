"""The frame of the page: who may come to a handler, with what, and how its answer goes out.

Each request passes the same gates in this order: action, session, role, form given out here (CSRF), fields. What is
refused is told to the person, and logged if a person can be named.
"""

from __future__ import annotations

import inspect
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from evidence.errors import EvidenceError
from office.archive import Archive
from office.errors import OfficeError
from office.person import Person
from office.reel import Reels
from office.site import forms
from office.site.actions import Action, Table
from office.site.call import (
    CSRF,
    CSRF_HEADER,
    FLASH,
    GUEST,
    LANGUAGE,
    TOKEN_BYTES,
    Call,
    csrf_holds,
    set_cookie,
)
from office.site.fields import FieldsError, values
from office.site.glance import Glance
from office.site.panel import Panel
from office.site.pictures import Pictures
from office.site.sessions import COOKIE, Sessions
from office.site.text import LANGUAGES, Language, Text
from office.watching import Plays

_log = logging.getLogger(__name__)
_UNKNOWN: Final = Text("操作未能完成", "This could not be done")
LOGIN: Final = "log-in"
"""Name of the action where people log in."""

Refused = Callable[[Person, str, str], None]
"""Told of each refusal: who, which action, which code."""

REFUSALS: Final[Mapping[str, Text]] = {
    "unknown-address": Text("没有这个页面", "There is no such page"),
    "not-allowed": Text("您的角色无权进行此操作", "Your role may not do this"),
    "logged-out": Text("请先登录", "Log in first"),
    "csrf": Text("页面已过期，请返回后重试", "This page is out of date: go back and try again"),
    "fields": Text("请改正下面标出的各项", "Correct what is marked below"),
    "form": Text("提交的内容不符合格式", "What was sent does not have the form asked for"),
    "content-type": Text("提交的内容不符合格式", "What was sent does not have the form asked for"),
    "too-long": Text("提交的内容过大", "What was sent is too large"),
    "recording-unknown": Text("没有这条录像", "There is no such recording"),
    "internal": Text("系统出错，请告知技术员", "A fault of the program: tell the technician"),
}


class Frame:
    """The page's frame over one archive. `refusals`: wordings for codes of `OfficeError`, beside those above.

    `panels`: cards on the page of a recording; `stopping`: set when the server ends, for answers that go on.
    """

    def __init__(
        self,
        archive: Archive,
        sessions: Sessions,
        table: Table,
        refused: Refused,
        refusals: Mapping[str, Text] | None = None,
        plays: Plays | None = None,
    ) -> None:
        self.archive = archive
        self.sessions = sessions
        self.table = table
        self.zone = archive.config.zone
        self.plays = plays
        self.reels = plays.reels if plays else Reels(archive)
        self.glance = Glance()
        self.panels: tuple[Panel, ...] = ()
        self.stopping = threading.Event()
        self._refused = refused
        self._refusals = {**REFUSALS, **(refusals or {})}
        self._pictures = Pictures(table, self.zone)

    async def answer(self, request: Request, action: Action | None) -> Response:
        """Answer a request; what goes wrong, too."""
        call = await run_in_threadpool(self._call, request, action)
        try:
            response = await self._through(call, action)
        except FieldsError as wrong:
            response = self._again(call, "fields", 422, wrong)
        except OfficeError as error:
            response = self._error(call, error)
        except EvidenceError as error:
            response = self._error(call, OfficeError(error.code, error.message, 422))
        except ClientDisconnect:
            return Response(status_code=408)  # nobody reads it
        except Exception:  # noqa: BLE001 - told to the person, whole in the log
            _log.exception("an error in the page's program")
            response = self._error(call, OfficeError("internal", "an error in the office's program", 500))
        if call.guest and GUEST not in request.cookies:
            set_cookie(response, GUEST, call.guest)
        return response

    def render(self, call: Call, template: str, data: Mapping[str, Any], status: int = 200) -> Response:
        """A page as HTML. What was told by the action before is shown once."""
        told = _told(call.request.cookies.get(FLASH))
        response = self._pictures.page(call, template, {"told": told, **data}, status)
        if told is not None:
            response.delete_cookie(FLASH, path="/", secure=True, httponly=True, samesite="lax")
        return response

    def part(self, call: Call, template: str, data: Mapping[str, Any]) -> str:
        """A part of a page as HTML."""
        return self._pictures.part(call, template, data)

    def refusal(self, error: OfficeError) -> Text:
        """How an error is told to people."""
        return self._refusals.get(error.code) or _UNKNOWN

    def _call(self, request: Request, action: Action | None) -> Call:
        token = request.cookies.get(COOKIE)
        session = self.sessions.find(token) if token else None
        guest = "" if session else request.cookies.get(GUEST) or secrets.token_urlsafe(TOKEN_BYTES)
        return Call(self, request, action, session, _language(request), guest=guest)

    async def _through(self, call: Call, action: Action | None) -> Response:
        if action is None:
            raise OfficeError("unknown-address", f"there is nothing at {call.request.url.path}", 404)
        if action.roles is not None and call.session is None:
            return self._to_log_in(call, action)
        if not action.allows(call.session.person if call.session else None):
            raise OfficeError("not-allowed", f"{action.name} is not for your role", 403)
        if action.method == "POST":
            _check_origin(call.request)
        found = await forms.sent(call.request, action)
        if action.method == "POST":
            _check_csrf(call, found)
        call.values = values(action.fields, forms.raw(found, {CSRF} if action.method == "POST" else ()), self.zone)
        if inspect.iscoroutinefunction(action.handler):
            response: Response = await action.handler(call)
            return response
        return await run_in_threadpool(action.handler, call)  # type: ignore[arg-type] # a plain function

    def _to_log_in(self, call: Call, action: Action) -> Response:
        if call.wants_json or action.method != "GET" or action.answers is not None:
            raise OfficeError("logged-out", "log in first", 401)
        where = call.request.url.path + (f"?{call.request.url.query}" if call.request.url.query else "")
        return RedirectResponse(f"{self.table[LOGIN].path}?next={quote(where, safe='/')}", status_code=303)

    def _error(self, call: Call, error: OfficeError) -> Response:
        if error.status >= 500:  # noqa: PLR2004 - the office's own fault
            _log.error("%s: %s", error.code, error.message)
        elif call.session is not None and call.action is not None:
            _log.warning("refused: %s", error.code, extra={"by": call.session.person.account, "act": call.action.name})
            self._refused(call.session.person, call.action.name, error.code)
        return self._again(call, error.code, error.status, error)

    def _again(self, call: Call, code: str, status: int, error: FieldsError | OfficeError) -> Response:
        """The form once more with what is wrong, or the page of an error."""
        text = self.refusal(error) if isinstance(error, OfficeError) else REFUSALS["fields"]
        wrong = error.errors if isinstance(error, FieldsError) else {}
        if call.wants_json or (call.action is not None and call.action.answers is not None):
            body = {"code": code, "message": call.say(text), "fields": call.plain(wrong)}
            if isinstance(error, OfficeError):
                body["detail"] = error.message
            return JSONResponse(body, status_code=status)
        detail = error.message if isinstance(error, OfficeError) else None
        data = {"code": code, "text": text, "errors": wrong, "detail": detail, "status": status, "labels": {}}
        if call.action is not None:
            data["labels"] = {field.name: field.label for field in call.action.fields}
        form = call.action
        if form is None or form.method != "POST" or not [*form.inputs] or code in ("not-allowed", "logged-out", "csrf"):
            return self.render(call, "error.html", data, status)
        given = error.given if isinstance(error, FieldsError) else call.values
        return self.render(call, "again.html", {**data, "given": {**call.request.path_params, **given}}, status)


def _language(request: Request) -> Language:
    found = request.cookies.get(LANGUAGE)
    return next((language for language in LANGUAGES if language == found), LANGUAGES[0])


def _check_origin(request: Request) -> None:
    """A browser says from where a form comes: none but this site's are taken."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"https://{request.headers.get('host', '')}":
        raise OfficeError("csrf", f"a form of {origin[:80]} is not taken here", 403)
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise OfficeError("csrf", "a form of another site is not taken here", 403)


def _check_csrf(call: Call, found: Mapping[str, Any]) -> None:
    token = call.request.cookies.get(COOKIE if call.session else GUEST)
    told = call.request.headers.get(CSRF_HEADER) or next(iter(found.get(CSRF, ())), "")
    if not isinstance(told, str) or not csrf_holds(token, told):
        raise OfficeError("csrf", "the form was not given out to this browser: load its page again", 403)


def _told(cookie: str | None) -> str | None:
    if not cookie:
        return None
    try:
        return cookie.encode("ascii").decode("unicode_escape")[:500]
    except (UnicodeDecodeError, UnicodeEncodeError):
        return None
