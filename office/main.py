"""`bodycam office run|list|alerts|export|cameras|camera`, and the keeper's other commands (`office.acts`)."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import sys
from pathlib import Path

from evidence import shape
from evidence.errors import EvidenceError
from evidence.standing import Standing
from office import account_acts, acts, alerts, case_commands, keeping, listing, register, upkeep
from office import export as exporting
from office.archive import Archive, look
from office.config import OfficeConfig
from office.errors import OfficeError
from office.identity import read_identity
from office.quarantine import held
from office.register import MARKS
from runtime import log
from runtime.config import ConfigError, load
from runtime.keys import CredentialError
from runtime.tls import PeerError

_CHECK_FAILED = 1


def main(argv: list[str]) -> int:
    """Run one of the office's commands; the exit status (docs/exit-status.md)."""
    options = _parser().parse_args(argv)
    log.setup("office")
    try:
        config = load(options.config, OfficeConfig)
        status: int = options.command(config, options)
    except (ConfigError, CredentialError, PeerError, OfficeError) as error:
        return _fail(str(error), error.exit_status)
    except EvidenceError as error:
        return _fail(str(error), os.EX_DATAERR)
    except OSError as error:
        return _fail(str(error), os.EX_CANTCREAT)
    return status


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"bodycam office: {message}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam office",
        description="档案库 receives, keeps, lists and exports recordings",
        epilog="bodycam office keyd: 密钥进程 the process that holds the office's identity, a program of its own",
    )
    commands = parser.add_subparsers(
        required=True,
        metavar="run|list|alerts|export|cameras|camera|deadlines|issue|return|remote|back|order|account|"
        "scrub|missing|dispose|rebuild|backup|restore|activities|worklists|conduct|custody|foreign|announce|draw|"
        "inspection",
    )
    run = commands.add_parser("run", help="接收 receive from docks until stopped")
    run.set_defaults(command=_run)
    listed = commands.add_parser("list", help="目录 what the office holds")
    listed.add_argument("--json", action="store_true", help="for programs")
    listed.set_defaults(command=_list)
    alerts = commands.add_parser("alerts", help="报警 what cameras alerted of, also before they were handed in")
    alerts.add_argument("--json", action="store_true", help="for programs")
    alerts.set_defaults(command=_alerts)
    export = commands.add_parser("export", help="导出 a copy of one recording; each one is logged")
    export.add_argument("recording", help="its id, as bodycam office list tells it")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    export.add_argument("--identity", type=Path, metavar="FILE", help="the office's age identity: adds recording.mp4")
    export.add_argument("--by-part", action="store_true", help="a film of each part besides, as ONVIF validators want")
    export.add_argument("--device", metavar="ID", help="whose recording, if several cameras claim its id")
    export.add_argument("--by", metavar="NAME", help="操作人 who takes it out (default: the login name)")
    export.add_argument("--reason", default="", metavar="TEXT", help="事由 why")
    export.set_defaults(command=_export)
    cameras = commands.add_parser("cameras", help="登记册 the register, and what is in quarantine")
    cameras.add_argument("--json", action="store_true", help="for programs")
    cameras.set_defaults(command=_cameras)
    camera = commands.add_parser("camera", help="挂失、收回、恢复 say that a camera is lost, unassigned, or good again")
    camera.add_argument("device", metavar="ID")
    camera.add_argument("standing", choices=[standing.value for standing in (*MARKS, Standing.GOOD)])
    camera.set_defaults(command=_camera)
    added = [command for module in (acts, case_commands, upkeep, keeping) for command in module.add(commands)]
    for command in (run, listed, alerts, export, cameras, camera, account_acts.add(commands), *added):
        command.add_argument("--config", type=Path, required=True, metavar="office.toml")
    return parser


def _run(config: OfficeConfig, _: argparse.Namespace) -> int:
    from office.run import run  # noqa: PLC0415 - server and MQTT client are not loaded to list and export
    from runtime.service import Service  # noqa: PLC0415 - takes over signals

    run(config, Service())
    return os.EX_OK


def _list(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(look(config)) as catalogue:
        rows = [listing.describe(row) for row in catalogue.recordings()]
    listing.tell({"recordings": rows}, "" if options.json else listing.table(rows), as_json=options.json)
    return os.EX_OK


def _alerts(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(look(config)) as catalogue:
        rows = [alerts.describe(row) for row in catalogue.alerts()]
    listing.tell({"alerts": rows}, "" if options.json else alerts.table(rows), as_json=options.json)
    return os.EX_OK


def _cameras(config: OfficeConfig, options: argparse.Namespace) -> int:
    with contextlib.closing(Archive(config)) as archive:
        rows = register.describe(archive.register, held(config.data))
    listing.tell({"cameras": rows}, "" if options.json else register.table(rows), as_json=options.json)
    return os.EX_OK


def _camera(config: OfficeConfig, options: argparse.Namespace) -> int:
    if not shape.identifier(options.device):
        raise OfficeError("camera-unknown", f"{options.device!r} is not 3 to 32 of A-Z, 0-9 and -")
    with contextlib.closing(Archive(config)) as archive:
        archive.register.mark(options.device, Standing(options.standing))
    sys.stdout.write(f"{options.device}: {options.standing}\n")
    return os.EX_OK


def _export(config: OfficeConfig, options: argparse.Namespace) -> int:
    identity = read_identity(options.identity) if options.identity else None
    order = exporting.Order(
        options.recording,
        options.out.absolute(),
        options.by or getpass.getuser(),
        options.reason or "未填写",
        identity,
        options.device,
        options.by_part,
    )
    with contextlib.closing(Archive(config)) as archive:
        done = exporting.export(archive, order)
    sys.stdout.write("\n".join(exporting.describe(done, order)) + "\n")
    return _CHECK_FAILED if done.missing else os.EX_OK
