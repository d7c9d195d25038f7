"""Watching: what one may watch, the player, and its bytes by ranges (rules 22 and 23)."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

from starlette.responses import JSONResponse, Response, StreamingResponse

from office.axis import Axis
from office.errors import OfficeError
from office.person import Role
from office.site.actions import Action
from office.site.call import Call
from office.site.fields import DEVICE, RECORDING, Field
from office.site.panel import Panel
from office.site.text import Text
from office.site.words import CAUSES, DETAILS, MOMENTS, REASONS
from office.watching import Play, Plays, Showing

VIEWERS: Final = frozenset({Role.OFFICER, Role.SECTION_HEAD, Role.DIRECTOR, Role.CASE_LEADER, Role.INSPECTOR})
_NAMED: Final = f"(?:{DEVICE.pattern})/(?:{RECORDING.pattern})"
_TOKEN: Final = Field("token", Text("地址", "Address"), pattern="[A-Za-z0-9_-]{43}")
_SHOWN: Final = Field("shown", Text("第几路", "Which"), "number", between=(0, 1))
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def _plays(call: Call) -> Plays:
    if call.frame.plays is None:
        raise OfficeError("no-player", "this office has no keyd: nothing can be watched", 503)
    return call.frame.plays


def _play(call: Call) -> Play:
    session = call.session
    if session is None:
        raise OfficeError("logged-out", "log in first", 401)
    return _plays(call).find(call["token"], session.id)


def _showing(call: Call) -> Showing:
    showings, number = _play(call).showings, int(call["shown"])
    if number >= len(showings):
        raise OfficeError("film-unknown", "this address shows fewer recordings", 404)
    return showings[number]


def _allowed(call: Call) -> Response:
    passes = [] if call.frame.plays is None else call.frame.plays.viewings.passes(call.person.account)
    return call.page("allowed.html", {"passes": passes})


def _begin(call: Call) -> Response:
    wanted = [_named(one) for one in (call["shown"], call["beside"]) if one is not None]
    if call.session is None:
        raise OfficeError("logged-out", "log in first", 401)
    play = _plays(call).begin(call.session.id, call.person.account, wanted)
    return call.done(call.table["watching"].address(token=play.token))


def _named(text: str) -> tuple[str, str]:
    device, _, recording = text.partition("/")
    return device, recording


def _watching(call: Call) -> Response:
    play = _play(call)
    starts = [showing.line.start_ms for showing in play.showings]
    known = [start for start in starts if start is not None]
    aligned = len(known) == len(starts)
    first = min(known, default=None)
    shown: list[dict[str, Any]] = [
        {
            "device": showing.given.device,
            "recording": showing.given.recording,
            "offset": (start - first) / 1000 if aligned and start is not None and first is not None else 0.0,
            "axis": line_of(call, showing.line),
            "base": f"/play/{play.token}/{number}/",
        }
        for number, (showing, start) in enumerate(zip(play.showings, starts, strict=True))
    ]
    for one in shown:
        one["events"] = sorted([*one["axis"]["holes"], *one["axis"]["moments"]], key=lambda event: event["begin"])
    until = min(showing.given.until for showing in play.showings)
    utc_offset = datetime.now(call.frame.zone).utcoffset()
    told = {"start_ms": first, "zone_ms": utc_offset.total_seconds() * 1000 if utc_offset else 0}
    data = {"token": play.token, "until": until, "aligned": aligned, "shown": shown, **told}
    return call.page("watch.html", {**data, "map": json.dumps({**told, "shown": shown})})


def line_of(call: Call, line: Axis) -> dict[str, Any]:
    """A recording's time line in words."""
    return {
        "length": line.length,
        "runs": [
            {"part": run.part, "begin": run.begin, "end": run.end, "media": run.media_from} for run in line.runs
        ],
        "holes": [
            {
                "begin": hole.begin, "end": hole.end, "open": hole.open, "least": hole.least,
                "cause": call.say(CAUSES.get(hole.cause, Text(hole.cause, hole.cause))),
                "reason": call.say(REASONS[hole.reason or "unanswered"]) if hole.cause != "missing" else None,
            }
            for hole in line.holes
        ],
        "moments": [
            {
                "begin": one.begin, "end": one.end, "kind": one.kind, "still": one.still,
                "name": call.say(MOMENTS.get(one.kind, Text(one.kind, one.kind))),
                "detail": call.say(DETAILS.get(one.detail, Text(one.detail, one.detail))) if one.detail else None,
            }
            for one in line.moments
        ],
    }  # fmt: skip


