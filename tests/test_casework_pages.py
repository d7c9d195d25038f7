"""The pages of case work and inspection: what each role sees and may do, through a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from office import draw
from office.person import Role
from office.site.actions import STAFF
from tests.agency import Agency
from tests.casework_kit import COUNTY, ONE, Unit
from tests.site_kit import Browser, PageAnswer, SiteKit
from tests.test_activity_table import TABLE

pytestmark = pytest.mark.net
NONCE = "4-1-6-2-5-3-3-1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, agency: Agency) -> Iterator[tuple[Unit, SiteKit]]:
    """One recording of a lone officer with a gap, one of nobody; one activity that was recorded, one that was not."""
    unit = Unit(tmp_path_factory.mktemp("office"), agency)
    unit.issue("BWC-0001", ONE, 60, 40)
    unit.record(59, 58, gap="heat", reason="unanswered")
    unit.record(30, 29, device="BWC-0002", activity=None)
    unit.enter(59, 58, place="<script>三沟镇")
    unit.enter(50, 49)
    unit.archive.close()
    with SiteKit(unit.kit).serving() as site:
        yield unit, site


@pytest.fixture(scope="module")
def site(served: tuple[Unit, SiteKit]) -> SiteKit:
    return served[1]


def local(unit: Unit, hours: float) -> str:
    return unit.at(hours).astimezone(COUNTY).strftime("%Y-%m-%dT%H:%M")


def went(answer: PageAnswer) -> str:
    """Where an act leads to."""
    assert answer.status == 303, answer.text
    return answer.headers["location"]


def refusal(browser: Browser, path: str, **fields: str) -> str:
    """Which code an act is refused with, as the office's log has it."""
    browser.site.refused.clear()
    assert browser.post(path, **fields).status >= 400
    ((_, _, code),) = browser.site.refused
    return code


def everybody(site: SiteKit) -> Browser:
    return site.browser("zheng", *STAFF)


def test_every_page_is_shown_to_those_who_may_and_to_nobody_else(site: SiteKit) -> None:
    pages = ("/worklists", "/activities", "/statements", "/cases", "/inspections", "/conduct", "/custody", "/deadlines")
    all_of_them = everybody(site)
    technician = site.browser("li", Role.TECHNICIAN)
    for path in pages:
        assert all_of_them.get(path).status == 200, path
        assert isinstance(all_of_them.json(path), dict)
        assert site.browser().get(path).status == 303
    shown = [path for path in pages if technician.get(path).status == 200]
    assert shown == ["/activities", "/statements", "/custody"]
    menu = technician.get("/custody").text
    assert 'href="/custody"' in menu
    assert 'href="/conduct"' not in menu


def test_a_keeper_sees_what_is_missing_and_settles_it(site: SiteKit) -> None:
    keeper = site.browser("keeper", Role.KEEPER)
    lists = keeper.json("/worklists")["lists"]
    assert {"loose", "unexplained", "kindless", "lone"} <= {name for name, items in lists.items() if items}
    page = keeper.get("/worklists").text
    assert "有活动，无录像也无说明" in page
    (one,) = lists["kindless"]
    path = f"/recordings/{one['device']}/{one['recording']}/kind"
    assert refusal(site.browser("wang", Role.OFFICER), path, kind="case", reason="x") == "not-allowed"
    assert went(keeper.post(path, kind="case", reason="执法人员口述")) == "/worklists"
    assert keeper.json("/worklists")["lists"]["kindless"] == []
    assert keeper.get("/worklists?since=2020-01-01&until=2020-01-31").text.count('class="empty"') == 1


