"""Templates to HTML: the words, times and forms that every page has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from office.site import words as field_words
from office.site.actions import Table
from office.site.call import CSRF, Call
from office.site.text import ROLES, Text

STATIC = "/static/"


@cache
def static_files() -> Mapping[str, bytes]:
    """Style, scripts and icon, by name."""
    folder = resources.files("office.site") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@cache
def static_address(name: str) -> str:
    """Where a file is: another address after each change, so that browsers may keep it."""
    return f"{STATIC}{name}?v={hashlib.sha256(static_files()[name]).hexdigest()[:12]}"


class Pictures:
    """The templates of the page. They see `call`, `t(zh, en)`, `link(action, …)`, `form(action, …)` and filters."""

    def __init__(self, table: Table, zone: ZoneInfo) -> None:
        self._table = table
        self._zone = zone
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("office.site"), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters.update(when=self._when, lasting=lasting, size=size)
        self._templates.globals.update(static=static_address, ROLES=ROLES, W=field_words)

    def page(self, call: Call, template: str, data: Mapping[str, Any], status: int) -> Response:
        """A page of a template."""
        return HTMLResponse(self.part(call, template, data), status)

    def part(self, call: Call, template: str, data: Mapping[str, Any]) -> str:
        """The HTML of a template."""

        def t(zh: str | Text, en: str = "") -> str:
            return call.say(zh if isinstance(zh, Text) else Text(zh, en))

        def link(name: str, **values: Any) -> str:
            return self._table[name].address(**values)

        def form(
            name: str,
            given: Mapping[str, Any] | None = None,
            errors: Mapping[str, Text] | None = None,
            button: str | None = None,
            style: str | None = None,
        ) -> Markup:
            """Of an action: the values of its path and what is filled in already; words and class of its button."""
            told = {**words, "errors": errors or {}, "button": button, "style": style}
            return self._form(call, name, given or {}, told)

        words = {"call": call, "t": t, "link": link, "may": call.may, "form": form, "person": None}
        if call.session is not None:
            words["person"] = call.session.person
        words["menu"] = self._table.menu(call.session.person if call.session else None)
        return self._templates.get_template(template).render({**words, **data})

    def _form(self, call: Call, name: str, given: Mapping[str, Any], words: Mapping[str, Any]) -> Markup:
        """The form of an action; nothing for those who may not do it."""
        action = self._table[name]
        if not call.may(name):
            return Markup("")
        address = action.address(**{key: given[key] for key in action.parameters})
        told = {"action": action, "address": address, "given": given, "CSRF": CSRF}
        template = self._templates.get_template("form.html")
        return Markup(template.render({**words, **told}))  # noqa: S704 - the template escapes

    def _when(self, utc: str | None, form: str = "%Y-%m-%d %H:%M") -> Markup:
        """A time of the office's zone."""
        if utc is None:
            return Markup("—")
        try:
            local = datetime.fromisoformat(utc).astimezone(self._zone).strftime(form)
        except (ValueError, OverflowError):
            return escape(utc)
        return Markup('<time datetime="{}">{}</time>').format(utc, local)


def lasting(ms: int | None) -> str:
    """Milliseconds as people read them: 1:02:03."""
    if ms is None:
        return "—"
    minutes, seconds = divmod(int(ms) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def size(count: int | None) -> str:
    """Bytes as people read them."""
    value = float(count or 0)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if unit in ("B", "KB") else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
