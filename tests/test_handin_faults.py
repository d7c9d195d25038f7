from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evidence import pki, records
from evidence.pki import Role
from runtime import tls
from syncd import link
from syncd.link import Patience
from tests.agency import Agency, Holder
from tests.builders import present_agency
from tests.dock_site import MIB, Site, ciphertext
from tests.tus_office import Fault, TusOffice

pytestmark = pytest.mark.net


@pytest.fixture
def site(tmp_path: Path, agency: Agency, signer: Holder) -> Iterator[Site]:
    site = Site(tmp_path, agency, signer)
    yield site
    site.close()


# --- an office that is away, busy, full, cut, slow


def test_when_the_office_is_away_ciphertext_waits_in_the_spool(site: Site) -> None:
    keys = site.record(2 * MIB, 100)
    bytes_of = {key: ciphertext(site, key) for key in keys}
    site.office.stop()
    site.until(lambda: site.spool.device("BWC-0001").waiting() == keys)
    assert site.camera.given == []
    assert set(site.told.faults()) == {"office-lost"}
    assert {key: site.path(records.segment_path(*key)).read_bytes() for key in keys} == bytes_of
    # The camera goes, the office comes back: drained without the camera, receipts wait for its next contact.
    site.camera.port.stop()
    site.office.start()
    site.until(lambda: len(site.office.stored) == 2, site.drain)
    assert site.spool.used_bytes() == 0
    assert site.camera.given == []
    site.camera.port.start()
    site.start_dock()
    sent = site.office.sent
    site.until(lambda: len(site.camera.given) == 2)
    assert site.office.sent - sent < MIB, "bytes that the office had were sent again"
    assert site.camera.state().segments == ()


def test_the_spool_is_bounded_and_the_rest_stays_on_the_camera(site: Site) -> None:
    site.start_dock(spool_bytes=3 * MIB)
    keys = site.record(2 * MIB, 2 * MIB, MIB // 2)
    site.office.stop()
    site.until(lambda: site.spool.device("BWC-0001").waiting() == [keys[0], keys[2]])
    assert "spool-full" in site.told.faults()
    assert site.spool.used_bytes() <= 3 * MIB
    site.office.start()
    site.until(site.done)
    assert len(site.camera.given) == 3


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(500), "office-error"),
        (Fault(503, headers=(("Retry-After", "1"),)), "office-busy"),
        (Fault(507, code="storage-full"), "office-full"),
        (Fault(act="cut"), "office-lost"),
        (Fault(200), "office-protocol"),
        (Fault(302), "office-lost"),
        (Fault(409, code="offset-mismatch"), "office-refused"),
        (Fault(422, code="hash-mismatch"), "office-refused"),
    ],
)
def test_an_office_that_fails_is_told_and_tried_again(site: Site, fault: Fault, code: str) -> None:
    (key,) = site.record(3 * MIB)
    data = ciphertext(site, key)
    site.office.fail_once("PATCH", key[0], fault)
    site.until(site.done)
    assert site.told.faults() == [code]
    assert site.office.stored == {("BWC-0001", *key): data}
    assert len(site.camera.given) == 1


def test_an_office_that_hangs_is_given_up_and_tried_again(site: Site) -> None:
    site.record(3 * MIB)
    site.office.fail_once("PATCH", "-", Fault(act="hang"))
    began = time.monotonic()
    site.until(site.done)
    assert time.monotonic() - began < 10
    assert site.told.faults() == ["office-lost"]


def test_retry_after_is_heeded(site: Site) -> None:
    site.retries._limit = 60.0
    site.record(100)
    site.office.fail_once("POST", "/v1/uploads", Fault(503, headers=(("Retry-After", "45"),)))
    site.bay.work()
    assert site.told.handin()[-1]["retry_ms"] == 45_000
    assert not site.retries.office_ready("BWC-0001", time.monotonic() + 44)
    assert site.retries.office_ready("BWC-0002", time.monotonic())


def test_an_upload_cut_in_the_middle_goes_on_where_the_office_stands(site: Site) -> None:
    (key,) = site.record(6 * MIB)
    size = len(ciphertext(site, key))
    seen = []

    def cut_third(method: str, path: str) -> Fault | None:
        if method == "PATCH" and key[0] in path:
            seen.append(path)
        return Fault(act="cut") if method == "PATCH" and key[0] in path and len(seen) == 3 else None

    site.office.faults.append(cut_third)
    site.until(site.done)
    journal = sum(map(len, site.office.journals.values()))
    assert site.office.sent <= size + journal + link.BLOCK
    assert hashlib.sha256(site.office.stored["BWC-0001", *key]).hexdigest() == site.camera.given[0].sha256


