"""Messages twice, late and in any order: what the office holds in the end is the same."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence import jose
from office.archive import Archive
from office.config import OfficeConfig
from office.desk import Desk
from office.events import Subscriber
from runtime.config import load
from tests.agency import Agency
from tests.builders import RECIPIENTS, present_agency
from tests.footage import Camera
from tests.office_kit import OfficeKit

DOCK = "bodycam/v1/dock/DOCK-1"
Message = tuple[str, bytes]


class Office:
    """What takes messages in, without a broker; `restart` as after a kill."""

    def __init__(self, folder: Path, agency: Agency, database: str | None = None) -> None:
        self._config = load(OfficeKit(folder, agency, database=database).config, OfficeConfig)
        self.start()

    def start(self) -> None:
        self.archive = Archive(self._config)
        self._subscriber = Subscriber(self._config, self.archive, Desk(self.archive))

    def restart(self) -> None:
        self.archive.close()
        self.start()

    def take(self, *batch: Message) -> None:
        self._subscriber._take(batch)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        times = {"received", "since", "seen"}
        found = self.archive.catalogue.table(table)
        return sorted((tuple(value for name, value in row.items() if name not in times) for row in found), key=repr)


@pytest.fixture
def office(tmp_path: Path, agency: Agency, database: str | None) -> Iterator[Office]:
    office = Office(tmp_path, agency, database)
    yield office
    with contextlib.suppress(Exception):
        office.archive.close()


def shift(agency: Agency) -> list[Message]:
    """Two boots of one camera and one of another, with the tales of their hand-ins."""
    messages = []
    for device, boots in (("BWC-0001", 2), ("BWC-0002", 1)):
        camera = Camera(agency, RECIPIENTS, device)
        for number in range(boots):
            if number:
                camera.boot()
            recording = camera.start()
            camera.noise(recording, 0, 10)
            camera.end(recording, 1, 1)
        topic = f"{DOCK}/camera/{device}"
        messages += [(f"{topic}/journal", line) for file in camera.journal for line in file.splitlines()]
        states = ("started", "progress", "done")
        messages += [
            (f"{topic}/handin", jose.dump_json({"id": f"{device}-{state}", "state": state})) for state in states
        ]
    return messages


def test_order_repetition_and_restarts_change_nothing(office: Office, tmp_path: Path, agency: Agency) -> None:
    messages = shift(agency)
    office.take(*messages)
    straight = office.rows("events")
    assert {row[6] for row in straight if row[3] == "journal"} == {"signed"}
    rng = random.Random(7)
    orders = [messages[::-1]] + [rng.sample(messages, len(messages)) for _ in range(3)]
    for number, order in enumerate(orders):
        other = Office(tmp_path / f"other-{number}", agency)
        again = [*order, *rng.sample(order, 5)]
        for start in itertools.count(0, 4):
            batch = again[start : start + 4]
            if not batch:
                break
            other.take(*batch)
            if start % 8 == 0:
                other.restart()
        assert other.rows("events") == straight
        other.archive.close()


def test_a_line_of_a_stranger_stays_unverified(office: Office, agency: Agency) -> None:
    ours, theirs = Camera(agency, RECIPIENTS), Camera(present_agency(), RECIPIENTS)
    lines = [*theirs.journal[0].splitlines(), theirs.line("armed", ring_seconds=3)]
    for line in [*lines, *ours.journal[0].splitlines()]:
        office.take((f"{DOCK}/camera/BWC-0001/journal", line))
    verdicts = [row[6] for row in office.rows("events")]
    assert (verdicts.count("signed"), len(verdicts)) == (1, 3)


def test_of_states_the_last_one_counts(office: Office) -> None:
    def bay(name: str, camera: str | None, *, online: bool = True) -> Message:
        told = {"online": online, "camera": camera, "since": "2026-11-24T06:12:00.123Z"}
        return f"{DOCK}/bay/{name}/presence", jose.dump_json(told)

    def dock(*, online: bool) -> Message:
        return f"{DOCK}/presence", jose.dump_json({"online": online, "bays": ["1", "2"]})

    office.take(dock(online=True), bay("1", "BWC-0001"), bay("1", "BWC-0001"), bay("2", None))
    assert office.rows("bays") == [("DOCK-1", "1", 1, "BWC-0001"), ("DOCK-1", "2", 1, None)]
    office.take(dock(online=False))
    assert office.rows("bays") == [("DOCK-1", "1", 0, None), ("DOCK-1", "2", 0, None)], "its last will is theirs"
    office.take(dock(online=True), bay("1", "BWC-0002"))
    assert office.rows("bays")[0] == ("DOCK-1", "1", 1, "BWC-0002")
    for junk in (b"", b"x", b"[]", b'{"online":1,"camera":7}', b'{"online":true,"camera":"no id"}', b"x" * 20_000):
        office.take((f"{DOCK}/bay/1/presence", junk), (f"{DOCK}/telemetry", junk), (f"{DOCK}/reply/x", junk))
    office.take((f"{DOCK}/bay/{'b' * 33}/presence", b"{}"), (f"{DOCK}/bay/ä/presence", b"{}"))
    assert [row[1] for row in office.rows("bays")] == ["1", "2"]
