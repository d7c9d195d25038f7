"""`bodycam office restore`: an office out of a backup, its catalogue made anew, and each file checked on the way.

Restored is refused where the office has, or its catalogue knows, leaves of the log that the backup lacks: they would be
gone, and the log would say something else in their place. If nobody has them any more, the restored log says so itself,
in a leaf; and whoever holds a later checkpoint, a stamp or a receipt finds that the log does not continue it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from evidence import records
from evidence.documents import Receipt
from evidence.errors import EvidenceError
from office import rebuild
from office.archive import Archive, entered
from office.backup import DATA, HELD, SUMS, TOLD, About, read_sums
from office.config import OfficeConfig
from office.errors import OfficeError
from office.schema import SEGMENTS
from runtime.disk import make_folder, sync_folder

_BLOCK = 1024 * 1024
_APART: Final[dict[str, Any]] = {"database": None, "store": None, "second": None}  # a drill touches nothing but its own


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and how long each step took, in seconds. `lacking`: segments whose bytes are not there."""

    about: About
    files: int
    size: int
    receipts: int
    lacking: int
    rows: dict[str, int]
    copying: float
    rebuilding: float
    proving: float


def restore(config: OfficeConfig, folder: Path, by: str) -> Restored:
    """Restore into the office's folder, which holds nothing yet. Raises `OfficeError`, OSError."""
    about = About.read(folder)
    _refuse_loss(config, about)
    done = _restore(config, folder, about)
    with closing(Archive(config)) as archive, archive.book.turn() as turn:
        turn.enter(
            "restore", by=by, made=about.made, leaves=about.leaves, root=about.root, folder=str(folder.absolute())
        )
    return done


def drill(config: OfficeConfig, folder: Path, by: str) -> Restored:
    """Restore beside the office, prove it, and throw it away; the running office's log tells of it.

    Raises `OfficeError`, OSError: then the backup is of no use.
    """
    about = About.read(folder)
    with closing(Archive(config)) as archive:
        if archive.log.size < about.leaves or archive.log.root(about.leaves).hex() != about.root:
            raise OfficeError("restore-newer", "the office's log does not continue that of the backup: ask why")
        with tempfile.TemporaryDirectory(prefix=f".{config.data.name}.drill.", dir=config.data.parent) as beside:
            done = _restore(replace(config, data=Path(beside) / "data", **_APART), folder, about)
        with archive.book.turn() as turn:
            seconds = round(done.copying + done.rebuilding + done.proving, 1)
            turn.enter("restore-drill", by=by, made=about.made, leaves=about.leaves, milliseconds=int(seconds * 1000))
    return done


def _refuse_loss(config: OfficeConfig, about: About) -> None:
    leaves = config.data / "log" / "leaves.jsonl"
    there = 0
    if leaves.exists():
        with leaves.open("rb") as lines:
            there = sum(1 for _ in lines)
    known = max(there, entered(config))
    if known > about.leaves:
        raise OfficeError(
            "restore-newer", f"this office's log has {known} entries, the backup's {about.leaves}: what came after "
            "would be lost; if it is lost already, move folder and catalogue away, and say why",
        )  # fmt: skip
    if there or any((config.data / "store").glob("*")):
        raise OfficeError("restore-occupied", f"{config.data} holds an office: move it away first")


def _restore(config: OfficeConfig, folder: Path, about: About) -> Restored:
    begun = time.monotonic()
    size, files = _copy(folder, config.data)
    copied = time.monotonic()
    with closing(Archive(config)) as archive:
        if (archive.office, archive.log.origin) != (about.office, about.origin):
            raise OfficeError("backup", f"{folder} is of {about.office}, {about.origin}, not of this office")
        if (archive.log.size, archive.log.root(archive.log.size).hex()) != (about.leaves, about.root):
            raise OfficeError("backup", f"{folder}: its log is not the one that it was made of")
        with (folder / TOLD).open(encoding="utf-8") as told, archive.database.begin() as db:
            for line in told:
                rebuild.put_told(db, json.loads(line))
        rows = rebuild.rebuild(archive)
        rebuilt = time.monotonic()
        receipts = _prove(archive, dict(read_sums(folder / HELD)), dict(read_sums(folder / SUMS)))
        lacking = archive.lacking_segments()
    proven = time.monotonic()
    return Restored(about, files, size, receipts, lacking, rows, copied - begun, rebuilt - copied, proven - rebuilt)


def _copy(folder: Path, data: Path) -> tuple[int, int]:
    """Copy a backup's files, each checked; bytes and files. Nothing is in `data` before all is checked."""
    make_folder(data)
    half = data / ".restore.part"
    if half.exists():
        shutil.rmtree(half)
    sums = dict(read_sums(folder / SUMS))
    size = 0
    for name, sha256 in sums.items():
        if name.startswith(f"{DATA}/"):
            size += _file(folder / name, half / name.removeprefix(f"{DATA}/"), sha256)
        elif hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
            raise _changed(folder / name)
    os.sync()
    for path in sorted(half.iterdir(), key=lambda path: path.name == "log"):  # last: without it, it is no office yet
        target = data / path.name
        if target.is_dir():  # broker and the like, which a start has made
            shutil.rmtree(target)
        path.rename(target)
    half.rmdir()
    sync_folder(data)
    return size, len(sums)


def _file(source: Path, target: Path, sha256: str) -> int:
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as old, target.open("xb") as new:
        while block := old.read(_BLOCK):
            digest.update(block)
            new.write(block)
            size += len(block)
    shutil.copystat(source, target)  # a segment's time is its lock
    if digest.hexdigest() != sha256:
        raise _changed(source)
    return size


def _changed(path: Path) -> OfficeError:
    return OfficeError("backup-changed", f"{path} is not what was backed up: take another backup, ask why")


def _prove(archive: Archive, held: dict[str, str], copied: dict[str, str]) -> int:
    """Hold receipts against the log and the files; how many there are."""
    receipts = 0
    missing = set(held)
    for receipt in _receipts(archive):  # one may be more than was listed: the segment was there, and is receipted now
        receipts += 1
        name = f"{DATA}/store/{receipt.device}/{records.segment_path(receipt.recording, receipt.segment)}"
        missing.discard(name)
        if held.get(name, receipt.sha256) != receipt.sha256 or copied.get(name, receipt.sha256) != receipt.sha256:
            raise OfficeError("backup-changed", f"{name} is not what its receipt says: take another backup, ask why")
    with archive.database.read() as db:
        known = db.scalar(select(func.count()).select_from(SEGMENTS).where(SEGMENTS.c.received.is_not(None)))
    if missing or receipts != known:
        told = f"{receipts} receipts, {known} in the catalogue, {len(missing)} of those listed are missing"
        raise OfficeError("backup-changed", f"{told}: take another backup, ask why")
    return receipts


def _receipts(archive: Archive) -> Iterator[Receipt]:
    """All of them, each proven: signed by this office, and its leaf in the log is of this segment."""
    leaves = {index: leaf["sha256"] for index, leaf in archive.log.entries("ingest")}
    for path in sorted(archive.store.root.glob("*/receipts/*/*.jws")):
        try:
            receipt = Receipt.read(path.read_bytes(), archive.signer.public_key())
        except EvidenceError as error:
            raise OfficeError("backup-changed", f"{path} is no receipt of this office: {error}") from error
        if leaves.get(receipt.leaf_index) != receipt.sha256:
            raise OfficeError("backup-changed", f"{path}: the log does not tell of it: ask why")
        yield receipt
