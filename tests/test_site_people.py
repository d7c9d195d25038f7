"""Log-in, people and requests by direct requests to the page: what is not allowed is refused, and logged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from evidence import age, jose, pki
from office import approval
from office.people import People
from office.site.call import csrf_of
from office.site.sessions import COOKIE
from office.viewing import Viewing
from tests.agency import new_key
from tests.footage import Camera
from tests.office_kit import OfficeKit, running
from tests.people_kit import raw_signature, spki
from tests.site_kit import Browser, PageAnswer, SiteKit

pytestmark = [pytest.mark.net, pytest.mark.long]
PASSWORD = "六个好记的词，连成一句话"  # noqa: S105 - of tests
PEOPLE = {
    "zhang": ["officer"], "sun": ["officer"], "wang": ["director"], "li": ["case_leader"], "qian": ["keeper"],
    "wu": ["technician"],
}  # fmt: skip


@dataclass
class Town:
    """An office's page whose people log in with their accounts."""

    site: SiteKit
    place: str  # of the recording, on the page
    factors: dict[str, str]
    browsers: dict[str, Browser]

    @property
    def people(self) -> People:
        return self.site.archive.people

    @property
    def viewing(self) -> Viewing:
        return self.site.archive.viewing

    def acts(self, act: str) -> list[dict[str, object]]:
        return [leaf for _, leaf in self.site.archive.log.entries(act)]

    def digits(self, account: str, steps: int) -> str:
        return pyotp.TOTP(self.factors[account]).at(datetime.now(UTC) + timedelta(seconds=30 * steps))

    def asked(self, **changed: str) -> str:
        """A request of zhang's; its path."""
        fields = {"purpose": "case", "case": "17号", "reason": "核对", **changed}
        answer = self.browsers["zhang"].post(f"{self.place}/ask", **fields)
        assert answer.status == 303, answer.text
        return answer.headers["location"]


def log_in(
    site: SiteKit, account: str, digits: str, password: str = PASSWORD, **more: str
) -> tuple[Browser, PageAnswer]:
    """As a browser does that has never been there."""
    browser = Browser(site, None)
    browser.cookies["__Host-guest"] = "guest"
    answer = browser.post(
        "/log-in", csrf=csrf_of("guest"), account=account, password=password, digits=digits, **more
    )  # fmt: skip
    if answer.status == 303:
        cookie = next(one for one in answer.headers["set-cookie"].split(", ") if one.startswith(COOKIE))
        browser.token = cookie.removeprefix(f"{COOKIE}=").split(";")[0]
        browser.cookies = {COOKIE: browser.token}
    return browser, answer


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    office = OfficeKit(tmp_path_factory.mktemp("o"))
    camera = Camera(office.agency, [age.recipient_of(age.generate_identity())])
    recording = camera.start()
    camera.film(recording, 1, 0, [0])
    camera.end(recording, 1, 1)
    with running(office):
        office.client().hand_in_journal(camera.device, camera.journal)
    site = SiteKit(office, sessions=lambda archive: archive.gate)
    town = Town(site, f"/recordings/{camera.device}/{recording}", {}, {})
    for account, roles in PEOPLE.items():
        town.people.add(account, account, "执法一科", by="root", machine=True)
        with site.archive.book.turn() as turn:
            turn.enter("roles", by="root", account=account, roles=roles, machine=True)
        accounts = site.archive.gate.accounts
        code = accounts.invite(account)
        town.factors[account] = accounts.begin(account, code)
        accounts.enrol(account, code, PASSWORD, town.digits(account, -1))
    with site.serving():
        for account in PEOPLE:
            town.browsers[account], answer = log_in(site, account, town.digits(account, 0))
            assert answer.status == 303, answer.text
        yield town


def test_logging_in_is_a_leaf_and_its_cookie_is_not_for_scripts(town: Town) -> None:
    assert {leaf["by"] for leaf in town.acts("log-in")} >= PEOPLE.keys()
    _, answer = log_in(town.site, "sun", town.digits("sun", 1), next="/recordings")
    assert answer.headers["location"] == "/recordings"
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=lax", "__Host-session="))


def test_a_wrong_log_in_says_nothing_and_is_a_leaf(town: Town) -> None:
    told = set()
    for account, password in (("zhang", "wrong password here"), ("nobody", PASSWORD)):
        browser, answer = log_in(town.site, account, "123456", password)
        assert answer.status == 403
        assert "账号、口令或验证码不正确" in answer.text
        assert password not in answer.text
        assert COOKIE not in browser.cookies
        told.add(answer.text.count("alert"))
    assert len(told) == 1
    assert ("?", "log-in") in {(leaf["by"], leaf["does"]) for leaf in town.acts("refused")}


def test_a_session_that_was_closed_is_not_played_again(town: Town) -> None:
    people = town.people
    people.add("feng", "冯", "执法一科", by="root", machine=True)
    people.ask_roles("feng", ["officer"], by="root", machine=True)
    token = town.site.archive.gate.admit("feng", "test")
    browser = Browser(town.site, token)
    assert browser.get("/").status == 200
    assert browser.post("/log-out").status == 303
    assert browser.get("/").status == 303  # to the log-in
    token = town.site.archive.gate.admit("feng", "test")
    people.reset("feng", by="root")
    assert Browser(town.site, token).get("/").status == 303
    token = town.site.archive.gate.admit("feng", "test")
    people.leave("feng", by="root", machine=True)
    assert Browser(town.site, token).get("/").status == 303
    assert Browser(town.site, "A" * 43).get("/").status == 303


