"""The report of an inspection (rule 26): a table for spreadsheets, and pages to print and sign."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from office import activities, inspection, inspection_acts, paper
from office.archive import Archive
from office.facts import Fact, suggested
from office.inspection_acts import VERDICTS
from office.listing import minute
from office.words import KINDS, QUESTIONS

_COLUMNS: Final = ("科室", "抽取项", "内容", "事项", "已知事实", "参考", "结论", "说明", "检查人", "时间")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would carry out


@dataclass(frozen=True, slots=True)
class Report:
    """An inspection with all that is known of it."""

    row: Mapping[str, Any]
    sample: Sequence[Mapping[str, Any]]
    findings: Mapping[tuple[str, int], Mapping[str, Any]]
    facts: Mapping[str, Sequence[Fact]]
    scores: Mapping[str, Sequence[int | None]]
    names: Mapping[str, str]
    zone: ZoneInfo


def read(archive: Archive, number: int) -> Report:
    """An inspection's report as it stands. Raises `OfficeError` ("inspection-unknown")."""
    with archive.database.read() as db:
        row = inspection_acts.one(db, number)
        sample, findings = inspection_acts.sample(db, number), inspection_acts.findings(db, number)
        leaves = [int(one["item"].split("/")[1]) for one in sample if one["item"].startswith("activity/")]
        names = {f"activity/{leaf}": _named(activities.one(db, leaf), archive.config.zone) for leaf in leaves}
    facts = inspection.known_of(archive, row)
    return Report(row, sample, findings, facts, inspection.scores(archive, number), names, archive.config.zone)


def lines(report: Report) -> list[tuple[str, ...]]:
    """A line for each drawn item and question."""
    found: list[tuple[str, ...]] = []
    for one in report.sample:
        facts = report.facts.get(one["item"], [])
        for question, words in enumerate(QUESTIONS, 1):
            finding = report.findings.get((one["item"], question), {})
            known = finding.get("facts") or [fact.text for fact in facts if fact.question == question]
            found.append(
                (
                    one["section"], one["item"], report.names.get(one["item"], ""), f"{question} {words}",
                    "；".join(known), VERDICTS.get(suggested(facts, question) or "", ""),
                    VERDICTS.get(finding.get("verdict", ""), "未评"), finding.get("remark") or "",
                    finding.get("by") or "", _time(finding.get("at"), report.zone),
                )
            )  # fmt: skip
    return found


def as_csv(report: Report) -> bytes:
    """For spreadsheets: UTF-8 with its mark; what looks like a formula is made text."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    writer.writerows([_plain(cell) for cell in line] for line in lines(report))
    return out.getvalue().encode("utf-8-sig")


def as_pdf(report: Report) -> bytes:
    """Pages to print and sign."""
    row, zone = report.row, report.zone
    span = f"{_time(row['since'], zone)} 至 {_time(row['until'], zone)}"
    drawn = f"{_time(row['drawn'], zone)}，{row['drawn_by']}" if row["drawn"] else "尚未抽取"
    parts = [
        paper.title("现场执法音像记录抽查报告"),
        *paper.lines(
            f"检查编号：{row['leaf_index']}　　检查期间：{span}",
            f"抽查比例：每科室 {row['permille'] / 10:g}%，至少 {row['least']} 份；"
            f"可抽 {row['size']} 份，抽取 {len(report.sample)} 份",
            f"公告：{_time(row['at'], zone)}，{row['by']}；抽取：{drawn}；"
            + (f"办结：{_time(row['closed'], zone)}，{row['closed_by']}" if row["closed"] else "尚未办结"),
        ),
        paper.heading("一、各科室得分（百分制）"),
        paper.table(
            [("科室", "总分", *QUESTIONS), *((name, *map(_points, points)) for name, points in report.scores.items())],
            (2, 1, 2, 2, 2),
        ),
        paper.heading("二、抽查结果"),
        paper.table(
            [("科室", "抽取项", "事项", "已知事实", "结论", "说明"), *(_printed(one) for one in lines(report))],
            (1.4, 2.6, 1.8, 4.2, 1.1, 2.2),
        ),
        paper.heading("三、抽取依据"),
        *paper.lines(
            f"抽样框 SHA-256：{row['frame']}",
            f"承诺值：{row['commitment']}（随机数由{'检查人' if row['nonce_by'] == 'inspector' else '本系统'}产生）",
            f"随机数：{row['nonce'] or '—'}",
            f"日志根：{row['root'] or '—'}（规模 {row['leaf_index'] + 1}）",
            f"种子：{row['seed'] or '—'}",
            "任何人可按 docs/spec/inspection.md 所列程序重抽核对。已知事实由系统列出，结论由检查人作出。",
        ),
        *paper.lines("检查人（签字）：　　　　　　　　　　科室负责人（签字）：　　　　　　　　　　日期："),
    ]
    return paper.document("现场执法音像记录抽查报告", parts, f"抽查报告 {row['leaf_index']}")


def _printed(line: Sequence[str]) -> tuple[str, ...]:
    section, item, name, question, known, _, verdict, remark, by, _ = line
    return section, f"{name}\n{item}" if name else item, question, known, verdict, f"{remark}\n{by}".strip()


def _named(activity: Mapping[str, Any], zone: ZoneInfo) -> str:
    return f"{KINDS[activity['kind']]}，{activity['place']}，{_time(activity['begins'], zone)}"


def _points(points: int | None) -> str:
    return "—" if points is None else str(points)


def _time(text: str | None, zone: ZoneInfo) -> str:
    return minute(datetime.fromisoformat(text), zone) if text else ""


def _plain(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
