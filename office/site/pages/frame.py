"""What belongs to the frame itself: the choice of language, the description for programs."""

from __future__ import annotations

from typing import Final

from starlette.responses import JSONResponse, Response

from office.site.actions import ANYONE, Action
from office.site.call import LANGUAGE, Call, set_cookie
from office.site.fields import Field
from office.site.openapi import describe
from office.site.text import Text

_YEAR = 365 * 24 * 3600
NEXT: Final = Field("next", Text("返回", "Back to"), "hidden", required=False, pattern=r"/(?![/\\])[!-~]*", limit=500)
"""An address of this site to go on to: never another site's."""


def _language(call: Call) -> Response:
    response = call.done(call["next"] or "/")
    set_cookie(response, LANGUAGE, call["to"], _YEAR)
    return response


def _openapi(call: Call) -> Response:
    return JSONResponse(describe(call.table))


ACTIONS: Final = (
    Action(
        "language", "POST", "/language", Text("语言", "Language"), ANYONE, _language,
        fields=(
            Field("to", Text("语言", "Language"), "choice",
                  choices=(("zh", Text("中文", "中文")), ("en", Text("English", "English")))),
            NEXT,
        ),
    ),
    Action(
        "openapi", "GET", "/openapi.json", Text("接口说明", "Description for programs"), ANYONE, _openapi,
        answers="application/json",
    ),
)  # fmt: skip
