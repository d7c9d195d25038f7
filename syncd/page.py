"""The page for a screen at the dock, read from two metres: each bay's number, camera, state in a word, bar, minutes.

Made whole here; the screen's script only fetches the bays anew each second, and says so when nobody answers any more.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator
from importlib import resources

from syncd.listener import Shown
from syncd.status import BayStatus, DockStatus
from syncd.table import minutes_left
from syncd.words import STATES, reason

_TILE_SHAPE = 1.35  # width of a bay's tile to its height, on a screen of 16 to 9
_SCREEN = 16 / 9


def pages(status: Callable[[], DockStatus]) -> dict[str, Shown]:
    """What the screen's listener shows, by path."""

    def packaged(name: str, kind: str) -> Shown:
        body = (resources.files("syncd") / "screen" / name).read_bytes()
        return lambda: (f"{kind}; charset=utf-8", body)

    return {
        "/": packaged("screen.html", "text/html"),
        "/screen.css": packaged("screen.css", "text/css"),
        "/screen.js": packaged("screen.js", "text/javascript"),
        "/bays": lambda: ("text/html; charset=utf-8", bays(status()).encode()),
    }


def bays(status: DockStatus) -> str:
    """The part of the page that changes."""
    columns = columns_for(len(status.bays))
    rows = math.ceil(len(status.bays) / columns)
    # Classes, not a style attribute: the page's policy lets nobody write styles.
    return "".join(
        [
            f'<main class="columns-{columns} rows-{rows}">',
            *(_tile(bay) for bay in status.bays),
            "</main>",
            _foot(status),
        ]
    )


def columns_for(count: int) -> int:
    """So many that the tiles fill the screen best."""
    return min(8, max(1, math.ceil(math.sqrt(count * _SCREEN / _TILE_SHAPE) - 0.25)))


def _tile(bay: BayStatus) -> str:
    return "".join(
        [
            f'<section class="bay {bay.lamp}"><header><b>{html.escape(bay.name)}</b>',
            f"<i>{html.escape(bay.camera or '')}</i></header>",
            f"<strong>{STATES[bay.state].zh}<small>{STATES[bay.state].en}</small></strong>",
            *_progress(bay),
            "</section>",
        ]
    )


def _progress(bay: BayStatus) -> Iterator[str]:
    if bay.code:
        words = reason(bay.code)
        yield f'<p class="reason">{words.zh}<small>{words.en}</small></p>'
    elif bay.state == "handing_in":
        minutes = minutes_left(bay.left_seconds)
        yield f'<p class="left">{"" if minutes is None else f"{minutes}<small>分 min</small>"}</p>'
    if bay.camera and bay.state not in {"empty", "done"}:
        yield f'<progress max="100" value="{bay.percent}">{bay.percent}%</progress>'


def _foot(status: DockStatus) -> str:
    told = [f"采集站 {html.escape(status.dock)}"]
    if status.office_code:
        told.append(f'<span class="bad">{html.escape(str(reason(status.office_code)))}</span>')
    else:
        told.append("档案库正常 office")
    segments = sum(one.segments for one in status.spool.waiting)
    if segments:
        told.append(f"暂存待送 {segments} 段 waiting")
    if status.broker_trouble:
        told.append('<span class="bad">消息不通 no messages</span>')
    return f"<footer>{' · '.join(told)}</footer>"
