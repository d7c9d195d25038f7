"""The store: one evidence folder for each camera, as `evidence.records` lays out, of files that are written once.

`<root>/<DEVICE>/{journal,receipts}/…` are local files, and so are `segments`, unless they stand in a bucket. Nothing
here writes over a file; but a journal loses what a power cut tore at its end, which nobody was told that it is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from evidence import records
from office.stores.local import LocalStore
from office.stores.port import ObjectStore, Readable
from runtime.disk import truncate


def segment_name(device: str, recording: str, segment: int) -> str:
    """The name of a segment in a store."""
    return f"{device}/{records.segment_path(recording, segment)}"


def receipt_name(device: str, recording: str, segment: int) -> str:
    """The name of a segment's receipt."""
    return f"{device}/{records.receipt_path(recording, segment)}"


def journal_name(device: str, file: int) -> str:
    """The name of a journal file."""
    return f"{device}/{records.journal_path(file)}"


class Store:
    """Write-once store under `root`. `segments`: what they stand in, below `root` if none is given."""

    def __init__(self, root: Path, segments: ObjectStore | None = None) -> None:
        self.root = root
        self.local = LocalStore(root)
        self.segments: ObjectStore = segments or self.local

    def open_segment(
        self, device: str, recording: str, segment: int, start: int = 0, size: int | None = None
    ) -> AbstractContextManager[Readable]:
        """A range of a segment's bytes as stored, to its end if no size is given. Raises FileNotFoundError."""
        return self.segments.open(segment_name(device, recording, segment), start, size)

    def receipt(self, device: str, recording: str, segment: int) -> Path:
        """Where a segment's receipt stands, or will."""
        return self.local.path(receipt_name(device, recording, segment))

    def journal(self, device: str, file: int) -> Path:
        """Where a journal file stands, or will."""
        return self.local.path(journal_name(device, file))

    def devices(self) -> list[str]:
        """Cameras that the store holds something of."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    def journal_files(self, device: str) -> list[int]:
        """Numbers of the journal files, in order. One may be missing: a power cut left nothing whole in it."""
        return sorted(int(path.stem) for path in (self.root / device / "journal").glob("*.jws"))

    @staticmethod
    def size(path: Path) -> int:
        """Bytes of a file; 0 if it is not there."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    def append_journal(self, device: str, file: int, data: bytes) -> None:
        """Add verified bytes; durable when this returns. Raises OSError, with nothing added."""
        self.local.append(journal_name(device, file), data)

    def cut_journal(self, device: str, file: int, size: int) -> None:
        """Take a torn end off a journal file; durable when this returns."""
        truncate(self.journal(device, file), size)

    def without_receipt(self) -> Iterator[tuple[str, str, int]]:
        """Segments in place here whose receipt is not: a run was cut between the two.

        In a bucket there may be such, too; but what was put there stays staged until its receipt is there.
        """
        for device in self.devices():
            segments = self.root / device / "segments"
            for path in sorted(segments.glob("*/*.mp4.age")):
                recording, segment = path.parent.name, int(path.name.split(".")[0])
                if not self.receipt(device, recording, segment).exists():
                    yield device, recording, segment
