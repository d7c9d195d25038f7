"""Where people log in and take over their account."""

from __future__ import annotations

import secrets
from typing import Any, Final

import segno
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from office.accounts import PASSWORD, factor_address
from office.errors import OfficeError
from office.gate import OIDC
from office.oidc import BACK, Oidc
from office.people import ACCOUNT
from office.person import Role
from office.sessions import LAST_SECONDS
from office.site.actions import ANYONE, Action
from office.site.call import Call, log_in, log_out, set_cookie
from office.site.fields import Field
from office.site.frame import LOGIN
from office.site.pages.frame import NEXT
from office.site.sessions import COOKIE
from office.site.text import Text

_STATE: Final = "__Host-oidc"
_STATE_SECONDS: Final = 600
_ACCOUNT: Final = Field("account", Text("账号", "Account"), pattern=ACCOUNT, autocomplete="username")
_PASSWORD: Final = Field("password", Text("口令", "Password"), "password", autocomplete="current-password",
                         limit=PASSWORD[1])  # fmt: skip
_DIGITS: Final = Field("digits", Text("动态验证码", "Code of your authenticator"), pattern="[0-9]{6}",
                       hint=Text("身份验证器显示的 6 位数字", "The 6 digits that your authenticator shows"),
                       autocomplete="one-time-code")  # fmt: skip
_CODE: Final = Field("code", Text("开户码", "Code that the technician gave you"), pattern="[0-9a-fA-F]{20}")
_CODE_AGAIN: Final = Field("code", _CODE.label, "hidden", pattern=_CODE.pattern)
_ACCOUNT_AGAIN: Final = Field("account", _ACCOUNT.label, "hidden", pattern=ACCOUNT)
_NEW: Final = Field("password", Text("设置口令", "Choose a password"), "password", autocomplete="new-password",
                    hint=Text(f"至少 {PASSWORD[0]} 个字符，可用一句话", f"{PASSWORD[0]} characters at least"),
                    limit=PASSWORD[1])  # fmt: skip


def _log_in(call: Call) -> Response:
    return call.page("log-in.html", {"next": call["next"], "oidc": call.archive.gate.oidc is not None})


def _enter(call: Call) -> Response:
    token = call.archive.gate.log_in(call["account"], call["password"], call["digits"])
    return log_in(call.done(call["next"] or "/"), token, LAST_SECONDS)


def _provider(call: Call) -> Oidc:
    if call.archive.gate.oidc is None:
        raise OfficeError("unknown-address", "no provider is configured", 404)
    return call.archive.gate.oidc


def _go(call: Call) -> Response:
    """To the provider; its answer counts in this browser alone."""
    address, state = _provider(call).begin(call["next"] or "/")
    response = RedirectResponse(address, status_code=303)
    set_cookie(response, _STATE, state, _STATE_SECONDS)
    return response


def _back(call: Call) -> Response:
    mine = call.request.cookies.get(_STATE, "")
    if call["code"] is None or not secrets.compare_digest(mine.encode(), call["state"].encode()):
        raise OfficeError("log-in", "the provider refused, or this log-in was begun in another browser", 403)
    account, to = _provider(call).finish(call["code"], call["state"])
    response = log_in(call.done(to), call.archive.gate.admit(account, OIDC), LAST_SECONDS)
    response.delete_cookie(_STATE, path="/", secure=True, httponly=True, samesite="lax")
    return response


def _leave(call: Call) -> Response:
    call.archive.gate.log_out(call.request.cookies.get(COOKIE, ""))
    return log_out(call.done(call.table[LOGIN].path, Text("已退出", "You have logged out")))


def _take_over(call: Call) -> Response:
    return call.page("take-over.html")


def _factor(call: Call) -> Response:
    """Shows the second factor to who has the code; nothing counts before it was used once."""
    factor = call.archive.gate.accounts.begin(call["account"], call["code"])
    address = factor_address(call["account"], factor, call.archive.office)
    picture = segno.make(address).svg_inline(scale=5, border=2, dark="#000", light="#fff")
    told: dict[str, Any] = {"factor": factor, "picture": Markup(picture)}  # noqa: S704 - of squares alone
    return call.page("factor.html", {**told, "given": {"account": call["account"], "code": call["code"]}})


def _enrol(call: Call) -> Response:
    gate = call.archive.gate
    gate.accounts.enrol(call["account"], call["code"], call["password"], call["digits"])
    return call.done(call.table[LOGIN].path, Text("账号已启用，请登录", "Your account is ready: log in"))


ACTIONS: Final = (
    Action(LOGIN, "GET", "/log-in", Text("登录", "Log in"), ANYONE, _log_in, fields=(NEXT,)),
    Action("log-in-local", "POST", "/log-in", Text("登录", "Log in"), ANYONE, _enter,
           fields=(_ACCOUNT, _PASSWORD, _DIGITS, NEXT)),
    Action("log-in-oidc", "GET", "/log-in/oidc", Text("统一身份认证登录", "Log in by the county"), ANYONE, _go,
           fields=(NEXT,)),
    Action("log-in-oidc-back", "GET", BACK, Text("登录", "Log in"), ANYONE, _back, fields=(
        Field("state", Text("状态", "State"), "hidden", limit=100), *(
            Field(name, Text(name, name), "hidden", required=False, limit=4096)
            for name in ("code", "iss", "session_state", "scope", "error", "error_description", "error_uri")),
    )),
    Action("log-out", "POST", "/log-out", Text("退出", "Log out"), frozenset(Role), _leave),
    Action("take-over", "GET", "/take-over", Text("启用账号", "Take over your account"), ANYONE, _take_over),
    Action("factor", "POST", "/take-over", Text("下一步", "Next"), ANYONE, _factor, fields=(_ACCOUNT, _CODE)),
    Action("enrol", "POST", "/take-over/password", Text("启用账号", "Take over your account"), ANYONE, _enrol,
           fields=(_ACCOUNT_AGAIN, _CODE_AGAIN, _NEW, _DIGITS)),
)  # fmt: skip

REFUSALS: Final = {
    "log-in": Text("账号、口令或验证码不正确", "Account, password or code is wrong"),
    "locked": Text("尝试次数过多，请十分钟后再试", "Too many tries: wait ten minutes"),
    "code-expired": Text("开户码已过期，请技术员重新发放", "This code has expired: ask the technician for another"),
    "oidc-away": Text("统一身份认证没有应答", "The county's log-in does not answer"),
    "password": Text("口令长度不符合要求", "The password is too short or too long"),
}
