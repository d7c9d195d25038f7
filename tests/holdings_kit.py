"""An office's archive in this process, with footage handed in, and clocks that a test sets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

import office.catalogue
import office.clock
import office.receipts
import office.stores.local
import office.stores.s3
from evidence import age
from office.archive import Archive
from office.config import OfficeConfig
from office.ingest import Ingest
from office.tus import SegmentUpload
from runtime.config import load
from tests.agency import Agency
from tests.footage import Camera
from tests.office_kit import OfficeKit

SIZE = 20_000
_CLOCKS = (office.catalogue, office.clock, office.receipts, office.stores.local, office.stores.s3)


class Holdings:
    """One camera's recordings in an archive."""

    def __init__(self, folder: Path, agency: Agency, **settings: Any) -> None:
        self.kit = OfficeKit(folder / "office", agency)
        self.add_settings(**settings)
        self.camera = Camera(agency, [age.recipient_of(age.generate_identity())])
        self.archive = Archive(load(self.kit.config, OfficeConfig))

    def add_settings(self, **settings: Any) -> None:
        """Write settings into `office.toml`; a dict becomes a table."""
        told = [
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(str(one))}\n" for key, one in value.items())
            for name, value in settings.items()
        ]
        self.kit.config.write_text(self.kit.config.read_text("utf-8") + "".join(told), "utf-8")

    def reopen(self) -> None:
        """As a restart does."""
        self.archive.close()
        self.archive = Archive(load(self.kit.config, OfficeConfig))
        Ingest(self.archive).recover()

    def record(self, segments: int = 2) -> str:
        """A recording, handed in whole."""
        recording = self.camera.start()
        for index in range(segments):
            self.camera.noise(recording, index, SIZE)
        self.camera.end(recording, 1, segments)
        self.hand_in()
        return recording

    def hand_in(self) -> None:
        """Bring what the office lacks."""
        ingest = Ingest(self.archive)
        for file, data in enumerate(self.camera.journal):
            held = self.archive.journals.size(self.camera.device, file)
            if held < len(data):
                self.archive.journals.append(self.camera.device, file, data[held:], "DOCK-1")
        for (recording, segment), data in self.camera.segments.items():
            upload = SegmentUpload(self.camera.device, recording, segment)
            if self.archive.receipts.get(self.camera.device, recording, segment) is None:
                ingest.create(upload, len(data))
                staged = ingest.open(upload)
                ingest.append(staged, data[staged.size :])
                ingest.close(upload, staged)
                ingest.finish(upload, staged, "DOCK-1")

    @property
    def leaves(self) -> list[dict[str, Any]]:
        """The log."""
        return [leaf for _, leaf in self.archive.log.since(0)]

    def acts(self, *names: str) -> list[dict[str, Any]]:
        """The leaves of these acts."""
        return [leaf for leaf in self.leaves if leaf["act"] in names]


@contextlib.contextmanager
def holdings(folder: Path, agency: Agency, **settings: Any) -> Iterator[Holdings]:
    """Closed at the end."""
    opened = Holdings(folder, agency, **settings)
    try:
        yield opened
    finally:
        opened.archive.close()


def set_clock(patch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Set this machine's clock, as the office reads it."""

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Self:
            return super().now(tz) + by

    for module in _CLOCKS:
        patch.setattr(module, "datetime", Shifted)


def work(held: Holdings, patch: pytest.MonkeyPatch, begin: timedelta, end: timedelta) -> None:
    """Let the office be at work all that time: something is entered every nine days."""
    while begin < end:
        set_clock(patch, begin)
        held.archive.log.append({"act": "test", "at": office.catalogue.utc_now()})
        begin += timedelta(days=9)
    set_clock(patch, end)
