"""A bucket whose service lies: no receipt is signed, and the segment is handed in again once it tells the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.s3 import models

from office.errors import OfficeError
from office.log import Log
from office.store import segment_name
from tests.agency import Agency
from tests.bucket import Bucket
from tests.holdings_kit import Holdings, holdings
from tests.office_kit import free_port


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket.served() as bucket:
        yield bucket


@pytest.fixture
def held(tmp_path: Path, agency: Agency, bucket: Bucket) -> Iterator[Holdings]:
    with holdings(tmp_path, agency, store={"bucket": bucket.name}) as held:
        yield held


def locks_are_dropped(patch: pytest.MonkeyPatch) -> None:
    """Of PUTs, and of whoever asks for one afterwards."""
    made = models.FakeKey.__init__

    def unlocked(self: Any, *args: Any, **named: Any) -> None:
        made(self, *args, **{**named, "lock_mode": None, "lock_until": None})

    patch.setattr(models.FakeKey, "__init__", unlocked)
    patch.setattr(models.S3Backend, "put_object_retention", lambda *_, **__: None)


def locks_are_short(patch: pytest.MonkeyPatch) -> None:
    soon = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = models.FakeKey.__init__

    def short(self: Any, *args: Any, **named: Any) -> None:
        made(self, *args, **{**named, "lock_until": soon})

    patch.setattr(models.FakeKey, "__init__", short)
    patch.setattr(models.S3Backend, "put_object_retention", lambda *_, **__: None)


def locks_can_be_lifted(patch: pytest.MonkeyPatch) -> None:
    """GOVERNANCE, which who has the right may take off."""
    made = models.FakeKey.__init__

    def weak(self: Any, *args: Any, **named: Any) -> None:
        made(self, *args, **{**named, "lock_mode": "GOVERNANCE"})

    patch.setattr(models.FakeKey, "__init__", weak)
    patch.setattr(models.S3Backend, "put_object_retention", lambda *_, **__: None)


def bytes_are_garbled(patch: pytest.MonkeyPatch) -> None:
    made = models.FakeKey.__init__

    def garbled(self: Any, name: str, value: bytes, *args: Any, **named: Any) -> None:
        made(self, name, value[:-1] + b"?", *args, **named)

    patch.setattr(models.FakeKey, "__init__", garbled)


def bytes_are_lost(patch: pytest.MonkeyPatch) -> None:
    made = models.FakeKey.__init__

    def short(self: Any, name: str, value: bytes, *args: Any, **named: Any) -> None:
        made(self, name, value[:100], *args, **named)

    patch.setattr(models.FakeKey, "__init__", short)


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (locks_are_dropped, "store-unlocked"),
        (locks_are_short, "store-unlocked"),
        (locks_can_be_lifted, "store-unlocked"),
        (bytes_are_garbled, "store-failing"),
        (bytes_are_lost, "store-failing"),
    ],
)
def test_a_service_that_lies_gets_no_receipt(
    held: Holdings, lie: Callable[[pytest.MonkeyPatch], None], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        lie(patch)
        for _ in range(2):  # a dock comes again
            with pytest.raises(OfficeError, match=code):
                held.record(1)
    assert held.acts("ingest") == []
    assert not list(held.archive.store.root.rglob("receipts/*/*"))
    held.reopen()
    held.hand_in()
    assert len(held.acts("ingest")) == len(held.camera.segments) == 2
    for recording, segment in held.camera.segments:
        name = segment_name(held.camera.device, recording, segment)
        leaf = next(leaf for leaf in held.acts("ingest") if leaf["recording"] == recording)
        assert held.archive.store.segments.read_back(name) == (leaf["sha256"], leaf["size"])
        assert held.archive.store.segments.lock(name).covers(datetime.fromisoformat(leaf["retain_until"]))
    assert list(held.archive.staging.all()) == [], "what is in the bucket is staged no longer"


def test_a_cut_between_put_and_receipt_is_gone_on_with(held: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was put stays staged until its receipt is there: a bucket is not searched for what lacks one."""
    append = Log.append

    def until_ingest(log: Log, entry: Mapping[str, Any]) -> int:
        if entry["act"] == "ingest":
            raise OSError(5, "the power goes")
        return append(log, entry)

    with monkeypatch.context() as patch:
        patch.setattr(Log, "append", until_ingest)
        with pytest.raises(OfficeError, match="storage-failing"):
            held.record(1)
    assert held.acts("ingest") == []
    assert len(list(held.archive.staging.all())) == 1
    held.reopen()
    assert len(held.acts("ingest")) == 1
    assert list(held.archive.staging.all()) == []


def test_a_bucket_that_is_away_refuses_and_loses_nothing(tmp_path: Path, agency: Agency) -> None:
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = AK\naws_secret_access_key = SK\n")
    away = {"bucket": "archive", "endpoint": f"http://127.0.0.1:{free_port()}", "credentials": keys}
    with holdings(tmp_path, agency, store=away) as held:
        with pytest.raises(OfficeError, match="store-unreachable") as refused:
            held.record(1)
        assert refused.value.status == 503
        assert len(list(held.archive.staging.all())) == 1
