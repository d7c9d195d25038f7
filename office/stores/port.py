"""The port of an archive store: files that are written once, each under a lock until a date, or without an end.

Names are those of evidence folders, `<DEVICE>/segments/<RECORDING>/<SEGMENT>.mp4.age` and so on. Two implementations
stand behind it, `local` and `s3`, and one suite holds both to what is written here (tests/test_stores.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lock:
    """What keeps a file from being removed. `until` None: nothing does by date."""

    until: datetime | None
    hold: bool = False

    def covers(self, until: datetime | None) -> bool:
        """Whether it holds until then (None: until it is told otherwise)."""
        return self.hold or (until is not None and self.until is not None and self.until >= until)


class Readable(Protocol):
    """Bytes to be read from front to back."""

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, or fewer; all that are left if none is told; none at the end."""


class ObjectStore(Protocol):
    """All methods raise OSError if a disk refuses, and `OfficeError` ("store-…") for what else goes wrong.

    Safe to use from several threads.
    """

    def put(self, staged: Path, name: str, until: datetime | None) -> None:
        """Take in a closed file, durable and locked at least until then when this returns.

        The staged file may be moved away, or left. Raises FileExistsError, with both left alone.
        """

    def persist(self, name: str) -> None:
        """Make durable what a run that was cut has left in place."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def size(self, name: str) -> int:
        """Bytes. Raises FileNotFoundError."""

    def read_back(self, name: str) -> tuple[str, int]:
        """SHA-256 and size of what the medium holds, read again as a whole. Raises FileNotFoundError."""

    def open(self, name: str, start: int = 0, size: int | None = None) -> AbstractContextManager[Readable]:
        """A range of a file, to its end if no size is given. Raises FileNotFoundError."""

    def names(self, folder: str) -> Iterator[str]:
        """Names of the files below a folder, sorted; of none if it is not there."""

    def lock(self, name: str) -> Lock:
        """Its lock, read back. Raises FileNotFoundError."""

    def extend(self, name: str, until: datetime) -> None:
        """Lock a file until then; an earlier date changes nothing. Raises FileNotFoundError."""

    def hold(self, name: str, *, on: bool) -> None:
        """Put a hold on, or take it off, whatever the date. Raises FileNotFoundError."""

    def set_aside(self, name: str, folder: Path) -> None:
        """Take a file that the medium garbled out of the way, into a folder if it can be moved: it may be put again."""

    def meddled(self, name: str) -> str | None:
        """What shows that somebody else has written over a file, or removed it; None: nothing."""

    def remove(self, name: str) -> None:
        """Remove a file whose lock is over, for good. Raises `OfficeError` ("store-locked"), with nothing removed."""
