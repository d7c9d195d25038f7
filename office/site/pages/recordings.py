"""What was recorded: the list, and all that is known of one recording without opening it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.responses import Response

from office import axis, holdings
from office.catalogue import utc
from office.errors import OfficeError
from office.holdings import Wanted
from office.person import Role
from office.site.actions import STAFF, Action
from office.site.call import Call
from office.site.fields import DEVICE, RECORDING, Field
from office.site.text import Text
from office.site.words import ACTIVITIES

READERS: Final = STAFF - {Role.TECHNICIAN}
STATES: Final = {
    "complete": Text("已完整移交", "Handed in"),
    "incomplete": Text("未完整移交", "Not all handed in"),
    "gaps": Text("有中断", "With gaps"),
    "unexplained": Text("中断未说明原因", "With a gap without a reason"),
    "no_activity": Text("未选执法类别", "Without an activity"),
}
_PAGES = 100_000


def _list(call: Call) -> Response:
    since, before = (_midnight(call[name], days, call.frame.zone) for name, days in (("from", 0), ("to", 1)))
    wanted = Wanted(since, before, call["device"], call["activity"], call["state"])
    page = call["page"] or 1
    found, more = holdings.recordings(call.archive, wanted, page)
    around = {"earlier": page - 1 if page > 1 else None, "later": page + 1 if more else None}
    links = {name: number and _page(call, number) for name, number in around.items()}
    return call.page("recordings.html", {"recordings": found, "page": page, "asked": dict(call.values), **links})


def _page(call: Call, number: int) -> str:
    return call.table["recordings"].address(**{**call.values, "page": number})


def _midnight(date: str | None, days: int, zone: ZoneInfo) -> str | None:
    """The begin of a day of the county, or of a later one."""
    if date is None:
        return None
    return utc(datetime.fromisoformat(date).replace(tzinfo=zone) + timedelta(days=days))


def _recording(call: Call) -> Response:
    device, name = call["device"], call["recording"]
    found = holdings.recording(call.archive, device, name)
    if found is None:
        raise OfficeError("recording-unknown", f"no recording {name} of {device} was handed in", 404)
    held = {row["segment"] for row in found["segment_rows"] if row["received"] is not None}
    line = axis.lay(call.frame.reels.get(device, name), held)
    return call.page("recording.html", {"recording": found, "line": line, "panels": _panels(call, device, name)})


def _panels(call: Call, device: str, name: str) -> list[dict[str, Any]]:
    mine = (panel for panel in call.frame.panels if panel.roles & call.person.roles)
    told = ((panel.template, panel.data(call, device, name)) for panel in mine)
    return [{"template": template, **data} for template, data in told if data is not None]


ACTIONS: Final = (
    Action(
        "recordings", "GET", "/recordings", Text("录像", "Recordings"), READERS, _list, menu=20,
        fields=(
            Field("from", Text("自", "From"), "date", required=False),
            Field("to", Text("至", "To"), "date", required=False),
            Field("device", Text("设备", "Device"), required=False, pattern="[A-Z0-9-]{3,32}",
                  hint=Text("大写字母、数字和连字符", "Capitals, digits and hyphens")),
            Field("activity", Text("执法类别", "Activity"), "choice", required=False, choices=[*ACTIVITIES.items()]),
            Field("state", Text("状态", "State"), "choice", required=False, choices=[*STATES.items()]),
            Field("page", Text("页", "Page"), "number", required=False, between=(1, _PAGES)),
        ),
    ),
    Action(
        "recording", "GET", "/recordings/{device}/{recording}", Text("录像", "Recording"), READERS, _recording,
        fields=(DEVICE, RECORDING),
    ),
)  # fmt: skip
