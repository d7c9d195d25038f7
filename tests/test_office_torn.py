"""What a power cut may leave on the office's disk, and how its next start goes on from there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence import age, records
from evidence.records import FILE_LIMIT
from office.archive import Archive
from office.errors import OfficeError
from office.ingest import Ingest
from office.tus import JournalUpload, SegmentUpload
from tests.footage import Camera
from tests.powercut.machine import Machine, powered
from tests.powercut.parties import parties

DOCK = "DOCK-1"


class Office:
    """One run of an office after the other over the same folder."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.camera = Camera(parties().owner.agency, [age.recipient_of(age.generate_identity())])
        self.key = (self.camera.start(), 0)
        self.camera.noise(*self.key, 100_000)
        self.journal = self.data / "store" / self.camera.device / records.journal_path(0)

    @contextlib.contextmanager
    def running(self) -> Iterator[Ingest]:
        archive = Archive(parties().office_config(self.data))
        try:
            ingest = Ingest(archive)
            ingest.recover()
            yield ingest
        finally:
            archive.close()

    def hand_in_journal(self, ingest: Ingest) -> None:
        upload = JournalUpload(self.camera.device, 0)
        ingest.append_journal(upload, self.camera.journal[0][ingest.offset(upload) :], DOCK)

    def forget_catalogue(self) -> None:
        for path in self.data.glob("catalogue.sqlite*"):
            path.unlink()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.mark.parametrize("catalogue", [True, False], ids=["catalogue", "no catalogue"])
@pytest.mark.parametrize("torn", [b"eyJhbGci", bytes(700), bytes(300) + b".x.y\n"], ids=["part", "zeros", "a line"])
def test_a_torn_journal_goes_on(office: Office, torn: bytes, *, catalogue: bool) -> None:
    """Of the line that was being written there is a part, or its length alone: nobody was told that it is held."""
    with office.running() as ingest:
        office.hand_in_journal(ingest)
    held = office.journal.read_bytes()
    office.journal.write_bytes(held + torn)
    if not catalogue:
        office.forget_catalogue()
    office.camera.line("heartbeat", free_bytes=1, figures={})
    with office.running() as ingest:
        assert ingest.offset(JournalUpload(office.camera.device, 0)) == len(held)
        office.hand_in_journal(ingest)
    assert office.journal.read_bytes() == office.camera.journal[0]
    (kept,) = (office.data / "quarantine" / office.camera.device).iterdir()
    assert kept.read_bytes() == torn


def test_lines_that_were_held_are_not_taken_for_torn(office: Office) -> None:
    with office.running() as ingest:
        office.hand_in_journal(ingest)
    changed = bytearray(office.journal.read_bytes())
    changed[-50] ^= 1
    office.journal.write_bytes(changed)
    with office.running() as ingest, pytest.raises(OfficeError, match="was changed"):
        ingest.offset(JournalUpload(office.camera.device, 0))
    assert office.journal.read_bytes() == changed


def test_a_segment_that_was_cut_on_its_way_into_the_store_is_taken_up(tmp_path: Path) -> None:
    """It was read-only already, and not yet in its place. The machine lets nobody write what is read-only, nor root."""
    with powered(Machine("office", tmp_path / "office", 0)):
        office = Office(tmp_path / "office")
        data = office.camera.segments[office.key]
        upload = SegmentUpload(office.camera.device, *office.key)
        with office.running() as ingest:
            office.hand_in_journal(ingest)
            ingest.create(upload, len(data))
            staged = ingest.open(upload)
            ingest.append(staged, data)
            ingest.close(upload, staged)
        staged.path.chmod(0o440)
        with office.running() as ingest:
            assert ingest.offset(upload) == len(data)
            assert ingest.receipt(office.camera.device, *office.key)


def test_forks_of_one_camera_are_bounded_and_told_once_each(office: Office) -> None:
    def fork(ingest: Ingest, data: bytes, device: str = office.camera.device) -> str:
        try:
            ingest.keep_fork(JournalUpload(device, 0), data, DOCK)
        except OfficeError as error:
            return f"{error.status} {error.code}"
        return "kept"

    with office.running() as ingest:
        assert fork(ingest, bytes(4 * FILE_LIMIT + 1)) == "409 forks-full"
        assert fork(ingest, bytes(4 * FILE_LIMIT - 62)) == "kept"
        assert [fork(ingest, b"%02d" % number) for number in range(40)].count("kept") == 31
        assert fork(ingest, b"00") == "kept", "it is there"
        assert {fork(ingest, b"%d" % number, "BWC-0002") for number in range(64)} == {"kept"}
        assert fork(ingest, b"64", "BWC-0002") == "409 forks-full"
    leaves = (office.data / "log" / "leaves.jsonl").read_bytes().splitlines()
    assert sum(b'"act":"fork"' in leaf for leaf in leaves) == 32 + 64


def test_the_log_is_durable_with_its_folder(tmp_path: Path) -> None:
    machine = Machine("office", tmp_path / "office", 0)
    with powered(machine):
        office = Office(tmp_path / "office")
        with office.running() as ingest:
            office.hand_in_journal(ingest)
            ingest.keep_fork(JournalUpload(office.camera.device, 0), b"a fork", DOCK)
        machine.lose_power(everything=True)
    assert b'"act":"fork"' in (office.data / "log" / "leaves.jsonl").read_bytes()


def test_a_leaf_of_which_only_the_length_is_there_is_none(office: Office) -> None:
    with office.running() as ingest:
        office.hand_in_journal(ingest)
        ingest.keep_fork(JournalUpload(office.camera.device, 0), b"a fork", DOCK)
    leaves = office.data / "log" / "leaves.jsonl"
    whole = leaves.read_bytes()
    leaves.write_bytes(whole + bytes(120) + b'"}\n')
    with office.running() as ingest:
        assert leaves.read_bytes() == whole
        ingest.keep_fork(JournalUpload(office.camera.device, 0), b"another", DOCK)
    with office.running():
        assert leaves.read_bytes().startswith(whole)
        assert leaves.read_bytes().count(b'"act":"fork"') == 2
