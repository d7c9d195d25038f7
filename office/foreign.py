"""Material of other devices (rule 2): telephones, fixed cameras, somebody's disc. Kept, hashed, logged, never verified.

A file lies in `<data>/foreign/<SHA-256>`, written once; what it is said to be stands in the log: what its own headers
claim (by `ffprobe`), who brought it, from what, and why. None of it is proof of when or where it was made, and the word
"foreign" stays with it wherever it is shown.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import BigInteger, Column, Connection, Table, Text, insert, select

from office import entry
from office.book import Book, Enter, Leaf
from office.database import METADATA
from office.errors import OfficeError
from office.rows import rows
from runtime.disk import make_folder, sync_folder

_BLOCK: Final = 1024 * 1024
_PROBE_SECONDS: Final = 20
_CLAIMS: Final = ("format_name", "duration", "bit_rate")
_TAGS: Final = ("creation_time", "make", "model", "encoder", "com.apple.quicktime.model", "com.android.version")

_FOREIGN: Final = Table(
    "foreign_material", METADATA,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", Text, nullable=False, unique=True),
    Column("size", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("case_no", Text, index=True),
    Column("activity", BigInteger),
    Column("claims", Text, nullable=False),  # JSON
    Column("by", Text, nullable=False),
    Column("at", Text, nullable=False),
)  # fmt: skip


def bring_in(
    book: Book, data: Path, by: str, file: BinaryIO, name: str, source: str, reason: str, *,
    case: str | None = None, activity: int | None = None,
) -> int:  # fmt: skip
    """Keep a copy of a file, and say so in the log; its leaf. Raises `OfficeError`: "already-entered", "entry".

    `data`: the office's folder; `name`: the file's own; `source`: the device or person that it is from.
    """
    words = {
        "name": entry.text("文件名 name", Path(name).name, entry.SHORT),
        "source": entry.text("来源 source", source, entry.SHORT),
        "reason": entry.text("事由 reason", reason),
        "case": entry.maybe("案号 case", case, entry.SHORT),
        "activity": activity,
    }
    folder = data / "foreign"
    make_folder(folder)
    staged, sha256, size = _copy(file, folder)
    try:
        if not size:
            raise entry.wrong("文件 file", "是空的 is empty")
        claims = _claims(staged)
        with book.turn() as turn:
            if turn.db.execute(select(_FOREIGN).where(_FOREIGN.c.sha256 == sha256)).first():
                raise OfficeError("already-entered", f"该文件已入库 it is kept: {sha256[:16]}", 409)
            with contextlib.suppress(FileExistsError):  # a run that was cut before it told the log
                os.link(staged, folder / sha256)  # never replaces
            sync_folder(folder)
            return turn.enter("foreign-brought", by=by, sha256=sha256, size=size, claims=claims, **words)
    finally:
        staged.unlink()


def path(data: Path, sha256: str) -> Path:
    """Where a file lies, checked once more. Raises `OfficeError` ("foreign-changed"), OSError."""
    found = data / "foreign" / sha256
    with found.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise OfficeError("foreign-changed", f"{found} was changed after it was brought in: ask why")
    return found


def all_of_them(db: Connection, case: str | None = None) -> list[dict[str, Any]]:
    """All foreign material, or that of a case; the last one first."""
    query = select(_FOREIGN).order_by(_FOREIGN.c.leaf_index.desc())
    if case is not None:
        query = query.where(_FOREIGN.c.case_no == case)
    return [{**row, "claims": json.loads(row["claims"])} for row in rows(db, query)]


def _copy(file: BinaryIO, folder: Path) -> tuple[Path, str, int]:
    """A durable, read-only copy under a name of its own; its hash and size."""
    digest = hashlib.sha256()
    fd, name = tempfile.mkstemp(prefix=".part-", dir=folder)
    with os.fdopen(fd, "wb") as copy:
        try:
            while block := file.read(_BLOCK):
                digest.update(block)
                copy.write(block)
            copy.flush()
            os.fchmod(copy.fileno(), 0o440)
            os.fsync(copy.fileno())
        except BaseException:
            Path(name).unlink()
            raise
        return Path(name), digest.hexdigest(), copy.tell()


def _claims(file: Path) -> dict[str, Any]:
    """What a file says of itself, as ffprobe reads it; nothing if it is no film or sound, or the program is missing."""
    probe = shutil.which("ffprobe")
    if probe is None:
        return {}
    command = [probe, "-v", "error", "-show_format", "-show_streams", "-of", "json", f"file:{file}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=True)
        told = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        return {}
    format_, streams = told.get("format", {}), told.get("streams", [])
    return {
        **{name: _short(format_[name]) for name in _CLAIMS if name in format_},
        **{name: _short(tag) for name, tag in format_.get("tags", {}).items() if name.lower() in _TAGS},
        "streams": [_stream(one) for one in streams[:8]],
    }


def _stream(one: Mapping[str, Any]) -> dict[str, str]:
    return {name: _short(one[name]) for name in ("codec_type", "codec_name", "width", "height") if name in one}


def _short(value: object) -> str:
    return str(value)[: entry.SHORT]


def _brought(db: Connection, index: int, leaf: Leaf) -> None:
    names = ("sha256", "size", "name", "source", "reason", "activity", "by", "at")
    claims = json.dumps(leaf["claims"], ensure_ascii=False)
    values = {name: leaf[name] for name in names}
    db.execute(insert(_FOREIGN).values(leaf_index=index, case_no=leaf["case"], claims=claims, **values))


ENTERS: Final[Mapping[str, Enter]] = {"foreign-brought": _brought}
