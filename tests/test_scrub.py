"""The scrub finds what was done to what the office holds, tells it once, and mends what can be mended."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from evidence import records
from office import retention
from office.errors import OfficeError
from office.scrub import Fault
from office.store import receipt_name, segment_name
from tests.agency import Agency
from tests.bucket import Bucket
from tests.holdings_kit import Holdings, holdings
from tests.office_kit import running, wait_for


@pytest.fixture
def held(tmp_path: Path, agency: Agency) -> Iterator[Holdings]:
    with holdings(tmp_path, agency) as held:
        yield held


def scrub(held: Holdings) -> list[Fault]:
    """What a whole pass finds."""
    return list(held.archive.scrub.run(threading.Event()))


def path(held: Holdings, recording: str, segment: int = 0) -> Path:
    return held.archive.store.local.path(segment_name(held.camera.device, recording, segment))


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """As somebody with the rights of the office's user does, who keeps all else as it was."""
    status = path.stat()
    path.chmod(0o640)
    path.write_bytes(change(path.read_bytes()))
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flipped(data: bytes) -> bytes:
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


def _change(held: Holdings, recording: str) -> None:
    rewrite(path(held, recording), flipped)


def _shorten(held: Holdings, recording: str) -> None:
    rewrite(path(held, recording), lambda data: data[:-1])


def _remove(held: Holdings, recording: str) -> None:
    path(held, recording).unlink()


def _make_writable(held: Holdings, recording: str) -> None:
    path(held, recording).chmod(0o640)


def _unlock(held: Holdings, recording: str) -> None:
    os.utime(path(held, recording))


def _forge_receipt(held: Holdings, recording: str) -> None:
    """Bytes and receipt are of one kind again; but not the log."""
    _change(held, recording)
    device = held.camera.device
    receipts = held.archive.store
    other = held.record(1)
    rewrite(receipts.receipt(device, recording, 0), lambda _: receipts.receipt(device, other, 0).read_bytes())


def _remove_receipt(held: Holdings, recording: str) -> None:
    held.archive.store.receipt(held.camera.device, recording, 0).unlink()


def _cut_journal(held: Holdings, recording: str) -> None:  # noqa: ARG001 - of the camera
    rewrite(held.archive.store.journal(held.camera.device, 0), lambda data: data[: data.rindex(b"\n", 0, -1) + 1])


def _alter_journal(held: Holdings, recording: str) -> None:  # noqa: ARG001 - of the camera
    rewrite(held.archive.store.journal(held.camera.device, 0), lambda data: data[:700] + b"A" + data[701:])


