"""`bodycam office account`: people, their roles and their log-in, at the machine (docs/people.md).

For the technician's first hour, and for whoever is locked out; everything is a leaf of the log that says so. The roles
that open footage take a second person here too: he gives his password and code.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import segno

from office.accounts import CODE_LASTS, PASSWORD, factor_address
from office.archive import Archive
from office.config import OfficeConfig
from office.errors import OfficeError
from office.listing import columns
from office.person import Role
from runtime.disk import write_once

_HOURS = int(CODE_LASTS.total_seconds()) // 3600


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command; the caller adds what all of the office's commands take."""
    command = commands.add_parser("account", help="人员与角色 people, their roles and their log-in, at the machine")
    command.add_argument("deed", choices=_DEEDS)
    command.add_argument("account", nargs="?", default="", metavar="ACCOUNT")
    command.add_argument("roles", nargs="*", metavar="ROLE", help=f"roles: {', '.join(Role)}; all that he is to have")
    command.add_argument("--name", metavar="NAME", help="add: 姓名")
    command.add_argument("--section", metavar="NAME", help="add: 科室")
    command.add_argument("--number", metavar="NUMBER", help="add: 警号, which loans name")
    command.add_argument("--asked", type=int, metavar="N", help="confirm: the number that `roles` told")
    command.add_argument("--out", type=Path, metavar="FILE", help="card: where to, for `bodycam office keyd enrol`")
    command.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="经办人 (default: the login name)")
    command.set_defaults(command=_do)
    return command


def _do(config: OfficeConfig, options: argparse.Namespace) -> int:
    if options.deed != "list" and not options.account:
        raise OfficeError("account", "name the account", 400)
    with contextlib.closing(Archive(config)) as archive:
        _DEEDS[options.deed](archive, options)
    return os.EX_OK


def _add(archive: Archive, options: argparse.Namespace) -> None:
    if options.name is None or options.section is None:
        raise OfficeError("account", "add wants --name and --section", 400)
    archive.people.add(
        options.account, options.name, options.section, number=options.number, by=options.by, machine=True
    )  # fmt: skip
    _invite(archive, options.account)


def _roles(archive: Archive, options: argparse.Namespace) -> None:
    if archive.people.ask_roles(options.account, options.roles, by=options.by, machine=True):
        _say(f"{options.account}: {', '.join(sorted(options.roles)) or '—'}")
        return
    asked = next(row["leaf_index"] for row in archive.people.waiting() if row["account"] == options.account)
    _say(f"须另一人确认 another person confirms it: bodycam office account confirm ACCOUNT --asked {asked}")


def _confirm(archive: Archive, options: argparse.Namespace) -> None:
    """`account` is who confirms."""
    if options.asked is None:
        raise OfficeError("nothing-asked", "confirm wants --asked", 400)
    archive.gate.accounts.check(options.account, _secret("口令 password: "), _secret("验证码 code: "))
    archive.people.confirm_roles(options.asked, by=options.account)
    _say("已确认 confirmed")


def _reset(archive: Archive, options: argparse.Namespace) -> None:
    archive.people.reset(options.account, by=options.by)
    _invite(archive, options.account)


def _enrol(archive: Archive, options: argparse.Namespace) -> None:
    """Take an account over without a browser."""
    code = _secret("开户码 the code that was told: ")
    factor = archive.gate.accounts.begin(options.account, code)
    address = factor_address(options.account, factor, archive.office)
    _say(f"{address}\n")
    if sys.stdout.isatty():
        segno.make(address).terminal(compact=True)
    password = _secret(f"新口令 a password of {PASSWORD[0]} characters at least: ")
    archive.gate.accounts.enrol(options.account, code, password, _secret("验证码 code: "))
    _say("已启用 ready")


def _leave(archive: Archive, options: argparse.Namespace) -> None:
    archive.people.leave(options.account, by=options.by, machine=True)
    archive.gate.accounts.remove(options.account)


def _card(archive: Archive, options: argparse.Namespace) -> None:
    key = next((row for row in reversed(archive.people.approver_keys()) if row["account"] == options.account), None)
    if key is None or key["confirmed"] is None:
        raise OfficeError("no-approver-key", f"{options.account} has no key that another person has confirmed", 404)
    leaves = {"entered": key["leaf_index"], "confirmed": key["confirmed"]}
    card = json.dumps({name: archive.log.proof(leaf).to_text().decode() for name, leaf in leaves.items()}) + "\n"
    if options.out is None:
        sys.stdout.write(card)
    else:
        write_once(options.out, card.encode())


def _list(archive: Archive, _: argparse.Namespace) -> None:
    rows = [("账号 account", "姓名 name", "科室 section", "警号 number", "角色 roles")]
    for member in archive.people.all():
        roles = ", ".join(sorted(member.roles)) if member.active else "已离任 has left"
        rows.append((member.account, member.person.name, member.person.section or "—", member.number or "—", roles))
    sys.stdout.write(columns(rows))
    for row in archive.people.waiting():
        _say(f"待确认 waits, number {row['leaf_index']}: {row['account']} {row['roles']} ({row['asked_by']})")


_DEEDS: dict[str, Callable[[Archive, argparse.Namespace], None]] = {
    "add": _add,
    "roles": _roles,
    "confirm": _confirm,
    "reset": _reset,
    "enrol": _enrol,
    "leave": _leave,
    "card": _card,
    "list": _list,
}


def _invite(archive: Archive, account: str) -> None:
    _say(f"{account} 的开户码（{_HOURS} 小时内有效，当面交给本人） code, {_HOURS} hours, for this person alone:")
    _say(archive.gate.accounts.invite(account))


def _secret(asked: str) -> str:
    return (getpass.getpass(asked) if sys.stdin.isatty() else sys.stdin.readline()).rstrip("\r\n")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