def test_a_dock_killed_in_the_middle_goes_on_from_its_disk(site: Site) -> None:
    (key,) = site.record(4 * MIB)
    size = len(ciphertext(site, key))
    site.office.fail_once("PATCH", key[0], Fault(500), times=1)
    site.bay.work()
    site.start_dock()
    site.until(site.done)
    journal = sum(map(len, site.office.journals.values()))
    assert site.office.sent <= size + journal + 2 * link.BLOCK


# --- an office that lies


def test_an_office_that_says_stored_and_did_not_releases_nothing(site: Site) -> None:
    (key,) = site.record(100)
    site.office.faults.append(
        lambda method, path: Fault(act="forget") if method == "PATCH" and key[0] in path else None
    )
    site.until(lambda: "receipt-missing" in site.told.faults())
    assert site.camera.given == []
    assert key in site.camera.folder.sizes
    site.office.faults.clear()
    site.until(site.done)
    assert len(site.camera.given) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "0" * 64},
        {"size": 1},
        {"segment": 7},
        {"recording": "9f9f9f9f-99"},
        {"device": "BWC-0002"},
        {"received": "2019-01-01T00:00:00.000Z"},
    ],
)
def test_a_receipt_for_anything_else_is_refused(site: Site, changes: dict[str, Any]) -> None:
    site.record(100)
    site.office.alter = lambda receipt: dataclasses.replace(receipt, **changes)
    site.until(lambda: "receipt-wrong" in site.told.faults())
    assert site.camera.given == []
    assert list(site.tmp.glob("spool/*/receipts/*/*")) == []


def test_a_receipt_by_a_key_that_is_not_the_offices_is_refused(site: Site) -> None:
    site.record(100)
    site.office.signer = present_agency().issue(Role.SIGNER, "OFFICE-1")
    site.until(lambda: "receipt-wrong" in site.told.faults())
    assert site.camera.given == []
    assert site.camera.anchors == []


def test_a_receipt_damaged_on_the_docks_disk_is_fetched_again(site: Site) -> None:
    (key,) = site.record(100)

    def full(_jws: str) -> None:
        raise OSError(28, "No space left on device")

    site.camera.take_receipt = full  # type: ignore[assignment,method-assign]
    site.until(lambda: site.path(records.receipt_path(*key)).exists())
    path = site.path(records.receipt_path(*key))
    path.write_bytes(path.read_bytes()[:-9])
    del site.camera.take_receipt
    site.until(site.done)
    assert len(site.camera.given) == 1


def test_an_office_of_another_agency_gets_nothing(site: Site) -> None:
    stranger = present_agency()
    chain, key = stranger.issue(Role.OFFICE, "OFFICE-1").write(site.tmp, "stranger")
    site.office.stop()
    context = tls.server_context(chain, key, site.roots)
    site.office = TusOffice(context, [site.agency.root.certificate], site.signer)
    site.office.start()
    site.start_dock()
    site.record(100)
    site.bay.work()
    assert "office-identity" in site.told.faults()
    assert site.office.sent == 0


def test_a_dock_that_poses_as_the_office_gets_nothing(site: Site) -> None:
    chain, key = site.agency.issue(Role.DOCK, "DOCK-2").write(site.tmp, "poser")
    site.office.stop()
    site.office = TusOffice(tls.server_context(chain, key, site.roots), [site.agency.root.certificate], site.signer)
    site.office.start()
    site.start_dock()
    site.record(100)
    site.bay.work()
    assert "office-identity" in site.told.faults()
    assert site.office.sent == 0


# --- a camera that is cut, or lies


def test_a_camera_pulled_out_in_the_middle_goes_on_at_its_next_contact(site: Site) -> None:
    keys = site.record(4 * MIB, 100)
    pulled = threading.Event()

    def pull(method: str, path: str) -> Fault | None:
        if method == "PATCH" and keys[0][0] in path and not pulled.is_set():
            pulled.set()
            site.camera.port._server.cut_all()  # type: ignore[union-attr]
            site.camera.port._wanted = site.camera.port.address
            site.camera.port.stop()
        return None

    site.office.faults.append(pull)
    site.bay.work()
    assert site.told.faults() == ["camera-lost"]
    site.bay.work()
    assert site.told.states().count("fault") == 1, "an empty bay is not a fault"
    site.camera.port.start()
    site.until(site.done)
    assert len(site.camera.given) == 2
    assert site.told.states().count("started") == 2


def test_a_camera_that_leaves_with_nothing_left_is_no_fault(site: Site) -> None:
    site.record(100)
    site.until(site.done)
    site.bay.work()
    site.camera.port.stop()
    site.bay.work()
    assert site.told.faults() == []


