"""What a request brought, as texts and files by field: from its path, its query, a form or JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from evidence import jose
from evidence.errors import EvidenceError
from office.errors import OfficeError
from office.site.actions import Action
from office.site.fields import Raw
from office.web import small_body

_FIELDS_LIMIT: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"
_SECONDS: Final = 60.0  # for a form to come in


async def sent(request: Request, action: Action) -> dict[str, list[str | UploadFile]]:
    """All that a request brought. Raises `OfficeError`."""
    found: dict[str, list[str | UploadFile]] = {name: [value] for name, value in request.path_params.items()}
    pairs: Iterable[tuple[str, str | UploadFile]]
    if action.method == "GET":
        pairs = _pairs(request.url.query)
    elif request.url.query:
        raise OfficeError("form", "what is sent stands in the body, not in the address", 400)
    else:
        pairs = await _body(request, action)
    for name, value in pairs:
        if name in action.parameters:
            raise OfficeError("form", f"{name} stands in the path", 400)
        found.setdefault(name, []).append(value)
    return found


async def _body(request: Request, action: Action) -> Iterable[tuple[str, str | UploadFile]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _multipart(request, action)
    body = await small_body(request, _SECONDS, action.body_limit)
    if not body:
        return ()
    if kind == "application/json":
        return _members(body)
    if kind != _FORM:
        raise OfficeError("content-type", f"send {_FORM}, multipart/form-data or application/json", 415)
    try:
        return _pairs(body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise OfficeError("form", "this is no form", 400) from error


async def _multipart(request: Request, action: Action) -> list[tuple[str, str | UploadFile]]:
    left = action.body_limit

    async def bounded() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise OfficeError("too-long", f"at most {action.body_limit} bytes are taken here", 413)
        return message

    try:
        form = await Request(request.scope, bounded).form(max_files=8, max_fields=_FIELDS_LIMIT)
    except (HTTPException, ValueError, KeyError, AssertionError) as error:
        raise OfficeError("form", "this is no form of parts", 400) from error
    return list(form.multi_items())


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_LIMIT, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise OfficeError("form", "this is no form", 400) from error


def _members(body: bytes) -> list[tuple[str, str]]:
    try:
        told = jose.parse_json(body)
    except EvidenceError as error:
        raise OfficeError("form", f"this is no JSON object: {error.message}", 400) from error
    lists = ((name, value if isinstance(value, list) else [value]) for name, value in told.items())
    return [(name, _text(name, one)) for name, several in lists for one in several]


def _text(name: str, value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | str():
            return str(value)
        case None:
            return ""
    raise OfficeError("form", f"{name}: text, a whole number, true, false, or a list of them", 400)


def raw(found: dict[str, list[str | UploadFile]], without: Iterable[str]) -> Raw:
    """The same without some."""
    return {name: value for name, value in found.items() if name not in without}
