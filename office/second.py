"""Second copies by policy: each segment, receipt and closed journal file stands in every place that is to have it.

A copy is hashed on its way and read back with its lock where it comes to stand; a damaged file is never copied. The
journal file that still grows has no copy so far.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from evidence import jose
from evidence.errors import EvidenceError
from office.errors import OfficeError
from office.follower import Follower
from office.log import Log
from office.store import Store, journal_name, receipt_name, segment_name
from office.stores.port import Lock, ObjectStore
from runtime.disk import make_folder

_log = logging.getLogger(__name__)
_BLOCK = 1024 * 1024
_RECEIPT_COMES = timedelta(hours=1)  # after its leaf; what comes later is copied by the scrub


@dataclass(frozen=True, slots=True)
class Lack:
    """A file that a place is to have and has not."""

    place: str
    name: str


@dataclass(frozen=True, slots=True)
class Target:
    """A place that is to have copies. `scratch`: a folder in the place's file system, if it is one."""

    place: str
    store: ObjectStore
    scratch: Path
    segments: bool = True


class Copies:
    """Follows the log; used by one thread at a time, but for `lacking`."""

    def __init__(self, path: Path, log: Log, store: Store, targets: Iterable[Target]) -> None:
        self._follower = Follower(path, log)
        self._log = log
        self._store = store
        self._targets = tuple(targets)
        self._late: list[Mapping[str, Any]] = []  # leaves whose receipt was not there yet
        self._journals: dict[str, set[str]] = {}  # closed files that are in all places, by camera

    def follow(self) -> None:
        """Copy what has come in since. Raises `OfficeError`, OSError: it is tried again then."""
        if not self._targets:
            return
        late, self._late = self._late, []
        self._take(late)
        while leaves := self._follower.leaves():
            self._take([leaf for _, leaf in leaves if leaf["act"] == "ingest"])
            self._follower.done(leaves[-1][0])

    def _take(self, leaves: list[Mapping[str, Any]]) -> None:
        for device in {leaf["device"] for leaf in leaves}:
            self._copy_journals(device)
        for leaf in leaves:
            try:
                self.ensure(leaf)
            except FileNotFoundError:
                if datetime.now(UTC) - datetime.fromisoformat(leaf["received"]) < _RECEIPT_COMES:
                    self._late.append(leaf)
            except OfficeError as error:
                if error.code != "store-damaged":
                    raise
                _log.error("not copied: %s", error)  # the scrub tells it, and copies it once it is mended

    def ensure(self, leaf: Mapping[str, Any]) -> None:
        """Copy a segment and its receipt to where they are not yet, by the `ingest` leaf.

        Raises OSError, `OfficeError` ("store-damaged": the source; else the target).
        """
        key = (leaf["device"], leaf["recording"], leaf["segment"])
        receipt = hashlib.sha256(self._store.receipt(*key).read_bytes()).hexdigest()
        for target in self._targets:
            if target.segments:
                self._copy(target, self._store.segments, segment_name(*key), leaf["sha256"])
            self._copy(target, self._store.local, receipt_name(*key), receipt)

    def ensure_journals(self, device: str) -> None:
        """Copy a camera's closed journal files to where they are not, whatever was there before. Raises as `ensure`."""
        self._journals.pop(device, None)
        self._copy_journals(device)

    def _copy_journals(self, device: str) -> None:
        if device not in self._journals:
            there = [set(target.store.names(f"{device}/journal")) for target in self._targets]
            self._journals[device] = set.intersection(*there) if there else set()
        for file in self._store.journal_files(device)[:-1]:
            if (name := journal_name(device, file)) not in self._journals[device]:
                sha256 = self._store.local.read_back(name)[0]
                for target in self._targets:
                    self._copy(target, self._store.local, name, sha256)
                self._journals[device].add(name)

    def _copy(self, target: Target, source: ObjectStore, name: str, sha256: str) -> None:
        if target.store.exists(name):
            return
        make_folder(target.scratch)
        scratch = target.scratch / name.replace("/", ".")
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()  # of a run that was cut
        digest = hashlib.sha256()
        with source.open(name) as file, scratch.open("xb") as copy:
            while block := file.read(_BLOCK):
                digest.update(block)
                copy.write(block)
        try:
            if digest.hexdigest() != sha256:
                raise OfficeError("store-damaged", f"{name} is not what was received")
            lock = source.lock(name) if source is self._store.segments else Lock(None)
            self._put(target, scratch, name, sha256, lock.until)
            if lock.hold:
                target.store.hold(name, on=True)
        finally:
            scratch.unlink(missing_ok=True)

    def _put(self, target: Target, scratch: Path, name: str, sha256: str, until: datetime | None) -> None:
        target.store.put(scratch, name, until)
        if target.store.read_back(name)[0] != sha256:
            target.store.set_aside(name, target.scratch)
            raise OfficeError("store-failing", f"{target.place} gave back other bytes of {name} than were written")
        if until is not None and not (lock := target.store.lock(name)).covers(until):
            raise OfficeError("store-unlocked", f"{target.place} does not lock {name} until {until:%Y-%m-%d}: {lock}")

    def lacking(self, gone: Mapping[tuple[str, str], int]) -> Iterator[Lack]:
        """What lacks in which place. `gone`: the leaves at which recordings were disposed of, by device and id."""
        yield from self.lacking_segments(gone)
        for device in self._store.devices():
            journals = [journal_name(device, file) for file in self._store.journal_files(device)[:-1]]
            yield from self._missing(f"{device}/journal", journals, segments=False)
        for device, recording, receipts in self._receipts():
            names = [receipt_name(device, recording, int(path.stem)) for path in receipts]
            yield from self._missing(f"{device}/receipts/{recording}", names, segments=False)
            names = _segments(device, recording, receipts, gone)
            yield from self._missing(f"{device}/segments/{recording}", names, segments=True)

    def lacking_segments(self, gone: Mapping[tuple[str, str], int]) -> Iterator[Lack]:
        """The segments that are not where they belong in the first place; likewise."""
        for device, recording, receipts in self._receipts():
            there = set(self._store.segments.names(f"{device}/segments/{recording}"))
            names = _segments(device, recording, receipts, gone)
            yield from (Lack("store", name) for name in names if name not in there)

    def _receipts(self) -> Iterator[tuple[str, str, list[Path]]]:
        """Device, recording and the receipts of its segments."""
        for device in self._store.devices():
            for folder in sorted((self._store.root / device / "receipts").glob("*/")):
                yield device, folder.name, sorted(folder.glob("*.jws"))

    def _missing(self, folder: str, names: list[str], *, segments: bool) -> Iterator[Lack]:
        for target in self._targets:
            if target.segments or not segments:
                there = set(target.store.names(folder))
                yield from (Lack(target.place, name) for name in names if name not in there)


def _segments(device: str, recording: str, receipts: Sequence[Path], gone: Mapping[tuple[str, str], int]) -> list[str]:
    """Names of the segments that these receipts are for, but for what was disposed of."""
    until = gone.get((device, recording), -1)
    kept = [path for path in receipts if until < 0 or _leaf_index(path) > until]
    return [segment_name(device, recording, int(path.stem)) for path in kept]


def _leaf_index(receipt: Path) -> int:
    """The leaf that a receipt names; what is wrong with it is the scrub's affair."""
    try:
        return int(jose.parse_json(jose.parse(receipt.read_bytes(), "bodycam-receipt").payload)["leaf_index"])
    except (EvidenceError, KeyError, ValueError):
        return -1
