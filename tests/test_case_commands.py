"""The keeper's and the inspector's commands, in processes of their own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.agency import Agency
from tests.casework_kit import ONE, Unit
from tests.test_activity_table import TABLE


@pytest.mark.slow
def test_a_keeper_and_an_inspector_do_without_the_page(tmp_path: Path, agency: Agency) -> None:
    unit = Unit(tmp_path, agency)
    unit.issue("BWC-0001", ONE, 10, 2)
    unit.record(6, 5)
    unit.archive.close()
    call = unit.kit.call
    table = tmp_path / "台账.csv"
    table.write_bytes(TABLE.encode("gb18030"))
    done = call("activities", "--import", str(table), "--by", "keeper")
    assert (done.returncode, done.stdout) == (0, "登记 entered: 2，已在台账 known: 0\n")
    period = ("--since", "2026-11-20 00:00", "--until", "2026-11-21 00:00")
    assert "三沟镇,乙厂" in call("activities", *period).stdout
    found = call("worklists", "--json")
    assert found.returncode == 1
    assert {one["list"] for one in json.loads(found.stdout)["items"]} == {"unrecorded", "loose"}
    assert "录像无对应的执法活动" in call("conduct").stdout
    made = call("custody", "BWC-0001", "--custodian", "赵", "--section", "一股", "--head", "钱", "--by", "keeper")
    assert "赵" in made.stdout
    assert call("custody").stdout == made.stdout
    assert "不能为空" in call("custody", "BWC-0001", "--custodian", "赵").stderr
    film = tmp_path / "x.bin"
    film.write_bytes(b"x")
    assert "not verified" in call("foreign", str(film), "--source", "手机", "--reason", "投诉").stdout
    nonce = "6-1-5-2-2-3-1-4"
    commitment = hashlib.sha256(nonce.encode()).hexdigest()
    told = call("announce", *period, "--permille", "1000", "--commitment", commitment, "--json", "--by", "xu")
    number = str(json.loads(told.stdout)["inspection"])
    assert call("draw", number, "--nonce", "6-1-5-2-2-3-1-5").returncode == 69
    assert [line.split()[0] for line in call("draw", number, "--nonce", nonce).stdout.splitlines()[1:]] == [
        "一股",
        "二股",
    ]
    for name, start in (("r.csv", b"\xef\xbb\xbf"), ("r.pdf", b"%PDF-")):
        out = tmp_path / name
        assert call("inspection", number, "--out", str(out)).returncode == 0
        assert out.read_bytes().startswith(start)
    assert call("inspection", number, "--out", str(tmp_path / "r.pdf")).returncode != 0
