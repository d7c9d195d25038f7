"""`bodycam office keyd`: run it, prepare its folder, let approvers into its roster, show what it gave.

At the machine, by the user that keyd has of its own: nobody who has only the office's user, or the page, can do these.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

from evidence import age, pki
from evidence.errors import EvidenceError
from evidence.note import read_verifier_key, verifier_key
from office import keyd
from office.config import KeydConfig, OfficeConfig
from office.errors import OfficeError
from office.identity import read_identity
from office.log import load_key
from office.roster import Roster, fingerprint, read_card
from runtime import log
from runtime.config import ConfigError, load
from runtime.disk import make_folder, write_once
from runtime.keys import CredentialError, load_certificates
from runtime.service import Service

_CREDENTIAL = "office-passphrase"
_SHORTEST = 12


def main(argv: list[str]) -> int:
    """Run one of its deeds; the exit status (docs/exit-status.md)."""
    options = _parser().parse_args(argv)
    log.setup("keyd")
    try:
        config = load(options.config, OfficeConfig)
        if config.keyd is None:
            raise OfficeError("keyd-missing", "office.toml has no [keyd]: name its folder and socket there")  # noqa: TRY301
        _DEEDS[options.deed](config, config.keyd, options)
    except (ConfigError, CredentialError, OfficeError) as error:
        return _fail(str(error), error.exit_status)
    except OSError as error:
        return _fail(str(error), os.EX_CANTCREAT)
    return os.EX_OK


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"bodycam office keyd: {message}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam office keyd", description="密钥进程 the process that holds the office's identity"
    )
    parser.add_argument("deed", nargs="?", choices=_DEEDS, default="run", help="run (default), or what prepares it")
    parser.add_argument("--identity", type=Path, metavar="FILE", help="prepare: the office's age identity")
    parser.add_argument("--log-key", metavar="KEY", help="prepare: the log's public key, as `office run` tells it")
    parser.add_argument(
        "--work", type=int, choices=range(10, 21), default=17, metavar="N",
        help="prepare: guessing a passphrase takes 2^N KiB of memory each time (default 17: 128 MiB)",
    )  # fmt: skip
    parser.add_argument("--card", type=Path, metavar="FILE", help="enrol: what `office account card` wrote")
    parser.add_argument("--fingerprint", metavar="DIGITS", help="enrol: as the approver reads it from his browser")
    parser.add_argument("--account", metavar="NAME", help="withdraw: whose approvals are to count no more")
    parser.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="经办人 (default: the login name)")
    parser.add_argument("--config", type=Path, required=True, metavar="office.toml")
    return parser


def _run(config: OfficeConfig, own: KeydConfig, _: argparse.Namespace) -> None:
    service = Service()
    keyd.run(own, load_certificates(config.roots), passphrase(), service)


def _prepare(config: OfficeConfig, own: KeydConfig, options: argparse.Namespace) -> None:
    if options.identity is None:
        raise OfficeError("keyd-folder", "--identity names the office's age identity, keys/office.age")
    identity = read_identity(options.identity)
    log_key = options.log_key or _log_key(config)
    secret = passphrase(new=True)
    sealed = age.seal_by_passphrase(f"{identity}\n".encode(), secret, options.work)
    make_folder(own.folder)
    own.folder.chmod(0o750)
    try:
        write_once(own.folder / keyd.LOG_KEY, f"{log_key}\n".encode())
        write_once(own.folder / keyd.IDENTITY, sealed, 0o400)
    except FileExistsError as error:
        raise OfficeError("keyd-folder", f"{own.folder} is prepared already: it is not written over") from error
    sys.stdout.write(
        f"{own.folder / keyd.IDENTITY}: 档案库身份已用口令封存 sealed. "
        f"请将 {options.identity} 移出本机，离线保管 keep it offline, not on this machine.\n"
    )


def _log_key(config: OfficeConfig) -> str:
    agency = pki.role_and_id(load_certificates(config.roots)[0])[1]
    office = pki.role_and_id(load_certificates(config.certificate)[0])[1]
    return verifier_key(f"bodycam/{agency}/{office}", load_key(config.log_key).public_key())


def _enrol(_: OfficeConfig, own: KeydConfig, options: argparse.Namespace) -> None:
    if options.card is None or options.fingerprint is None:
        raise OfficeError("card", "enrol wants --card and --fingerprint")
    try:
        origin, log_key = read_verifier_key((own.folder / keyd.LOG_KEY).read_text("utf-8"))
        card = read_card(options.card.read_bytes(), origin, log_key)
    except (OSError, EvidenceError) as error:
        raise OfficeError("card", f"cannot be read: {error}") from error
    told = "".join(options.fingerprint.split()).lower()
    if told != card.approver.kid[: len(told)] or len(told) < len(fingerprint("0" * 32).replace(" ", "")):
        raise OfficeError("fingerprint", "this is not the fingerprint of the key in the card: ask the approver again")
    Roster(own.folder / keyd.ROSTER).enrol(card, options.by)
    sys.stdout.write(f"{card.approver.account}: {fingerprint(card.approver.kid)}\n")


def _withdraw(_: OfficeConfig, own: KeydConfig, options: argparse.Namespace) -> None:
    Roster(own.folder / keyd.ROSTER).withdraw(options.account or "", options.by)


def _given(_: OfficeConfig, own: KeydConfig, __: argparse.Namespace) -> None:
    path = own.folder / keyd.GIVEN
    sys.stdout.write(path.read_text("utf-8") if path.exists() else "")


_DEEDS = {"run": _run, "prepare": _prepare, "enrol": _enrol, "withdraw": _withdraw, "given": _given}


def passphrase(*, new: bool = False) -> str:
    """From systemd's credential, asked at the terminal, or the first line of standard input. Raises `OfficeError`."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and (Path(folder) / _CREDENTIAL).exists():
        found = (Path(folder) / _CREDENTIAL).read_text("utf-8")
    elif sys.stdin.isatty():
        found = getpass.getpass("口令 passphrase: ")
        if new and getpass.getpass("再次输入 again: ") != found:
            raise OfficeError("passphrase", "these were two passphrases: try again")
    else:
        found = sys.stdin.readline()
    found = found.rstrip("\r\n")
    if new and len(found) < _SHORTEST:
        raise OfficeError("passphrase", f"a passphrase has {_SHORTEST} characters at least: six words are good")
    return found
