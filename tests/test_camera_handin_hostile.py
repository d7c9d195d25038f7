"""What a hostile dock or office tells a camera: only a receipt of its office, for its own bytes, frees a segment."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence import age, pki, records
from evidence.documents import Configuration, Receipt, TimeAnchor
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.records import Chain
from firmware import identity as identities
from firmware.capture.journal_writer import JournalWriter, Opening
from firmware.hal.linux_clock import LinuxClock, LinuxClockConfig
from firmware.handin import HandIn
from tests.agency import BOOT, Agency, Holder
from tests.memory_disk import MemoryDisk

DEVICE = "BWC-0001"
NOON = "2026-05-01T12:00:00.000Z"
RECIPIENT = age.recipient_of(age.generate_identity())


class Docked:
    """A camera that stands in its dock, with all its own parts but the network."""

    def __init__(self, tmp: Path, **settings: Any) -> None:
        self.agency = Agency()
        self.signer = self.agency.issue(Role.SIGNER, "OFFICE-1")
        (tmp / "certs").mkdir()
        (tmp / "certs/root.pem").write_bytes(pki.to_pem(self.agency.root.certificate))
        (tmp / "certs/signer.pem").write_bytes(pki.to_pem(self.signer.certificate, *self.signer.above))
        configuration = Configuration(
            "OFFICE-1", DEVICE, "agency", NOON, "unit", "000001", "name", None, (RECIPIENT,), **settings
        )
        (tmp / "config.jws").write_text(signed(configuration, self.signer))
        self.clock = LinuxClock(LinuxClockConfig(tmp / "utc.json"))
        self.disk = MemoryDisk()
        session, identity = identities.new_session(), identities.load(tmp)
        chain = Chain(DEVICE, BOOT, session.key, session.kid, seq=0, prev=records.GENESIS)
        opening = Opening(session.public, (), BOOT)
        self.journal = JournalWriter(self.disk, chain, opening, self._stamp, 0, [])
        self.journal.boot(
            {"software": "test", "configuration": "0" * 64, "key_store": "none", "hardware": {}, "simulated": True}
        )
        self.handed_in = 0
        self.handin = HandIn(self.disk, self.journal, identity, self.clock, self._count)
        self.handin.docked()

    def _stamp(self) -> records.Stamp:
        utc = self.clock.utc()
        return records.Stamp(self.clock.boot_ns(), utc.ms, utc.source, utc.error_ms)

    def _count(self) -> None:
        self.handed_in += 1

    def record(self, number: int) -> Receipt:
        """A segment with its record; the receipt that it is owed."""
        cipher = b"ciphertext %d" % number
        recording = records.recording_id(BOOT, 1)
        file = self.disk.create(records.segment_path(recording, number))
        file.append(cipher)
        file.sync()
        file.close()
        sha256 = hashlib.sha256(cipher).hexdigest()
        counts = dict.fromkeys(("fragments", "frames", "samples", "from_ns", "to_ns", "plain_len", "attested_len"), 0)
        hashes = dict.fromkeys(("plain_sha256", "attested_sha256", "header_sha256"), "0" * 64)
        where = {"recording": recording, "part": 1, "segment": number, "closed": True}
        file_facts = {"file_size": len(cipher), "file_sha256": sha256, "recipients": [], "stanzas": 1}
        self.journal.append("segment", {**where, **counts, **hashes, **file_facts})
        return Receipt("OFFICE-1", DEVICE, recording, number, sha256, len(cipher), NOON, "2028-05-01T12:00:00.000Z", 0)

    def anchor(self, **changes: Any) -> str:
        nonce = self.handin.state().nonce or "0" * 32
        anchor = TimeAnchor("OFFICE-1", DEVICE, nonce, *self.journal.head(), NOON, 50)
        return signed(dataclasses.replace(anchor, **changes), self.signer)

    def held(self) -> int:
        return len(self.disk.list("segments") and self.disk.list(f"segments/{records.recording_id(BOOT, 1)}"))

    def kinds(self) -> list[str]:
        return [records.parse(line).kind for line in self.disk.read(records.journal_path(0)).splitlines()]


def signed(document: Receipt | TimeAnchor | Configuration, signer: Holder) -> str:
    return document.sign(signer.key, pki.key_id(signer.key.public_key()))


@pytest.fixture
def camera(tmp_path: Path) -> Docked:
    return Docked(tmp_path)


Forge = Callable[[Docked, Receipt], str]
FORGERIES: dict[str, tuple[Forge, str]] = {
    "of another agency's office": (
        lambda _, receipt: signed(receipt, Agency().issue(Role.SIGNER, "OFFICE-1")), "signer-unknown"
    ),
    "of another office of this agency": (
        lambda camera, receipt: signed(receipt, camera.agency.issue(Role.SIGNER, "OFFICE-2")), "signer-unknown"
    ),
    "by a dock's key": (
        lambda camera, receipt: signed(receipt, camera.agency.issue(Role.DOCK, "DOCK-1")), "signer-unknown"
    ),
    "by a key that borrows the office's id": (
        lambda camera, receipt: receipt.sign(
            camera.agency.issue(Role.DOCK, "DOCK-1").key, pki.key_id(camera.signer.key.public_key())
        ),
        "jws-signature",
    ),
    "for another camera": (
        lambda camera, receipt: signed(dataclasses.replace(receipt, device="BWC-0002"), camera.signer),
        "receipt-foreign",
    ),
    "for another segment": (
        lambda camera, receipt: signed(dataclasses.replace(receipt, segment=7), camera.signer), "receipt-foreign"
    ),
    "for other bytes": (
        lambda camera, receipt: signed(dataclasses.replace(receipt, sha256="0" * 64), camera.signer),
        "receipt-mismatch",
    ),
    "for fewer bytes": (
        lambda camera, receipt: signed(dataclasses.replace(receipt, size=receipt.size - 1), camera.signer),
        "receipt-mismatch",
    ),
    "an anchor in its place": (lambda camera, _: camera.anchor(), "jws-header"),
    "nothing": (lambda *_: "", "jws-form"),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_receipt_releases_nothing(camera: Docked, forgery: str) -> None:
    forge, code = FORGERIES[forgery]
    jws = forge(camera, camera.record(0))
    with pytest.raises(EvidenceError) as refused:
        camera.handin.take_receipt(jws)
    assert refused.value.code == code
    assert (camera.held(), camera.kinds()) == (1, ["boot", "segment"])


def test_a_replayed_receipt_is_written_once(camera: Docked) -> None:
    jws = signed(camera.record(0), camera.signer)
    for _ in range(3):
        camera.handin.take_receipt(jws)
    assert camera.held() == 0
    assert camera.kinds() == ["boot", "segment", "receipt", "released"]


def test_nothing_is_released_without_a_receipt(camera: Docked) -> None:
    camera.record(0)
    assert not camera.handin.make_room()
    camera.handin.finish_releases()
    camera.handin.take_anchor(camera.anchor())
    assert camera.held() == 1


def test_an_anchor_counts_only_for_this_docking_and_once(camera: Docked) -> None:
    jws = camera.anchor()
    camera.handin.docked()
    for stale in (jws, camera.anchor(nonce="0" * 32), camera.anchor(device="BWC-0002")):
        with pytest.raises(EvidenceError, match="nonce"):
            camera.handin.take_anchor(stale)
    assert camera.clock.utc().source == "none"
    taken = camera.anchor()
    camera.handin.take_anchor(taken)
    with pytest.raises(EvidenceError, match="nonce"):
        camera.handin.take_anchor(taken)


@pytest.mark.parametrize("utc", ["1970-01-01T00:00:00.000Z", "2100-01-01T00:00:00.000Z"])
def test_an_anchor_outside_its_signers_term_does_not_move_the_clock(camera: Docked, utc: str) -> None:
    with pytest.raises(EvidenceError) as refused:
        camera.handin.take_anchor(camera.anchor(utc=utc))
    assert refused.value.code == "chain-dates"
    assert camera.clock.utc().source == "none"
    assert camera.kinds() == ["boot"]


def test_handed_in_is_not_said_while_a_segment_waits(camera: Docked) -> None:
    first, second = camera.record(0), camera.record(1)
    camera.handin.take_receipt(signed(first, camera.signer))
    camera.handin.take_anchor(camera.anchor())
    assert camera.handed_in == 0
    camera.handin.take_receipt(signed(second, camera.signer))
    assert camera.handed_in == 1
    camera.handin.take_receipt(signed(second, camera.signer))
    assert camera.handed_in == 1, "said twice in one docking"
    camera.handin.docked()
    assert camera.handed_in == 1, "said before this docking's anchor"
    camera.handin.take_anchor(camera.anchor())
    assert camera.handed_in == 2


def test_a_segment_in_its_grace_period_is_handed_in(tmp_path: Path) -> None:
    camera = Docked(tmp_path, release_after_seconds=3600)
    receipt = camera.record(0)
    camera.handin.take_anchor(camera.anchor())
    assert camera.handed_in == 0
    camera.handin.take_receipt(signed(receipt, camera.signer))
    assert (camera.handed_in, camera.held()) == (1, 1)
    assert camera.handin.make_room()
    assert camera.held() == 0
