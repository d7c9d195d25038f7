"""One suite for the stores behind the port: the local folder, and a bucket with Object Lock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from office.errors import OfficeError
from office.stores.local import LocalStore
from office.stores.port import Lock, ObjectStore
from office.stores.s3 import S3Store
from tests.bucket import Bucket

NAME = "BWC-0001/segments/11111111-1/00000.mp4.age"
BYTES = bytes(range(256)) * 300
NOW = datetime.now(UTC).replace(microsecond=0)
SOON, LATER = NOW + timedelta(days=900), NOW + timedelta(days=1900)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket.served() as bucket:
        yield bucket


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    return S3Store(request.getfixturevalue("bucket").place)


def put(store: ObjectStore, folder: Path, data: bytes = BYTES, name: str = NAME, until: datetime = SOON) -> None:
    (folder / "staged").write_bytes(data)
    store.put(folder / "staged", name, until)


def test_what_was_put_is_read_back_with_its_lock(store: ObjectStore, tmp_path: Path) -> None:
    assert not store.exists(NAME)
    put(store, tmp_path, until=SOON + timedelta(milliseconds=1))
    assert store.exists(NAME)
    assert store.size(NAME) == len(BYTES)
    assert store.read_back(NAME) == (hashlib.sha256(BYTES).hexdigest(), len(BYTES))
    assert store.lock(NAME) == Lock(SOON + timedelta(seconds=1)), "whole seconds, and none too early"
    assert store.meddled(NAME) is None


@pytest.mark.parametrize(("start", "size"), [(0, None), (0, 10), (1000, None), (1000, 70_000), (len(BYTES) - 1, 1)])
def test_a_range_is_what_is_asked_for(store: ObjectStore, tmp_path: Path, start: int, size: int | None) -> None:
    put(store, tmp_path)
    with store.open(NAME, start, size) as found:
        assert found.read(5) + found.read() == BYTES[start:][:size]
        assert found.read() == b""


def test_nothing_is_written_over(store: ObjectStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    with pytest.raises(FileExistsError):
        put(store, tmp_path, b"other")
    assert (tmp_path / "staged").read_bytes() == b"other"
    assert store.read_back(NAME)[1] == len(BYTES)


def test_a_lock_goes_up_and_never_down(store: ObjectStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    store.extend(NAME, LATER)
    assert store.lock(NAME).until == LATER
    store.extend(NAME, SOON)
    assert store.lock(NAME).until == LATER


def test_what_is_locked_or_held_is_not_removed(store: ObjectStore, tmp_path: Path) -> None:
    put(store, tmp_path)
    store.hold(NAME, on=True)
    store.hold(NAME, on=True)
    assert store.lock(NAME) == Lock(SOON, hold=True)
    assert store.lock(NAME).covers(None)
    for held in (True, False):
        store.hold(NAME, on=held)
        assert store.lock(NAME).hold == held
        with pytest.raises(OfficeError, match="store-locked"):
            store.remove(NAME)
    assert store.read_back(NAME)[1] == len(BYTES)


def test_names_below_a_folder_are_sorted(store: ObjectStore, tmp_path: Path) -> None:
    names = ["A-1/segments/r/00000", "A-1/segments/r/00001", "A/journal/0", "A/segments/r/00000", "B/x"]
    for name in reversed(names):
        put(store, tmp_path, name=name)
    assert list(store.names("")) == names
    assert list(store.names("A")) == names[2:4]
    assert list(store.names("A/segments/r/")) == [names[3]]
    assert list(store.names("C")) == []


def test_what_is_not_there_is_not_there(store: ObjectStore) -> None:
    for ask in (store.size, store.read_back, store.lock):
        with pytest.raises(FileNotFoundError):
            ask(NAME)
    with pytest.raises(FileNotFoundError), store.open(NAME):
        pass
    with pytest.raises(FileNotFoundError):
        store.hold(NAME, on=True)
    with pytest.raises(FileNotFoundError):
        store.extend(NAME, LATER)


def test_what_was_garbled_can_be_put_again(store: ObjectStore, tmp_path: Path) -> None:
    put(store, tmp_path, b"garbled")
    store.set_aside(NAME, tmp_path / "quarantine")
    assert not store.exists(NAME)
    put(store, tmp_path)
    assert store.read_back(NAME)[1] == len(BYTES)
    assert store.meddled(NAME) is None


def test_a_file_whose_lock_is_over_goes_for_good(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    put(store, tmp_path, until=NOW - timedelta(days=1))
    store.remove(NAME)
    assert not store.exists(NAME)
    assert list(store.names("")) == []


# What only a bucket can do.


@pytest.fixture
def s3(bucket: Bucket) -> S3Store:
    return S3Store(bucket.place)


def test_an_object_whose_lock_is_over_goes_with_all_that_was_put_over_it(
    s3: S3Store, bucket: Bucket, tmp_path: Path
) -> None:
    put(s3, tmp_path)
    bucket.put_over(NAME)
    bucket.remove(NAME)
    with bucket.years_later(10):
        s3.remove(NAME)
    assert bucket.versions() == []


def test_the_first_version_counts_and_what_hides_it_is_told(s3: S3Store, bucket: Bucket, tmp_path: Path) -> None:
    put(s3, tmp_path)
    bucket.put_over(NAME)
    bucket.remove(NAME)
    fresh = S3Store(bucket.place)  # which remembers no version
    assert fresh.read_back(NAME)[0] == hashlib.sha256(BYTES).hexdigest()
    assert list(fresh.names("BWC-0001")) == [NAME]
    told = fresh.meddled(NAME)
    assert told is not None
    assert "put over it" in told
    assert "removed by marker" in told


def test_a_bucket_itself_refuses_what_is_locked(s3: S3Store, bucket: Bucket, tmp_path: Path) -> None:
    put(s3, tmp_path)
    (version,) = bucket.versions()
    with pytest.raises(bucket.client.exceptions.ClientError, match="AccessDenied"):
        bucket.client.delete_object(Bucket=bucket.name, Key=NAME, VersionId=version)


@pytest.mark.parametrize("rule", [None, {"Mode": "GOVERNANCE", "Years": 5}, {"Mode": "COMPLIANCE", "Days": 729}])
def test_a_bucket_that_does_not_lock_by_default_is_no_archive(rule: dict[str, Any] | None, tmp_path: Path) -> None:
    with Bucket.served(rule) as bucket:
        with pytest.raises(OfficeError, match=r"store-unlocked.*COMPLIANCE"):
            put(S3Store(bucket.place), tmp_path)
        assert bucket.versions() == []


def test_a_bucket_that_cannot_be_reached_is_told_in_one_line(bucket: Bucket) -> None:
    with pytest.raises(OfficeError, match="store-unreachable"):
        S3Store(bucket.away).exists(NAME)


def test_names_stand_below_the_prefix(bucket: Bucket, tmp_path: Path) -> None:
    store = S3Store(bucket.below("county/archive/"))
    put(store, tmp_path)
    assert list(store.names("")) == [NAME]
    assert bucket.client.head_object(Bucket=bucket.name, Key=f"county/archive/{NAME}")["ContentLength"] == len(BYTES)
