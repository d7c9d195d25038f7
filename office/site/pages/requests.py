"""Requests to watch: ask, review, approve, register (rules 9, 22, 23 and 25)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from evidence import jose
from office import approval, viewing_lists
from office.approval import REASON_LIMIT
from office.person import Role
from office.site.actions import STAFF, Action
from office.site.call import Call
from office.site.fields import DEVICE, RECORDING, Field
from office.site.panel import Panel
from office.site.text import Text
from office.viewing import MAY_ASK, MAY_CLASSIFY, MAY_END
from office.viewing_rows import secrecy_of

PURPOSES: Final = {"case": Text("办案调阅", "For a case"), "supervision": Text("监督调阅", "Supervision")}
SECRECY: Final = {
    "open": Text("一般", "None"),
    "work": Text("工作秘密", "Work secret"),
    "commercial": Text("商业秘密", "Commercial secret"),
    "privacy": Text("个人隐私", "Privacy"),
    "state": Text("国家秘密", "State secret"),
}
STATES: Final = {
    "asked": Text("待审核", "To be reviewed"),
    "reviewed": Text("待批准", "To be approved"),
    "approved": Text("待登记", "To be registered"),
    "registered": Text("可调阅", "May be watched"),
    "refused": Text("未批准", "Refused"),
    "withdrawn": Text("已撤回", "Taken back"),
    "ended": Text("已终止", "Ended"),
}
_ASKERS: Final = frozenset(MAY_ASK)
_DIRECTOR: Final = frozenset({Role.DIRECTOR})
_LEADER: Final = frozenset({Role.CASE_LEADER})
_KEEPER: Final = frozenset({Role.KEEPER})
_HOURS: Final = (1, 7 * 24)
_DAY: Final = 24
_REQUEST: Final = Field("request", Text("申请号", "Request"), "number")
_NOTE: Final = Field("note", Text("意见", "Note"), "lines", required=False, limit=REASON_LIMIT)
_WHY: Final = Field("note", Text("理由", "Why"), "lines", limit=REASON_LIMIT)


def _requests(call: Call) -> Response:
    person = call.person
    with call.archive.database.read() as db:
        data: dict[str, Any] = {
            "waiting": viewing_lists.waiting(db, person),
            "own": viewing_lists.listed(db, person, own=True),
            "all": viewing_lists.listed(db, person, own=False) if person.roles & viewing_lists.SEE_ALL else None,
        }
    return call.page("viewing/list.html", {**data, **_words(call)})


def _ask_form(call: Call) -> Response:
    place = {"device": call["device"], "recording": call["recording"]}
    with call.archive.database.read() as db:
        secrecy = secrecy_of(db, call["device"], call["recording"])
    return call.page("viewing/ask.html", {**place, "secrecy": secrecy, **_words(call)})


def _ask(call: Call) -> Response:
    viewers = [name for name in re.split(r"[\s,，、;；]+", call["viewers"] or "") if name]
    request = call.archive.viewing.ask(
        call["device"], call["recording"], by=call.person.account, purpose=call["purpose"], reason=call["reason"],
        case=call["case"], viewers=viewers,
    )  # fmt: skip
    return _to(call, request, Text("申请已提交，待办公室主任审核", "Asked: the office director reviews it next"))


def _request(call: Call) -> Response:
    with call.archive.database.read() as db:
        row = viewing_lists.one(db, call["request"], call.person)
        mine = row["leaf_index"] in {each["leaf_index"] for each in viewing_lists.waiting(db, call.person)}
    return call.page("viewing/request.html", {"request": row, "next_is_mine": mine, "hours": _DAY, **_words(call)})


def _review(call: Call) -> Response:
    accepted = call["accepted"] == "yes"
    call.archive.viewing.review(call["request"], by=call.person.account, accepted=accepted, note=call["note"] or "")
    told = Text("已审核，待办案负责人批准", "Reviewed: the leader in charge approves next")
    return _to(call, call["request"], told if accepted else Text("已退回", "Refused"))


def _approve_form(call: Call) -> Response:
    """What is to be signed, until so many hours from now."""
    until = datetime.now(UTC) + timedelta(hours=call["hours"] or _DAY)
    statement, text = call.archive.viewing.statement(call["request"], by=call.person.account, until=until)
    given = {"request": call["request"], "signing_input": text}
    return call.page("viewing/approve.html", {"statement": statement, "given": given, **_words(call)})


def _approve(call: Call) -> Response:
    jws = approval.assemble(call["signing_input"], jose.unb64(call["signature"].encode()))
    call.archive.viewing.approve(call["request"], jws, by=call.person.account)
    return _to(call, call["request"], Text("已签名批准", "Signed and approved"))


def _refuse(call: Call) -> Response:
    call.archive.viewing.refuse(call["request"], by=call.person.account, note=call["note"])
    return _to(call, call["request"], Text("已作不批准处理", "Refused"))


def _withdraw(call: Call) -> Response:
    call.archive.viewing.withdraw(call["request"], by=call.person.account)
    return _to(call, call["request"], Text("申请已撤回", "Taken back"))


def _register(call: Call) -> Response:
    call.archive.viewing.register(call["request"], by=call.person.account)
    return _to(call, call["request"], Text("已登记，调阅人可在期限内观看", "Registered: it may be watched"))


def _end(call: Call) -> Response:
    call.archive.viewing.end(call["request"], by=call.person.account, note=call["note"])
    return _to(call, call["request"], Text("调阅已终止", "Ended"))


def _classify(call: Call) -> Response:
    place = {"device": call["device"], "recording": call["recording"]}
    call.archive.viewing.classify(**place, secrecy=call["secrecy"], by=call.person.account)
    return call.done(call.table["recording"].address(**place), Text("密级已登记", "The secrecy class is recorded"))


def _to(call: Call, request: int, told: Text) -> Response:
    return call.done(call.table["request"].address(request=request), told)


def _words(call: Call) -> dict[str, Any]:
    names = {member.account: member.person.name for member in call.archive.people.all()}
    return {} if call.wants_json else {"PURPOSES": PURPOSES, "SECRECY": SECRECY, "STATES": STATES, "names": names}


def _panel(call: Call, device: str, recording: str) -> dict[str, Any]:
    with call.archive.database.read() as db:
        found = viewing_lists.of_recording(db, device, recording)
        secrecy = secrecy_of(db, device, recording)
    if not call.person.roles & viewing_lists.SEE_ALL:
        found = [row for row in found if call.person.account in {row["requester"], *row["viewers"]}]
    return {"requests": found, "secrecy": secrecy, **_words(call)}


PANELS: Final = (Panel("viewing/panel.html", STAFF - {Role.TECHNICIAN}, _panel),)

ACTIONS: Final = (
    Action("requests", "GET", "/requests", Text("调阅审批", "Requests"), STAFF - {Role.TECHNICIAN}, _requests, menu=25),
    Action("ask-form", "GET", "/recordings/{device}/{recording}/ask", Text("申请调阅", "Ask to watch"), _ASKERS,
           _ask_form, fields=(DEVICE, RECORDING)),
    Action("ask", "POST", "/recordings/{device}/{recording}/ask", Text("申请调阅", "Ask to watch"), _ASKERS, _ask,
           fields=(
               DEVICE, RECORDING,
               Field("purpose", Text("性质", "Purpose"), "choice", choices=[*PURPOSES.items()]),
               Field("case", Text("案件", "Case"), required=False, limit=REASON_LIMIT,
                     hint=Text("办案调阅须填案号或案由", "Needed if it is for a case")),
               Field("reason", Text("事由", "Reason"), "lines", limit=REASON_LIMIT),
               Field("viewers", Text("调阅人账号", "Who watches"), required=False, limit=400,
                     hint=Text("仅涉密录像填写：逐一列出，最多五人", "For secrets: each account, five at most")),
           )),
    Action("request", "GET", "/requests/{request}", Text("调阅申请", "Request"), STAFF - {Role.TECHNICIAN}, _request,
           fields=(_REQUEST,)),
    Action("review", "POST", "/requests/{request}/review", Text("提交审核", "Record the review"), _DIRECTOR, _review,
           fields=(_REQUEST,
                   Field("accepted", Text("审核意见", "Review"), "choice", choices=(
                       ("yes", Text("同意，报办案负责人批准", "Agree: pass it on for approval")),
                       ("no", Text("不同意，退回", "Refuse")))),
                   _NOTE)),
    Action("approve-form", "GET", "/requests/{request}/approve", Text("去签名批准", "Go on to sign"), _LEADER,
           _approve_form, fields=(_REQUEST, Field("hours", Text("有效小时数", "Hours"), "number", required=False,
                                                  between=_HOURS))),
    Action("approve", "POST", "/requests/{request}/approve", Text("签名批准", "Sign and approve"), _LEADER, _approve,
           fields=(_REQUEST,
                   Field("signing_input", Text("批准书", "Statement"), "hidden", limit=16_384,
                         pattern=r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"),
                   Field("signature", Text("签名", "Signature"), "hidden", pattern="[A-Za-z0-9_-]{86}"))),
    Action("refuse", "POST", "/requests/{request}/refuse", Text("不予批准", "Refuse"), _LEADER, _refuse,
           fields=(_REQUEST, _WHY)),
    Action("withdraw", "POST", "/requests/{request}/withdraw", Text("撤回申请", "Take it back"), _ASKERS, _withdraw,
           fields=(_REQUEST,)),
    Action("register", "POST", "/requests/{request}/register", Text("登记调阅", "Register"), _KEEPER, _register,
           fields=(_REQUEST,)),
    Action("end-viewing", "POST", "/requests/{request}/end", Text("终止调阅", "End it now"), frozenset(MAY_END), _end,
           fields=(_REQUEST, _WHY)),
    Action("classify", "POST", "/recordings/{device}/{recording}/secrecy", Text("登记密级", "Record it"),
           frozenset(MAY_CLASSIFY), _classify,
           fields=(DEVICE, RECORDING, Field("secrecy", Text("密级", "Secrecy class"), "choice",
                                            choices=[one for one in SECRECY.items() if one[0] != "open"],
                                            hint=Text("登记后不能降低", "It is not taken back")))),
)  # fmt: skip

REFUSALS: Final = {
    "request-unknown": Text("没有此申请", "There is no such request"),
    "request-state": Text("此申请已进入别的环节", "This request has moved on"),
    "not-yours": Text("只有申请人能撤回", "Only who asked takes it back"),
    "no-approver-key": Text("您的签名密钥尚未登记或核对，见“本人”", "Your key is not confirmed yet: see You"),
    "approval-signature": Text("签名不符，请重新批准", "The signature does not hold: approve again"),
    "approval-differs": Text("申请内容已变化，请重新阅读后批准", "This is not what is asked for: read it again"),
    "approval-late": Text("页面停留过久，请重新批准", "The page was open for too long: approve again"),
    "secrecy-changed": Text("录像密级已变化，须重新申请", "The secrecy class has changed: ask again"),
    "term": Text("期限须在七天以内", "It lasts seven days at most"),
    "viewers": Text("涉密录像须列明调阅人，最多五人；一般录像由申请人调阅", "Secrets name who watches"),
    "case": Text("办案调阅须填写案件", "Name the case"),
    "reason": Text("请写明事由", "Give the reason"),
    "note": Text("意见过长", "The note is too long"),
    "secrecy": Text("密级不能降低或取消", "A secrecy class is not taken back"),
    "keyd-away": Text("密钥服务没有应答，请告知技术员", "The key service does not answer: tell the technician"),
    "keyd-missing": Text("未配置密钥服务，不能观看", "There is no key service: nothing can be watched"),
    "clock-back": Text("密钥服务的时钟不对，请告知技术员", "The key service's clock is wrong: tell the technician"),
}  # fmt: skip
