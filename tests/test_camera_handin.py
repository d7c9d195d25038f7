"""The camera's side of a hand-in: what it offers, what it accepts, what lets a segment go."""

from __future__ import annotations

import dataclasses
import errno
import itertools
from pathlib import Path
from typing import Any

import pytest

from evidence import age, pki, records, shape
from evidence.documents import Configuration, Order, Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.pki import Role
from firmware.hal.ports import Utc
from firmware.handin import HandIn
from firmware.identity import Identity
from tests.agency import Holder
from tests.camera_rig import DEVICE, STARTED_MS, BootClock, Camera, Owner, World, of_kind, verified
from tests.memory_disk import MemoryDisk

UTC = shape.utc_text(STARTED_MS + 3_600_000)


class SettableClock(BootClock):
    told: tuple[int, str, int] | None = None

    def set_utc(self, ms: int, source: str, error_ms: int) -> None:
        self.told = (ms, source, error_ms)

    def utc(self) -> Utc:
        return Utc(*self.told) if self.told else super().utc()


@pytest.fixture(scope="module")
def owner() -> Owner:
    return Owner()


@pytest.fixture(scope="module")
def signer(owner: Owner) -> Holder:
    return owner.agency.issue(Role.SIGNER, "OFFICE-1")


class Rig:
    """A camera with a recording of some segments, and its hand-in."""

    def __init__(self, owner: Owner, signer: Holder, release_after_seconds: int = 0) -> None:
        self.owner, self.signer = owner, signer
        self.disk = MemoryDisk()
        self.disk.create("certs/signer.pem").append(pki.to_pem(signer.certificate, *signer.above))
        self.disk.files["certs/signer.pem"].durable = 1 << 20
        self.world = World(utc_error_ms=None)
        self.clock = SettableClock(self.world)
        self.camera = Camera(owner, self.disk, self.world, self.clock)
        self.camera.press()
        self.camera.run(7)
        self.camera.end()
        key = pki.public_key(signer.certificate)
        recipient = age.recipient_of(owner.identity)
        configuration = Configuration(
            "OFFICE-1", DEVICE, "agency", UTC, "unit", "000042", "name", None, (recipient,),
            release_after_seconds=release_after_seconds,
        )  # fmt: skip
        roots = (owner.agency.root.certificate,)
        chain = pki.validate_chain(signer.certificate, signer.above, roots, role=Role.SIGNER, at=None)
        self.identity = Identity(Path(), configuration, "", roots, {pki.key_id(key): chain})
        self.handed_in = self.called = 0
        self.handin = self.new_handin()

    def new_handin(self) -> HandIn:
        return HandIn(self.disk, self.camera.journal, self.identity, self.clock, self._done, self._find)

    def _done(self) -> None:
        self.handed_in += 1

    def _find(self) -> None:
        self.called += 1

    def order(self, by: Holder | None = None, **changes: Any) -> str:
        times = ("2026-11-24T06:00:00.000Z", "2026-11-24T06:05:00.000Z")
        order = Order("OFFICE-1", "0f" * 16, "DOCK-1", DEVICE, "find", None, None, *times)
        return self._signed(dataclasses.replace(order, **changes), by)

    def _signed(self, document: Receipt | TimeAnchor | Order, by: Holder | None = None) -> str:
        holder = by or self.signer
        return document.sign(holder.key, pki.key_id(pki.public_key(holder.certificate)))

    def receipt(self, number: int, by: Holder | None = None, **changes: Any) -> str:
        body = next(r.body for r in of_kind(self.disk, "segment") if r.body["segment"] == number)
        receipt = Receipt(
            "OFFICE-1", DEVICE, body["recording"], number, body["file_sha256"], body["file_size"], UTC, UTC, 0
        )
        return self._signed(dataclasses.replace(receipt, **changes), by)

    def anchor(self, **changes: Any) -> str:
        state = self.handin.state()
        anchor = TimeAnchor("OFFICE-1", DEVICE, state.nonce or "0" * 32, *state.head, UTC, 50)
        return self._signed(dataclasses.replace(anchor, **changes))

    def path(self, segment: int) -> str:
        return records.segment_path(of_kind(self.disk, "segment")[0].body["recording"], segment)


@pytest.fixture
def rig(owner: Owner, signer: Holder) -> Rig:
    return Rig(owner, signer)


