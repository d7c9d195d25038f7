"""What the office lists of boots whose evidence key answered late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence import age
from evidence.journal import JournalReader
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from tests.agency import Agency
from tests.footage import Camera

RECIPIENTS = [age.recipient_of(age.generate_identity())]


@pytest.fixture
def catalogue(tmp_path: Path, database: str | None) -> Iterator[Catalogue]:
    made = Catalogue(Database(database or sqlite_url(tmp_path / "catalogue.sqlite")))
    yield made
    made.close()


def test_a_recording_is_signed_once_every_boot_that_told_of_it_is(catalogue: Catalogue) -> None:
    """The first boot lost its key for good, the second one's token was only slow."""
    camera = Camera(Agency(), RECIPIENTS, signed=False)
    reader = JournalReader([camera.agency.root.certificate], refuse_strangers=True)

    def hand_in() -> tuple[dict[str, bool], list[bool]]:
        for file, data in enumerate(camera.journal):
            lines = data[reader.good_len(file) :].splitlines(keepends=True)
            taken = [(record, reader.signed) for line in lines for record in reader.feed(file, line)]
            catalogue.add_records(camera.device, taken, "DOCK-1")
        recordings = {row["recording"]: bool(row["signed"]) for row in catalogue.recordings()}
        return recordings, [bool(row["signed"]) for row in catalogue.alerts()]

    cut = camera.start()
    camera.boot()
    camera.start(cut, part=2)
    whole = camera.start()
    camera.line("alert", what="explanation_due", recording=whole, detail="")
    assert hand_in() == ({cut: False, whole: False}, [False])
    camera.certify()
    assert hand_in() == ({cut: False, whole: True}, [True])