@pytest.mark.parametrize(
    ("attack", "codes"),
    [
        (_change, ["changed"]),
        (_shorten, ["changed"]),
        (_remove, ["missing"]),
        (_make_writable, ["meddled"]),
        (_unlock, ["unlocked"]),
        (_forge_receipt, ["receipt", "changed"]),
        (_remove_receipt, []),  # it may still come
        (_cut_journal, ["journal"]),
        (_alter_journal, ["journal"]),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_what_was_done_to_the_store_is_found_and_told_once(
    held: Holdings, attack: Callable[[Holdings, str], None], codes: list[str]
) -> None:
    recording = held.record()
    assert scrub(held) == []
    attack(held, recording)
    assert [fault.code for fault in scrub(held)] == codes
    assert [row["code"] for row in held.archive.scrub.open_faults()] == codes
    told = len(held.acts("store-fault"))
    assert told == len(codes)
    if codes != ["unlocked"]:  # which was mended
        assert [fault.code for fault in scrub(held)] == codes
        assert len(held.acts("store-fault")) == told, "it is known"


def test_a_receipt_that_does_not_come_is_missing(held: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = held.record(1)
    _remove_receipt(held, recording)
    monkeypatch.setattr("office.scrub._RECEIPT_COMES", timedelta())
    assert [(fault.code, fault.name) for fault in scrub(held)] == [
        ("missing", receipt_name(held.camera.device, recording, 0))
    ]


def test_a_fault_that_is_gone_is_over(held: Holdings) -> None:
    recording = held.record()
    good = path(held, recording).read_bytes()
    _change(held, recording)
    assert len(scrub(held)) == 1
    rewrite(path(held, recording), lambda _: good)
    assert scrub(held) == []
    assert held.archive.scrub.open_faults() == []
    assert [leaf["fault"] for leaf in held.acts("store-fault-over")] == [
        index for index, leaf in enumerate(held.leaves) if leaf["act"] == "store-fault"
    ]


def test_a_lock_that_the_law_wants_longer_is_mended_without_a_word(held: Holdings) -> None:
    recording = held.record()
    with held.archive.book.turn() as turn:
        retention.hold(turn, by="director", device=held.camera.device, recording=recording, reason="投诉")
    assert scrub(held) == []
    assert held.archive.store.segments.lock(segment_name(held.camera.device, recording, 1)).hold


def test_it_goes_on_where_it_stood_and_keeps_to_its_rate(held: Holdings) -> None:
    held.record(3)

    class Stopped(threading.Event):
        """Is set while it waits after the second file."""

        waits: list[float]

        def __init__(self) -> None:
            super().__init__()
            self.waits = []

        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            self.waits.append(timeout)
            if len(self.waits) == 2:
                self.set()
            return self.is_set()

    stopping = Stopped()
    assert list(held.archive.scrub.run(stopping, 10_000)) == []
    sizes = [leaf["size"] for leaf in held.acts("ingest")]
    assert stopping.waits == [size / 10_000 for size in sizes[:2]]
    stood = held.archive.scrub.next_leaf
    assert held.leaves[stood]["segment"] == 1, "the file that it was stopped at is looked at again"
    held.reopen()
    assert held.archive.scrub.next_leaf == stood
    _change(held, held.acts("ingest")[0]["recording"])
    assert scrub(held) == [], "the rest of the pass"
    assert held.archive.scrub.next_leaf == 0
    assert len(scrub(held)) == 1


def test_a_running_office_tells_its_faults(tmp_path: Path, agency: Agency) -> None:
    """At /v1/health, and by commands beside it."""
    with holdings(tmp_path, agency) as held:
        recording = held.record()
        _change(held, recording)
    with running(held.kit) as office:
        client = office.client()
        wait_for(lambda: json.loads(client.request("GET", "/v1/health").body)["store"] is False)
        assert "the store is damaged" in str(office.await_log("the store is damaged"))
        told = json.loads(office.call("scrub", "--faults", "--json").stdout)
        assert [one["code"] for one in told["faults"]] == ["changed"]
        again = office.call("scrub")
        assert again.returncode == 1
        assert "内容有变 changed" in again.stdout
        assert segment_name(held.camera.device, recording, 0) in again.stdout


# --- Second copies ---------------------------------------------------------------------------------------------------


@pytest.fixture
def twice(tmp_path: Path, agency: Agency) -> Iterator[Holdings]:
    """An office with a second folder."""
    (tmp_path / "second").mkdir()
    with holdings(tmp_path, agency, second={"folder": tmp_path / "second"}) as held:
        yield held


def lacking(held: Holdings) -> set[tuple[str, str]]:
    return {(one.place, one.name) for one in held.archive.copies.lacking({})}


def names(held: Holdings, recording: str, segments: int) -> set[str]:
    return {
        name(held.camera.device, recording, segment)
        for segment in range(segments)
        for name in (segment_name, receipt_name)
    }


def test_each_file_has_its_second_copy_with_its_lock(twice: Holdings) -> None:
    recording = twice.record()
    assert lacking(twice) == {("second", name) for name in names(twice, recording, 2)}
    twice.archive.copies.follow()
    assert lacking(twice) == set()
    second, first = twice.archive.places["second"], twice.archive.store.segments
    for segment in range(2):
        name = segment_name(twice.camera.device, recording, segment)
        assert second.read_back(name) == first.read_back(name)
        assert second.lock(name) == first.lock(name)
    twice.camera.boot()
    later = twice.record()
    journal = f"{twice.camera.device}/{records.journal_path(0)}"
    assert lacking(twice) == {("second", name) for name in (*names(twice, later, 2), journal)}
    twice.reopen()
    twice.archive.copies.follow()
    assert lacking(twice) == set()
    assert scrub(twice) == []


def test_what_lacks_is_named_and_comes_back_with_the_scrub(twice: Holdings, tmp_path: Path) -> None:
    recording = twice.record()
    twice.archive.copies.follow()
    gone = segment_name(twice.camera.device, recording, 1)
    (tmp_path / "second" / gone).unlink()
    path(twice, recording, 0).unlink()
    assert lacking(twice) == {("second", gone), ("store", segment_name(twice.camera.device, recording, 0))}
    told = twice.kit.call("missing")
    assert told.returncode == 1
    assert f"副本 second  {gone}" in told.stdout
    assert [(fault.place, fault.code) for fault in scrub(twice)] == [("store", "missing")]
    assert lacking(twice) == {("store", segment_name(twice.camera.device, recording, 0))}


def test_a_damaged_file_is_not_copied(twice: Holdings) -> None:
    recording = twice.record()
    _change(twice, recording)
    twice.archive.copies.follow()
    assert lacking(twice) == {("second", segment_name(twice.camera.device, recording, 0)),
                              ("second", receipt_name(twice.camera.device, recording, 0))}  # fmt: skip
    assert {(fault.place, fault.code) for fault in scrub(twice)} == {("store", "changed"), ("second", "missing")}


def test_a_second_place_that_is_not_mounted_is_waited_for(twice: Holdings, tmp_path: Path) -> None:
    """And it is not taken for an empty one, nor made anew on the disk below."""
    (tmp_path / "second").rmdir()
    recording = twice.record()
    for act in (twice.archive.copies.follow, lambda: scrub(twice), lambda: lacking(twice)):
        with pytest.raises(OfficeError, match=r"store-unreachable.*mount"):
            act()
    assert not (tmp_path / "second").exists()
    (tmp_path / "second").mkdir()
    twice.archive.copies.follow()
    assert lacking(twice) == set()
    assert len(list((tmp_path / "second").rglob(f"{recording}/*.age"))) == 2


def test_a_hold_is_on_both_copies(twice: Holdings) -> None:
    recording = twice.record()
    with twice.archive.book.turn() as turn:
        hold = retention.hold(turn, by="director", device=twice.camera.device, recording=recording, reason="投诉")
    twice.archive.locks.follow()
    twice.archive.copies.follow()
    name = segment_name(twice.camera.device, recording, 0)
    assert [store.lock(name).hold for store in twice.archive.places.values()] == [True, True]
    with twice.archive.book.turn() as turn:
        retention.release_hold(turn, by="director", hold=hold, reason="查结")
    twice.archive.locks.follow()
    assert [store.lock(name).hold for store in twice.archive.places.values()] == [False, False]


def test_a_bucket_holds_all_and_the_scrub_sees_what_hides_it(tmp_path: Path, agency: Agency) -> None:
    with Bucket.served() as bucket, holdings(tmp_path, agency, store={"bucket": bucket.name}) as held:
        recording = held.record()
        assert lacking(held) == {("store", receipt_name(held.camera.device, recording, n)) for n in range(2)}
        held.archive.copies.follow()
        assert lacking(held) == set()
        assert scrub(held) == []
        key = segment_name(held.camera.device, recording, 1)
        bucket.put_over(key)
        assert [(fault.code, fault.name) for fault in scrub(held)] == [("meddled", key)]
        (spoiled,) = [one for one in bucket.objects() if one.name == segment_name(held.camera.device, recording, 0)]
        spoiled.value = flipped(spoiled.value)
        assert [fault.code for fault in scrub(held)] == ["changed", "meddled"]
