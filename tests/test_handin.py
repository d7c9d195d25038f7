from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evidence import records
from syncd.errors import Stopped
from syncd.retries import Retries
from syncd.step import Begun, Step, decide
from tests.agency import Agency, Holder
from tests.dock_camera import DockedCamera
from tests.dock_site import MIB, Site, ciphertext
from tests.tus_office import Fault

pytestmark = pytest.mark.net


@pytest.fixture
def site(tmp_path: Path, agency: Agency, signer: Holder) -> Iterator[Site]:
    site = Site(tmp_path, agency, signer)
    yield site
    site.close()


# --- the way it should go


def test_a_camera_is_emptied_and_gets_its_receipts_and_the_time(site: Site) -> None:
    keys = site.record(3 * MIB, 100, 2 * MIB)
    bytes_of = {key: ciphertext(site, key) for key in keys}
    site.until(site.done)
    assert site.office.stored == {("BWC-0001", *key): data for key, data in bytes_of.items()}
    assert site.camera.state().segments == ()
    assert [(r.recording, r.segment) for r in site.camera.given] == keys
    assert len(site.camera.anchors) == 1
    assert site.told.states() == ["started", *["progress", "receipt"] * 3, "done"]
    assert site.told.faults() == []
    assert site.spool.used_bytes() == 0


def test_what_the_camera_writes_afterwards_follows(site: Site) -> None:
    site.record(100)
    site.until(site.done)
    journal = site.camera.folder.disk.read(records.journal_path(0))
    site.until(lambda: bytes(site.office.journals["BWC-0001", "0"]) == journal)
    assert site.path("journal/00000000.jws").read_bytes() == journal
    assert site.told.lines() == journal.splitlines()
    ids = [event.id for event in site.told.events if event.topic.endswith("/journal")]
    assert ids == [hashlib.sha256(line).hexdigest() for line in journal.splitlines()]
    assert site.told.states().count("done") == 1


def test_journal_files_follow_each_other(site: Site) -> None:
    site.record(100)
    site.camera.folder.rotate()
    site.record(100)
    site.until(site.done)
    assert sorted(file for _, file in site.office.journals) == ["0", "1"]
    assert len(site.camera.given) == 2


def test_a_camera_that_keeps_what_is_received_is_not_asked_twice(site: Site) -> None:
    site.camera.release_at_once = False
    site.record(100)
    site.until(site.done)
    for _ in range(3):
        site.bay.work()
    site.start_dock()
    for _ in range(3):
        site.bay.work()
    assert len(site.camera.given) == 1
    assert len(site.office.stored) == 1


def test_an_unsigned_session_is_taken_in(tmp_path: Path, agency: Agency, signer: Holder) -> None:
    site = Site(tmp_path, agency, signer)
    try:
        site.camera.port.stop()
        camera = DockedCamera(tmp_path / "unsigned", agency, signer.certificate)
        camera.folder = type(camera.folder)(tmp_path / "bare", agency, signed=False)
        camera.port._disk = camera.folder.disk
        site.camera = camera
        camera.port.start()
        site.record(100)
        site.start_dock()
        site.until(site.done)
        assert len(camera.given) == 1
    finally:
        site.close()


def test_decisions() -> None:
    held = {"receipt": False, "whole": False, "via_spool": False, "office": True}
    assert decide(**held) is Step.STREAM
    assert decide(**held | {"receipt": True, "office": False}) is Step.GIVE
    assert decide(**held | {"whole": True}) is Step.FORWARD
    assert decide(**held | {"whole": True, "office": False}) is Step.WAIT
    assert decide(**held | {"via_spool": True}) is Step.STORE
    assert decide(**held | {"office": False}) is Step.STORE
    assert decide(**held | {"office": False, "begun": True}) is Step.WAIT
    assert decide(**held | {"office": False, "begun": True, "via_spool": True}) is Step.STORE


def test_an_office_that_has_a_part_is_waited_for_but_not_long(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, key = Begun(), ("9f9f9f9f-1", 0)
    blocks = begun.noting(key, (block for block in [b"1", b"2"]))
    assert next(blocks) == b"1"
    assert key not in begun  # it is on its way
    assert next(blocks) == b"2"
    assert key in begun
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert key not in begun
    assert list(blocks) == []
    assert key in begun
    begun.forget(key)
    assert key not in begun


def test_back_off_is_bounded_and_forgotten() -> None:
    retries = Retries(1.0, 8.0)
    assert [retries.failed("office", 0.0) for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert not retries.ready("office", 7.9)
    assert retries.ready("office", 8.0)
    assert retries.ready("other", 0.0)
    retries.worked("office")
    assert retries.failed("office", 0.0, asked=5.0) == 5.0
    assert retries.failed("office", 0.0, asked=1e9) == 8.0


# --- the dock's own disk


def test_a_torn_copy_of_the_journal_is_cut_back_and_pulled_again(site: Site) -> None:
    site.record(100)
    site.until(site.done)
    path = site.path("journal/00000000.jws")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(300))
    site.start_dock()
    site.until(lambda: path.read_bytes().startswith(whole))
    assert site.told.faults() == []


def test_a_partial_segment_in_the_spool_goes_on(site: Site) -> None:
    (key,) = site.record(4 * MIB)
    data = ciphertext(site, key)
    site.office.stop()
    partial = site.tmp / "spool/partial/BWC-0001" / records.segment_path(*key)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(data[: 3 * MIB])
    asked: list[int] = []
    read = site.camera.folder.disk.read

    def watch(path: str, offset: int = 0, length: int | None = None) -> bytes:
        if path.startswith("segments"):
            asked.append(offset)
        return read(path, offset, length)

    site.camera.folder.disk.read = watch  # type: ignore[method-assign]
    site.until(lambda: site.spool.device("BWC-0001").holds(key))
    assert min(asked) == 3 * MIB
    assert site.path(records.segment_path(*key)).read_bytes() == data


def test_kept_segments_stay_for_an_audit_and_make_way(site: Site) -> None:
    site.start_dock(keep=True, spool_bytes=3 * MIB)
    first, second = site.record(2 * MIB, 2 * MIB)
    site.until(site.done)
    spool = site.spool.device("BWC-0001")
    assert spool.segments() == [second]
    assert site.spool.used_bytes() <= 3 * MIB
    assert len(site.camera.given) == 2
    assert spool.receipt(first) is not None


def test_stopping_leaves_everything_where_it_is(site: Site) -> None:
    (key,) = site.record(8 * MIB)

    def stop(method: str, path: str) -> Fault | None:
        if method == "PATCH" and key[0] in path:
            site.stopping.set()
        return None

    site.office.faults.append(stop)
    with pytest.raises(Stopped):
        site.bay.work()
    site.office.faults.clear()
    site.stopping.clear()
    site.start_dock()
    site.until(site.done)
    assert len(site.camera.given) == 1
