"""An office with cameras whose journals tell what a test wants. Times: hours before now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from evidence import records, shape
from evidence.documents import Receipt
from office import activities, custody, worklists
from office.activities import Entry
from office.archive import Archive
from office.catalogue import utc
from office.config import OfficeConfig
from office.errors import OfficeError
from office.worklists import Item, Ledger
from runtime.config import load
from tests.agency import Agency
from tests.builders import RECIPIENTS
from tests.footage import Camera
from tests.office_kit import OfficeKit

COUNTY = ZoneInfo("Asia/Shanghai")
HOUR = timedelta(hours=1)
ONE, TWO = "012345", "054321"  # officers


class Unit:
    """One office and its cameras. Acts are those of the product; only the hand-in is short."""

    def __init__(self, folder: Path, agency: Agency) -> None:
        self.kit = OfficeKit(folder, agency)
        self.agency = agency
        self.now = datetime.now(UTC)
        self.archive = Archive(load(self.kit.config, OfficeConfig))
        self.cameras: dict[str, Camera] = {}
        self.taken: dict[str, int] = {}

    @property
    def book(self) -> Any:
        return self.archive.book

    def at(self, hours: float) -> datetime:
        return self.now - hours * HOUR

    def text(self, hours: float) -> str:
        return utc(self.at(hours))

    def camera(self, device: str = "BWC-0001") -> Camera:
        if device not in self.cameras:
            self.cameras[device] = Camera(self.agency, RECIPIENTS, device)
        return self.cameras[device]

    def issue(self, device: str, officer: str, begin: float, end: float) -> None:
        self.archive.ledger.issue(device, officer, self.at(end), "keeper", at=self.at(begin))

    def record(
        self, begin: float, end: float, *, device: str = "BWC-0001", activity: str | None = "inspection",
        gap: str | None = None, reason: str | None = "speech_followed", heard: bool = True, received: bool = True,
    ) -> str:  # fmt: skip
        """A recording from then to then, handed in; `gap`: the cause of one in its middle."""
        camera = self.camera(device)

        def clock(hours: float) -> None:
            camera.utc_ms = int(self.at(hours).timestamp() * 1000) - camera.now_ns // 1_000_000

        clock(begin)
        assert camera._chain is not None
        name = records.recording_id(camera.boot_id, camera._chain.seq)
        camera.line(
            "recording_started", recording=name, part=1, resumed=False, mode="picture_and_sound", activity=activity,
            pressed_ns=None, ring_from_ns=None,
        )  # fmt: skip
        camera.line("notice", recording=name, attempt=1, heard=heard, score_permille=900, from_ns=1, to_ns=2)
        camera.noise(name, 0, 10)
        if gap is not None:
            seq = camera._chain.seq
            camera.line(
                "gap", recording=name, after_part=1, before_part=1, cause=gap, last_ns=1, first_ns=2_000_000_001,
                same_clock=True, min_ms=2_000, max_ms=2_000,
            )  # fmt: skip
            if reason is not None:
                camera.line("gap_reason", recording=name, gap_seq=seq, basis=reason, from_ns=1, to_ns=2)
        clock(end)
        camera.end(name, 1, 1)
        self.hand_in(device)
        if received:
            at = shape.utc_text(int(self.at(end).timestamp() * 1000))
            self.archive.catalogue.add_receipt(Receipt("OFFICE-1", device, name, 0, "0" * 64, 10, at, at, 0))
        return name

    def hand_in(self, device: str) -> None:
        lines = [line for file in self.camera(device).journal for line in file.splitlines()]
        fresh, self.taken[device] = lines[self.taken.get(device, 0) :], len(lines)
        self.archive.catalogue.add_records(device, [(records.parse(line), True) for line in fresh], "DOCK-1")

    def entry(self, begin: float, end: float, **more: Any) -> Entry:
        told: dict[str, Any] = {
            "kind": "inspection", "place": "承德县下板城镇", "section": "一股", "officers": (ONE, TWO), **more,
        }  # fmt: skip
        return Entry(begins=self.text(begin), ends=self.text(end), **told)

    def enter(self, begin: float, end: float, **more: Any) -> int:
        return activities.enter(self.book, "keeper", self.entry(begin, end, **more))

    def ledger(self, begin: float = 100, end: float = -1) -> Ledger:
        with self.archive.database.read() as db:
            return worklists.read(db, self.at(begin), self.at(end), custody.sections(db))

    def items(self, *lists: str) -> list[Item]:
        found = worklists.items(self.ledger(), self.now, COUNTY)
        return [one for one in found if not lists or one.list in lists]

    def lists(self) -> list[str]:
        return [one.list for one in self.items()]


def refused(code: str, act: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """The message with which an act is refused; its code is that one."""
    with pytest.raises(OfficeError) as caught:
        act(*arguments, **named)
    assert caught.value.code == code, caught.value
    return caught.value.message