def _film(call: Call) -> Response:
    plays, showing = _plays(call), _showing(call)
    film = showing.film(call["part"])
    start, end, partial = asked_range(call.request.headers.get("range"), film.size)
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(end - start)}
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{film.size}"
    data = plays.watched(showing, film, start, end)
    return StreamingResponse(data, 206 if partial else 200, headers, "video/mp4")


def asked_range(header: str | None, size: int) -> tuple[int, int, bool]:
    """From where to before where, and whether that was asked for. Raises `OfficeError` ("range"). One range only."""
    if header is None:
        return 0, size, False
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return 0, size, False  # RFC 9110 §14.2: what is not understood is as if it were not there
    if not found[1]:
        start, end = max(size - int(found[2]), 0), size
    else:
        start, end = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
    if start >= end:
        raise OfficeError("range", f"bytes 0 to {size - 1} are here", 416)
    return start, end, True


def _still(call: Call) -> Response:
    return Response(_showing(call).still(call["number"]), media_type="image/jpeg")


def _alive(call: Call) -> Response:
    return JSONResponse({"until": min(showing.given.until for showing in _play(call).showings)})


def _end(call: Call) -> Response:
    if call.session is not None:
        _plays(call).end(call["token"], call.session.id)
    return call.done(
        call.table["allowed"].path, Text("已结束观看，起止时间已登记", "Viewing over; its times are recorded")
    )


def _panel(call: Call, device: str, recording: str) -> dict[str, Any] | None:
    if call.frame.plays is None:
        return None
    given = call.frame.plays.viewings.passes(call.person.account)
    mine = next((one for one in given if (one.device, one.recording) == (device, recording)), None)
    return None if mine is None else {"given": mine}


PANELS: Final = (Panel("watch-panel.html", VIEWERS, _panel),)
ACTIONS: Final = (
    Action("allowed", "GET", "/watch", Text("观看", "Watch"), VIEWERS, _allowed, menu=30),
    Action(
        "watch", "POST", "/watch", Text("开始观看", "Watch"), VIEWERS, _begin,
        fields=(Field("shown", Text("录像", "Recording"), pattern=_NAMED),
                Field("beside", Text("并排播放", "Side by side"), required=False, pattern=_NAMED)),
    ),
    Action("watching", "GET", "/watch/{token}", Text("观看录像", "Watching"), VIEWERS, _watching, fields=(_TOKEN,)),
    Action("watch-alive", "POST", "/watch/{token}/alive", Text("仍在观看", "Still watching"), VIEWERS, _alive,
           fields=(_TOKEN,), answers="application/json"),
    Action("watch-end", "POST", "/watch/{token}/end", Text("结束观看", "Stop watching"), VIEWERS, _end,
           fields=(_TOKEN,)),
    Action("film", "GET", "/play/{token}/{shown}/{part}", Text("影像", "Film"), VIEWERS, _film,
           fields=(_TOKEN, _SHOWN, Field("part", Text("段", "Part"), "number", between=(1, 99_999))),
           answers="video/mp4"),
    Action("still", "GET", "/play/{token}/{shown}/still/{number}", Text("快照", "Still"), VIEWERS, _still,
           fields=(_TOKEN, _SHOWN, Field("number", Text("号", "Number"), "number", between=(0, 99_999))),
           answers="image/jpeg"),
)  # fmt: skip
REFUSALS: Final = {
    "play-over": Text("播放地址已失效，请重新开始观看", "This address is over: begin to watch again"),
    "not-approved": Text("您没有经批准并登记的调阅", "No registered approval lets you watch this"),
    "approval-expired": Text("批准的观看时间已过", "The time that was approved is over"),
    "no-player": Text("密钥服务未运行，暂不能观看", "The key service does not run: nothing can be watched"),
    "film-empty": Text("这一段没有可播放的内容", "Nothing of this part can be played"),
    "film-unknown": Text("没有这一段", "There is no such part"),
    "still-unknown": Text("没有这张快照", "There is no such still"),
    "range": Text("请求的范围不存在", "There is no such range"),
}
