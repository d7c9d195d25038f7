"""The office's age identity in a file: what its segments open with."""

from __future__ import annotations

from pathlib import Path

from evidence import age
from evidence.errors import EvidenceError
from office.errors import OfficeError


def read_identity(path: Path) -> str:
    """The age identity in a key file, comments allowed. Raises `OfficeError`."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise OfficeError("identity", f"{path} cannot be read as an age identity ({error})") from error
    found = [line for line in lines if line and not line.startswith("#")]
    if len(found) != 1:
        raise OfficeError("identity", f"{path} does not hold one age identity, a line AGE-SECRET-KEY-1…")
    try:
        age.recipient_of(found[0])
    except EvidenceError as error:
        raise OfficeError("identity", f"{path}: {error.message}") from error
    return found[0]
