"""`bodycam dock run` and `bodycam dock status`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path

from evidence import pki
from evidence.errors import EvidenceError
from evidence.pki import Role
from runtime import config, log, tls
from runtime.config import ConfigError
from runtime.keys import CredentialError, load_certificates
from runtime.outbox import Outbox, OutboxError, waiting
from runtime.service import Service
from syncd.bay import Bay, Drain, HandIns, Worker
from syncd.bays import Bays
from syncd.camera import Camera
from syncd.config import DockConfig, split_address
from syncd.errors import Stopped
from syncd.events import Events
from syncd.handin import Dock
from syncd.link import Patience
from syncd.office import Office, Signers
from syncd.retries import Retries
from syncd.shares import Shares
from syncd.spool import Spool

_OUTBOX = "outbox.sqlite"

_log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Run one of the dock's commands; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bodycam dock", description="Empties cameras into the office by itself.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("run", "serve the bays until stopped"), ("status", "what waits on this dock")):
        commands.add_parser(name, help=text).add_argument("--config", type=Path, required=True, metavar="dock.toml")
    arguments = parser.parse_args(argv)
    log.setup("dock")
    try:
        settings = config.load(arguments.config, DockConfig)
        return _run(settings) if arguments.command == "run" else _status(settings)
    except (ConfigError, CredentialError, tls.PeerError) as error:
        return _fail(str(error), error.exit_status)
    except EvidenceError as error:
        return _fail(f"{arguments.config}: {error.message}; provision this dock", os.EX_NOPERM)
    except OutboxError as error:
        return _fail(str(error), os.EX_IOERR)
    except OSError as error:
        return _fail(str(error), os.EX_OSERR)


def _fail(message: str, status: int) -> int:
    print(f"bodycam dock: {message}", file=sys.stderr)  # noqa: T201 - the command's one line
    return status


def _run(settings: DockConfig) -> int:
    service = Service()
    context = tls.client_context(settings.certificate, settings.key, settings.roots)
    # A camera hands in whatever the date in its link certificate: footage is never stranded by paperwork.
    to_camera = tls.client_context(settings.certificate, settings.key, settings.roots, check_dates=False)
    role, name = pki.role_and_id(load_certificates(settings.certificate)[0])
    if role is not Role.DOCK:
        raise tls.PeerError(f"{settings.certificate} is of {role}/{name}, not of a dock")
    roots = load_certificates(settings.roots)
    signers = Signers(load_certificates(settings.signers), roots)
    spool = Spool(settings.spool, settings.spool_bytes)
    outbox = Outbox(
        settings.spool / _OUTBOX,
        f"bodycam/v1/dock/{name}",
        split_address(settings.broker),
        context,
        presence={"bays": len(settings.bays)},
    )
    retries = Retries(settings.retry_seconds, settings.retry_limit_seconds)
    dock = Dock(
        spool,
        roots,
        signers,
        settings.signers.read_bytes(),
        Events(outbox, name),
        retries,
        service.stopping,
        settings.keep_segments,
    )
    patience = Patience(settings.connect_seconds, settings.block_seconds)
    shares = Shares(settings.office_blocks)
    handins = HandIns(dock)

    def office() -> Office:
        return Office(split_address(settings.office), context, signers, patience, shares.join())

    def bay(name: str, address: tuple[str, int], eager: bool) -> Bay:
        return Bay(handins, Camera(address, to_camera, patience), office(), name, eager=eager)

    with contextlib.ExitStack() as ending:
        ending.callback(outbox.close)
        bays = Bays(bay, settings.poll_seconds)
        ending.callback(bays.stop)
        drain = Worker(Drain(handins, office()), settings.poll_seconds, "drain")
        ending.callback(drain.join)
        ending.callback(drain.end, Stopped)
        _open(bays, settings)
        service.ready(dock=name, bays=len(settings.bays))
        while not service.stopping.wait(service.watchdog_seconds):
            service.alive()
    return os.EX_OK


def _open(bays: Bays, settings: DockConfig) -> None:
    for name, bay in settings.named_bays.items():
        if bay.camera is not None:
            bays.look_at(name, split_address(bay.camera))
    ports = {bay.port: name for name, bay in settings.named_bays.items() if bay.port is not None}
    if ports:
        bays.watch(ports)


def _status(settings: DockConfig) -> int:
    spool = Spool(settings.spool, settings.spool_bytes)
    lines = ["camera\tjournal bytes\tsegments here\twaiting for the office\treceipts"]
    for name in spool.devices():
        device = spool.device(name)
        journal = sum(len(device.journal(file)) for file in device.journal_files())
        receipts = len(list(device.folder.glob("receipts/*/*.jws")))
        lines.append(f"{name}\t{journal}\t{len(device.segments())}\t{len(device.waiting())}\t{receipts}")
    lines.append(f"spool: {spool.used_bytes()} of {settings.spool_bytes} bytes of ciphertext")
    lines.append(f"outbox: {waiting(settings.spool / _OUTBOX)} events wait for the office")
    print("\n".join(lines))  # noqa: T201 - the command's answer
    return os.EX_OK
