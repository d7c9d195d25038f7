"""`bodycam office alerts`: what cameras alerted of, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evidence.jose import Json
from office.listing import CAUSES, columns, local

WHATS = {
    **CAUSES, "notice_not_heard": "未听到告知", "explanation_due": "须书面说明", "camera_frozen": "画面停止",
    "camera_black": "没有图像",
}  # fmt: skip
_STANDINGS = {
    "told": "直接上报，尚未移交 told directly, not yet handed in",
    "confirmed": "先上报，后移交 told directly, then handed in",
    "handed_in": "随移交得知 told at hand-in",
    "contradicted": "移交的日志中没有，查明原因 not in the journal that was handed in: ask why",
}
_HEADINGS = ("时间 time", "设备 device", "事由 what", "录像 recording", "状况 standing", "说明 detail")


def describe(row: Mapping[str, Any]) -> Json:
    """One alert with stable keys. `standing`: `told` directly and not handed in yet, `confirmed` by the journal since.

    Or known at hand-in (`handed_in`); or `contradicted`: told directly, and not in the journal that was handed in.
    """
    if row["handed_in"]:
        standing = "confirmed" if row["told"] else "handed_in"
    else:
        standing = "contradicted" if row["covered"] else "told"
    names = ("device", "seq", "sha256", "at", "clock_source", "what", "recording", "detail", "told", "handed_in")
    return {"standing": standing, "signed": bool(row["signed"]), **{name: row[name] for name in names}}


def table(alerts: Sequence[Json]) -> str:
    """A table for people; times are the cameras' claims, in this machine's zone."""
    return columns([_HEADINGS, *map(_row, alerts)]) if alerts else "没有报警 no alerts\n"


def _row(alert: Json) -> tuple[str, ...]:
    what = alert["what"]
    return (
        local(alert["at"]) + ("" if alert["clock_source"] != "none" else "?"),
        alert["device"],
        f"{WHATS[what]} {what}" if what in WHATS else what,
        alert["recording"] or "—",
        _STANDINGS[alert["standing"]] + ("" if alert["signed"] else "，未签名 unsigned"),
        alert["detail"],
    )
