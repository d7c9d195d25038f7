"""A bucket of moto's, which stands below boto3; and the ways in which such a service lies."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from unittest import mock

from moto import mock_aws
from moto.s3 import models

from office.config import Place
from office.stores import s3

NAME = "archive"
LOCKING = {"Mode": "COMPLIANCE", "Years": 2}


class Bucket:
    """A bucket, seen by who has its keys; `place` as the office's configuration tells it."""

    def __init__(self) -> None:
        self.name = NAME
        self.place = Place(bucket=NAME)
        self.away = Place(bucket=NAME, endpoint="http://127.0.0.1:9")
        self.client: Any = s3._client(self.place)

    @classmethod
    @contextlib.contextmanager
    def served(cls, rule: dict[str, Any] | None = LOCKING) -> Iterator[Self]:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        with mock.patch.dict("os.environ", keys), mock_aws():
            bucket = cls()
            bucket.client.create_bucket(Bucket=NAME, ObjectLockEnabledForBucket=rule is not None)
            if rule is not None:
                lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": rule}}
                bucket.client.put_object_lock_configuration(Bucket=NAME, ObjectLockConfiguration=lock)
            yield bucket

    def below(self, prefix: str) -> Place:
        return dataclasses.replace(self.place, prefix=prefix)

    def put_over(self, name: str) -> None:
        """As an intruder with the office's keys does."""
        data = b"over it"
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        self.client.put_object(Bucket=NAME, Key=name, Body=data, ContentMD5=md5)

    def remove(self, name: str) -> None:
        """Likewise: it leaves a marker."""
        self.client.delete_object(Bucket=NAME, Key=name)

    def versions(self) -> list[str]:
        """All versions and markers."""
        found = self.client.list_object_versions(Bucket=NAME)
        return [one["VersionId"] for kind in ("Versions", "DeleteMarkers") for one in found.get(kind, ())]

    def objects(self) -> list[Any]:
        """All versions as the service keeps them, to be changed behind everybody's back."""
        (backend,) = {id(b): b for a in models.s3_backends.values() for b in a.values() if NAME in b.buckets}.values()
        return [version for key in backend.buckets[NAME].keys for version in backend.buckets[NAME].keys.getlist(key)]

    @contextlib.contextmanager
    def years_later(self, years: int) -> Iterator[None]:
        """By the clocks of both the service and who asks it."""

        class Later(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Self:
                return super().now(tz) + timedelta(days=366 * years)

        with (
            mock.patch.object(s3, "datetime", Later),
            mock.patch.object(models, "utcnow", return_value=Later.now(UTC).replace(tzinfo=None)),
        ):
            yield
