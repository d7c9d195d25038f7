"""The first page: what goes on now, told again as it changes (server-sent events)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from office import holdings
from office.site.actions import STAFF, Action
from office.site.call import Call
from office.site.text import Text

_LOOK_SECONDS: Final = 1.0
_REST_SECONDS: Final = 15.0  # without news: a word that keeps the connection
_STREAM_SECONDS: Final = 900.0
"""Then a page that nobody touches stops asking, and its session can run out."""


def _overview(call: Call) -> Response:
    return call.page("overview.html", {"now": call.frame.glance.at(call.archive)})


async def _live(call: Call) -> Response:
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_news(call), media_type="text/event-stream", headers=headers)


async def _news(call: Call) -> AsyncIterator[str]:
    shown: holdings.Row | None = None
    begin = said = time.monotonic()
    while time.monotonic() - begin < _STREAM_SECONDS and not call.frame.stopping.is_set():
        found = await run_in_threadpool(call.frame.glance.at, call.archive)
        if found != shown:
            shown, said = found, time.monotonic()
            html = await run_in_threadpool(call.frame.part, call, "live.html", {"now": found})
            yield f"data: {json.dumps(html)}\n\n"
        elif time.monotonic() - said > _REST_SECONDS:
            said = time.monotonic()
            yield ": \n\n"
        await asyncio.sleep(_LOOK_SECONDS)
    yield "event: over\ndata: \n\n"


ACTIONS: Final = (
    Action("overview", "GET", "/", Text("概览", "Overview"), STAFF, _overview, menu=10),
    Action(
        "overview-live", "GET", "/live", Text("概览的变化", "Changes of the overview"), STAFF, _live,
        answers="text/event-stream",
    ),
)  # fmt: skip