def test_it_offers_what_is_durable_and_not_released(rig: Rig) -> None:
    state = rig.handin.state()
    sizes = {segment: size for _, segment, size in state.segments}
    assert sizes == {r.body["segment"]: r.body["file_size"] for r in of_kind(rig.disk, "segment")}
    assert state.head == rig.camera.journal.head()
    assert dict(state.journal) == rig.camera.journal.published()
    assert state.nonce is None


def test_a_receipt_lets_its_segment_go_and_no_other(rig: Rig) -> None:
    rig.handin.take_receipt(rig.receipt(1))
    assert rig.path(1) not in rig.disk.files
    assert rig.path(0) in rig.disk.files
    assert [r.kind for r in (of_kind(rig.disk, "receipt") + of_kind(rig.disk, "released"))] == ["receipt", "released"]
    assert 1 not in {segment for _, segment, _ in rig.handin.state().segments}
    rig.handin.take_receipt(rig.receipt(1))  # the dock lost our answer and comes again
    assert len(of_kind(rig.disk, "released")) == 1
    verified(rig.owner, rig.disk)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sha256": "0" * 64}, "receipt-mismatch"),
        ({"size": 1}, "receipt-mismatch"),
        ({"segment": 77}, "receipt-foreign"),
        ({"device": "BWC-0002"}, "receipt-foreign"),
        ({"recording": "00000000-1"}, "receipt-foreign"),
    ],
)
def test_a_receipt_for_anything_else_is_refused(rig: Rig, changes: dict[str, Any], code: str) -> None:
    before = rig.camera.journal.head()
    with pytest.raises(EvidenceError) as caught:
        rig.handin.take_receipt(rig.receipt(1, **changes))
    assert caught.value.code == code
    assert rig.camera.journal.head() == before
    assert rig.path(1) in rig.disk.files


def test_a_receipt_of_another_office_is_refused(rig: Rig) -> None:
    stranger = rig.owner.agency.issue(Role.SIGNER, "OFFICE-2")
    with pytest.raises(EvidenceError) as caught:
        rig.handin.take_receipt(rig.receipt(1, by=stranger))
    assert caught.value.code == "signer-unknown"
    assert rig.path(1) in rig.disk.files


def test_an_anchor_answers_one_docking_only(rig: Rig) -> None:
    rig.handin.docked()
    anchor = rig.anchor()
    rig.handin.docked()
    with pytest.raises(EvidenceError, match="nonce"):
        rig.handin.take_anchor(anchor)
    assert rig.clock.told is None
    rig.handin.take_anchor(rig.anchor())
    assert rig.clock.told == (STARTED_MS + 3_600_000, "dock", 50)
    assert rig.handed_in == 0  # segments still wait for their receipts
    assert rig.handin.state().nonce is None
    with pytest.raises(EvidenceError, match="nonce"):
        rig.handin.take_anchor(rig.anchor())
    assert verified(rig.owner, rig.disk).anchors


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"error_ms": 2**63 - 1}, "shape"),
        ({"error_ms": 60_001}, "anchor-absurd"),
        ({"utc": shape.utc_text(STARTED_MS)}, "anchor-absurd"),  # before its configuration was issued
        ({"utc": "1970-01-01T00:00:00.000Z"}, "chain-dates"),
        ({"utc": "2099-01-01T00:00:00.000Z"}, "chain-dates"),
        ({"utc": "9999-12-31T23:59:59.999Z"}, "chain-dates"),
    ],
)
def test_an_office_whose_clock_cannot_be_right_sets_none_and_keeps_nothing_from_being_taken(
    rig: Rig, changes: dict[str, Any], code: str
) -> None:
    rig.handin.docked()
    before = rig.camera.journal.head()
    with pytest.raises(EvidenceError) as caught:
        rig.handin.take_anchor(rig.anchor(**changes))
    assert caught.value.code == code
    assert rig.clock.told is None
    assert rig.camera.journal.head() == before
    rig.handin.take_receipt(rig.receipt(1))
    rig.handin.take_anchor(rig.anchor())
    assert rig.clock.told == (STARTED_MS + 3_600_000, "dock", 50)


def test_room_is_made_by_the_oldest_segment_with_a_receipt(owner: Owner, signer: Holder) -> None:
    rig = Rig(owner, signer, release_after_seconds=86_400)
    for segment in (2, 1):
        rig.handin.take_receipt(rig.receipt(segment))
    assert rig.path(1) in rig.disk.files, "kept for its grace period"
    assert rig.handin.make_room()
    assert rig.path(1) not in rig.disk.files
    assert rig.handin.make_room()
    assert rig.path(2) not in rig.disk.files
    assert not rig.handin.make_room(), "never one without a receipt"
    assert rig.path(0) in rig.disk.files
    verified(owner, rig.disk)


