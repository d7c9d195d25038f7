"""The places of an office's files, as its configuration tells them."""

from __future__ import annotations

from office.config import Place
from office.stores.local import LocalStore
from office.stores.port import ObjectStore


def opened(place: Place) -> ObjectStore:
    """A place other than the office's own folder; whether it can be reached shows when it is used.

    Raises `OfficeError` ("credentials").
    """
    if place.folder is not None:
        return LocalStore(place.folder, own=False)
    from office.stores.s3 import S3Store  # noqa: PLC0415 - its library is slow to load, and few need it

    return S3Store(place)
