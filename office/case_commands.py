"""Commands of case work and inspection: what a keeper or an inspector does without the page."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import getpass
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from office import activities, activity_table, conduct, custody, entry, foreign, inspection, worklists
from office.archive import Archive
from office.catalogue import utc
from office.config import OfficeConfig
from office.errors import OfficeError
from office.listing import CAUSES, minute, tell, titled
from office.words import KINDS, MISCONDUCT
from runtime.disk import write_once

_CHECK_FAILED = 1
_DAYS = 30
Act = Callable[[Archive, argparse.Namespace], int]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """Add these commands; the caller adds what all of the office's commands take."""
    listed = _command(commands, "activities", "执法活动台账 what should have been recorded", _activities, period=True)
    listed.add_argument("--import", dest="table", type=Path, metavar="CSV", help="bring a table in, all lines or none")
    work = _command(commands, "worklists", "待办清单 what is missing; status 1: something is", _worklists, period=True)
    seen = _command(commands, "conduct", "第二十七条有关事实 facts that bear on rule 27", _conduct, period=True)
    keeps = _command(commands, "custody", "保管台账 who looks after which camera (rule 7)", _custody)
    keeps.add_argument("device", nargs="?", metavar="DEVICE", help="its history; with --custodian: from now on")
    keeps.add_argument("--custodian", metavar="NAME", help="保管人")
    keeps.add_argument("--section", metavar="NAME", help="科室")
    keeps.add_argument("--head", metavar="NAME", help="科室负责人")
    brought = _command(commands, "foreign", "外来材料入库 keep a file of another device (rule 2)", _foreign)
    brought.add_argument("file", type=Path)
    brought.add_argument("--source", required=True, metavar="TEXT", help="来源 what or whom it is from")
    brought.add_argument("--reason", required=True, metavar="TEXT", help="事由 why")
    brought.add_argument("--case", metavar="NUMBER", help="案号")
    announced = _command(commands, "announce", "公告抽查 announce an inspection (rule 26)", _announce, period=True)
    announced.add_argument(
        "--permille", type=int, default=100, metavar="N", help="share of each section (default: 100)"
    )
    announced.add_argument("--least", type=int, default=1, metavar="N", help="of each section (default: 1)")
    announced.add_argument("--commitment", metavar="SHA256", help="of the inspector's nonce; else the office makes one")
    drawn = _command(commands, "draw", "抽取 draw the sample that was announced", _draw)
    drawn.add_argument("inspection", type=int)
    drawn.add_argument("--nonce", required=True, metavar="TEXT", help="the one that was announced")
    report = _command(commands, "inspection", "抽查报告 an inspection's report, as .csv or .pdf", _report)
    report.add_argument("inspection", type=int)
    report.add_argument("--out", type=Path, required=True, metavar="FILE")
    return [listed, work, seen, keeps, brought, announced, drawn, report]


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    act: Act,
    *,
    period: bool = False,
) -> argparse.ArgumentParser:
    def run(config: OfficeConfig, options: argparse.Namespace) -> int:
        with contextlib.closing(Archive(config)) as archive:
            archive.book.catch_up()
            return act(archive, options)

    command = commands.add_parser(name, help=text)
    command.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="经办人 (default: the login name)")
    command.add_argument("--json", action="store_true", help="for programs")
    if period:
        command.add_argument("--since", metavar="TIME", help=f"2026-11-01 00:00 (default: {_DAYS} days ago)")
        command.add_argument("--until", metavar="TIME", help="(default: now)")
    command.set_defaults(command=run)
    return command


def _period(archive: Archive, options: argparse.Namespace) -> tuple[datetime, datetime]:
    now, zone = datetime.now(UTC), archive.config.zone
    since = entry.time("--since", options.since, zone) if options.since else utc(now - timedelta(days=_DAYS))
    until = entry.time("--until", options.until, zone) if options.until else utc(now)
    return datetime.fromisoformat(since), datetime.fromisoformat(until)


def _activities(archive: Archive, options: argparse.Namespace) -> int:
    if options.table is not None:
        done = activity_table.bring_in(archive.book, options.by, options.table.read_bytes(), archive.config.zone)
        told = {"entered": len(done.entered), "known": list(done.known)}
        return _tell(options, told, f"登记 entered: {len(done.entered)}，已在台账 known: {len(done.known)}\n")
    since, until = _period(archive, options)
    with archive.database.read() as db:
        found = activities.between(db, utc(since), utc(until))
    rows = [
        (
            str(one["leaf_index"]),
            one["number"] or "—",
            KINDS[one["kind"]],
            one["place"],
            _local(archive, one["begins"]),
            _local(archive, one["ends"]),
            one["section"],
            "、".join(one["officers"]),
        )
        for one in found
    ]
    return _tell(
        options,
        {"activities": found},
        _table(("编号", "文号", "类别", "地点", "开始", "结束", "科室", "执法人员"), rows),
    )


