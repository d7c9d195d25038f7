"""`bodycam office backup`: a consistent copy of what the office keeps, while it runs.

    DIR/20261124T175211.123Z/
      backup.json       whose it is, when it was made, how long the log was
      SHA256SUMS        of all that follows, as `sha256sum -c` takes it
      segments.sha256   of all segments that the office holds by its receipts, whether they are copied or not
      told.jsonl        what messages told and stands nowhere else
      data/             the office's folder: store, log and its stamps, quarantine, the broker's queue, …

Nothing of the copy contradicts itself: at the end nobody may append to the log for a moment, while what has changed
since is copied again. Whatever the log tells of by then was durable before. Segments and receipts never change: those
that an earlier backup in `DIR` has are linked to, not copied. Left out: the catalogue, which is rebuilt; uploads on
their way, which docks send again; and the office's keys, which do not lie in its folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from evidence import jose
from evidence.documents import Receipt
from office import rebuild
from office.archive import Archive
from office.catalogue import utc_now
from office.disposal import gone
from office.errors import OfficeError
from runtime.disk import sync_folder

ABOUT: Final = "backup.json"
SUMS: Final = "SHA256SUMS"
HELD: Final = "segments.sha256"
TOLD: Final = "told.jsonl"
DATA: Final = "data"
_FORMAT: Final = 1
_WRITTEN_ONCE = re.compile(rf"{DATA}/store/[^/]+/(segments|receipts)/")
_RECEIPT = re.compile(rf"{DATA}/store/([^/]+)/receipts/([^/]+)/.+")
_SEGMENT = re.compile(rf"{DATA}/store/[^/]+/segments/")
_BLOCK = 1024 * 1024
_PRIVATE = 0o700


@dataclass(frozen=True, slots=True)
class About:
    """What `backup.json` says."""

    format: int
    office: str
    origin: str  # of the log
    made: str
    whole: bool  # with the segments
    leaves: int
    root: str

    @classmethod
    def read(cls, folder: Path) -> About:
        """Raises `OfficeError` ("backup")."""
        try:
            about = cls(**json.loads((folder / ABOUT).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise OfficeError("backup", f"{folder} is no whole backup ({error}): name another") from error
        if about.format != _FORMAT:
            raise OfficeError("backup", f"{folder} is of format {about.format}, this program reads {_FORMAT}")
        return about


@dataclass(frozen=True, slots=True)
class Made:
    """A backup. `held_up`: seconds for which nobody could append to the log."""

    folder: Path
    about: About
    files: int
    copied: int  # bytes
    linked: int  # files
    seconds: float
    held_up: float


def backup(archive: Archive, folder: Path, by: str, *, whole: bool) -> Made:
    """Make one in `folder`. Who takes it out stands in the log first. Raises `OfficeError`, OSError."""
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    before = max((path.parent for path in folder.glob(f"*/{ABOUT}")), default=None)
    _refuse_other(archive, before)
    with archive.book.turn() as turn:
        turn.enter("backup", by=by, folder=str(folder.absolute()), whole=whole)
    made = utc_now()
    half = folder / f".{made.replace('-', '').replace(':', '')}.part"
    half.mkdir(_PRIVATE)
    try:
        copy = _Copy(archive.config.data, half, before, whole=whole)
        copy.take()
        with archive.log.frozen() as (leaves, root):
            frozen = time.monotonic()
            copy.take(log=True)
            held_up = time.monotonic() - frozen
        _write_told(archive, half / TOLD)
        about = About(_FORMAT, archive.office, archive.log.origin, made, whole, leaves, root.hex())
        with archive.database.read() as db:
            copy.close(about, gone(db))
        os.sync()
        target = folder / half.name[1:].removesuffix(".part")
        half.rename(target)
    except BaseException:
        shutil.rmtree(half)
        raise
    sync_folder(folder)
    return Made(target, about, len(copy.sums), copy.copied, copy.linked, time.monotonic() - started, held_up)


def _refuse_other(archive: Archive, before: Path | None) -> None:
    """A folder of backups is of one log: another office's, or one that was put back and went on, shows here."""
    about = None if before is None else About.read(before)
    if about is not None and (about.leaves > archive.log.size or archive.log.root(about.leaves).hex() != about.root):
        raise OfficeError("backup", f"{before} is of a log that this office's does not continue: ask why, or name a "
                          "new folder")  # fmt: skip


