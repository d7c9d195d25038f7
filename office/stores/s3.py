"""A store in an S3 bucket with Object Lock: one PUT for a file, under the bucket's default COMPLIANCE retention.

What counts under a name is its first version: a version that is put over it, or a delete marker, hides nothing here,
and is told by `meddled`. Nothing that the service answers is taken for granted (some drop locks, or take any checksum):
bytes and lock are read back by who relies on them.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import errno
import functools
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from office.config import Place
from office.errors import OfficeError
from office.stores.port import Lock, Readable

_BLOCK = 1024 * 1024
_VERSIONS = 4096  # remembered
_MINIMUM = timedelta(days=730)  # of the bucket's default: rule 20
_GARBLED: Final = {"Key": "bodycam", "Value": "garbled"}
_ABSENT: Final = ("404", "NoSuchKey", "NoSuchVersion")
_REFUSED: Final = ("AccessDenied", "403", "InvalidRequest", "MethodNotAllowed", "405")


class S3Store:
    """`ObjectStore` in a bucket."""

    def __init__(self, place: Place) -> None:
        """Asks nothing of the bucket. Raises `OfficeError` ("credentials")."""
        self._bucket = str(place.bucket)
        self._prefix = place.prefix
        self._client: Any = _client(place)
        self._known: OrderedDict[str, str] = OrderedDict()  # the version that counts, by name: it never changes
        self._lock = threading.Lock()
        self._locks_by_default = False

    def check(self) -> None:
        """Every PUT must come under a lock in the moment it is done, whatever becomes of this program then.

        Raises `OfficeError`: "store-unlocked", "store-unreachable".
        """
        try:
            with self._asking("its lock"):
                found = self._client.get_object_lock_configuration(Bucket=self._bucket)
        except (OfficeError, FileNotFoundError) as error:
            if isinstance(error, OfficeError) and error.code == "store-unreachable":
                raise
            raise self._unlocked(f"has no Object Lock ({error})") from error
        rule = found["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention", {})
        term = timedelta(days=rule.get("Days", 0) + 365 * rule.get("Years", 0))
        if rule.get("Mode") != "COMPLIANCE" or term < _MINIMUM:
            raise self._unlocked(f"locks by default {rule or 'nothing'}")
        self._locks_by_default = True

    def _unlocked(self, why: str) -> OfficeError:
        return OfficeError(
            "store-unlocked",
            f"bucket {self._bucket} {why}: give it a default retention, COMPLIANCE, of 2 years or more",
        )

    def put(self, staged: Path, name: str, until: datetime | None) -> None:
        if not self._locks_by_default:
            self.check()
        if self._version(name) is not None:
            raise FileExistsError(errno.EEXIST, "the store writes once", name)
        with self._asking(name), staged.open("rb") as body:
            md5 = base64.b64encode(hashlib.file_digest(body, lambda: hashlib.md5(usedforsecurity=False)).digest())
            body.seek(0)
            done = self._client.put_object(**self._at(name), Body=body, ContentMD5=md5.decode())
        self._remember(name, done["VersionId"])
        if until is not None:
            self.extend(name, until)

    def persist(self, name: str) -> None:
        """A PUT that was answered is durable."""

    def exists(self, name: str) -> bool:
        return self._version(name) is not None

    def size(self, name: str) -> int:
        return int(self._head(name)["ContentLength"])

    def read_back(self, name: str) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with self.open(name) as body:
            while block := body.read(_BLOCK):
                digest.update(block)
                size += len(block)
        return digest.hexdigest(), size

    @contextlib.contextmanager
    def open(self, name: str, start: int = 0, size: int | None = None) -> Iterator[Readable]:
        wanted = f"bytes={start}-{'' if size is None else start + size - 1}"
        ranged = {"Range": wanted} if start or size is not None else {}
        with self._asking(name):
            body = self._client.get_object(**self._first(name), **ranged)["Body"]
            with contextlib.closing(body):
                yield body

    def names(self, folder: str) -> Iterator[str]:
        last = None
        with self._asking(folder):
            for version in self._versions(f"{folder.strip('/')}/".lstrip("/"), "Versions"):
                if (name := version["Key"].removeprefix(self._prefix)) != last:
                    yield (last := name)

    def lock(self, name: str) -> Lock:
        head = self._head(name)
        until = head["ObjectLockRetainUntilDate"] if head.get("ObjectLockMode") == "COMPLIANCE" else None
        return Lock(until and until.astimezone(UTC), head.get("ObjectLockLegalHoldStatus") == "ON")

    def extend(self, name: str, until: datetime) -> None:
        until = datetime.fromtimestamp(math.ceil(until.timestamp()), UTC)
        if (now := self.lock(name).until) is not None and now >= until:
            return  # never left to the service to refuse: not all do
        retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until}
        with self._asking(name):
            self._client.put_object_retention(**self._first(name), Retention=retention)

    def hold(self, name: str, *, on: bool) -> None:
        with self._asking(name):
            self._client.put_object_legal_hold(**self._first(name), LegalHold={"Status": "ON" if on else "OFF"})

    def set_aside(self, name: str, folder: Path) -> None:  # noqa: ARG002 - nothing moves what is locked
        with self._asking(name):
            self._client.put_object_tagging(**self._first(name), Tagging={"TagSet": [_GARBLED]})
        with self._lock:
            self._known.pop(name, None)

    def meddled(self, name: str) -> str | None:
        with self._asking(name):
            versions = [one for one in self._of(name, "Versions") if not self._is_garbled(name, one["VersionId"])]
            markers = self._of(name, "DeleteMarkers")
        found = [f"{one['VersionId']} was put over it" for one in versions[:-1]]
        found += [f"it was removed by marker {one['VersionId']}" for one in markers]
        return "; ".join(found) or None

    def remove(self, name: str) -> None:
        lock = self.lock(name)
        if lock.hold or (lock.until is not None and lock.until > datetime.now(UTC)):
            raise OfficeError("store-locked", f"{name} is locked: {lock}", 409)
        first = self._version(name)
        with self._asking(name):
            rest = [*self._of(name, "DeleteMarkers"), *self._of(name, "Versions")]
            for version in (first, *(one["VersionId"] for one in rest if one["VersionId"] != first)):
                self._client.delete_object(**self._at(name), VersionId=version)
        with self._lock:
            self._known.pop(name, None)

    # What counts under a name.

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _first(self, name: str) -> dict[str, str]:
        version = self._version(name)
        if version is None:
            raise FileNotFoundError(errno.ENOENT, "the bucket does not hold it", name)
        return {**self._at(name), "VersionId": version}

    def _head(self, name: str) -> dict[str, Any]:
        with self._asking(name):
            head: dict[str, Any] = self._client.head_object(**self._first(name))
            return head

    def _version(self, name: str) -> str | None:
        with self._lock:
            if name in self._known:
                return self._known[name]
        with self._asking(name):
            versions = [str(one["VersionId"]) for one in self._of(name, "Versions")]
            while versions and self._is_garbled(name, versions[-1]):
                versions.pop()
        if not versions:
            return None
        self._remember(name, versions[-1])
        return versions[-1]

    def _of(self, name: str, kind: str) -> list[dict[str, Any]]:
        """Versions, or delete markers, of exactly this name, the newest first."""
        return [one for one in self._versions(name, kind) if one["Key"] == self._prefix + name]

    def _versions(self, prefix: str, kind: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
            yield from page.get(kind, ())

    def _is_garbled(self, name: str, version: str) -> bool:
        tags = self._client.get_object_tagging(**self._at(name), VersionId=version)["TagSet"]
        return _GARBLED in tags

    def _remember(self, name: str, version: str) -> None:
        with self._lock:
            self._known[name] = version
            if len(self._known) > _VERSIONS:
                self._known.popitem(last=False)

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Turn the library's errors into ours."""
        try:
            yield
        except ClientError as error:
            code, message = (str(error.response["Error"].get(key, "")) for key in ("Code", "Message"))
            if code in _ABSENT:
                raise FileNotFoundError(errno.ENOENT, "the bucket does not hold it", name) from error
            kind = ("store-locked", 409) if code in _REFUSED else ("store-refused", 503)
            raise OfficeError(kind[0], f"bucket {self._bucket} refuses {name}: {code} {message}", kind[1]) from error
        except BotoCoreError as error:
            raise OfficeError("store-unreachable", f"bucket {self._bucket} cannot be reached: {error}", 503) from error


@functools.cache  # it reads the description of a whole service
def _client(place: Place) -> Any:
    config = Config(
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=32,
        retries={"total_max_attempts": 3, "mode": "standard"},
        request_checksum_calculation="when_required",  # engines other than the first take no others
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
    )
    try:
        return boto3.Session(**_keys(place.credentials)).client(
            "s3",
            endpoint_url=place.endpoint,
            region_name=place.region,
            verify=str(place.roots) if place.roots else None,
            config=config,
        )
    except (BotoCoreError, ValueError, OSError) as error:
        raise OfficeError("credentials", f"bucket {place.bucket}: {error}") from error


def _keys(path: Path | None) -> dict[str, str]:
    """The keys in a file of the form of `~/.aws/credentials`; none: the library looks where it always does."""
    if path is None:
        return {}
    found = configparser.ConfigParser(interpolation=None)
    try:
        found.read_string(path.read_text(encoding="utf-8"), str(path))
        section = found["default"]
        return {name: section[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        raise OfficeError("credentials", f"{path}: wants [default] with aws_access_key_id and … ({error})") from error
