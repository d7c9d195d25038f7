"""One office over one folder: whoever runs it, builds its catalogue anew or restores into it keeps others out."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from office.errors import OfficeError
from runtime.disk import make_folder


@contextlib.contextmanager
def alone(data: Path) -> Iterator[None]:
    """Raises `OfficeError` ("already-running")."""
    make_folder(data)
    fd = os.open(data / "office.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise OfficeError("already-running", f"another office runs over {data}: stop it first") from error
    finally:
        os.close(fd)