def test_a_code_is_taken_over_once(town: Town) -> None:
    code = town.site.archive.gate.accounts.invite("zhou")
    town.people.add("zhou", "周", "督察", by="root", machine=True)
    browser = Browser(town.site, None)
    browser.cookies["__Host-guest"] = "guest"
    fields = {"csrf": csrf_of("guest"), "account": "zhou"}
    assert browser.post("/take-over", code="0" * 20, **fields).status == 403
    shown = browser.post("/take-over", code=code, **fields)
    factor = shown.text.partition('class="mono">')[2].partition("<")[0]
    assert "<svg" in shown.text
    digits = pyotp.TOTP(factor).now()
    short = browser.post("/take-over/password", code=code, digits=digits, password="short", **fields)  # noqa: S106
    assert short.status == 400
    done = browser.post("/take-over/password", code=code, digits=digits, password=PASSWORD, **fields)
    assert done.headers["location"] == "/log-in"
    assert browser.post("/take-over", code=code, **fields).status == 403


@pytest.mark.parametrize(
    ("account", "path", "fields"),
    [
        ("zhang", "/people", {"account": "x", "name": "x", "section": "x"}),
        ("zhang", "/people/zhang/roles", {"roles": "technician"}),
        ("wang", "/people/wang/roles", {"roles": "case_leader"}),
        ("wu", "/people/wu/roles", {"roles": "director"}),
        ("zhang", "/people/wang/leave", {}),
        ("qian", "/people/asked/0/confirm", {}),
        ("wang", "/me/key", {"spki": "A" * 60}),
        ("zhang", "/requests/REQUEST/review", {"accepted": "yes"}),
        ("qian", "/requests/REQUEST/review", {"accepted": "yes"}),
        ("wang", "/requests/REQUEST/register", {}),
        ("zhang", "/requests/REQUEST/register", {}),
        ("sun", "/requests/REQUEST/withdraw", {}),
        ("zhang", "/requests/REQUEST/end", {"note": "x"}),
        ("zhang", "/recordings/BWC-0001/9f9f9f9f-1/secrecy", {"secrecy": "state"}),
        ("qian", "/recordings/BWC-0001/9f9f9f9f-1/ask", {"purpose": "case", "reason": "x"}),
        ("wu", "/recordings/BWC-0001/9f9f9f9f-1/ask", {"purpose": "case", "reason": "x"}),
    ],
)
def test_what_one_may_not_do_is_refused_and_logged(town: Town, account: str, path: str, fields: dict[str, str]) -> None:
    request = town.asked().rpartition("/")[2] if "REQUEST" in path else ""
    size = town.site.archive.log.size
    town.site.refused.clear()
    answer = town.browsers[account].post(path.replace("REQUEST", request), **fields)
    assert answer.status == 403, answer.text
    assert [told[0] for told in town.site.refused] == [account]
    assert town.site.archive.log.size == size
    roles = town.people.get("zhang").roles
    assert roles == {"officer"}


def test_the_flow_by_requests_each_step_by_whose_turn_it_is(town: Town) -> None:
    key = new_key()
    li = town.browsers["li"]
    assert li.post("/me/key", spki=spki(key)).status == 303
    number = town.people.approver_keys()[-1]["leaf_index"]
    assert li.post(f"/approver-keys/{number}/confirm").status == 403
    assert town.browsers["wang"].post(f"/approver-keys/{number}/confirm").status == 303
    path = town.asked()
    assert town.browsers["sun"].get(path).status == 404
    assert town.browsers["wu"].get(path).status == 403
    for account in ("zhang", "wang", "li", "qian"):
        assert town.browsers[account].get(path).status == 200
    assert town.browsers["qian"].post(f"{path}/register").status == 409
    assert town.browsers["wang"].post(f"{path}/review", accepted="yes", note="同意").status == 303
    assert town.browsers["wang"].post(f"{path}/review", accepted="yes").status == 409
    data = li.json(f"{path}/approve?hours=2")
    text = data["given"]["signing_input"]
    forged = jose.b64(raw_signature(new_key(), text))
    assert li.post(f"{path}/approve", signing_input=text, signature=forged).status == 403
    statement = approval.Statement.read(jose.unb64(text.split(".")[1].encode()))
    longer = replace(statement, viewers=["sun"])
    other = longer.signing_input(pki.key_id(key.public_key()))
    signature = jose.b64(raw_signature(key, other))
    assert li.post(f"{path}/approve", signing_input=other, signature=signature).status == 409
    signature = jose.b64(raw_signature(key, text))
    assert li.post(f"{path}/approve", signing_input=text, signature=signature).status == 303
    assert town.browsers["qian"].post(f"{path}/register").status == 303
    assert "可调阅" in town.browsers["zhang"].get(path).text
    assert li.get(f"{path}/approve?hours=200").status == 422
    assert li.get(f"{path}/approve?hours=2").status == 409


def test_pages_show_each_his_own(town: Town) -> None:
    path = town.asked(reason="只给自己看的事由")
    for account, sees in {"zhang": True, "sun": False, "wang": True, "wu": False}.items():
        page = town.browsers[account].get("/requests")
        assert ("只给自己看的事由" in page.text) is sees, account
    assert 'action="/people"' in town.browsers["wu"].get("/people").text
    assert 'action="/people"' not in town.browsers["wang"].get("/people").text
    assert town.browsers["zhang"].get("/people").status == 403
    assert f"{path}/review" in town.browsers["wang"].get(path).text
    assert f"{path}/review" not in town.browsers["zhang"].get(path).text


def test_what_people_write_is_shown_as_text(town: Town) -> None:
    path = town.asked(reason='<script>alert("x")</script>')
    page = town.browsers["wang"].get(path).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
