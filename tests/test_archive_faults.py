"""Disks that fail under the unchanged archive store: what was told durable is, whatever comes.

Seeded; to repeat a life: DISK_SEED=<seed>.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import age, records
from evidence.documents import Receipt
from hw_sim import forgetful_fs
from office.catalogue import Catalogue
from office.database import Database, sqlite_url
from office.journals import Journals
from office.log import Log
from office.staging import CHECKPOINT, Staging
from office.store import Store, segment_name
from office.tus import SegmentUpload
from tests.agency import Agency
from tests.footage import Camera
from tests.misfortune import READ_ONLY, Rules, by_chance, fails
from tests.office_kit import TUS, Answer, Client, OfficeKit

pytestmark = [
    pytest.mark.net,
    pytest.mark.fuse,
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse; run: modprobe fuse"),
]
SIZE, PIECE = 5_000_000, 1_700_000
STORE = ("/data/store/*/journal*", "/data/store/*/segments*", "/data/store/*/receipts*")
OFFICE = (*STORE, "/data/store*", "/data/staging*", "/data/log*", "*")


class Shelf:
    """An office on a disk with faults, a camera's footage on its way into it, and what was promised of that."""

    def __init__(self, folder: Path, agency: Agency) -> None:
        self.store, self.point = folder / "disk", folder / "point"
        self.store.mkdir()
        self.office = OfficeKit(folder / "office", agency, data=self.point / "data")
        self.camera = Camera(agency, [age.recipient_of(age.generate_identity())])
        recording = self.camera.start()
        for index in range(3):
            self.camera.noise(recording, index, SIZE)
        self.offsets: dict[str, int] = {}
        self.receipts: dict[tuple[str, int], bytes] = {}
        self.refused: list[Answer] = []

    def life(self, rules: Rules, *, cut: str = "none", seed: int = 0, goes_on: bool = False) -> None:
        """Start it on a good disk, hold it to its promises, let the disk fail, bring footage, cut the power."""
        with forgetful_fs.mount(self.store, self.point) as disk:
            self.office.start()
            try:
                client = self.office.client()
                self._check(client)
                disk.set_rules(*rules)
                self._bring(client)
                if goes_on:  # the disk is good again, and the same run of the office goes on
                    disk.set_rules()
                    self._bring(client)
            finally:
                self.office.kill()
            disk.cut_power(cut, seed)  # type: ignore[arg-type]

    def finish(self) -> None:
        """All comes in; then the power is cut once more."""
        for _ in range(2):
            self.life([])
        assert sorted(self.receipts) == sorted(self.camera.segments)

    def _check(self, client: Client) -> None:
        for path, offset in self.offsets.items():
            answer = client.request("HEAD", path, TUS)
            assert answer.status == 200, (path, answer)
            assert int(answer.headers["upload-offset"]) >= offset, path
        for key, receipt in self.receipts.items():
            kept = client.request("GET", f"/v1/receipts/{self.camera.device}/{key[0]}/{key[1]}")
            assert kept.body == receipt
            stored = self.store / "data" / "store" / self.camera.device / records.segment_path(*key)
            assert stored.read_bytes() == self.camera.segments[key]

    def _bring(self, client: Client) -> None:
        self.camera.line("heartbeat", free_bytes=1, figures={})
        if not self._bring_journal(client):
            return
        for key in sorted(self.camera.segments.keys() - self.receipts.keys()):
            for _ in range(3):  # a dock comes again
                if self._bring_segment(client, key):
                    break

    def _bring_journal(self, client: Client) -> bool:
        path = f"/v1/uploads/{self.camera.device}/journal/0"
        for _ in range(3):
            head = client.request("HEAD", path, TUS)
            if self._failed(head):
                continue
            offset = int(head.headers["upload-offset"])
            if offset == len(self.camera.journal[0]) or not self._failed(
                client.patch(path, offset, self.camera.journal[0][offset:])
            ):
                self.offsets[path] = len(self.camera.journal[0])
                return True
        return False

    def _bring_segment(self, client: Client, key: tuple[str, int]) -> bool:
        data = self.camera.segments[key]
        where = {"device": self.camera.device, "recording": key[0], "segment": str(key[1])}
        created = client.create(len(data), kind="segment", **where)
        if self._failed(created):
            return False
        path = "/v1/" + created.headers["location"].split("/v1/", 1)[1]
        head = client.request("HEAD", path, TUS)
        if self._failed(head):
            return False
        offset = int(head.headers["upload-offset"])
        while offset < len(data):
            if self._failed(client.patch(path, offset, data[offset : offset + PIECE])):
                return False
            offset = self.offsets[path] = min(offset + PIECE, len(data))
        answer = client.request("GET", f"/v1/receipts/{self.camera.device}/{key[0]}/{key[1]}")
        if self._failed(answer):
            return False
        assert Receipt.read(answer.body, self.office.signer.key.public_key()).size == len(data)
        self.receipts[key] = answer.body
        return True

    def _failed(self, answer: Answer) -> bool:
        """Refused: told by a stable code, and never a success."""
        if answer.status < 300:
            return False
        self.refused.append(answer)
        return True


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([fails("fsync", "/data/staging/*", skip=1, count=1)], id="staging"),
        pytest.param([fails("fsyncdir", "/data/store/*", skip=1, count=1)], id="names in the store"),
        pytest.param([fails("fsync", "/data/store/*/journal/*", count=1)], id="journal"),
        pytest.param([fails("fsync", "/data/log/leaves.jsonl", count=1)], id="log"),
        pytest.param(READ_ONLY, id="read-only"),
    ],
)
@pytest.mark.slow
def test_an_office_whose_disk_failed_once_keeps_every_promise(tmp_path: Path, agency: Agency, rules: Rules) -> None:
    """It refuses, goes on in the same run when the disk is good again, and a power cut shows what was durable."""
    shelf = Shelf(tmp_path, agency)
    shelf.life(rules, goes_on=True)
    assert shelf.refused
    assert all(answer.status >= 500 for answer in shelf.refused), shelf.refused
    shelf.finish()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_a_random_life_of_an_office(tmp_path: Path, agency: Agency, number: int) -> None:
    seed = int(os.environ.get("DISK_SEED", random.randrange(1 << 32)))
    chance = random.Random(seed + number)
    shelf = Shelf(tmp_path, agency)
    try:
        for _ in range(4):
            rules = by_chance(chance, OFFICE)
            shelf.life(
                rules,
                cut=chance.choice(["none", "bytes", "sectors"]),
                seed=chance.randrange(99),
                goes_on=chance.random() < 0.5,
            )
        shelf.finish()
    except BaseException:
        sys.stderr.write(f"to repeat it: DISK_SEED={seed} and the life of number {number}\n")
        raise


