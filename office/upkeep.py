"""Commands for what the office holds: scrub, missing, dispose (rule 20)."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import getpass
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from office.archive import Archive
from office.config import OfficeConfig
from office.disposal import gone
from office.listing import local, tell, titled

_CHECK_FAILED = 1
_CODES = {
    "missing": "缺失", "changed": "内容有变", "unlocked": "未锁定", "meddled": "被他人覆盖或删除",
    "unreadable": "读不出", "receipt": "收据不符", "journal": "日志不符",
}  # fmt: skip
_PLACES = {"store": "主库 store", "second": "副本 second"}
Act = Callable[[OfficeConfig, argparse.Namespace], int]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """Add these commands; the caller adds what all of the office's commands take."""
    scrub = commands.add_parser("scrub", help="巡检 read all again now, and compare it with receipts and log")
    scrub.add_argument("--faults", action="store_true", help="only tell which faults stand")
    scrub.set_defaults(command=_scrub)
    missing = commands.add_parser("missing", help="缺少的副本 what lacks a copy, and where")
    missing.set_defaults(command=_missing)
    dispose = commands.add_parser(
        "dispose", help="到期销毁 dispose of what was kept for its term: two people (rule 20)"
    )
    steps = dispose.add_subparsers(required=True, metavar="due|list|propose|withdraw|approve")
    due = steps.add_parser("due", help="已到期 whose term is over")
    due.set_defaults(command=_due)
    listed = steps.add_parser("list", help="销毁记录 all disposals")
    listed.set_defaults(command=_list)
    propose = steps.add_parser("propose", help="提请 the first of two people")
    propose.add_argument("device", metavar="DEVICE")
    propose.add_argument("recording", metavar="RECORDING")
    propose.set_defaults(command=_propose)
    withdraw = steps.add_parser("withdraw", help="撤回 it comes to nothing")
    withdraw.set_defaults(command=_withdraw)
    approve = steps.add_parser("approve", help="批准 the second: it is removed for good")
    approve.set_defaults(command=_approve)
    for step in (withdraw, approve):
        step.add_argument("proposal", type=int, metavar="NUMBER", help="as propose told it")
    for step in (propose, withdraw):
        step.add_argument("--reason", required=True, metavar="TEXT", help="事由 why")
    for step in (propose, withdraw, approve):
        step.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="经办人 (default: the login name)")
    for told in (scrub, missing, due, listed):
        told.add_argument("--json", action="store_true", help="for programs")
    return [scrub, missing, due, listed, propose, withdraw, approve]


def _scrub(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(Archive(config)) as archive:
        if options.faults:
            archive.book.catch_up()
            found = archive.scrub.open_faults()
        else:
            scrub = archive.scrub_anew(config.data / "scrub.command.json")
            found = [dataclasses.asdict(fault) for fault in scrub.run(threading.Event())]
    headings = ("位置 place", "文件 file", "问题 fault", "说明 detail")
    rows = [
        (_PLACES[one["place"]], one["name"], f"{_CODES[one['code']]} {one['code']}", one["detail"]) for one in found
    ]
    tell({"faults": found}, titled(headings, rows, "无异常 no faults\n"), as_json=options.json)
    return _CHECK_FAILED if found else os.EX_OK


def _missing(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(Archive(config)) as archive:
        with archive.database.read() as db:
            disposed = gone(db)
        found = list(archive.copies.lacking(disposed))
    rows = [(_PLACES[one.place], one.name) for one in found]
    told = [dataclasses.asdict(one) for one in found]
    tell(
        {"missing": told},
        titled(("位置 place", "文件 file"), rows, "无缺失 nothing is missing\n"),
        as_json=options.json,
    )
    return _CHECK_FAILED if found else os.EX_OK


def _due(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(Archive(config)) as archive:
        found = [{**dataclasses.asdict(one), "term": one.term.isoformat()} for one in archive.disposals.due()]
    rows = [(one["device"], one["recording"], local(one["term"])) for one in found]
    headings = ("设备 device", "录像 recording", "到期 term")
    tell({"due": found}, titled(headings, rows, "无到期录像 nothing is due\n"), as_json=options.json)
    return os.EX_OK


def _list(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(Archive(config)) as archive:
        found = archive.disposals.rows()
    headings = ("编号 number", "设备 device", "录像 recording", "提请 by", "批准 by", "状态 state", "事由 reason")
    rows = [
        (str(one["leaf_index"]), one["device"], one["recording"], one["proposed_by"], one["approved_by"] or "—",
         _state(one), one["reason"])
        for one in found
    ]  # fmt: skip
    tell({"disposals": found}, titled(headings, rows, "无销毁记录 no disposals\n"), as_json=options.json)
    return os.EX_OK


def _state(row: dict[str, Any]) -> str:
    states = {"removed": "已销毁 done", "disposed": "销毁中 being removed", "withdrawn": "已撤回 withdrawn"}
    return next((text for name, text in states.items() if row[name] is not None), "待批准 waits for approval")


def _propose(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(Archive(config)) as archive:
        number = archive.disposals.propose(
            by=options.by, device=options.device, recording=options.recording, reason=options.reason
        )
    sys.stdout.write(f"已提请，编号 proposed, number {number}：由另一人批准 somebody else has to approve\n")
    return os.EX_OK


def _withdraw(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(Archive(config)) as archive:
        archive.disposals.withdraw(options.proposal, by=options.by, reason=options.reason)
    return os.EX_OK


def _approve(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(Archive(config)) as archive:
        index = archive.disposals.approve(options.proposal, by=options.by)
    sys.stdout.write(f"已销毁 disposed of: 日志编号 log entry {index}\n")
    return os.EX_OK