def _worklists(archive: Archive, options: argparse.Namespace) -> int:
    since, until = _period(archive, options)
    with archive.database.read() as db:
        ledger = worklists.read(db, since, until, custody.sections(db, until))
    found = worklists.items(ledger, datetime.now(UTC), archive.config.zone)
    rows = [
        (
            worklists.LISTS[one.list],
            _local(archive, utc(one.at) if one.at else None),
            one.section or "—",
            str(one.activity or "—"),
            one.device or "—",
            one.recording or "—",
            CAUSES.get(one.detail, one.detail) + ("（可待移交）" if one.early else ""),
        )
        for one in found
    ]
    told = {"items": [{**dataclasses.asdict(one), "at": utc(one.at) if one.at else None} for one in found]}
    _tell(options, told, _table(("清单", "时间", "科室", "活动", "设备", "录像", "说明"), rows))
    return _CHECK_FAILED if any(not one.early for one in found) else os.EX_OK


def _conduct(archive: Archive, options: argparse.Namespace) -> int:
    found = conduct.facts(archive, *_period(archive, options))
    rows = [
        (MISCONDUCT[one.kind - 1], _local(archive, one.at), one.device or "—", one.recording or "—", one.text)
        for one in found
    ]
    table = _table(("有关条款", "时间", "设备", "录像", "事实"), rows)
    return _tell(options, {"facts": [dataclasses.asdict(one) for one in found]}, table)


def _custody(archive: Archive, options: argparse.Namespace) -> int:
    if options.custodian is not None:
        custody.assign(
            archive.book,
            options.by,
            options.device or "",
            options.custodian,
            options.section,
            options.head,
            archive.config.zone,
        )
    with archive.database.read() as db:
        found = custody.history(db, options.device) if options.device else [*custody.at(db).values()]
    rows = [
        (
            one["device"],
            one.get("custodian") or custody.WORK[one["work"]],
            one.get("section") or one["detail"],
            one.get("head", "—"),
            _local(archive, one.get("since") or one["done"]),
            one["by"],
        )
        for one in found
    ]
    return _tell(
        options, {"custody": found}, _table(("设备", "保管人/事项", "科室/内容", "负责人", "自", "经办人"), rows)
    )


def _foreign(archive: Archive, options: argparse.Namespace) -> int:
    with options.file.open("rb") as file:
        leaf = foreign.bring_in(
            archive.book,
            archive.config.data,
            options.by,
            file,
            options.file.name,
            options.source,
            options.reason,
            case=options.case,
        )
    return _tell(options, {"foreign": leaf}, f"外来材料 foreign, not verified: {leaf}\n")


def _announce(archive: Archive, options: argparse.Namespace) -> int:
    plan = inspection.Plan(*_period(archive, options), options.permille, options.least)
    leaf, nonce = inspection.announce(archive, options.by, plan, options.commitment)
    kept = f"随机数 nonce, told once, keep it: {nonce}\n" if nonce else ""
    return _tell(options, {"inspection": leaf, "nonce": nonce}, f"检查编号 inspection: {leaf}\n{kept}")


def _draw(archive: Archive, options: argparse.Namespace) -> int:
    sample = inspection.draw_sample(archive, options.by, options.inspection, options.nonce)
    rows = [(section, item) for section, items in sample.items() for item in items]
    return _tell(options, {"sample": sample}, _table(("科室", "抽取项"), rows))


def _report(archive: Archive, options: argparse.Namespace) -> int:
    from office import inspection_report  # noqa: PLC0415 - reportlab is loaded to print, and for nothing else

    forms = {".csv": inspection_report.as_csv, ".pdf": inspection_report.as_pdf}
    if options.out.suffix not in forms:
        raise OfficeError("entry", "--out: the name of a report ends in .csv or .pdf", 400)
    data = forms[options.out.suffix](inspection_report.read(archive, options.inspection))
    write_once(options.out, data)
    return _tell(options, {"file": str(options.out)}, f"{options.out}\n")


def _tell(options: argparse.Namespace, told: dict[str, Any], text: str) -> int:
    tell(told, text, as_json=options.json)
    return os.EX_OK


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return titled(headings, rows, "无 none\n")


def _local(archive: Archive, text: str | None) -> str:
    return minute(datetime.fromisoformat(text), archive.config.zone) if text else "—"
