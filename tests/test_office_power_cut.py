"""Power cuts at the office, all that was not synced discarded: what was told durable is there, the rest comes again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from evidence import age, records
from evidence.documents import Receipt
from hw_sim import forgetful_fs
from hw_sim.forgetful_tree import Keep
from tests.footage import Camera
from tests.office_kit import Client, OfficeKit, running

pytestmark = [
    pytest.mark.net,
    pytest.mark.fuse,
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse; run: modprobe fuse"),
]
PIECE = 700_000
SIZE = 3_000_000


class _Told:
    """What the office has promised so far."""

    def __init__(self, camera: Camera, office: OfficeKit) -> None:
        self.camera = camera
        self.office = office
        self.offsets: dict[str, int] = {}
        self.receipts: dict[tuple[str, int], bytes] = {}

    def check(self, client: Client) -> None:
        for path, offset in self.offsets.items():
            assert client.offset(path) >= offset
        for key, receipt in self.receipts.items():
            assert client.request("GET", f"/v1/receipts/{self.camera.device}/{key[0]}/{key[1]}").body == receipt
            stored = self.office.data / "store" / self.camera.device / records.segment_path(*key)
            assert stored.read_bytes() == self.camera.segments[key]

    def journal(self, client: Client) -> None:
        self.camera.line("heartbeat", free_bytes=1, figures={})
        client.hand_in_journal(self.camera.device, self.camera.journal)
        self.offsets[f"/v1/uploads/{self.camera.device}/journal/0"] = len(self.camera.journal[0])

    def piece(self, client: Client, key: tuple[str, int]) -> bool:
        """Bring a little more of a segment; whether that was all."""
        data = self.camera.segments[key]
        path = client.segment(self.camera.device, key, data)
        offset = client.offset(path)
        assert client.patch(path, offset, data[offset : offset + PIECE]).status == 204
        self.offsets[path] = min(offset + PIECE, len(data))
        if self.offsets[path] < len(data):
            return False
        answer = client.request("GET", f"/v1/receipts/{self.camera.device}/{key[0]}/{key[1]}")
        assert Receipt.read(answer.body, self.office.signer.key.public_key()).size == len(data)
        self.receipts[key] = answer.body
        return True


@pytest.mark.parametrize("keep", ["none", pytest.param("bytes", marks=pytest.mark.slow)])
def test_what_was_told_durable_survives_every_cut(tmp_path: Path, keep: Keep) -> None:
    disk_folder, point = tmp_path / "disk", tmp_path / "point"
    disk_folder.mkdir()
    office = OfficeKit(tmp_path / "office", data=point / "data")
    camera = Camera(office.agency, [age.recipient_of(age.generate_identity())])
    recording = camera.start()
    for index in range(2):
        camera.noise(recording, index, SIZE)
    told = _Told(camera, office)
    chance = random.Random(7)
    waiting = sorted(camera.segments)
    for cut in range(6):
        with forgetful_fs.mount(disk_folder, point) as disk:
            office.start()
            try:
                client = office.client()
                told.check(client)
                told.journal(client)
                for _ in range(chance.randint(1, 3) if cut < 5 else 100):
                    if waiting and told.piece(client, waiting[0]):
                        waiting.pop(0)
                # Cut at once: asking for an offset would sync. Now and then with a little that nobody was told of.
                if waiting and cut % 2:
                    path = client.segment(camera.device, waiting[0], camera.segments[waiting[0]])
                    offset = told.offsets.get(path, 0)
                    client.cut_patch(path, offset, camera.segments[waiting[0]][offset : offset + 90_000], SIZE)
            finally:
                office.kill()
            disk.cut_power(keep, seed=cut)
    assert waiting == []
    assert len(told.receipts) == 2


def test_a_full_disk_is_told_and_costs_nothing_that_was_durable(tmp_path: Path) -> None:
    disk_folder, point = tmp_path / "disk", tmp_path / "point"
    disk_folder.mkdir()
    office = OfficeKit(tmp_path / "office", data=point / "data")
    camera = Camera(office.agency, [age.recipient_of(age.generate_identity())])
    key = (camera.start(), 0)
    data = camera.noise(*key, SIZE)
    with forgetful_fs.mount(disk_folder, point) as disk, running(office):
        client = office.client()
        client.hand_in_journal(camera.device, camera.journal)
        path = client.segment(camera.device, key, data)
        assert client.patch(path, 0, data[:PIECE]).status == 204
        disk.set_limit(PIECE + 400_000)
        camera.line("heartbeat", free_bytes=1, figures={"note": "x" * 4000})
        refused = client.patch(path, PIECE, data[PIECE:])
        assert (refused.status, refused.code) == (507, "storage-full")
        assert client.offset(path) >= PIECE
        disk.set_limit(None)
        client.hand_in_journal(camera.device, camera.journal)
        offset = client.offset(path)
        assert client.patch(path, offset, data[offset:]).status == 204
        stored = office.data / "store" / camera.device / records.segment_path(*key)
        assert stored.read_bytes() == data
