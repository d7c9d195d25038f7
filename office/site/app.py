"""The page as one ASGI application: routes and description out of the table of actions, strict headers around all."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import ModuleType
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from office.archive import Archive
from office.site.actions import Action, Table, by_path
from office.site.frame import Frame, Refused
from office.site.pages import (
    activities,
    cases,
    inspections,
    log_in,
    overview,
    people,
    recordings,
    requests,
    statements,
    watch,
)
from office.site.pages import frame as frame_pages
from office.site.pictures import STATIC, static_files
from office.site.sessions import Sessions
from office.site.text import Text
from office.watching import Plays

PAGES: Final[tuple[ModuleType, ...]] = (
    frame_pages, log_in, overview, recordings, requests, watch, activities, statements, cases, inspections, people,
)  # fmt: skip
"""Modules of pages: each has `ACTIONS`, and may have `REFUSALS` (wordings for codes of `OfficeError`)."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "strict-transport-security": "max-age=31536000",
}
_FOREVER = "public, max-age=31536000, immutable"


def application(
    archive: Archive,
    sessions: Sessions,
    refused: Refused,
    pages: Iterable[ModuleType] = PAGES,
    plays: Plays | None = None,
) -> Site:
    """The application of the page over an archive; without `plays` nothing can be watched."""
    pages = [*pages]
    table = Table(action for module in pages for action in module.ACTIONS)
    wordings: dict[str, Text] = {}
    for module in pages:
        wordings.update(getattr(module, "REFUSALS", {}))
    frame = Frame(archive, sessions, table, refused, wordings, plays)
    frame.panels = tuple(panel for module in pages for panel in getattr(module, "PANELS", ()))
    routes = [Route(path, _handler(frame, actions), methods=["GET", "HEAD", "POST"]) for path, actions in
              by_path(table).items()]  # fmt: skip
    app = Starlette(
        routes=[Route(STATIC + "{name}", _static), *routes],
        exception_handlers={404: _nowhere(frame), 405: _nowhere(frame)},
    )
    app.router.redirect_slashes = False
    return Site(app, frame)


def _handler(frame: Frame, actions: Iterable[Action]) -> Callable[[Request], Awaitable[Response]]:
    by_method: Mapping[str, Action] = {action.method: action for action in actions}

    async def answer(request: Request) -> Response:
        return await frame.answer(request, by_method.get("GET" if request.method == "HEAD" else request.method))

    return answer


def _nowhere(frame: Frame) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, _: Exception) -> Response:
        return await frame.answer(request, None)

    return answer


async def _static(request: Request) -> Response:
    data = static_files().get(request.path_params["name"])
    if data is None:
        return Response(status_code=404)
    kind = mimetypes.guess_type(request.path_params["name"])[0]
    return Response(data, media_type=kind, headers={"Cache-Control": _FOREVER})


class Site:
    """The ASGI application. Every answer forbids browsers what the page never does: scripts of others, frames, keeping.

    `stop` before its server ends.
    """

    def __init__(self, app: ASGIApp, frame: Frame) -> None:
        self._app = app
        self._frame = frame

    def stop(self) -> None:
        """End the answers that go on, and what is watched."""
        self._frame.stopping.set()
        if self._frame.plays is not None:
            self._frame.plays.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, headed)
