"""`bodycam provision …`: set up an agency, its office, docks and cameras.

On one machine one command does it; across machines three do, and only `request.pem`, certificates, public recipients
and the signed configuration travel:

    bodycam provision camera BWC-0001 --dir CAMERA --request
    bodycam provision agency sign CAMERA/request.pem --agency AGENCY --out ANSWER
    bodycam provision configure BWC-0001 --office OFFICE --out ANSWER
    bodycam provision camera BWC-0001 --dir CAMERA --install ANSWER
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from evidence import shape
from evidence.errors import EvidenceError
from evidence.records import ACTIVITIES
from evidence.revocation import REASONS
from provisioning import agency, configuration, device, renewal, revocation, service_files
from provisioning.errors import ProvisioningError
from runtime import config
from runtime.config import ConfigError
from runtime.keys import CredentialError
from runtime.token import TokenConfig

_DAYS_LIMIT = 1500
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_KINDS: dict[str, Callable[[Path, str], device.Device]] = {
    "office": device.office,
    "dock": device.dock,
    "desk": device.desk,
    "camera": device.camera,
}
_NUMBERS = (
    "segment_seconds",
    "fragment_ms",
    "pre_event_seconds",
    "pre_event_bytes",
    "notice_attempts",
    "answer_seconds",
    "release_after_seconds",
    "planned_shift_minutes",
)
_SETTINGS = (*_NUMBERS, "officer_number", "officer_name", "unit", "activity", "pre_event_sound", "quiet")


def main(argv: Sequence[str], now: datetime | None = None) -> int:
    """Run one provisioning command; return its exit status (docs/exit-status.md). `now`: the time to issue at."""
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments, now or datetime.now(UTC))
    except SystemExit as done:  # argparse has said why
        return int(done.code or 0)
    except (ProvisioningError, CredentialError, ConfigError) as error:
        return _fail(error, error.exit_status)
    except EvidenceError as error:
        return _fail(error, os.EX_DATAERR)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror}", os.EX_IOERR if error.errno == errno.EIO else os.EX_CANTCREAT)
    return os.EX_OK


def _fail(error: Exception | str, status: int) -> int:
    sys.stderr.write(f"bodycam provision: {error}\n")
    return status


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="bodycam provision", description="Set up an agency, its office, docks and cameras.")
    commands = parser.add_subparsers(required=True, metavar="agency|office|dock|desk|camera|configure|revoke|services")
    _add_agency(commands.add_parser("agency", help="make the agency's authority, or sign a request with it"))
    for kind in _KINDS:
        command = commands.add_parser(kind, help=f"enrol a {kind}")
        _add_device(command, kind)
    _add_revoke(commands.add_parser("revoke", help="take the certificates of a key back, with the date"))
    _add_services(commands.add_parser("services", help="write what systemd is to know of this machine's program"))
    command = commands.add_parser("configure", help="sign a camera's configuration with the office's key")
    command.add_argument("id", type=_identifier)
    command.add_argument("--office", type=Path, required=True, metavar="DIR", help="the office's folder")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the answer")
    _add_settings(command)
    command.set_defaults(run=_configure)
    return parser


def _add_agency(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dir", type=Path, metavar="DIR", help="folder of the agency")
    command.add_argument("--name", help="the agency's name, for example 承德县综合行政执法局")
    command.set_defaults(run=_create_agency)
    deeds = command.add_subparsers(metavar="sign|renew")
    renew = deeds.add_parser("renew", help="sign the cameras' link certificates for the time to come")
    renew.add_argument("--agency", type=Path, required=True, metavar="DIR", help="folder of the agency")
    renew.add_argument("--out", type=Path, required=True, metavar="DIR", help="the office's register of cameras")
    renew.add_argument("--days", type=int, default=365, metavar="N", help="how far ahead (default 365)")
    renew.set_defaults(run=_renew)
    sign = deeds.add_parser("sign", help="certify the keys of a request")
    sign.add_argument("request", type=Path)
    sign.add_argument("--agency", type=Path, required=True, metavar="DIR", help="folder of the agency")
    sign.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the answer")
    sign.add_argument("--replace", action="store_true", help="its former keys were lost, or are exchanged")
    sign.set_defaults(run=_sign)


def _add_revoke(command: argparse.ArgumentParser) -> None:
    command.add_argument("what", help="ROLE/ID, for example evidence/BWC-0001, or a file in the agency's issued/")
    command.add_argument("--agency", type=Path, required=True, metavar="DIR", help="folder of the agency")
    command.add_argument("--reason", choices=tuple(REASONS), required=True, help="key-compromise: somebody may have it")
    command.add_argument(
        "--since", type=_moment, metavar="UTC", help="when the key was lost, if known: 2026-11-20T08:00:00Z"
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="folder that gets a copy of the list")
    command.set_defaults(run=_revoke)


def _add_services(command: argparse.ArgumentParser) -> None:
    command.add_argument("kind", choices=service_files.KINDS)
    command.add_argument("--dir", type=Path, required=True, metavar="DIR", help="the device's own folder")
    command.add_argument("--out", type=Path, default=Path("/etc"), metavar="DIR", help="default /etc")
    command.set_defaults(run=_services)


def _add_device(command: argparse.ArgumentParser, kind: str) -> None:
    command.add_argument("id", type=_identifier, help="3 to 32 of A-Z, 0-9 and -")
    command.add_argument("--dir", type=Path, required=True, metavar="DIR", help="the device's own folder")
    how = command.add_mutually_exclusive_group(required=True)
    how.add_argument("--agency", type=Path, metavar="DIR", help="do every step, with the agency on this machine")
    how.add_argument("--request", action="store_true", help="make keys and DIR/request.pem")
    how.add_argument("--install", type=Path, metavar="ANSWER", help="take over what agency or office answered")
    if kind == "office":
        command.add_argument("--host", action="append", default=[], help="name or address of the office; repeatable")
    if kind == "camera":
        command.add_argument("--office", type=Path, metavar="DIR", help="the office's folder; goes with --agency")
        command.add_argument(
            "--config", type=Path, metavar="TOML", help="camera.toml: its table [token] names where the evidence key is"
        )
        command.add_argument(
            "--new-evidence-key", action="store_true", help="make another evidence key, to take the place of this one"
        )
        _add_settings(command)
    command.set_defaults(run=_enrol, kind=kind)


def _add_settings(command: argparse.ArgumentParser) -> None:
    """Options are named like the fields of `Configuration`; what is not given stays as it was."""
    command.add_argument("--officer", dest="officer_number", metavar="NUMBER", help="the officer's number")
    command.add_argument("--officer-name", metavar="NAME")
    command.add_argument("--unit", help="the officer's unit, for example 执法大队")
    command.add_argument("--activity", choices=ACTIVITIES, help="kind of activity of the coming recordings (rule 5)")
    command.add_argument(
        "--pre-event-sound",
        action=argparse.BooleanOptionalAction,
        help="whether sound from before the press is kept, too (default: not)",
    )
    command.add_argument(
        "--quiet",
        action=argparse.BooleanOptionalAction,
        help="vibration and lamps instead of voice; the notice is said all the same (default: not)",
    )
    for name in _NUMBERS:
        command.add_argument("--" + name.replace("_", "-"), type=int, metavar="N")


def _identifier(text: str) -> str:
    if not shape.identifier(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 3 to 32 of A-Z, 0-9 and -")
    return text


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2026-11-20T08:00:00Z") from error


def _create_agency(arguments: argparse.Namespace, now: datetime) -> None:
    if arguments.dir is None:
        raise ProvisioningError(os.EX_USAGE, "expected --dir DIR, or: agency sign REQUEST --agency DIR --out DIR")
    agency.create(arguments.dir, arguments.name, now, _say)


def _sign(arguments: argparse.Namespace, now: datetime) -> None:
    agency.sign(arguments.agency, arguments.request, arguments.out, now, _say, replace=arguments.replace)


def _renew(arguments: argparse.Namespace, now: datetime) -> None:
    if not 1 <= arguments.days <= _DAYS_LIMIT:
        raise ProvisioningError(os.EX_USAGE, f"--days is 1 to {_DAYS_LIMIT}")
    renewal.renew(arguments.agency, arguments.out, arguments.days, now, _say)


def _revoke(arguments: argparse.Namespace, now: datetime) -> None:
    told = (arguments.what, arguments.reason, arguments.since)
    revocation.revoke(arguments.agency, *told, now.replace(microsecond=0), arguments.out, _say)


def _services(arguments: argparse.Namespace, _: datetime) -> None:
    command = f"{service_files.quoted(sys.executable)} -m bodycam"
    for path in service_files.write(arguments.kind, arguments.dir, arguments.out, command):
        _say(f"written: {path}")
    _say(f"now: systemd-sysusers && systemctl daemon-reload && systemctl enable --now bodycam-{arguments.kind}")


def _configure(arguments: argparse.Namespace, now: datetime, former: Path | None = None) -> None:
    former = former or arguments.office / configuration.REGISTER / arguments.id / device.CONFIGURATION
    changes = {name: value for name in _SETTINGS if (value := getattr(arguments, name)) is not None}
    configuration.configure(arguments.office, arguments.id, changes, arguments.out, now, _say, former=former)


def _enrol(arguments: argparse.Namespace, now: datetime) -> None:
    target = _KINDS[arguments.kind](arguments.dir, arguments.id)
    is_camera = arguments.kind == "camera"
    if is_camera and arguments.config:
        target = device.camera(arguments.dir, arguments.id, _token(arguments.config))
    if arguments.install:
        device.install(target, arguments.install, now, _say)
    elif arguments.request:
        _make_keys(arguments, target)
    else:
        _require_issuers(arguments)
        with tempfile.TemporaryDirectory() as answer:
            arguments.out = Path(answer)
            if is_camera:  # first, so that refused settings leave no half-made camera
                _configure(arguments, now, target.folder / device.CONFIGURATION)
            request = _make_keys(arguments, target)
            exchanged = is_camera and arguments.new_evidence_key
            agency.sign(arguments.agency, request, arguments.out, now, _say, replace=exchanged)
            device.install(target, arguments.out, now, _say)


def _make_keys(arguments: argparse.Namespace, target: device.Device) -> Path:
    hosts: list[str] = []
    if arguments.kind == "office":
        hosts = list(dict.fromkeys([*_LOCAL_HOSTS, *arguments.host]))
    exchanged = arguments.kind == "camera" and arguments.new_evidence_key
    request = device.make_request(target, hosts, _say, new_evidence_key=exchanged)
    if arguments.kind == "office":
        device.make_log_key(target.folder, _say)
        device.make_age_identity(target.folder, "office", _say)
    return request


def _token(path: Path) -> TokenConfig | None:
    table = config.read(path).get("token")
    return None if table is None else config.fill(TokenConfig, table, path, "token")


def _require_issuers(arguments: argparse.Namespace) -> None:
    """Before keys are made, see that those who will sign are at hand."""
    needed = [arguments.agency / "certs" / "issuing.pem"]
    if arguments.kind == "camera":
        if not arguments.office:
            raise ProvisioningError(os.EX_USAGE, "a camera needs its office, too: --office DIR")
        needed.append(arguments.office / "certs" / "signer.pem")
    for path in needed:
        if not path.exists():
            raise ProvisioningError(os.EX_NOINPUT, f"{path}: missing; provision the agency, then the office, first")
