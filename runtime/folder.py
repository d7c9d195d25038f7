"""An evidence folder on disk, for the verifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20
_PARTS = ("journal", "segments", "receipts", "certs")


class DiskFolder:
    """`evidence.verify.Folder` of a folder: a camera's, a dock's spool, an office's export."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> Iterable[str]:
        for part in _PARTS:
            for path in (self._root / part).rglob("*"):
                if path.is_file():
                    yield path.relative_to(self._root).as_posix()

    def blocks(self, path: str) -> Iterator[bytes]:
        with (self._root / path).open("rb") as file:
            while block := self._block(file):
                yield block

    def _block(self, file: BinaryIO) -> bytes:
        try:
            return file.read(_BLOCK)
        except OSError as error:  # a failing disk does not tell which file it was
            raise OSError(error.errno, error.strerror, file.name) from error
