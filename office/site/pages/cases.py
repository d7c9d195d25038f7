"""Cases, what is preserved on a complaint (rule 9), and material of other devices (rule 2)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from starlette.responses import Response

from office import cases, foreign, notes
from office.person import Role
from office.site.actions import Action
from office.site.call import Call
from office.site.fields import DEVICE, RECORDING, Field
from office.site.pages.activities import KEEPERS, LOOKERS, REASON
from office.site.text import Text

_LEADERS: Final = frozenset({Role.CASE_LEADER, Role.DIRECTOR})
_HOLDERS: Final = KEEPERS | {Role.INSPECTOR, Role.CASE_LEADER}
_GIGABYTE: Final = 1024**3
_NUMBER: Final = Field("number", Text("案号", "Number"), limit=120)
_HOLD: Final = Field("hold", Text("保全编号", "Hold"), "number")


def _cases(call: Call) -> Response:
    with call.archive.database.read() as db:
        found, held = cases.all_of_them(db), cases.holds(db)
        brought = foreign.all_of_them(db)
    return call.page("casework/cases.html", {"cases": found, "holds": held, "foreign": brought})


def _case(call: Call) -> Response:
    with call.archive.database.read() as db:
        found = cases.one(db, call["number"])
        brought = foreign.all_of_them(db, call["number"])
        told = notes.of(db, f"case/{call['number']}")
    return call.page("casework/case.html", {"case": found, "foreign": brought, "notes": told})


def _open(call: Call) -> Response:
    cases.open_case(call.archive.book, call.person.account, call["number"], call["title"], call["leader"])
    return _done(call, Text("已立案", "The case is open"))


def _bind(call: Call) -> Response:
    cases.bind(
        call.archive.book, call.person.account, call["number"], call["device"], call["recording"], call["reason"]
    )
    return _done(call, Text("已附卷，随案卷保存", "Bound: kept as long as the case file"))


def _bind_activity(call: Call) -> Response:
    cases.bind_activity(call.archive.book, call.person.account, call["number"], call["activity"])
    return _done(call, Text("已关联", "Linked"))


def _close(call: Call) -> Response:
    until = datetime.fromisoformat(call["until"]).replace(tzinfo=call.frame.zone) if call["until"] else None
    cases.close_case(call.archive.book, call.person.account, call["number"], until, call["reason"])
    return _done(call, Text("已结案", "The case is closed"))


def _note(call: Call) -> Response:
    notes.add(call.archive.book, call.person.account, f"case/{call['number']}", call["text"])
    return _done(call, Text("备注已存", "The note is kept"))


def _hold(call: Call) -> Response:
    cases.hold(call.archive.book, call.person.account, call["device"], call["recording"], call["reason"])
    return _listed(call, Text("已保全，不得处置", "Preserved from now on"))


def _ask(call: Call) -> Response:
    cases.ask_release(call.archive.book, call.person.account, call["hold"], call["reason"])
    return _listed(call, Text("已申请，须由另一人解除", "Asked for: another person has to release it"))


def _release(call: Call) -> Response:
    cases.release(call.archive.book, call.person.account, call["hold"], call["reason"])
    return _listed(call, Text("已解除", "Released"))


def _foreign(call: Call) -> Response:
    file = call["file"]
    foreign.bring_in(
        call.archive.book,
        call.archive.config.data,
        call.person.account,
        file.file,
        file.filename or "",
        call["source"],
        call["reason"],
        case=call["case"],
    )
    return _listed(call, Text("已入库，标为外来材料，未经核验", "Kept, as foreign material that nothing verifies"))


def _done(call: Call, told: Text) -> Response:
    return call.done(call.table["case"].address(number=call["number"]), told)


def _listed(call: Call, told: Text) -> Response:
    return call.done(call.table["cases"].address(), told)


ACTIONS: Final = (
    Action("cases", "GET", "/cases", Text("案件与保全", "Cases and holds"), LOOKERS, _cases, menu=46),
    Action("case", "GET", "/case", Text("案件", "Case"), LOOKERS, _case, fields=(_NUMBER,)),
    Action(
        "case-open",
        "POST",
        "/cases",
        Text("立案", "Open a case"),
        _LEADERS | {Role.KEEPER},
        _open,
        fields=(_NUMBER, Field("title", Text("案由", "Title")), Field("leader", Text("办案负责人", "Case leader"))),
    ),
    Action(
        "case-bind",
        "POST",
        "/case/recordings",
        Text("录像附卷", "Bind a recording"),
        _LEADERS | {Role.KEEPER},
        _bind,
        fields=(_NUMBER, DEVICE, RECORDING, REASON),
    ),
    Action(
        "case-activity",
        "POST",
        "/case/activities",
        Text("关联执法活动", "Link an activity"),
        _LEADERS | {Role.KEEPER},
        _bind_activity,
        fields=(_NUMBER, Field("activity", Text("活动编号", "Activity"), "number")),
    ),
    Action(
        "case-close",
        "POST",
        "/case/close",
        Text("结案", "Close the case"),
        _LEADERS,
        _close,
        fields=(
            _NUMBER,
            Field(
                "until",
                Text("案卷保存至", "The file is kept until"),
                "date",
                required=False,
                hint=Text("不填：永久保存", "Empty: for good"),
            ),
            REASON,
        ),
    ),
    Action(
        "case-note",
        "POST",
        "/case/notes",
        Text("添加备注", "Add a note"),
        LOOKERS,
        _note,
        fields=(_NUMBER, Field("text", Text("内容", "Text"), "lines")),
    ),
    Action(
        "hold",
        "POST",
        "/holds",
        Text("证据保全（第九条）", "Preserve a recording"),
        _HOLDERS,
        _hold,
        fields=(DEVICE, RECORDING, Field("reason", Text("投诉事由", "The complaint"), "lines")),
    ),
    Action(
        "hold-ask-release",
        "POST",
        "/holds/{hold}/ask",
        Text("申请解除", "Ask for its release"),
        _HOLDERS,
        _ask,
        fields=(_HOLD, REASON),
    ),
    Action(
        "hold-release",
        "POST",
        "/holds/{hold}/release",
        Text("解除保全", "Release"),
        _LEADERS,
        _release,
        fields=(_HOLD, REASON),
    ),
    Action(
        "foreign",
        "POST",
        "/foreign",
        Text("外来材料入库", "Keep foreign material"),
        _HOLDERS,
        _foreign,
        fields=(
            Field("file", Text("文件", "File"), "file"),
            Field("source", Text("来源设备或人员", "From which device or person")),
            Field("case", Text("案号", "Case"), required=False),
            REASON,
        ),
        body_limit=8 * _GIGABYTE,
    ),
)
REFUSALS: Final = {
    "case-unknown": Text("没有这个案件", "There is no such case"),
    "case-closed": Text("案件已结", "The case is closed"),
    "case-bound-already": Text("录像已在卷", "The recording is in the case already"),
    "hold-unknown": Text("没有有效的保全", "There is no such hold in force"),
    "two-people": Text(
        "解除保全须由两人办理：一人申请，另一人解除", "Two people release a hold: one asks, another one does"
    ),
    "retention-down": Text("保存期限只能延长", "A term is only ever lengthened"),
}
