"""An evidence folder on disk, for the verifier."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20
_PARTS = ("journal", "segments", "receipts", "certs", "log")


class DiskFolder:
    """`evidence.verify.Folder` of a folder: a camera's, a dock's spool, an office's export."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> Iterable[str]:
        """Everything in the five folders that is not a folder: what is no file is a stranger and must be named too.

        Links to folders are not followed. A folder that cannot be listed is an error: it may hide something.
        """
        for part in _PARTS:
            top = self._root / part
            if not top.is_dir() and os.path.lexists(top):
                yield part
                continue
            for at, folders, files in os.walk(top, onerror=_refuse):
                here = Path(at)
                links = [name for name in folders if (here / name).is_symlink()]
                for name in [*files, *links]:
                    yield (here / name).relative_to(self._root).as_posix()

    def blocks(self, path: str) -> Iterator[bytes]:
        if not stat.S_ISREG((self._root / path).stat().st_mode):  # a pipe would hold the verifier up, a device may act
            raise OSError(errno.EINVAL, "this is no file; take it away", str(self._root / path))
        with (self._root / path).open("rb") as file:
            while block := self._block(file):
                yield block

    def _block(self, file: BinaryIO) -> bytes:
        try:
            return file.read(_BLOCK)
        except OSError as error:  # a failing disk does not tell which file it was
            raise OSError(error.errno, error.strerror, file.name) from error


def _refuse(error: OSError) -> None:
    """`os.walk` passes over what it cannot list unless it is told not to; what was never there is no error."""
    if not isinstance(error, FileNotFoundError):
        raise error
