"""Where people log in: the page; by which means they do is written in beside accounts and sessions."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from office.site.actions import ANYONE, Action
from office.site.call import Call
from office.site.frame import LOGIN
from office.site.pages.frame import NEXT
from office.site.text import Text


def _log_in(call: Call) -> Response:
    return call.page("log-in.html", {"next": call["next"]})


ACTIONS: Final = (Action(LOGIN, "GET", "/log-in", Text("登录", "Log in"), ANYONE, _log_in, fields=(NEXT,)),)
