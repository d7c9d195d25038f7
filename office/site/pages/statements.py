"""Statements: why nothing was recorded (rule 6), why a recording was broken off (rule 15)."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from office import statements
from office.person import Role
from office.site.actions import STAFF, Action
from office.site.call import Call
from office.site.fields import DEVICE, RECORDING, Field
from office.site.pages.activities import ACTIVITY
from office.site.text import Text
from office.statements import CONCERNS, STATES, About, State
from office.words import GROUNDS

_REVIEWERS: Final = frozenset({Role.SECTION_HEAD, Role.DIRECTOR, Role.CASE_LEADER})
_AUTHORS: Final = frozenset({Role.OFFICER, Role.SECTION_HEAD})
_STATEMENT: Final = Field("statement", Text("编号", "Statement"), "number")
_GROUND: Final = Field(
    "ground",
    Text("情形", "Case"),
    "choice",
    choices=tuple(
        (name, Text(zh, en))
        for (name, zh), en in zip(
            GROUNDS.items(),
            ("Explosion hazard, no certified equipment", "Secrets or privacy", "Urgency", "Objectively impossible"),
            strict=True,
        )
    ),
)
_CONCERNS: Final = Field(
    "concerns",
    Text("事项", "About"),
    "choice",
    choices=(
        ("gap", Text(CONCERNS["gap"], "A gap")),
        ("stop", Text(CONCERNS["stop"], "A recording that could not go on")),
        ("unanswered", Text(CONCERNS["unanswered"], "A question that was not answered")),
    ),
)
_TEXT: Final = Field("reason", Text("原因", "Reason"), "lines")
_WORDS: Final = (
    _GROUND,
    _TEXT,
    Field("basis", Text("依据", "Basis"), "lines"),
    Field("leader", Text("报局主管领导", "Reported to the bureau's leader")),
)
_STATE_WORDS: Final = {
    State.WAITING: Text(STATES[State.WAITING], "Waits"),
    State.TAKEN: Text(STATES[State.TAKEN], "Taken"),
    State.RETURNED: Text(STATES[State.RETURNED], "Given back"),
    State.REPLACED: Text(STATES[State.REPLACED], "Replaced"),
}
_MARKS: Final = {"waiting": "warn", "taken": "ok", "returned": "bad", "replaced": ""}


def _words() -> dict[str, object]:
    return {"states": _STATE_WORDS, "marks": _MARKS, "concerns": CONCERNS, "grounds": dict(_GROUND.choices)}


def _statements(call: Call) -> Response:
    with call.archive.database.read() as db:
        found = statements.latest(db)
    if not call.person.roles - {Role.OFFICER}:
        found = [one for one in found if one["author"] == call.person.account]
    return call.page("casework/statements.html", {"statements": list(reversed(found)), **_words()})


def _statement(call: Call) -> Response:
    with call.archive.database.read() as db:
        found = statements.versions(db, call["statement"])
    last = found[-1]
    return call.page(
        "casework/statement.html",
        {
            "versions": found,
            "last": last,
            "own": last["author"] == call.person.account,
            **_words(),
        },
    )


def _of_activity(call: Call) -> Response:
    return _made(call, _state(call, About(activity=call["activity"])))


def _of_recording(call: Call) -> Response:
    return _made(call, _state(call, About(device=call["device"], recording=call["recording"])))


def _state(call: Call, about: About) -> int:
    words = (call["ground"], call["reason"], call["basis"], call["leader"])
    return statements.state_unrecorded(call.archive.book, call.person.account, about, *words)


def _explain(call: Call) -> Response:
    about = About(None, call["device"], call["recording"], call["gap"])
    return _made(
        call, statements.explain(call.archive.book, call.person.account, call["concerns"], about, call["reason"])
    )


def _reword(call: Call) -> Response:
    statements.reword(call.archive.book, call.person.account, call["statement"], call["reason"], call["basis"])
    return call.done(
        _address(call, call["statement"]), Text("新稿已提交，旧稿留存", "The new version waits; the old is kept")
    )


def _review(call: Call) -> Response:
    taken = call["verdict"] == "taken"
    statements.review(call.archive.book, call.person.account, int(call["version"]), taken=taken, note=call["note"])
    return call.done(
        _address(call, call["statement"]), Text("已采纳", "Taken") if taken else Text("已退回", "Given back")
    )


def _made(call: Call, leaf: int) -> Response:
    return call.done(_address(call, leaf), Text("已提交，待审阅", "It waits for its reviewer"))


def _address(call: Call, statement: int) -> str:
    return call.table["statement"].address(statement=statement)


ACTIONS: Final = (
    Action("statements", "GET", "/statements", Text("书面说明", "Statements"), STAFF, _statements, menu=44),
    Action(
        "statement",
        "GET",
        "/statements/{statement}",
        Text("书面说明", "Statement"),
        STAFF,
        _statement,
        fields=(_STATEMENT,),
    ),
    Action(
        "statement-activity",
        "POST",
        "/activities/{activity}/statement",
        Text("未记录说明（第六条）", "Why it was not recorded"),
        _AUTHORS,
        _of_activity,
        fields=(ACTIVITY, *_WORDS),
    ),
    Action(
        "statement-recording",
        "POST",
        "/recordings/{device}/{recording}/statement",
        Text("终止记录说明（第六条）", "Why recording was stopped"),
        _AUTHORS,
        _of_recording,
        fields=(DEVICE, RECORDING, *_WORDS),
    ),
    Action(
        "explain",
        "POST",
        "/recordings/{device}/{recording}/explain",
        Text("中断说明（第十五条）", "Explain in writing"),
        _AUTHORS,
        _explain,
        fields=(DEVICE, RECORDING, _CONCERNS, Field("gap", Text("中断编号", "Gap"), "number", required=False), _TEXT),
    ),
    Action(
        "statement-reword",
        "POST",
        "/statements/{statement}/reword",
        Text("提交新稿", "Write it anew"),
        _AUTHORS,
        _reword,
        fields=(_STATEMENT, _TEXT, Field("basis", Text("依据", "Basis"), "lines", required=False)),
    ),
    Action(
        "statement-review",
        "POST",
        "/statements/{statement}/review",
        Text("审阅", "Review"),
        _REVIEWERS,
        _review,
        fields=(
            _STATEMENT,
            Field("version", Text("稿件", "Version"), "hidden", pattern="[0-9]{1,12}"),
            Field(
                "verdict",
                Text("意见", "Verdict"),
                "choice",
                choices=(("taken", Text("采纳", "Take it")), ("returned", Text("退回", "Give it back"))),
            ),
            Field("note", Text("说明（退回必填）", "Note, owed if given back"), "lines", required=False),
        ),
    ),
)
REFUSALS: Final = {
    "statement-unknown": Text("没有这份说明", "There is no such statement"),
    "own-statement": Text("不得审阅本人的说明", "Nobody reviews a statement of his own"),
    "not-latest": Text("该稿不在待审之列，请重新打开", "This version does not wait: open it again"),
    "not-author": Text("仅作者本人可提交新稿", "Only its author writes it anew"),
    "taken": Text("已采纳，不得修改", "It was taken: make another statement"),
}