def flip(site: Site, key: tuple[str, int]) -> bytes:
    """Change one byte of a segment behind the camera's back; returns what it was."""
    path = site.camera.folder.disk.root / records.segment_path(*key)
    right = path.read_bytes()
    path.write_bytes(right[:-5] + bytes([right[-5] ^ 1]) + right[-4:])
    return right


def test_altered_ciphertext_is_never_completed(site: Site) -> None:
    keys = site.record(3 * MIB, 100)
    right = flip(site, keys[0])
    site.until(lambda: len(site.camera.given) == 1)
    assert "hash-mismatch" in site.told.faults()
    assert set(site.office.stored) == {("BWC-0001", *keys[1])}
    (site.camera.folder.disk.root / records.segment_path(*keys[0])).write_bytes(right)
    site.until(site.done)
    assert site.office.stored["BWC-0001", *keys[0]] == right


def test_altered_ciphertext_does_not_enter_the_spool(site: Site) -> None:
    (key,) = site.record(3 * MIB)
    flip(site, key)
    site.office.stop()
    site.until(lambda: "hash-mismatch" in site.told.faults())
    assert site.spool.used_bytes() == 0


def test_a_journal_line_that_does_not_verify_stops_there_and_strands_nothing(site: Site) -> None:
    keys = site.record(100)
    path = site.camera.folder.disk.root / records.journal_path(0)
    good = path.read_bytes()
    forged = good.splitlines()[-1]
    path.write_bytes(good + forged[:-4] + b"AAAA\n")
    site.until(lambda: len(site.camera.given) == 1 or "chain-broken" in site.told.faults())
    site.until(lambda: ("BWC-0001", *keys[0]) in site.office.stored)
    assert set(site.told.faults()) <= {"chain-broken", "jws-signature", "jws-form"}
    assert bytes(site.office.journals["BWC-0001", "0"]) == good
    assert site.path("journal/00000000.jws").read_bytes() == good
    assert "done" not in site.told.states()


def test_a_journal_line_without_an_end_is_not_gathered_in_memory(site: Site) -> None:
    with (site.camera.folder.disk.root / records.journal_path(0)).open("ab") as journal:
        journal.truncate(journal.tell() + 512 * MIB)  # a hole, which costs no disk
    tracemalloc.start()
    try:
        site.until(lambda: "jws-form" in site.told.faults())
        assert tracemalloc.get_traced_memory()[1] < 32 * MIB
    finally:
        tracemalloc.stop()


def test_a_segment_that_no_record_names_is_refused(site: Site) -> None:
    site.record(100)
    site.camera.folder.sizes["9f9f9f9f-77", 0] = 100
    site.until(lambda: "segment-unknown" in site.told.faults())
    assert len(site.camera.given) == 1
    assert "done" not in site.told.states()


def test_a_size_that_was_not_signed_is_refused(site: Site) -> None:
    (key,) = site.record(100)
    site.camera.folder.sizes[key] += 1
    site.until(lambda: "segment-size" in site.told.faults())
    assert site.office.stored == {}


def test_a_camera_that_says_it_is_another_is_refused(site: Site) -> None:
    site.camera.folder.device = "BWC-0002"
    site.record(100)
    site.bay.work()
    assert site.told.faults() == ["camera-identity"]
    assert site.office.sent == 0


def test_a_camera_that_refuses_the_receipt_keeps_its_segment(site: Site) -> None:
    (key,) = site.record(100)
    site.camera._signer = pki.public_key(site.agency.issue(Role.SIGNER, "OFFICE-1").certificate)
    site.until(lambda: "camera-refused" in site.told.faults())
    assert key in site.camera.folder.sizes
    assert site.spool.device("BWC-0001").receipt(key) is not None


def test_a_trickling_camera_is_given_up(site: Site) -> None:
    (key,) = site.record(100)
    disk = site.camera.folder.disk
    read, ended = disk.read, threading.Event()

    def trickle(path: str, offset: int = 0, length: int | None = None) -> bytes:  # noqa: ARG001
        ended.wait(0.05)
        return read(path, offset, 1)

    site.bay._camera._link._patience = Patience(2.0, 0.5)
    disk.read = trickle  # type: ignore[method-assign]
    began = time.monotonic()
    site.bay.work()
    assert time.monotonic() - began < 5
    assert site.told.faults() == ["camera-lost"]
    ended.set()
    disk.read = read  # type: ignore[method-assign]
    site.until(site.done)
    assert ("BWC-0001", *key) in site.office.stored
