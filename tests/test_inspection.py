"""Inspection: what is drawn nobody chose, and anyone can draw it again; findings, points, report, facts of rule 27."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import zlib
from base64 import a85decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.merkle import Tree, leaf_hash
from office import conduct, draw, inspection, inspection_acts, inspection_report
from office.draw import Unit as DrawUnit
from office.inspection import Plan
from tests.casework_kit import ONE, TWO, Unit, refused

SPEC = Path(__file__).parent.parent / "docs" / "spec" / "inspection.md"
NONCE = "4-1-6-2-5-3-3-1"


@pytest.fixture
def announced(unit: Unit) -> tuple[Unit, int]:
    """Three sections with seven activities each, and one recording of none."""
    unit.issue("BWC-0001", ONE, 90, 80)
    unit.record(89, 88)
    for number in range(21):
        unit.enter(80 - number, 79.5 - number, section=f"{number % 3}股", number=str(number))
    plan = Plan(unit.at(100), unit.at(1), 250, 1)
    number, nonce = inspection.announce(unit.archive, "xu", plan, draw.commitment(NONCE))
    assert nonce is None
    return unit, number


def ten_lines(*arguments: str) -> list[str]:
    """Run the lines of the specification, as anyone would."""
    (program,) = re.findall(r"```python\n(.*?)```", SPEC.read_text("utf-8"), re.DOTALL)
    assert len(program.splitlines()) <= 10
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_anyone_draws_the_sample_again_from_the_log_and_the_frame(announced: tuple[Unit, int]) -> None:
    unit, number = announced
    sample = inspection.draw_sample(unit.archive, "xu", number, NONCE)
    assert {section: len(items) for section, items in sample.items()} == {"0股": 2, "1股": 2, "2股": 2, "未定科室": 1}
    data = unit.archive.config.data
    leaves = (data / "log" / "leaves.jsonl").read_bytes().splitlines()
    told = json.loads(leaves[number])
    root = Tree(map(leaf_hash, leaves[: number + 1])).root().hex()
    frame = data / "inspections" / f"{told['frame']}.tsv"
    again = ten_lines(str(frame), root, NONCE, str(told["permille"]), str(told["least"]))
    assert again == [f"{section}\t{item}" for section, items in sample.items() for item in items]
    assert json.loads(leaves[-1])["root"] == root


UNITS = st.sets(st.tuples(st.sampled_from(["一股", "二股", "办公室"]), st.integers(0, 200)), min_size=1, max_size=60)


@given(UNITS, st.integers(1, 1000), st.integers(1, 5), st.binary(min_size=32, max_size=32))
def test_each_section_has_its_share_and_a_changed_seed_another_sample(
    found: set[tuple[str, int]], permille: int, least: int, root: bytes
) -> None:
    units = [DrawUnit(section, f"activity/{leaf}") for section, leaf in found]
    assert sorted(draw.read_frame(draw.frame(units)), key=str) == sorted(units, key=str)
    seed = draw.seed(root, NONCE)
    sample = draw.draw(units, seed, permille, least)
    assert sample == draw.draw(reversed(units), seed, permille, least)
    for section, items in sample.items():
        of = sum(one.section == section for one in units)
        assert len(set(items)) == len(items) >= min(of, least)
        assert len(items) * 1000 >= of * permille
        assert (len(items) - 1) * 1000 < of * permille or len(items) == min(of, least)


def test_no_item_is_drawn_more_often_than_another() -> None:
    units = [DrawUnit("一股", f"activity/{number}") for number in range(20)]
    seeds = [draw.seed(number.to_bytes(32), NONCE) for number in range(400)]
    drawn = [item for seed in seeds for item in draw.draw(units, seed, 250, 1)["一股"]]
    counts = [drawn.count(one.item) for one in units]
    assert sum(counts) == 2000
    assert 60 < min(counts) <= max(counts) < 140  # 100 each: four standard deviations either way


def test_a_period_that_is_not_over_cannot_be_announced(unit: Unit) -> None:
    refused("inspection-early", Plan, unit.at(10), unit.at(-1))
    refused("entry", Plan, unit.at(1), unit.at(10))
    refused("entry", Plan, unit.at(10), unit.at(1), 0)
    plan = Plan(unit.at(10), unit.at(1))
    refused("inspection-empty", inspection.announce, unit.archive, "xu", plan)
    unit.enter(5, 4)
    refused("entry", inspection.announce, unit.archive, "xu", plan, "no hash")


def test_another_nonce_than_the_announced_draws_nothing_and_nothing_is_drawn_twice(
    announced: tuple[Unit, int],
) -> None:
    unit, number = announced
    refused("nonce", inspection.draw_sample, unit.archive, "xu", number, "4-1-6-2-5-3-3-2")
    inspection.draw_sample(unit.archive, "xu", number, NONCE)
    refused("drawn", inspection.draw_sample, unit.archive, "xu", number, NONCE)
    refused("inspection-unknown", inspection.draw_sample, unit.archive, "xu", 0, NONCE)


def test_what_is_entered_after_the_announcement_changes_no_sample(announced: tuple[Unit, int]) -> None:
    unit, number = announced
    late = {f"activity/{unit.enter(50 + hours / 9, 49, section='0股')}" for hours in range(9)}
    sample = inspection.draw_sample(unit.archive, "xu", number, NONCE)
    assert late.isdisjoint(item for items in sample.values() for item in items)


def test_a_frame_that_was_changed_since_is_found(announced: tuple[Unit, int]) -> None:
    unit, number = announced
    (frame,) = (unit.archive.config.data / "inspections").iterdir()
    assert frame.stat().st_mode & 0o222 == 0
    frame.chmod(0o640)
    frame.write_text(frame.read_text().replace("activity/", "activity/1", 1))
    refused("frame-changed", inspection.draw_sample, unit.archive, "xu", number, NONCE)


def test_a_nonce_of_the_office_is_told_once_and_the_log_says_whose_it_was(unit: Unit) -> None:
    unit.enter(5, 4)
    number, nonce = inspection.announce(unit.archive, "xu", Plan(unit.at(10), unit.at(1)))
    assert nonce is not None
    assert nonce not in (unit.archive.config.data / "log" / "leaves.jsonl").read_text()
    with unit.archive.database.read() as db:
        assert inspection_acts.one(db, number)["nonce_by"] == "office"
    assert inspection.draw_sample(unit.archive, "xu", number, nonce) == {"一股": [f"activity/{number - 1}"]}


def inspect(unit: Unit) -> tuple[int, list[str]]:
    """One activity well recorded, one with a gap, one not at all; all drawn."""
    for device, officer in (("BWC-0001", ONE), ("BWC-0002", TWO)):
        unit.issue(device, officer, 60, 40)
        unit.record(59, 58, device=device)
    unit.record(57, 56, gap="heat", reason="unanswered", heard=False)
    leaves = [unit.enter(59, 58), unit.enter(57, 56), unit.enter(55, 54, place="<b>&三沟镇")]
    plan = Plan(unit.at(100), unit.at(1), 1000)
    number, _ = inspection.announce(unit.archive, "xu", plan, draw.commitment(NONCE))
    inspection.draw_sample(unit.archive, "xu", number, NONCE)
    return number, [f"activity/{leaf}" for leaf in leaves]


def test_what_the_machine_knows_is_filled_in(unit: Unit) -> None:
    number, (whole, broken, nothing) = inspect(unit)
    report = inspection_report.read(unit.archive, number)
    told = {(line[1], line[3][0]): (line[4], line[5]) for line in inspection_report.lines(report)}
    assert told[whole, "1"][1] == told[whole, "2"][1] == "符合"
    assert "2 人录像" in told[whole, "1"][0]
    assert told[broken, "2"] == (told[broken, "2"][0], "不符合")
    assert "过热，至少 2 秒，未说明原因" in told[broken, "2"][0]
    assert "告知语：未听到" in told[broken, "1"][0]
    assert told[nothing, "1"] == ("无录像，无未记录说明", "不符合")
    assert told[nothing, "2"] == ("", "")


def test_findings_give_points_and_the_last_one_counts(unit: Unit) -> None:
    number, items = inspect(unit)
    refused("not-judged", inspection.close, unit.archive, "xu", number)
    for item in items:
        for question in (1, 2, 3):
            inspection.find(unit.archive, "xu", number, item, question, "met")
    inspection.find(unit.archive, "xu", number, items[2], 1, "unmet", "无录像")
    inspection.find(unit.archive, "xu", number, items[2], 2, "not-judged", "无录像可评")
    assert inspection.scores(unit.archive, number) == {"一股": [88, 67, 100, 100]}
    refused("entry", inspection.find, unit.archive, "xu", number, items[2], 1, "unmet")
    refused("entry", inspection.find, unit.archive, "xu", number, items[2], 4, "met")
    refused("entry", inspection.find, unit.archive, "xu", number, items[2], 1, "perhaps")
    refused("not-drawn", inspection.find, unit.archive, "xu", number, "activity/9999", 1, "met")
    inspection.close(unit.archive, "xu", number)
    refused("inspection-closed", inspection.find, unit.archive, "xu", number, items[0], 1, "met")
    with unit.archive.database.read() as db:
        kept = inspection_acts.findings(db, number)[items[0], 2]
    assert any("连续，无中断" in fact for fact in kept["facts"])


def test_the_report_is_a_table_that_no_spreadsheet_carries_out(unit: Unit) -> None:
    number, items = inspect(unit)
    inspection.find(unit.archive, "xu", number, items[0], 1, "unmet", '=HYPERLINK("x")')
    data = inspection_report.as_csv(inspection_report.read(unit.archive, number))
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert len(rows) == 9
    assert '\'=HYPERLINK("x")' in {row["说明"] for row in rows}
    assert {row["结论"] for row in rows} == {"不符合", "未评"}


def test_the_report_is_pages_in_chinese(unit: Unit) -> None:
    number, items = inspect(unit)
    inspection.find(unit.archive, "xu", number, items[0], 1, "unmet", "仅一人<录>像&")
    data = inspection_report.as_pdf(inspection_report.read(unit.archive, number))
    assert data.startswith(b"%PDF-")
    assert b"STSong-Light" in data
    text = text_of(data)
    assert "现场执法音像记录抽查报告" in text
    assert "仅一人<录>像&" in text
    assert "<b>&三沟镇" in text
    assert "中断：过热" in text
    assert data == inspection_report.as_pdf(inspection_report.read(unit.archive, number))


def text_of(pdf: bytes) -> str:
    """What a PDF of ours shows, its lines joined."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        shown = zlib.decompress(a85decode(stream.strip().removesuffix(b"~>")))
        for told in re.findall(rb"\(((?:\\.|[^\\)])*)\)", shown, re.DOTALL):
            plain = re.sub(rb"\\([0-7]{3}|.)", _unescaped, told, flags=re.DOTALL)
            found.append(plain.decode("utf-16-be", "replace"))
    return "".join(found)


def _unescaped(match: re.Match[bytes]) -> bytes:
    sign = match[1]
    return bytes([int(sign, 8)]) if len(sign) == 3 else {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(sign, sign)


def test_facts_of_rule_27_name_what_was_seen_and_judge_nobody(unit: Unit) -> None:
    inspect(unit)
    unit.record(30, 29, device="BWC-0003", received=False)
    found = conduct.facts(unit.archive, unit.at(100), unit.at(0))
    kinds = {one.kind for one in found}
    assert {1, 2, 3, 6, 7, 8} <= kinds
    assert any(one.kind == 3 and "无录像也无说明" in one.text for one in found)
    assert any(one.kind == 2 and one.device == "BWC-0003" for one in found)
    assert not [one for one in found if "故意" in one.text or "违" in one.text]