def test_an_activity_is_entered_changed_and_set_aside_by_those_who_may(served: tuple[Unit, SiteKit]) -> None:
    unit, site = served
    keeper, officer = site.browser("keeper", Role.KEEPER), site.browser("wang", Role.OFFICER)
    told = {"kind": "service", "place": "上板城镇", "begins": local(unit, 20), "ends": local(unit, 19.5),
            "section": "二股", "officers": "012345、054321"}  # fmt: skip
    place = went(officer.post("/activities", **told))
    assert refusal(officer, "/activities", **{**told, "ends": told["begins"]}) == "entry"
    assert refusal(officer, f"{place}/kind", kind="case", reason="x") == "not-allowed"
    went(keeper.post(f"{place}/kind", kind="case", reason="现场改为取证"))
    went(keeper.post(f"{place}/note", text="<b>门牌看不清"))
    page = keeper.get(place).text
    assert "证据、文书送达 → 案件调查取证" in page
    assert "&lt;b&gt;门牌看不清" in page
    went(keeper.post(f"{place}/set-aside", reason="重复登记"))
    assert "作废" in keeper.get(place).text
    assert "&lt;script&gt;三沟镇" in keeper.get("/activities").text
    assert keeper.get("/activities/99999").status == 404


def test_a_table_is_brought_in_through_the_form(site: SiteKit) -> None:
    keeper = site.browser("keeper", Role.KEEPER)

    def bring(data: bytes) -> PageAnswer:
        mark = "----part"
        token = keeper.get("/activities").text.split('name="csrf" value="')[1].split('"')[0]
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{token}\r\n'.encode(),
            f'--{mark}\r\nContent-Disposition: form-data; name="table"; filename="t.csv"\r\n\r\n'.encode(),
            data, f"\r\n--{mark}--\r\n".encode(),
        ]  # fmt: skip
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        return keeper.request("POST", "/activity-tables", kind, b"".join(parts))

    assert went(bring(TABLE.encode("gb18030"))) == "/activities"
    assert "缺少列" in bring("类别\n吃饭\n".encode()).text
    assert bring(b"x" * 3_000_000).status == 413


def test_a_statement_goes_from_author_to_reviewer_and_back(site: SiteKit) -> None:
    officer, head = site.browser("wang", Role.OFFICER), site.browser("zhao", Role.SECTION_HEAD, Role.OFFICER)
    found = officer.json("/activities")["activities"]
    one = next(each["leaf_index"] for each in found if not each["recordings"])
    words = {"ground": "urgent", "reason": "现场起火", "basis": "第六条第三项", "leader": "qian"}
    place = went(officer.post(f"/activities/{one}/statement", **words))
    version = str(officer.json(place)["last"]["leaf_index"])
    assert refusal(officer, f"{place}/review", version=version, verdict="taken") == "not-allowed"
    assert "审阅</h2>" not in officer.get(place).text
    assert refusal(head, f"{place}/review", version=version, verdict="returned") == "entry"
    went(head.post(f"{place}/review", version=version, verdict="returned", note="写明时间"))
    assert refusal(head, f"{place}/reword", reason="代写") == "not-author"
    went(officer.post(f"{place}/reword", reason="十时起火"))
    second = str(officer.json(place)["last"]["leaf_index"])
    assert refusal(head, f"{place}/review", version=version, verdict="taken") == "not-latest"
    went(head.post(f"{place}/review", version=second, verdict="taken"))
    page = officer.get(place).text
    assert "现场起火" in page
    assert "十时起火" in page
    own = went(head.post(f"/activities/{one}/statement", **words))
    last = str(head.json(own)["last"]["leaf_index"])
    assert refusal(head, f"{own}/review", version=last, verdict="taken") == "own-statement"
    assert len(officer.json("/statements")["statements"]) == 1
    assert len(site.browser("keeper", Role.KEEPER).json("/statements")["statements"]) == 2


def test_one_person_holds_and_another_lets_go(site: SiteKit) -> None:
    inspector, director = site.browser("xu", Role.INSPECTOR), site.browser("qian", Role.DIRECTOR)
    (one,) = inspector.json("/worklists")["lists"]["loose"]
    told = {"device": one["device"], "recording": one["recording"], "reason": "群众投诉"}
    assert refusal(site.browser("wang", Role.OFFICER), "/holds", **told) == "not-allowed"
    went(inspector.post("/holds", **told))
    (held,) = inspector.json("/cases")["holds"]
    path = f"/holds/{held['leaf_index']}"
    assert refusal(director, f"{path}/release", reason="查清") == "two-people"
    went(director.post(f"{path}/ask", reason="查清"))
    assert refusal(director, f"{path}/release", reason="查清") == "two-people"
    assert refusal(inspector, f"{path}/release", reason="查清") == "not-allowed"
    went(site.browser("sun", Role.CASE_LEADER).post(f"{path}/release", reason="查清"))
    assert inspector.json("/cases")["holds"] == []


