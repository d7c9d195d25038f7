"""Activities and worklists: what should have been recorded, what was, and what is missing (rules 5, 6, 10, 15)."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from office import activities, activity_table, cases, custody, entry, matching, notes, statements, worklists
from office.activities import Entry
from office.catalogue import utc
from office.listing import CAUSES
from office.person import Role
from office.site import period
from office.site.actions import STAFF, Action
from office.site.call import Call
from office.site.fields import DEVICE, RECORDING, Field
from office.site.text import Text
from office.words import KINDS

KEEPERS: Final = frozenset({Role.KEEPER, Role.DIRECTOR, Role.SECTION_HEAD})
LOOKERS: Final = KEEPERS | {Role.INSPECTOR, Role.CASE_LEADER}
ACTIVITY: Final = Field("activity", Text("活动编号", "Activity"), "number")
REASON: Final = Field("reason", Text("理由", "Reason"), "lines")
KIND: Final = Field(
    "kind",
    Text("类别", "Kind"),
    "choice",
    choices=tuple(
        (kind, Text(zh, en))
        for (kind, zh), en in zip(
            KINDS.items(),
            (
                "Routine inspection",
                "Complaint or report",
                "Case investigation",
                "Service of documents",
                "Coercive measure",
                "Other enforcement on site",
            ),
            strict=True,
        )
    ),
)
_OFFICERS: Final = Field(
    "officers",
    Text("执法人员警号", "Officers' numbers"),
    hint=Text("两人以上，用顿号或空格分开", "Two or more, with spaces between"),
)
LISTS: Final = {
    "unrecorded": Text(worklists.LISTS["unrecorded"], "Activities with neither recording nor statement"),
    "loose": Text(worklists.LISTS["loose"], "Recordings without an activity"),
    "unexplained": Text(worklists.LISTS["unexplained"], "Gaps without a reason"),
    "kindless": Text(worklists.LISTS["kindless"], "Recordings without a kind"),
    "statement-due": Text(worklists.LISTS["statement-due"], "Stops on privacy or secrecy without a statement"),
    "lone": Text(worklists.LISTS["lone"], "Recorded by one officer alone"),
}


def _worklists(call: Call) -> Response:
    since, until = period.of(call)
    with call.archive.database.read() as db:
        ledger = worklists.read(db, since, until, custody.sections(db, until))
    found = worklists.items(ledger, datetime.now(UTC), call.frame.zone)
    items = [{**dataclasses.asdict(one), "at": utc(one.at) if one.at else None} for one in found]
    by_list = {name: [one for one in items if one["list"] == name] for name in LISTS}
    return call.page("casework/worklists.html", {"lists": by_list, "names": LISTS, "causes": CAUSES, **_shown(call)})


def _activities(call: Call) -> Response:
    since, until = period.of(call)
    with call.archive.database.read() as db:
        ledger = worklists.read(db, since, until, custody.sections(db, until))
    rows = [
        {
            **row,
            "recordings": sum(one.why.sure for one in ledger.of(row["leaf_index"])),
            "recorders": matching.recorders(ledger.of(row["leaf_index"])),
        }
        for row in reversed(ledger.rows)
    ]
    return call.page("casework/activities.html", {"activities": rows, "kinds": dict(KIND.choices), **_shown(call)})


def _activity(call: Call) -> Response:
    with call.archive.database.read() as db:
        row = activities.one(db, call["activity"])
        begins = datetime.fromisoformat(row["begins"])
        ledger = worklists.read(db, begins - timedelta(hours=1), begins + timedelta(hours=1), custody.sections(db))
        made = [one for one in statements.latest(db) if one["activity"] == call["activity"]]
        told = notes.of(db, f"activity/{call['activity']}")
        numbers = [one["number"] for one in cases.all_of_them(db) if not one["closed"]]
    matches = ledger.of(call["activity"])
    whole = activities.as_activity(row)
    return call.page(
        "casework/activity.html",
        {
            "activity": row,
            "kinds": dict(KIND.choices),
            "statements": made,
            "notes": told,
            "cases": numbers,
            "covered": matching.covered(whole, matches),
            "recorders": matching.recorders(matches),
            "pairs": [(one.name, other.name) for one, other in matching.pairs(matches)],
            "matches": [
                {
                    "device": one.footage.device,
                    "recording": one.footage.recording,
                    "sure": one.why.sure,
                    "why": one.why.value,
                    "reason": one.reason,
                    "begins": utc(one.footage.begins) if one.footage.begins else None,
                    "ends": utc(one.footage.ends) if one.footage.ends else None,
                }
                for one in matches
            ],
        },
    )


def _enter(call: Call) -> Response:
    new = Entry(
        call["kind"],
        entry.text("地点 place", call["place"], entry.SHORT),
        call["begins"],
        call["ends"],
        entry.text("科室 section", call["section"], entry.SHORT),
        tuple(entry.several("执法人员 officers", call["officers"])),
        tuple(entry.several("当事人 parties", call["parties"])),
        entry.maybe("编号 number", call["number"], entry.SHORT),
    )
    leaf = activities.enter(call.archive.book, call.person.account, new)
    return call.done(_address(call, leaf), Text("已登记", "Entered"))


def _import(call: Call) -> Response:
    data = call["table"].file.read(activity_table.LIMIT + 1)
    done = activity_table.bring_in(call.archive.book, call.person.account, data, call.frame.zone)
    told = Text(
        f"登记 {len(done.entered)} 项，{len(done.known)} 项已在台账",
        f"{len(done.entered)} entered, {len(done.known)} were known",
    )
    return call.done(call.table["activities"].address(), told)


def _kind(call: Call) -> Response:
    activities.change_kind(call.archive.book, call.person.account, call["activity"], call["kind"], call["reason"])
    return call.done(
        _address(call, call["activity"]), Text("类别已变更，原类别留存", "Changed; the former kind is kept")
    )


def _recording_kind(call: Call) -> Response:
    activities.change_recording_kind(
        call.archive.book, call.person.account, call["device"], call["recording"], call["kind"], call["reason"]
    )
    return call.done(call.table["worklists"].address(), Text("类别已登记", "The kind is entered"))


def _set_aside(call: Call) -> Response:
    activities.set_aside(call.archive.book, call.person.account, call["activity"], call["reason"])
    return call.done(_address(call, call["activity"]), Text("已作废，登记内容留存", "Set aside; the entry is kept"))


def _link(call: Call) -> Response:
    activities.link(
        call.archive.book,
        call.person.account,
        call["activity"],
        call["device"],
        call["recording"],
        call["reason"],
        linked=call["linked"] == "yes",
    )
    return call.done(_address(call, call["activity"]), Text("已登记", "Entered"))


def _note(call: Call) -> Response:
    notes.add(call.archive.book, call.person.account, f"activity/{call['activity']}", call["text"])
    return call.done(_address(call, call["activity"]), Text("备注已存", "The note is kept"))


def _address(call: Call, activity: int) -> str:
    return call.table["activity"].address(activity=activity)


def _shown(call: Call) -> dict[str, Any]:
    since, until = period.of(call)
    return {"since": utc(since), "until": utc(until), "chosen": {"since": call["since"], "until": call["until"]}}


_PERIOD: Final = (period.SINCE, period.UNTIL)
ACTIONS: Final = (
    Action(
        "worklists", "GET", "/worklists", Text("待办清单", "Worklists"), LOOKERS, _worklists, fields=_PERIOD, menu=40
    ),
    Action(
        "activities", "GET", "/activities", Text("执法活动", "Activities"), STAFF, _activities, fields=_PERIOD, menu=42
    ),
    Action(
        "activity", "GET", "/activities/{activity}", Text("执法活动", "Activity"), STAFF, _activity, fields=(ACTIVITY,)
    ),
    Action(
        "activity-enter",
        "POST",
        "/activities",
        Text("登记执法活动", "Enter an activity"),
        KEEPERS | {Role.OFFICER},
        _enter,
        fields=(
            KIND,
            Field("place", Text("地点", "Place")),
            Field("begins", Text("开始", "Begin"), "time"),
            Field("ends", Text("结束", "End"), "time"),
            Field("section", Text("科室", "Section")),
            _OFFICERS,
            Field("parties", Text("当事人", "Parties"), required=False),
            Field("number", Text("文号", "Number"), required=False),
        ),
    ),
    Action(
        "activity-import",
        "POST",
        "/activity-tables",
        Text("导入台账", "Bring a table in"),
        KEEPERS,
        _import,
        fields=(
            Field(
                "table",
                Text("CSV 文件", "CSV file"),
                "file",
                hint=Text(
                    "首行为列名：编号、类别、地点、开始、结束、科室、执法人员、当事人；一行有误则全部不入",
                    "The first line names the columns; all lines are taken or none",
                ),
            ),
        ),
        body_limit=activity_table.LIMIT + 4096,
    ),
    Action(
        "activity-kind",
        "POST",
        "/activities/{activity}/kind",
        Text("变更类别", "Change its kind"),
        KEEPERS,
        _kind,
        fields=(ACTIVITY, KIND, REASON),
    ),
    Action(
        "activity-set-aside",
        "POST",
        "/activities/{activity}/set-aside",
        Text("作废", "Set aside"),
        KEEPERS,
        _set_aside,
        fields=(ACTIVITY, REASON),
    ),
    Action(
        "activity-link",
        "POST",
        "/activities/{activity}/link",
        Text("关联录像", "Link a recording"),
        KEEPERS,
        _link,
        fields=(
            ACTIVITY,
            DEVICE,
            RECORDING,
            Field(
                "linked",
                Text("关系", "Relation"),
                "choice",
                choices=(("yes", Text("属于该活动", "Is of this activity")), ("no", Text("不属于该活动", "Is not"))),
            ),
            REASON,
        ),
    ),
    Action(
        "activity-note",
        "POST",
        "/activities/{activity}/note",
        Text("添加备注", "Add a note"),
        STAFF,
        _note,
        fields=(ACTIVITY, Field("text", Text("内容", "Text"), "lines")),
    ),
    Action(
        "recording-kind",
        "POST",
        "/recordings/{device}/{recording}/kind",
        Text("录像类别", "Kind of a recording"),
        KEEPERS,
        _recording_kind,
        fields=(DEVICE, RECORDING, KIND, REASON),
    ),
)
REFUSALS: Final = {
    "activity-unknown": Text("没有这项执法活动，或已作废", "There is no such activity, or it was set aside"),
    "already-entered": Text("已经登记", "This is entered already"),
    "table": Text("台账有误，未导入任何一行", "The table has faults: nothing was taken in"),
    "entry": Text("填写内容不符合要求", "Something does not have the form asked for"),
}