def test_a_cut_between_release_and_removal(rig: Rig) -> None:
    def before(_: int, operation: str) -> None:
        if operation.startswith("remove"):
            raise OSError(errno.EIO, "cut")

    rig.disk.before = before
    with pytest.raises(OSError, match="cut"):
        rig.handin.take_receipt(rig.receipt(1))
    rig.disk.lose_power()
    assert rig.path(1) in rig.disk.files
    rig.handin = rig.new_handin()
    rig.handin.finish_releases()
    assert rig.path(1) not in rig.disk.files
    verified(rig.owner, rig.disk)


def test_a_cut_between_receipt_and_release(rig: Rig) -> None:
    """The dock has seen the receipt in the journal and does not give it again."""
    lines = itertools.count(1)

    def before(_: int, operation: str) -> None:
        if operation.startswith("append journal") and next(lines) == 2:
            raise OSError(errno.EIO, "cut")

    rig.disk.before = before
    with pytest.raises(OSError, match="cut"):
        rig.handin.take_receipt(rig.receipt(1))
    assert rig.path(1) in rig.disk.files
    rig.handin = rig.new_handin()
    rig.handin.finish_releases()
    assert rig.path(1) not in rig.disk.files
    verified(rig.owner, rig.disk)


def test_a_receipt_that_the_journal_cannot_keep_releases_nothing(rig: Rig) -> None:
    def before(_: int, operation: str) -> None:
        if operation.startswith(("append journal", "create journal")):
            raise OSError(errno.ENOSPC, "full")

    rig.disk.before = before
    with pytest.raises(OSError, match="full"):
        rig.handin.take_receipt(rig.receipt(1))
    rig.disk.restart()
    assert rig.path(1) in rig.disk.files
    rig.handin.take_receipt(rig.receipt(1))
    assert rig.path(1) not in rig.disk.files
    verified(rig.owner, rig.disk)


def test_a_line_that_rotted_on_the_card_does_not_keep_the_rest_from_going(rig: Rig) -> None:
    receipt = rig.receipt(1)
    journal = rig.disk.files[records.journal_path(0)].content
    assigned = journal.index(b"\n") + 1  # the line after the opening
    journal[assigned + 10] ^= 0x80
    assert len(rig.handin.state().segments) > 1
    rig.handin.take_receipt(receipt)
    assert 1 not in {segment for _, segment, _ in rig.handin.state().segments}


def test_what_it_knows_comes_from_the_journal(owner: Owner, signer: Holder) -> None:
    """Another boot knows the receipts and releases of the one before."""
    rig = Rig(owner, signer, release_after_seconds=86_400)
    rig.handin.take_receipt(rig.receipt(1))
    rig.camera.quit()
    rig.camera = Camera(owner, rig.disk, rig.world, rig.clock)
    rig.handin = rig.new_handin()
    assert rig.handin.make_room()
    assert rig.path(1) not in rig.disk.files
    assert 1 not in {segment for _, segment, _ in rig.handin.state().segments}


def test_it_shows_itself_when_its_office_asks_once_a_docking(rig: Rig) -> None:
    rig.handin.docked()
    for _ in range(3):
        rig.handin.take_order(rig.order())
    assert rig.called == 1, "an order that is brought again is done"
    rig.handin.take_order(rig.order(order="1f" * 16))
    assert rig.called == 2
    rig.handin.docked()
    rig.handin.take_order(rig.order())
    assert rig.called == 3


def test_no_other_order_and_nobody_elses_moves_it(rig: Rig, owner: Owner) -> None:
    stranger = owner.agency.issue(Role.SIGNER, "OFFICE-2")
    wrong = [
        (rig.order(device="BWC-0002"), "order-foreign"),
        (rig.order(act="hold", recording="aaaaaaaa-1"), "order-foreign"),
        (rig.order(stranger), "signer-unknown"),
        (rig.order()[:-4] + "AAAA", "jws"),
        (rig.anchor(), "jws-header"),
        ("", "jws-form"),
    ]
    for text, code in wrong:
        with pytest.raises(EvidenceError) as refused:
            rig.handin.take_order(text)
        assert refused.value.code.startswith(code), text
    assert rig.called == 0
