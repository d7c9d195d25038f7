"""`bodycam dock status [--watch]`: of a running dock its own word, of one that does not run what lies on its disk."""

from __future__ import annotations

import dataclasses
import os
import sys
import time

from evidence import pki
from runtime.keys import load_certificates
from runtime.outbox import waiting
from syncd import status, table
from syncd.config import OUTBOX, DockConfig
from syncd.spool import Spool
from syncd.status import BayStatus, DockStatus, SpoolStatus

_CLEAR = "\x1b[H\x1b[2J"


def show(settings: DockConfig, *, watch: bool) -> int:
    """Print how the dock stands; with `watch` each second, until interrupted."""
    while True:
        stand, running = _stand(settings)
        text = "\n".join(table.lines(stand, running=running)) + "\n"
        sys.stdout.write(_CLEAR + text if watch and sys.stdout.isatty() else text)
        sys.stdout.flush()
        if not watch:
            return os.EX_OK
        time.sleep(1)


def _stand(settings: DockConfig) -> tuple[DockStatus, bool]:
    """How it stands, and whether it runs. What lies on the disk is looked at here and now."""
    told = status.read(settings.spool)
    spool = SpoolStatus.of(Spool(settings.spool, settings.spool_bytes))
    events = waiting(settings.spool / OUTBOX)
    if told is not None and told.fresh():
        return dataclasses.replace(told, spool=spool, outbox_events=events), True
    name = pki.role_and_id(load_certificates(settings.certificate)[0])[1]
    bays = tuple(BayStatus(bay) for bay in settings.named_bays)
    utc_ms = told.utc_ms if told is not None else 0
    return DockStatus(name, utc_ms, 0.0, bays=bays, spool=spool, outbox_events=events), False
