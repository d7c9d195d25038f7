"""An office in this process that has been worked in: each table of its catalogue has rows; over either engine."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from evidence import records
from evidence.errors import EvidenceError
from office.archive import Archive
from office.catalogue import Event
from office.config import OfficeConfig
from office.database import METADATA
from office.export import Order, export
from office.ingest import Ingest
from office.journals import Fork
from office.quarantine import Quarantine
from office.tus import JournalUpload, SegmentUpload
from runtime.config import load
from tests.agency import Agency
from tests.builders import RECIPIENTS
from tests.footage import Camera
from tests.office_kit import OfficeKit

DOCK = "DOCK-1"


class LivedIn:
    """`archive` is open between `start` and `stop`, as in a running office without its doors."""

    def __init__(self, folder: Path, agency: Agency, database: str | None = None) -> None:
        self.folder = folder
        self.kit = OfficeKit(folder, agency, database=database)
        self.config: OfficeConfig = load(self.kit.config, OfficeConfig)
        self.camera = Camera(agency, RECIPIENTS)
        self.start()

    def copy(self, folder: Path) -> LivedIn:
        """Another such office after the same shift, in a file's time; this one is stopped, and stays so."""
        shutil.copytree(self.folder, folder)
        other = copy.copy(self)
        other.folder, other.config = folder, replace(self.config, data=folder / "data")
        camera = other.camera = copy.copy(self.camera)
        camera.journal, camera.segments = list(camera.journal), dict(camera.segments)
        camera._chain = copy.copy(camera._chain)
        other.start()
        return other

    def start(self) -> None:
        self.archive = Archive(self.config)
        self.ingest = Ingest(self.archive)
        self.ingest.recover()

    def stop(self) -> None:
        self.archive.close()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        yield
        self.start()

    def hand_in(self, camera: Camera | None = None, ingest: Ingest | None = None) -> None:
        """Bring what the office lacks, each journal file in two requests, each segment whole."""
        camera, ingest = camera or self.camera, ingest or self.ingest
        for file, data in enumerate(camera.journal):
            upload = JournalUpload(camera.device, file)
            middle = data.index(b"\n", len(data) // 2) + 1
            for end in (middle, len(data)):
                if (offset := ingest.offset(upload)) < end:
                    ingest.append_journal(upload, data[offset:end], DOCK)
        for (recording, segment), data in camera.segments.items():
            part = SegmentUpload(camera.device, recording, segment)
            ingest.create(part, len(data))
            if ingest.offset(part) < len(data):
                staged = ingest.open(part)
                ingest.append(staged, data)
                ingest.close(part, staged)
                ingest.finish(part, staged, DOCK)

    def record(self, size: int = 1000) -> str:
        recording = self.camera.start()
        self.camera.noise(recording, 0, size)
        self.camera.end(recording, 1, 1)
        return recording

    def live(self) -> None:
        """A shift with all that can be in it."""
        camera, ledger, now = self.camera, self.archive.ledger, datetime.now(UTC)
        ledger.issue(
            camera.device, "012345", now - timedelta(minutes=2), "keeper", at=now - timedelta(hours=2), dock=DOCK
        )
        ledger.declare_remote(camera.device, "边远乡镇", "head", since=now - timedelta(hours=1))
        self._film()
        self._alerts()
        camera.line("docked", docked=True)
        self.hand_in()
        camera.line("docked", docked=False)
        self.record()
        self.hand_in()
        ledger.issue(camera.device, "000007", now + timedelta(hours=1), "keeper", at=now - timedelta(minutes=1))
        ledger.give_back(camera.device, "keeper", at=now)
        ledger.came_back(camera.device, "head")
        self._late_key()
        self._orders()
        self._fork()
        quarantine = Quarantine(self.archive)
        self.hand_in(Camera(self.kit.agency, RECIPIENTS, "BWC-0009"), Ingest(quarantine))
        quarantine.close()
        export(self.archive, Order(self.recording, self.folder / "copy", "keeper", "复核", None))

    def _film(self) -> None:
        camera = self.camera
        self.recording = recording = camera.start()
        camera.line("notice", recording=recording, attempt=1, heard=True, score_permille=900, from_ns=1, to_ns=2)
        camera.film(recording, 1, 0, range(2))
        camera.line("marker", recording=recording, at_ns=camera.now_ns)
        camera.line(
            "still", recording=recording, segment=0, at_ns=camera.now_ns, plain_offset=9, size=8, sha256="ab" * 32
        )
        camera.line("position", sealed="", sha256=hashlib.sha256(b"").hexdigest())
        camera.boot()
        camera.start(recording, 2)
        camera.film(recording, 2, 1, range(2))
        camera.gap(recording, 1)
        camera.end(recording, 2, 2)

    def _alerts(self) -> None:
        """One told directly and handed in later, one only handed in, one only told."""
        camera, tell = self.camera, self.archive.catalogue.tell_alert
        tell(records.parse(camera.line("alert", what="heat", recording=None, detail="46 C\0")), signed=True)
        camera.line("alert", what="storage_full", recording=None, detail="")
        other = Camera(self.kit.agency, RECIPIENTS, "BWC-0007")
        tell(records.parse(other.line("alert", what="lost", recording=None, detail="")), signed=False)

    def _late_key(self) -> None:
        """A camera whose key answered late for one boot, and not at all for another."""
        late = Camera(self.kit.agency, RECIPIENTS, "BWC-0002", signed=False)
        recording = late.start()
        late.noise(recording, 0, 10)
        late.certify()
        late.boot()
        late.noise(late.start(), 0, 10)
        late.line("docked", docked=True)
        self.hand_in(late)

    def _orders(self) -> None:
        give, device = self.archive.orders.give, self.camera.device
        give("hold", device, self.recording, None, "keeper")
        give("usual", device, self.recording, None, "keeper")
        give("hold", device, self.recording, None, "keeper")
        give("find", device, None, None, "keeper")
        catalogue = self.archive.catalogue
        catalogue.set_presence(DOCK, online=True)
        catalogue.set_bay(DOCK, "3", device, online=True)
        catalogue.set_telemetry(DOCK, device, b"{}")
        catalogue.add_events([Event("e1", DOCK, device, "handin", None, None, "unverified", b"\0{}")])
        assert self.archive.orders.due()

    def _fork(self) -> None:
        rewritten = self.camera.journal[0].splitlines(keepends=True)
        other = Camera(self.kit.agency, RECIPIENTS, self.camera.device)
        assert len(rewritten) > 1
        upload = JournalUpload(self.camera.device, len(self.camera.journal))
        with contextlib.suppress(Fork, EvidenceError):
            self.ingest.append_journal(upload, other.journal[0], DOCK)
        self.ingest.keep_fork(upload, other.journal[0], DOCK)

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables."""
        with self.archive.database.read() as db:
            return {
                table.name: [tuple(row) for row in db.execute(select(table).order_by(*table.primary_key))]
                for table in METADATA.sorted_tables
            }
