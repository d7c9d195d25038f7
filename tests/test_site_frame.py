"""The frame of the page: who comes through its gates, and what each answer forbids browsers."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from starlette.responses import Response

from office.errors import OfficeError
from office.person import Role
from office.site.actions import Action, Table
from office.site.app import PAGES
from office.site.call import Call
from office.site.fields import DEVICE, Field
from office.site.text import Text
from tests.office_kit import OfficeKit
from tests.site_kit import Browser, SiteKit

pytestmark = pytest.mark.net
NOTES = ModuleType("notes")


def _note(call: Call) -> Response:
    if call["text"] == "refuse":
        raise OfficeError("note-refused", "this note is refused", 409)
    return call.done("/", Text(f"已记：{call['text']}", "noted"))


KINDS = (("a", Text("甲", "A")), ("b", Text("乙", "B")))
NOTE = Action(
    "note", "POST", "/devices/{device}/note", Text("备注", "Note"), frozenset({Role.KEEPER}), _note,
    fields=(DEVICE, Field("text", Text("内容", "Text"), "lines"),
            Field("kind", Text("种类", "Kind"), "choice", choices=KINDS),
            Field("at", Text("时间", "Time"), "time", required=False)),
)  # fmt: skip
NOTES.ACTIONS = (NOTE,)  # type: ignore[attr-defined]
NOTES.REFUSALS = {"note-refused": Text("这条备注不予受理", "This note is refused")}  # type: ignore[attr-defined]
PATH = "/devices/BWC-0001/note"


def _given(browser: Browser) -> str:
    """What a page's form holds against forms of others."""
    return browser.get("/").text.split('name="csrf" value="')[1].split('"')[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteKit]:
    with SiteKit(OfficeKit(tmp_path_factory.mktemp("office")), (*PAGES, NOTES)).serving() as serving:
        yield serving


def test_who_is_not_logged_in_is_shown_where_to_and_comes_back(site: SiteKit) -> None:
    answer = site.browser().get("/?x=1")
    assert (answer.status, answer.headers["location"]) == (303, "/log-in?next=/%3Fx%3D1")
    assert site.browser().request("POST", PATH).status == 401
    assert site.browser().get(answer.headers["location"]).status == 200


def test_what_a_role_may_not_do_is_absent_and_refused(site: SiteKit) -> None:
    officer = site.browser("wang", Role.OFFICER)
    site.refused.clear()
    assert officer.post(PATH, text="x", kind="a").status == 403
    assert site.refused == [("wang", "note", "not-allowed")]


def test_every_answer_forbids_what_the_page_never_does(site: SiteKit) -> None:
    keeper = site.browser("li", Role.KEEPER)
    for path in ("/", "/nowhere", "/openapi.json", "/log-in"):
        headers = keeper.get(path).headers
        assert "'unsafe-inline'" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    page = keeper.get("/").text
    assert "style=" not in page
    assert "<script>" not in page


def test_a_form_of_another_browser_or_site_is_refused(site: SiteKit) -> None:
    keeper, other = site.browser("li", Role.KEEPER), site.browser("zhao", Role.KEEPER)
    assert keeper.post(PATH, csrf="", text="x", kind="a").status == 403
    stolen = _given(other)
    assert keeper.post(PATH, csrf=stolen, text="x", kind="a").status == 403
    body = f"csrf={_given(keeper)}&text=x&kind=a".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert keeper.request("POST", PATH, {**kind, "Origin": "https://evil.example"}, body).status == 403
    assert keeper.request("POST", PATH, {**kind, "Sec-Fetch-Site": "cross-site"}, body).status == 403
    assert keeper.request("POST", PATH, {**kind, "Origin": site.address}, body).status == 303


def test_what_is_told_after_an_act_is_shown_once(site: SiteKit) -> None:
    keeper = site.browser("li", Role.KEEPER)
    done = keeper.post(PATH, text='第一行; <b>"x", \\u0041', kind="a")
    assert (done.status, done.headers["location"]) == (303, "/")
    name, _, rest = done.headers["set-cookie"].partition("=")
    keeper.cookies[name] = rest.split(";")[0]
    shown = keeper.get("/")
    assert "已记：第一行; &lt;b&gt;&#34;x&#34;, \\u0041" in shown.text
    assert "__Host-told=" in shown.headers["set-cookie"]


def test_fields_are_checked_and_the_form_comes_back_with_what_was_sent(site: SiteKit) -> None:
    keeper = site.browser("li", Role.KEEPER)
    wrong = keeper.post(PATH, text="保留这句", kind="c")
    assert wrong.status == 422
    assert "保留这句" in wrong.text
    assert 'aria-invalid="true"' in wrong.text
    for fields in (
        {"text": ""},
        {"text": "x" * 2001},
        {"text": "a\u202eb"},
        {"text": "x", "extra": "1"},
        {"text": "x", "at": "31 Feb"},
    ):
        assert keeper.post(PATH, **{"kind": "a", **fields}).status == 422, fields
    assert keeper.post("/devices/..%2f..%2fetc/note", text="x", kind="a").status in (404, 422)


def test_a_refusal_of_the_office_is_told_in_its_words_with_the_form(site: SiteKit) -> None:
    keeper = site.browser("li", Role.KEEPER)
    refused = keeper.post(PATH, text="refuse", kind="b")
    assert refused.status == 409
    assert "这条备注不予受理" in refused.text
    assert '<option value="b" selected>' in refused.text


def test_programs_speak_json(site: SiteKit) -> None:
    keeper = site.browser("li", Role.KEEPER)
    token = _given(keeper)
    headers = {"Content-Type": "application/json", "Accept": "application/json", "X-CSRF": token}
    assert keeper.request("POST", PATH, headers, b'{"text": "x", "kind": "a"}').json["location"] == "/"
    refused = keeper.request("POST", PATH, headers, b'{"text": "refuse", "kind": "a"}')
    assert (refused.status, refused.json["code"]) == (409, "note-refused")
    wrong = keeper.request("POST", PATH, headers, b'{"text": {"a": 1}}')
    assert (wrong.status, wrong.json["code"]) == (400, "form")


def test_each_body_has_its_bound(site: SiteKit) -> None:
    keeper = site.browser("li", Role.KEEPER)
    many = b"csrf=x&text=" + b"x" * 70_000
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert keeper.request("POST", PATH, kind, many).status == 413
    parts = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + b"x" * 70_000 + b"\r\n--b--\r\n"
    assert keeper.request("POST", PATH, {"Content-Type": "multipart/form-data; boundary=b"}, parts).status in (400, 413)


def test_english_is_one_choice_away(site: SiteKit) -> None:
    keeper = site.browser("li", Role.KEEPER)
    chosen = keeper.post("/language", to="en", next="/")
    assert chosen.headers["location"] == "/"
    keeper.cookies["__Host-language"] = "en"
    page = keeper.get("/").text
    assert '<html lang="en">' in page
    assert "Overview" in page
    assert keeper.post("/language", to="en", next="//evil.example/").status == 422


def test_the_description_tells_all_actions(site: SiteKit) -> None:
    told = site.browser().json("/openapi.json")
    operation = told["paths"]["/devices/{device}/note"]["post"]
    assert operation["operationId"] == "note"
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["kind"]["enum"] == ["a", "b"]
    assert schema["required"] == ["text", "kind"]


def test_a_table_with_an_action_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Table([NOTE, NOTE])