class _Copy:
    """Of an office's folder into `half`; may be taken again when something has changed."""

    def __init__(self, data: Path, half: Path, before: Path | None, *, whole: bool) -> None:
        self.sums: dict[str, str] = {}  # by the path in the backup
        self.copied = self.linked = 0
        self._data, self._half, self._whole = data, half, whole
        self._before = before or half
        self._known = dict(read_sums(before / SUMS)) if before else {}
        self._known_held = dict(read_sums(before / HELD)) if before else {}
        self._seen: dict[str, tuple[int, int]] = {}

    def take(self, *, log: bool = False) -> None:
        """Copy what is not copied as it is now. `log`: nobody appends to it meanwhile."""
        there = {}
        for path in _files(self._data, log=log):
            name = f"{DATA}/{path.relative_to(self._data)}"
            if _SEGMENT.match(name) and not self._whole:
                continue
            try:
                status = path.stat()
                there[name] = (status.st_mtime_ns, status.st_size)
                if self._seen.get(name) != there[name]:
                    self._file(path, name)
            except FileNotFoundError:  # it has gone meanwhile, such as an upload of quarantine
                there.pop(name, None)
        for name in self.sums.keys() - there.keys():
            del self.sums[name]
            (self._half / name).unlink()
        self._seen = there

    def _file(self, path: Path, name: str) -> None:
        target = self._half / name
        target.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        if _WRITTEN_ONCE.match(name) and target.exists():
            shutil.copystat(path, target)  # only its lock has changed since it was copied
            return
        if self._link(path, name, target):
            return
        digest = hashlib.sha256()
        with path.open("rb") as source, target.open("wb") as copy:
            while block := source.read(_BLOCK):
                digest.update(block)
                copy.write(block)
                self.copied += len(block)
        shutil.copystat(path, target)  # a segment's time is its lock
        self.sums[name] = digest.hexdigest()

    def _link(self, path: Path, name: str, target: Path) -> bool:
        """Take a file from the backup before, if it has it and it is one that never changes."""
        if name not in self._known or not _WRITTEN_ONCE.match(name):
            return False
        old = self._before / name
        try:
            if old.stat().st_size != path.stat().st_size:
                return False
            target.hardlink_to(old)
            shutil.copystat(path, target)  # its lock may have been extended since
        except OSError:  # it is not there any more, or the disk has no links
            return False
        self.sums[name] = self._known[name]
        self.linked += 1
        return True

    def close(self, about: About, disposed: Collection[tuple[str, str]]) -> None:
        """Write the lists, the backup's own last. `disposed`: devices and recordings that are not held any more."""
        receipts = (_RECEIPT.match(name) for name in self.sums)
        held = sorted(self._held(found[0]) for found in receipts if found and (found[1], found[2]) not in disposed)
        (self._half / HELD).write_text("".join(f"{sha256}  {name}\n" for name, sha256 in held))
        for name in (TOLD, HELD):
            self.sums[name] = hashlib.sha256((self._half / name).read_bytes()).hexdigest()
        (self._half / SUMS).write_text("".join(f"{sha256}  {name}\n" for name, sha256 in sorted(self.sums.items())))
        (self._half / ABOUT).write_text(json.dumps(asdict(about), indent=1) + "\n")

    def _held(self, receipt: str) -> tuple[str, str]:
        """Name and hash of the segment that a receipt is for."""
        name = receipt.replace("/receipts/", "/segments/").removesuffix(".jws") + ".mp4.age"
        if (known := self._known_held.get(name)) is not None:
            return name, known
        signed = jose.parse((self._half / receipt).read_bytes(), Receipt.TYP)
        return name, Receipt.from_payload(signed.payload).sha256


def read_sums(path: Path) -> Iterator[tuple[str, str]]:
    """Names and SHA-256 of a list as `sha256sum` writes it."""
    for line in path.read_text("utf-8").splitlines():
        sha256, _, name = line.partition("  ")
        yield name, sha256


def _files(data: Path, *, log: bool) -> Iterator[Path]:
    """The files of the office that a backup has, or would have but for the log."""
    for folder, folders, names in os.walk(data):
        inside = Path(folder).relative_to(data).parts
        skipped = {"staging", "scratch"} if log or inside else {"staging", "scratch", "log"}
        folders[:] = [name for name in folders if name not in skipped and not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            derived = name.startswith("catalogue.sqlite") or name.endswith((".lock", ".part"))
            if not derived and path.is_file() and not path.is_symlink():
                yield path


def _write_told(archive: Archive, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file, archive.database.read() as db:
        for row in rebuild.told(db):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
