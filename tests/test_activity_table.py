"""Activities from a table, as spreadsheets write it: all lines or none, and each once."""

from __future__ import annotations

import pytest

from office import activities, activity_table
from office.words import KINDS
from tests.casework_kit import COUNTY, ONE, TWO, Unit, refused

TABLE = """编号,类别,地点,开始,结束,科室,执法人员,当事人
承安检〔2026〕1号,日常执法检查,下板城镇甲矿,2026/11/20 9:05,2026/11/20 10:30,一股,012345、054321,甲矿业公司
承安检〔2026〕2号,强制措施,"三沟镇,乙厂",2026-11-20 14:00,2026-11-20 15:00:30,二股,012345 054321,

"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_table_as_spreadsheets_write_it_is_taken_in_once(unit: Unit, encoding: str) -> None:
    data = TABLE.replace("\n", "\r\n").encode(encoding)
    done = activity_table.bring_in(unit.book, "keeper", data, COUNTY)
    assert (len(done.entered), done.known) == (2, ())
    with unit.archive.database.read() as db:
        one, other = (activities.one(db, leaf) for leaf in done.entered)
    assert (one["begins"], one["officers"], one["parties"]) == (
        "2026-11-20T01:05:00.000Z", [ONE, TWO], ["甲矿业公司"],
    )  # fmt: skip
    assert (other["kind"], other["place"], other["ends"]) == ("coercion", "三沟镇,乙厂", "2026-11-20T07:00:30.000Z")
    again = activity_table.bring_in(unit.book, "keeper", data, COUNTY)
    assert (again.entered, again.known) == ((), ("承安检〔2026〕1号", "承安检〔2026〕2号"))


def test_a_table_with_one_wrong_line_brings_nothing_and_names_it(unit: Unit) -> None:
    wrong = TABLE + "承安检〔2026〕3号,吃饭,下板城镇,2026-11-20 9:05,2026-11-20 8:00,一股,012345,\n"
    wrong += "承安检〔2026〕4号,日常检查,下板城镇,2026-02-30 9:05,2026-11-20 8:00,一股,012345,\n"
    before = unit.archive.log.size
    said = refused("table", activity_table.bring_in, unit.book, "keeper", wrong.encode(), COUNTY)
    assert "第5行 类别" in said
    assert "第6行 开始" in said
    assert unit.archive.log.size == before


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "缺少列"),
        ("编号,类别\n".encode(), "缺少列 columns are missing: 地点、开始、结束、科室、执法人员"),
        (b"\xff\xff\xff", "编码"),
        (b"x" * (activity_table.LIMIT + 1), "超过"),
        ((TABLE + TABLE.splitlines()[1] + "\n").encode(), "编号重复"),
        (b'kind,place,begins,ends,section,officers\n"' + b"x" * 200_000, "第"),
    ],
)
def test_what_is_no_table_is_refused(unit: Unit, data: bytes, said: str) -> None:
    assert said in refused("table", activity_table.bring_in, unit.book, "keeper", data, COUNTY)


def test_every_kind_can_be_written_as_the_rule_has_it() -> None:
    for kind, word in KINDS.items():
        table = f"类别,地点,开始,结束,科室,执法人员\n{word},甲,2026-11-20 9:00,2026-11-20 9:30,一股,1\n"
        assert [one.kind for one in activity_table.read(table.encode(), COUNTY)] == [kind]
