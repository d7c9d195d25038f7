"""Case work over a real archive: activities, worklists, statements, cases, holds, custody, notes, foreign material."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from office import activities, cases, custody, entry, foreign, notes, statements
from office.archive import Archive
from office.config import OfficeConfig
from office.statements import About, State
from runtime.config import load
from tests.casework_kit import COUNTY, ONE, TWO, Unit, refused

DEVICE = "BWC-0001"


# --- Activities ------------------------------------------------------------------------------------------------------


def test_a_recorded_activity_is_on_no_worklist(unit: Unit) -> None:
    for device, officer in ((DEVICE, ONE), ("BWC-0002", TWO)):
        unit.issue(device, officer, 10, 2)
        unit.record(6, 5, device=device)
    unit.enter(6, 5)
    assert unit.items() == []


def test_an_activity_without_a_recording_stays_listed_until_something_is_stated(unit: Unit) -> None:
    activity = unit.enter(30, 29)
    (one,) = unit.items()
    assert (one.list, one.activity, one.section, one.early) == ("unrecorded", activity, "一股", False)
    about = About(activity=activity)
    made = statements.state_unrecorded(unit.book, "zhang", about, "urgent", "现场起火", "规则第六条第三项", "wang")
    assert unit.items() == []
    statements.review(unit.book, "wang", made, taken=False, note="写明起火时间")
    assert unit.lists() == ["unrecorded"]


def test_todays_activity_may_still_be_handed_in(unit: Unit) -> None:
    unit.enter(0.02, 0.01)
    (one,) = unit.items("unrecorded")
    assert one.early


def test_a_recording_of_no_activity_and_without_kind_is_listed(unit: Unit) -> None:
    unit.issue(DEVICE, ONE, 10, 2)
    name = unit.record(6, 5, activity=None)
    assert unit.lists() == ["loose", "kindless"]
    activities.change_recording_kind(unit.book, "keeper", DEVICE, name, "case", "执法人员口述")
    assert unit.lists() == ["loose"]
    activity = unit.enter(50, 49, kind="case")
    activities.link(unit.book, "keeper", activity, DEVICE, name, "设备时间有误")
    assert unit.lists() == ["lone"]
    activities.link(unit.book, "keeper", activity, DEVICE, name, "关联有误", linked=False)
    assert unit.lists() == ["unrecorded", "loose"]


def test_a_kind_that_was_chosen_while_it_ran_counts(unit: Unit) -> None:
    unit.issue(DEVICE, ONE, 10, 2)
    name = unit.record(6, 5, activity=None)
    unit.camera().line("activity", recording=name, activity="service")
    unit.hand_in(DEVICE)
    assert unit.lists() == ["loose"]
    assert [one.kind for one in unit.ledger().recordings] == ["service"]


def test_a_gap_that_nobody_explained_is_listed_until_it_is_in_writing(unit: Unit) -> None:
    unit.issue(DEVICE, ONE, 10, 2)
    name = unit.record(6, 5, gap="heat", reason="unanswered")
    unit.record(4, 3, gap="heat", reason="button_held")
    (one,) = unit.items("unexplained")
    assert (one.recording, one.detail) == (name, "heat")
    statements.explain(unit.book, "zhang", "gap", About(None, DEVICE, name, one.gap), "设备过热，降温后继续")
    assert unit.items("unexplained") == []


def test_a_stop_on_privacy_wants_the_statement_of_rule_6(unit: Unit) -> None:
    unit.issue(DEVICE, ONE, 10, 2)
    name = unit.record(6, 5, gap="privacy", reason="chosen")
    assert [one.recording for one in unit.items("statement-due")] == [name]
    about = About(device=DEVICE, recording=name)
    statements.state_unrecorded(unit.book, "zhang", about, "secrecy", "涉及商业秘密", "企业书面声明", "wang")
    assert unit.items("statement-due") == []


def test_a_lone_recorder_is_flagged_with_who_did_not_record(unit: Unit) -> None:
    unit.issue(DEVICE, ONE, 10, 2)
    unit.record(6, 5)
    unit.enter(6, 5)
    (one,) = unit.items()
    assert (one.list, one.detail) == ("lone", f"仅 {ONE} 录像，{TWO} 无录像")


def test_a_camera_that_was_given_back_is_nobodys(unit: Unit) -> None:
    unit.issue(DEVICE, ONE, 10, 7)
    unit.archive.ledger.give_back(DEVICE, "keeper", at=unit.at(7))
    unit.record(6, 5)
    unit.enter(6, 5)
    assert unit.lists() == ["unrecorded", "loose"]
    assert "疑似" in unit.items("unrecorded")[0].detail


def test_the_kind_of_an_activity_changes_by_an_act_that_names_its_author(unit: Unit) -> None:
    activity = unit.enter(6, 5)
    activities.change_kind(unit.book, "li", activity, "coercion", "现场改为查封")
    with unit.archive.database.read() as db:
        row = activities.one(db, activity)
    (change,) = row["history"]
    assert (row["kind"], change["was"], change["kind"], change["by"]) == ("coercion", "inspection", "coercion", "li")
    refused("entry", activities.change_kind, unit.book, "li", activity, "coercion", "再改")
    refused("entry", activities.change_kind, unit.book, "li", activity, "party", "再改")
    refused("entry", activities.change_kind, unit.book, "li", activity, "case", " ")
    refused("activity-unknown", activities.change_kind, unit.book, "li", 999, "case", "无")


def test_an_entry_made_by_mistake_is_set_aside_and_stays_readable(unit: Unit) -> None:
    activity = unit.enter(30, 29, number="2026-1")
    activities.set_aside(unit.book, "li", activity, "重复登记")
    assert unit.items() == []
    refused("activity-unknown", activities.change_kind, unit.book, "li", activity, "case", "无")
    with unit.archive.database.read() as db:
        assert activities.one(db, activity)["set_aside"] == "重复登记"
    assert unit.enter(30, 29, number="2026-1") != activity


def test_an_entry_that_cannot_be_is_refused(unit: Unit) -> None:
    good = unit.entry(6, 5)
    for wrong in ({"kind": "party"}, {"ends": good.begins}, {"ends": unit.text(-100)}, {"officers": ()}):
        refused("entry", replace, good, **wrong)
    unit.enter(6, 5, number="2026-1")
    refused("already-entered", unit.enter, 6, 5, number="2026-1")


# --- Statements ------------------------------------------------------------------------------------------------------


def test_nobody_reviews_a_statement_of_his_own(unit: Unit) -> None:
    made = statements.state_unrecorded(unit.book, "zhang", About(unit.enter(6, 5)), "urgent", "火", "依据", "wang")
    refused("own-statement", statements.review, unit.book, "zhang", made, taken=True)
    statements.review(unit.book, "wang", made, taken=True)
    refused("not-latest", statements.review, unit.book, "wang", made, taken=False, note="改主意")
    refused("taken", statements.reword, unit.book, "zhang", made, "新写")


def test_a_returned_statement_is_written_anew_and_the_old_wording_stays(unit: Unit) -> None:
    made = statements.state_unrecorded(unit.book, "zhang", About(unit.enter(6, 5)), "urgent", "火", "依据", "wang")
    refused("entry", statements.review, unit.book, "wang", made, taken=False)
    statements.review(unit.book, "wang", made, taken=False, note="写明时间")
    refused("not-author", statements.reword, unit.book, "li", made, "新写")
    second = statements.reword(unit.book, "zhang", made, "十点起火")
    refused("not-latest", statements.review, unit.book, "wang", made, taken=True)
    statements.review(unit.book, "wang", second, taken=True)
    with unit.archive.database.read() as db:
        old, new = statements.versions(db, made)
        assert [row["leaf_index"] for row in statements.latest(db)] == [second]
        assert statements.latest(db, State.WAITING) == []
    assert (old["state"], old["reason"], old["note"], old["reviewer"]) == ("replaced", "火", "写明时间", "wang")
    assert (new["state"], new["reason"], new["basis"], new["version"]) == ("taken", "十点起火", "依据", 2)


def test_a_statement_owes_ground_reason_basis_and_leader(unit: Unit) -> None:
    about = About(unit.enter(6, 5))
    for words in (
        ("party", "r", "b", "l"),
        ("urgent", "", "b", "l"),
        ("urgent", "r", " ", "l"),
        ("urgent", "r", "b", ""),
    ):
        refused("entry", statements.state_unrecorded, unit.book, "zhang", about, *words)
    refused("entry", statements.state_unrecorded, unit.book, "zhang", About(), "urgent", "r", "b", "l")
    refused("activity-unknown", statements.state_unrecorded, unit.book, "z", About(99), "urgent", "r", "b", "l")
    refused("recording-unknown", statements.explain, unit.book, "z", "gap", About(None, DEVICE, "00000000-1"), "r")


# --- Cases and holds -------------------------------------------------------------------------------------------------


def test_a_recording_is_bound_to_a_case_and_freed_with_it(unit: Unit) -> None:
    name = unit.record(6, 5)
    activity = unit.enter(6, 5)
    cases.open_case(unit.book, "keeper", "承安罚〔2026〕7号", "无证开采", "wang")
    refused("already-entered", cases.open_case, unit.book, "keeper", "承安罚〔2026〕7号", "又一次", "wang")
    cases.bind(unit.book, "keeper", "承安罚〔2026〕7号", DEVICE, name, "证据")
    cases.bind_activity(unit.book, "keeper", "承安罚〔2026〕7号", activity)
    with unit.archive.database.read() as db:
        case = cases.one(db, "承安罚〔2026〕7号")
        assert cases.of_recording(db, DEVICE, name) == ["承安罚〔2026〕7号"]
    assert (case["activities"], case["recordings"]) == ([activity], [(DEVICE, name)])
    cases.close_case(unit.book, "wang", "承安罚〔2026〕7号", None, "结案")
    refused("case-closed", cases.bind, unit.book, "keeper", "承安罚〔2026〕7号", DEVICE, name, "证据")
    refused("case-unknown", cases.bind, unit.book, "keeper", "没有", DEVICE, name, "证据")


def test_one_person_holds_and_two_let_go(unit: Unit) -> None:
    name = unit.record(6, 5)
    held = cases.hold(unit.book, "li", DEVICE, name, "投诉：态度粗暴")
    refused("two-people", cases.release, unit.book, "wang", held, "查清")
    cases.ask_release(unit.book, "li", held, "查清")
    refused("already-entered", cases.ask_release, unit.book, "wang", held, "查清")
    refused("two-people", cases.release, unit.book, "li", held, "查清")
    with unit.archive.database.read() as db:
        (row,) = cases.holds(db)
    assert (row["reason"], row["by"], row["asked_by"]) == ("投诉：态度粗暴", "li", "li")
    cases.release(unit.book, "wang", held, "查清")
    with unit.archive.database.read() as db:
        assert cases.holds(db) == []
        assert len(cases.holds(db, in_force=False)) == 1
    refused("hold-unknown", cases.release, unit.book, "wang", held, "再次")


# --- Custody, notes, foreign material --------------------------------------------------------------------------------


def test_custody_is_known_for_each_time(unit: Unit) -> None:
    custody.assign(unit.book, "keeper", DEVICE, "zhao", "一股", "qian", COUNTY, unit.at(100))
    custody.assign(unit.book, "keeper", DEVICE, "sun", "二股", "zhou", COUNTY, unit.at(10))
    custody.maintain(unit.book, "tech", DEVICE, "repaired", "更换电池", COUNTY, unit.at(50))
    with unit.archive.database.read() as db:
        assert custody.sections(db) == {DEVICE: "二股"}
        assert custody.at(db, unit.at(20))[DEVICE]["custodian"] == "zhao"
        assert custody.at(db, unit.at(200)) == {}
        acts = [(row["act"], row["by"]) for row in custody.history(db, DEVICE)]
    assert acts == [("custody", "keeper"), ("maintenance", "tech"), ("custody", "keeper")]
    refused("entry", custody.assign, unit.book, "k", DEVICE, "z", "一股", "q", COUNTY, unit.at(-1))
    refused("entry", custody.assign, unit.book, "k", "x", "z", "一股", "q", COUNTY)
    refused("entry", custody.maintain, unit.book, "k", DEVICE, "painted", "z", COUNTY)


def test_a_recordings_section_is_its_activitys_or_its_cameras(unit: Unit) -> None:
    custody.assign(unit.book, "keeper", DEVICE, "zhao", "三股", "qian", COUNTY, unit.at(100))
    unit.issue(DEVICE, ONE, 30, 20)
    unit.record(29, 28)
    assert [one.section for one in unit.items("loose")] == ["三股"]


def test_notes_stand_beside_what_they_are_about(unit: Unit) -> None:
    notes.add(unit.book, "li", f"recording/{DEVICE}/00000000-1", "第二分钟看不清\n车牌")
    with unit.archive.database.read() as db:
        (note,) = notes.of(db, f"recording/{DEVICE}/00000000-1")
    assert (note["by"], note["text"]) == ("li", "第二分钟看不清\n车牌")
    refused("entry", notes.add, unit.book, "li", "segment/1", "x")
    refused("entry", notes.add, unit.book, "li", "case/1", "x\u202ey")
    refused("entry", notes.add, unit.book, "li", "case/1", "x" * 2001)


def test_foreign_material_is_hashed_kept_once_and_claims_only_what_it_says(unit: Unit, tmp_path: Path) -> None:
    film = tmp_path / "手机 录像.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=64x48:r=5", "-metadata",
         "creation_time=2020-01-01T00:00:00Z", str(film)],
        check=True,
    )  # fmt: skip
    data = unit.archive.config.data
    with film.open("rb") as file:
        foreign.bring_in(unit.book, data, "li", file, film.name, "群众手机", "投诉材料", case="1")
    sha256 = hashlib.sha256(film.read_bytes()).hexdigest()
    with unit.archive.database.read() as db:
        (row,) = foreign.all_of_them(db)
        assert foreign.all_of_them(db, "2") == []
    assert (row["sha256"], row["name"], row["size"]) == (sha256, film.name, film.stat().st_size)
    assert row["claims"]["creation_time"].startswith("2020-01-01")
    assert row["claims"]["streams"][0]["codec_type"] == "video"
    kept = foreign.path(data, sha256)
    assert kept.read_bytes() == film.read_bytes()
    assert kept.stat().st_mode & 0o222 == 0
    with film.open("rb") as file:
        refused("already-entered", foreign.bring_in, unit.book, data, "li", file, "b", "s", "r")
    kept.chmod(0o640)
    kept.write_bytes(b"changed")
    refused("foreign-changed", foreign.path, data, sha256)


def test_foreign_material_that_is_no_film_claims_nothing(unit: Unit) -> None:
    data = unit.archive.config.data
    foreign.bring_in(unit.book, data, "li", io.BytesIO(b"%PDF-1.4 "), "../../etc/x.pdf", "来信", "投诉材料")
    with unit.archive.database.read() as db:
        (row,) = foreign.all_of_them(db)
    assert (row["name"], row["claims"]) == ("x.pdf", {})
    refused("entry", foreign.bring_in, unit.book, data, "li", io.BytesIO(), "a", "b", "c")
    assert sorted(path.name for path in (data / "foreign").iterdir()) == [row["sha256"]]


# --- The log is the truth --------------------------------------------------------------------------------------------


def test_all_of_it_comes_back_from_the_log_alone(unit: Unit) -> None:
    name = unit.record(6, 5)
    activity = unit.enter(6, 5)
    activities.change_kind(unit.book, "li", activity, "case", "立案")
    activities.link(unit.book, "li", activity, DEVICE, name, "同一现场")
    made = statements.explain(unit.book, "zhang", "gap", About(None, DEVICE, name), "过热")
    statements.review(unit.book, "wang", made, taken=True)
    cases.open_case(unit.book, "keeper", "7", "无证开采", "wang")
    cases.bind(unit.book, "keeper", "7", DEVICE, name, "证据")
    cases.ask_release(unit.book, "li", cases.hold(unit.book, "li", DEVICE, name, "投诉"), "查清")
    custody.assign(unit.book, "keeper", DEVICE, "zhao", "一股", "qian", COUNTY)
    notes.add(unit.book, "li", "case/7", "备注")
    foreign.bring_in(unit.book, unit.archive.config.data, "li", io.BytesIO(b"x"), "a", "b", "c")

    def told(archive: Archive) -> str:
        with archive.database.read() as db:
            found = (
                activities.one(db, activity), activities.links(db), statements.latest(db), cases.holds(db),
                cases.one(db, "7"), custody.at(db), notes.of(db, "case/7"), foreign.all_of_them(db),
            )  # fmt: skip
        return json.dumps([str(one) for one in found])

    before = told(unit.archive)
    unit.archive.close()
    for path in unit.archive.config.data.glob("catalogue.sqlite*"):
        shutil.move(path, path.with_name(f"away-{path.name}"))
    again = Archive(load(unit.kit.config, OfficeConfig))
    again.book.catch_up()
    assert told(again) == before
    again.close()


def test_times_are_entered_as_people_of_the_county_write_them() -> None:
    for text in ("2026-11-20 09:05", "2026/11/20 9:05", "2026年11月20日 9：05", "2026-11-20T09:05:00"):
        assert entry.time("开始", text, COUNTY) == "2026-11-20T01:05:00.000Z"
    assert entry.time("开始", "2026-11-20T01:05:00.000Z", COUNTY) == "2026-11-20T01:05:00.000Z"
