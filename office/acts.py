"""Commands of the keeper: who has which camera, remote work, orders to docks, deadlines (rules 7, 8 and 19)."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from evidence import shape
from evidence.documents import ORDERS
from office.archive import Archive, look
from office.config import OfficeConfig
from office.duties import OPEN, deadlines, describe, table
from office.errors import OfficeError
from office.listing import tell, titled
from office.orders import RESULTS, Orders
from office.orders import describe as describe_answers

_CHECK_FAILED = 1
_ANSWER_SECONDS = 10.0
_DAYS = 30  # of what was handed in, with --all
Act = Callable[[OfficeConfig, argparse.Namespace], int]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> list[argparse.ArgumentParser]:
    """Add these commands; the caller adds what all of the office's commands take."""
    due = commands.add_parser("deadlines", help="移交期限 what is to be handed in, until when (rule 19)")
    due.add_argument("--all", action="store_true", help=f"also what was handed in within {_DAYS} days")
    due.add_argument("--json", action="store_true", help="for programs")
    due.set_defaults(command=_deadlines)
    issue = _of_camera(commands, "issue", "领用 give a camera out", _issue)
    issue.add_argument("--officer", required=True, metavar="NUMBER", help="警号 of who takes it")
    issue.add_argument("--shift-end", required=True, metavar="TIME", help="planned end: 18:00, or a date and time")
    issue.add_argument("--dock", type=_identifier, metavar="ID", help="where it is to be brought back")
    back = _of_camera(commands, "return", "归还 take a camera back", _return)
    remote = _of_camera(commands, "remote", "异地执法申报 its officer works away from the unit", _remote)
    remote.add_argument("--reason", required=True, metavar="TEXT", help="事由 why")
    remote.add_argument("--until", metavar="TIME", help="预计返回 when the return is expected")
    home = _of_camera(commands, "back", "异地返回 its officer is back at the unit", _back)
    for command in (issue, back, remote, home):
        command.add_argument("--at", metavar="TIME", help="when, if it was earlier than now")
    order = _of_camera(commands, "order", "指令 tell all docks: hold, first, usual, find", _order)
    order.add_argument("act", choices=ORDERS, help="hold a recording; a camera or segment first; as usual again; find")
    order.add_argument("target", nargs="?", metavar="RECORDING[/SEGMENT]")
    order.add_argument("--sign", type=_identifier, metavar="DOCK", help="only print it, signed for this dock")
    order.add_argument("--json", action="store_true", help="for programs")
    return [due, issue, back, remote, home, order]


def _of_camera(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, act: Act
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text)
    command.add_argument("device", type=_identifier, metavar="DEVICE")
    command.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="经办人 (default: the login name)")
    command.set_defaults(command=act)
    return command


def _identifier(text: str) -> str:
    if not shape.identifier(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no id: capitals, digits and hyphens")
    return text


def at_time(text: str | None, zone: ZoneInfo, after: datetime) -> datetime | None:
    """A time of the county as people write it; hours alone are the next such time after `after`. Raises ValueError."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", text):
        clock = datetime.strptime(text, "%H:%M")  # noqa: DTZ007 - hours and minutes, of whichever day
        found = after.astimezone(zone).replace(hour=clock.hour, minute=clock.minute, second=0, microsecond=0)
        return found if found > after else found + timedelta(days=1)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=zone)


def _deadlines(config: OfficeConfig, options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    since = now - timedelta(days=_DAYS) if options.all else None
    with contextlib.closing(look(config)) as catalogue:
        found = deadlines(catalogue, now, config.zone, timedelta(hours=config.warn_hours), done_since=since)
    tell({"deadlines": [*map(describe, found)]}, table(found, config.zone), as_json=options.json)
    return _CHECK_FAILED if any(one.state is OPEN[0] for one in found) else os.EX_OK


def _times(config: OfficeConfig, options: argparse.Namespace, name: str) -> tuple[datetime | None, datetime | None]:
    """When it happened, and the later time of that option; hours alone of the first are of today."""
    now = datetime.now(UTC)
    try:
        day = now.astimezone(config.zone).replace(hour=0, minute=0, second=0) - timedelta(minutes=1)
        at = at_time(options.at, config.zone, day)
        return at, at_time(getattr(options, name), config.zone, at or now)
    except ValueError as error:
        raise OfficeError("time", f"{error}: a time is 18:00 or 2026-11-24T18:00") from error


def _issue(config: OfficeConfig, options: argparse.Namespace) -> int:
    at, end = _times(config, options, "shift_end")
    with contextlib.closing(Archive(config)) as archive:
        archive.ledger.issue(options.device, options.officer, end or datetime.now(UTC), options.by, at=at,
                             dock=options.dock)  # fmt: skip
    return os.EX_OK


def _return(config: OfficeConfig, options: argparse.Namespace) -> int:
    at, _ = _times(config, options, "at")
    with contextlib.closing(Archive(config)) as archive:
        archive.ledger.give_back(options.device, options.by, at=at)
    return os.EX_OK


def _remote(config: OfficeConfig, options: argparse.Namespace) -> int:
    at, until = _times(config, options, "until")
    with contextlib.closing(Archive(config)) as archive:
        archive.ledger.declare_remote(options.device, options.reason, options.by, since=at, until=until)
    return os.EX_OK


def _back(config: OfficeConfig, options: argparse.Namespace) -> int:
    at, _ = _times(config, options, "at")
    with contextlib.closing(Archive(config)) as archive:
        archive.ledger.came_back(options.device, options.by, at=at)
    return os.EX_OK


def _order(config: OfficeConfig, options: argparse.Namespace) -> int:
    recording, _, segment = (options.target or "").partition("/")
    if segment and not re.fullmatch("[0-9]{1,5}", segment):
        raise OfficeError("target", f"{options.target!r}: a segment is a number")
    target = (options.device, recording or None, int(segment) if segment else None)
    with contextlib.closing(Archive(config)) as archive:
        if options.sign:
            sys.stdout.write(archive.orders.sign(options.sign, os.urandom(16).hex(), options.act, target) + "\n")
            return os.EX_OK
        order = archive.orders.give(options.act, *target, options.by)
        answers = _await(archive.orders, order)
    rows = [(str(one["dock"]), RESULTS[one["result"]], one["detail"] or "—") for one in answers]
    nobody = "尚无采集站答复：指令已登记，采集站或档案库上线后送达 kept until a dock and the office are there\n"
    text = titled(("采集站 dock", "结果 result", "说明 detail"), rows, nobody)
    tell({"order": order, "answers": describe_answers(answers)}, text, as_json=options.json)
    return os.EX_OK if any(one["result"] == "done" for one in answers) else _CHECK_FAILED


def _await(orders: Orders, order: str) -> list[dict[str, str | None]]:
    """The docks' answers, once each that was asked has given one, or the time is over."""
    end = time.monotonic() + _ANSWER_SECONDS
    while True:
        answers = orders.answers(order)
        if (answers and all(one["result"] for one in answers)) or time.monotonic() > end:
            return answers
        time.sleep(0.1)
