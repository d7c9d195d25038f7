"""The first page: what goes on now."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from office.site.actions import STAFF, Action
from office.site.call import Call
from office.site.text import Text


def _overview(call: Call) -> Response:
    return call.page("overview.html")


ACTIONS: Final = (Action("overview", "GET", "/", Text("概览", "Overview"), STAFF, _overview, menu=10),)