def test_a_case_takes_recordings_and_is_closed_by_who_leads(site: SiteKit) -> None:
    leader, keeper = site.browser("sun", Role.CASE_LEADER), site.browser("keeper", Role.KEEPER)
    place = went(keeper.post("/cases", number="承安罚〔2026〕7号", title="无证开采", leader="sun"))
    (one,) = keeper.json("/worklists")["lists"]["loose"]
    number = {"number": "承安罚〔2026〕7号"}
    went(keeper.post("/case/recordings", **number, device=one["device"], recording=one["recording"], reason="证据"))
    assert keeper.json(place)["case"]["recordings"] == [[one["device"], one["recording"]]]
    assert refusal(keeper, "/case/close", **number, reason="结案") == "not-allowed"
    went(leader.post("/case/close", **number, reason="结案", until="2090-01-01"))
    assert "2090-01-01" in leader.get(place).text


def test_an_inspection_from_its_announcement_to_the_printed_report(served: tuple[Unit, SiteKit]) -> None:
    unit, site = served
    inspector, keeper = site.browser("xu", Role.INSPECTOR), site.browser("keeper", Role.KEEPER)
    until = (datetime.now(COUNTY) - timedelta(days=1)).date().isoformat()
    told = {"since": unit.at(300).date().isoformat(), "until": until, "permille": "1000", "least": "1",
            "commitment": draw.commitment(NONCE)}  # fmt: skip
    assert refusal(keeper, "/inspections", **told) == "not-allowed"
    place = went(inspector.post("/inspections", **told))
    assert refusal(inspector, f"{place}/draw", nonce="4-1-6-2-5-3-3-2") == "nonce"
    went(inspector.post(f"{place}/draw", nonce=NONCE))
    items = inspector.json(place)["items"]
    assert items
    assert refusal(inspector, f"{place}/close") == "not-judged"
    for one in items:
        for question in "123":
            told = {"item": one["item"], "question": question, "verdict": "unmet", "remark": "见事实"}
            assert "#" in went(inspector.post(f"{place}/findings", **told))
    went(inspector.post(f"{place}/close"))
    assert "打印报告" in inspector.get(place).text
    assert keeper.get(f"{place}/report.pdf").body.startswith(b"%PDF-")
    assert "不符合" in keeper.get(f"{place}/report.csv").text
    assert keeper.get(f"{place}/frame.tsv").text.count("\n") >= len(items)
    shown = inspector.post("/inspections", **{**told, "since": "2020-01-01", "until": "2020-01-02", "permille": "1",
                                              "least": "1"})  # fmt: skip
    assert shown.status >= 400


def test_a_nonce_that_the_office_made_is_shown_once(served: tuple[Unit, SiteKit]) -> None:
    unit, site = served
    inspector = site.browser("xu", Role.INSPECTOR)
    since, until = (unit.at(hours).astimezone(COUNTY).date().isoformat() for hours in (300, 26))
    shown = inspector.post("/inspections", since=since, until=until, permille="100", least="1")
    assert shown.status == 200
    found = re.search(r'<strong class="mono">([0-9a-f]{32})</strong>', shown.text)
    assert found
    assert found[1] not in inspector.get("/inspections").text


def test_custody_is_entered_by_keepers_and_work_by_technicians(site: SiteKit) -> None:
    keeper, technician = site.browser("keeper", Role.KEEPER), site.browser("li", Role.TECHNICIAN)
    told = {"device": "BWC-0001", "custodian": "赵某", "section": "一股", "head": "钱某"}
    assert refusal(technician, "/custody", **told) == "not-allowed"
    assert went(keeper.post("/custody", **told)) == "/custody"
    place = went(technician.post("/custody/BWC-0001/work", work="repaired", detail="更换电池"))
    page = technician.get(place).text
    assert "赵某" in page
    assert "维修：更换电池" in page
