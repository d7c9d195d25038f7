"""People and their roles; one's own account and, for approvers, the key with which this browser signs."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from office.people import ACCOUNT, CONFIRMING
from office.person import Role
from office.roster import fingerprint
from office.site.actions import STAFF, Action
from office.site.call import Call
from office.site.fields import Field
from office.site.text import ROLES, Text

_SEES: Final = CONFIRMING | {Role.INSPECTOR}
_TECHNICIAN: Final = frozenset({Role.TECHNICIAN})
_ACCOUNT: Final = Field(
    "account", Text("账号", "Account"), pattern=ACCOUNT,
    hint=Text("字母、汉字、数字及 . @ - _，以后不能更改", "Letters, digits, . @ - _; it stays as it is"),
)  # fmt: skip
_ROLES: Final = Field("roles", Text("角色", "Roles"), "choices", required=False,
                      choices=tuple((role.value, ROLES[role]) for role in Role))  # fmt: skip
_NUMBER: Final = Field("number", Text("序号", "Number"), "number")


def _people(call: Call) -> Response:
    people = call.archive.people
    names = {member.account: member.person.name for member in people.all()}
    keys = [
        {"number": row["leaf_index"], "account": row["account"], "fingerprint": fingerprint(row["kid"]),
         "at": row["at"], "confirmed_by": row["confirmed_by"]}
        for row in people.approver_keys()
    ]  # fmt: skip
    waiting = [{**row, "roles": [Role(role) for role in row["roles"].split(",") if role]} for row in people.waiting()]
    return call.page(
        "people/list.html", {"people": people.all(), "names": names, "waiting": waiting, "keys": keys}
    )  # fmt: skip


def _member(call: Call) -> Response:
    member = call.archive.people.get(call["account"])
    return call.page("people/member.html", {"member": member})


def _add(call: Call) -> Response:
    account = call["account"]
    call.archive.people.add(
        account, call["name"], call["section"], number=call["number"], by=call.person.account
    )  # fmt: skip
    return call.page("people/invited.html", {"account": account, "code": call.archive.gate.accounts.invite(account)})


def _roles(call: Call) -> Response:
    at_once = call.archive.people.ask_roles(call["account"], call["roles"], by=call.person.account)
    told = Text("角色已更改", "The roles have changed") if at_once else Text(
        "已提交，须由另一人确认", "Another person must confirm this")  # fmt: skip
    return call.done(call.table["people"].path, told)


def _confirm(call: Call) -> Response:
    call.archive.people.confirm_roles(call["number"], by=call.person.account)
    return call.done(call.table["people"].path, Text("已确认", "Confirmed"))


def _leave(call: Call) -> Response:
    call.archive.people.leave(call["account"], by=call.person.account)
    call.archive.gate.accounts.remove(call["account"])
    return call.done(call.table["people"].path, Text("该人员不能再登录", "This person cannot log in any more"))


def _confirm_key(call: Call) -> Response:
    call.archive.people.confirm_key(call["number"], by=call.person.account)
    told = Text("已确认；还须在密钥进程的机器上登记", "Confirmed; it is enrolled with keyd at its machine next")
    return call.done(call.table["people"].path, told)


def _me(call: Call) -> Response:
    keys = [row for row in call.archive.people.approver_keys() if row["account"] == call.person.account]
    newest = keys[-1] if keys else None
    key = None
    if newest is not None:
        key = {"fingerprint": fingerprint(newest["kid"]), "at": newest["at"], "confirmed_by": newest["confirmed_by"]}
    return call.page("people/me.html", {"key": key, "member": call.archive.people.get(call.person.account)})


def _key(call: Call) -> Response:
    call.archive.people.enter_key(call.person.account, call["spki"])
    return call.done(
        call.table["me"].path, Text("密钥已登记，请当面请另一人核对指纹", "Have another person compare the fingerprint")
    )  # fmt: skip


ACTIONS: Final = (
    Action("people", "GET", "/people", Text("人员", "People"), _SEES, _people, menu=90),
    Action("person", "GET", "/people/{account}", Text("人员", "Person"), _SEES, _member, fields=(_ACCOUNT,)),
    Action("person-add", "POST", "/people", Text("登记人员", "Enter a person"), _TECHNICIAN, _add, fields=(
        _ACCOUNT,
        Field("name", Text("姓名", "Name"), limit=64),
        Field("section", Text("科室", "Section"), limit=64),
        Field("number", Text("警号", "Officer number"), limit=64, required=False),
    )),
    Action("roles-ask", "POST", "/people/{account}/roles", Text("更改角色", "Change roles"), _TECHNICIAN, _roles,
           fields=(_ACCOUNT, _ROLES)),
    Action("roles-confirm", "POST", "/people/asked/{number}/confirm", Text("确认", "Confirm"), CONFIRMING, _confirm,
           fields=(_NUMBER,)),
    Action("person-leave", "POST", "/people/{account}/leave", Text("离任", "Has left"), _TECHNICIAN, _leave,
           fields=(_ACCOUNT,)),
    Action("key-confirm", "POST", "/approver-keys/{number}/confirm", Text("指纹相符", "The fingerprint is right"),
           CONFIRMING, _confirm_key, fields=(_NUMBER,)),
    Action("me", "GET", "/me", Text("本人", "You"), STAFF, _me),
    Action("key-enter", "POST", "/me/key", Text("登记密钥", "Enter this key"), frozenset({Role.CASE_LEADER}), _key,
           fields=(Field("spki", Text("公钥", "Public key"), "hidden", pattern="[A-Za-z0-9_-]{40,400}",
                         limit=400),)),
)  # fmt: skip

REFUSALS: Final = {
    "account": Text("账号、姓名、科室不符合要求", "Account, name or section has another form"),
    "account-taken": Text("已有此账号", "There is such an account already"),
    "person-unknown": Text("没有此人", "There is no such person"),
    "own-roles": Text("不能更改自己的角色", "Nobody gives himself roles"),
    "same-person": Text("申请、审核、批准、登记、调阅须为不同的人", "Who takes these steps must be different people"),
    "nothing-asked": Text("没有待确认的事项", "Nothing waits for that"),
    "not-your-role": Text("您的角色无权进行此操作", "Your role may not do this"),
    "approver-key": Text("这不是有效的公钥", "This is no valid key"),
}