class Shelves:
    """The parts of an archive in this process, over a disk that fails once and then loses its power."""

    def __init__(self, folder: Path) -> None:
        self.store, self.point = folder / "disk", folder / "point"

    def mounted(self) -> Any:
        return forgetful_fs.mount(self.store, self.point)


@pytest.fixture
def shelves(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path)


def test_a_leaf_whose_sync_failed_is_no_leaf(shelves: Shelves) -> None:
    """It was taken for one by the next, and the log did not open any more after the power cut."""
    key = Ed25519PrivateKey.generate()
    with shelves.mounted() as disk:
        log = Log(shelves.point / "log", "test", key)
        assert log.append({"act": "one"}) == 0
        disk.set_rules(fails("fsync", "/log/leaves.jsonl", count=1))
        with pytest.raises(OSError, match="Input/output"):
            log.append({"act": "lost"})
        assert log.append({"act": "two"}) == 1
        disk.cut_power()
        log.close()
    with shelves.mounted():
        log = Log(shelves.point / "log", "test", key)
        assert [leaf["act"] for _, leaf in log.entries()] == ["one", "two"]
        log.close()


@pytest.mark.parametrize("skip", range(4))
def test_a_name_whose_sync_failed_is_synced_at_the_next_try(shelves: Shelves, skip: int) -> None:
    """Of each folder on the way to a segment, and of the segment itself."""
    with shelves.mounted() as disk:
        store = Store(shelves.point / "store")
        staged, name = shelves.point / "staged", segment_name("BWC-0001", "11111111-1", 0)
        staged.write_bytes(b"evidence")
        disk.set_rules(fails("fsyncdir", "/store*", skip=skip, count=1))
        with pytest.raises(OSError, match="Input/output"):
            store.segments.put(staged, name, None)
        store.segments.put(staged, name, None)
        disk.cut_power()
    assert (shelves.store / "store" / name).read_bytes() == b"evidence"


def test_what_a_cut_run_left_in_place_is_made_durable(shelves: Shelves) -> None:
    with shelves.mounted() as disk:
        name = segment_name("BWC-0001", "11111111-1", 0)
        target = shelves.point / "store" / name
        target.parent.mkdir(parents=True)
        target.write_bytes(b"evidence")  # and was killed
        Store(shelves.point / "store").segments.persist(name)
        disk.cut_power()
    assert (shelves.store / "store" / name).read_bytes() == b"evidence"


def test_staged_bytes_whose_sync_failed_are_sent_again(shelves: Shelves) -> None:
    """Or the next sync succeeds without them, and the office tells an offset that the power cut takes back."""
    upload = SegmentUpload("BWC-0001", "11111111-1", 0)
    with shelves.mounted() as disk:
        staging = Staging(shelves.point / "staging")
        staging.create(upload)
        staged = staging.open(upload)
        staged.append(b"a" * CHECKPOINT)
        staged.append(b"b" * 1000)
        disk.set_rules(fails("fsync", count=1))
        with pytest.raises(OSError, match="Input/output"):
            staging.close(upload, staged)
        assert staging.offset(upload) == CHECKPOINT
        staged = staging.open(upload)
        staged.append(b"c" * 1000)
        staging.close(upload, staged)
        told = staging.offset(upload)
        disk.cut_power()
    (left,) = (shelves.store / "staging").iterdir()
    assert left.read_bytes() == b"a" * CHECKPOINT + b"c" * 1000
    assert left.stat().st_size == told


def test_half_a_journal_line_that_a_power_cut_left_is_not_held(tmp_path: Path, agency: Agency) -> None:
    """Its bytes were told as held, so that the rest of the journal began in the middle of a line, for ever."""
    camera = Camera(agency, [age.recipient_of(age.generate_identity())])
    store = Store(tmp_path / "store")

    def journals() -> Journals:
        catalogue = Catalogue(Database(sqlite_url(tmp_path / "catalogue.sqlite")))
        return Journals(store, catalogue, [agency.root.certificate], tmp_path / "quarantine")

    whole = camera.journal[0]
    journals().append(camera.device, 0, whole, "DOCK-1")
    line = camera.line("heartbeat", free_bytes=1, figures={})
    path = store.journal(camera.device, 0)
    with path.open("ab") as file:
        file.write(line[: len(line) // 2])
    again = journals()
    again.recover()
    assert again.size(camera.device, 0) == len(whole)
    assert again.append(camera.device, 0, line + b"\n", "DOCK-1") == len(line) + 1
    assert path.read_bytes() == camera.journal[0]
