"""`bodycam dock run` and `bodycam dock status`; `bodycam dock doctor` is in `syncd.doctor`."""

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
from runtime.outbox import Outbox, OutboxError
from runtime.service import Service
from syncd import status_command
from syncd.bay import Bay, Drain, HandIns, Worker
from syncd.bays import Bays
from syncd.board import Board, WatchedCamera, WatchedEvents
from syncd.camera import Camera
from syncd.commands import Commands
from syncd.config import OUTBOX, DockConfig, split_address
from syncd.errors import Stopped
from syncd.handin import Dock
from syncd.link import Patience
from syncd.office import Office, Signers
from syncd.orders import Orders
from syncd.presence import Presence
from syncd.reporter import Reporter
from syncd.retries import Retries
from syncd.returns import Lists
from syncd.shares import Shares
from syncd.spool import Spool
from syncd.telemetry import DockTelemetry
from syncd.urgency import Holds

_ORDERS = "orders.json"
_REVOKED = "revoked.pem"

_log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Run one of the dock's commands; returns the exit status."""
    if argv[:1] == ["doctor"]:
        from syncd import doctor  # noqa: PLC0415 - nothing of it is needed to run

        return doctor.main(argv[1:])
    arguments = _parser().parse_args(argv)
    log.setup("dock")
    try:
        settings = config.load(arguments.config, DockConfig)
        return _run(settings) if arguments.command == "run" else status_command.show(settings, watch=arguments.watch)
    except (ConfigError, CredentialError, tls.PeerError) as error:
        return _fail(str(error), error.exit_status)
    except EvidenceError as error:
        return _fail(f"{arguments.config}: {error.message}; provision this dock", os.EX_NOPERM)
    except OutboxError as error:
        return _fail(str(error), os.EX_IOERR)
    except OSError as error:
        return _fail(str(error), os.EX_OSERR)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bodycam dock", description="采集站 empties cameras into the office by itself"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="运行 serve the bays until stopped")
    shown = commands.add_parser("status", help="状态 bays, spool, what waits")
    shown.add_argument("--watch", action="store_true", help="持续显示 go on showing, until interrupted")
    for command in commands.choices.values():
        command.add_argument("--config", type=Path, required=True, metavar="dock.toml")
    commands.add_parser("doctor", help="体检 what is wrong with this dock, and what to do", add_help=False)
    return parser


def _fail(message: str, status: int) -> int:
    print(f"bodycam dock: {message}", file=sys.stderr)  # noqa: T201 - the command's one line
    return status


def _run(settings: DockConfig) -> int:
    service = Service()
    context = tls.client_context(settings.certificate, settings.key, settings.roots)
    # A camera hands in whatever the date in its link certificate: footage is never stranded by paperwork.
    to_camera = tls.client_context(settings.certificate, settings.key, settings.roots, check_dates=False)
    chain = load_certificates(settings.certificate)
    role, name = pki.role_and_id(chain[0])
    if role is not Role.DOCK:
        raise tls.PeerError(f"{settings.certificate} is of {role}/{name}, not of a dock")
    roots = load_certificates(settings.roots)
    signers = Signers(load_certificates(settings.signers), roots)
    spool = Spool(settings.spool, settings.spool_bytes)
    lists = Lists(settings.spool / _REVOKED, roots)
    patience = Patience(settings.connect_seconds, settings.block_seconds)
    names = list(settings.named_bays)
    holds = Holds()

    # A connection of its own, in a hurry: the bay's is busy with a segment.
    hurry = Patience(settings.connect_seconds, settings.connect_seconds)

    def find(device: str, order: bytes) -> bool:
        found = presence.where(device)
        return found is not None and _order(Camera(found[1], to_camera, hurry), order)

    commands = Commands(
        name, signers, Orders(settings.spool / _ORDERS, signers, holds), find, lambda: telemetry.figures()  # noqa: PLW0108
    )  # fmt: skip
    outbox = Outbox(
        settings.spool / OUTBOX,
        f"bodycam/v1/dock/{name}",
        split_address(settings.broker),
        context,
        presence={"bays": names},
        on_request=commands.take,
    )
    board = Board(settings.named_bays)
    events = WatchedEvents(outbox, name).watch(board)
    presence = Presence(events.bay)
    telemetry = DockTelemetry(spool, settings.spool_bytes, outbox.pending, presence.bays, settings.thermometer)
    retries = Retries(settings.retry_seconds, settings.retry_limit_seconds)
    dock = Dock(
        spool,
        roots,
        signers,
        settings.signers.read_bytes(),
        events,
        retries,
        service.stopping,
        settings.keep_segments,
        holds,
        presence,
        name,
        lists,
    )
    shares = Shares(settings.office_blocks)
    handins = HandIns(dock)

    def office() -> Office:
        return Office(split_address(settings.office), context, signers, patience, shares.join(), lists.now)

    def bay(name: str, address: tuple[str, int], eager: bool) -> Bay:
        camera = WatchedCamera(address, to_camera, patience).watch(board, board.seat(name, contact=eager))
        return Bay(handins, camera, office(), name, eager=eager)

    ends = min(certificate.not_valid_after_utc for certificate in chain)
    reporter = Reporter(name, round(ends.timestamp() * 1000), board, handins, outbox)
    with contextlib.ExitStack() as ending:
        ending.callback(outbox.close)
        ending.enter_context(reporter.telling(settings))
        ending.callback(presence.close, names)
        presence.open(names)
        commands.start(outbox.answer)
        ending.callback(commands.stop)
        telemetry.start(events, settings.telemetry_seconds)
        ending.callback(telemetry.stop)
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


def _order(camera: Camera, order: bytes) -> bool:
    """Hand the office's order to a camera; True: it was taken."""
    with contextlib.closing(camera):
        camera.connect()
        camera.give_order(order)
    return True


def _open(bays: Bays, settings: DockConfig) -> None:
    for name, bay in settings.named_bays.items():
        if bay.camera is not None:
            bays.look_at(name, split_address(bay.camera))
    ports = {bay.port: name for name, bay in settings.named_bays.items() if bay.port is not None}
    if ports:
        bays.watch(ports)
