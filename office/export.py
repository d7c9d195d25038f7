"""`bodycam office export`: a copy of one recording that proves itself, and with the office's identity one to watch.

Who, when and why stand in the log and the catalogue before the first byte is written (rules 21 to 24).
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import json
import logging
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence import age, boxes, join, office_log, pki, records, shape
from evidence.account import Account, RecordingAccount, SegmentAccount
from evidence.documents import LogKey
from evidence.errors import EvidenceError
from evidence.journal import JournalReader
from evidence.records import Record
from office.archive import Archive
from office.catalogue import utc_now
from office.errors import OfficeError

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be taken out, by whom, why, and into which folder."""

    recording: str
    folder: Path
    by: str
    reason: str
    identity: str | None  # the office's age identity; None: ciphertext only
    device: str | None = None  # needed only if several cameras claim the recording's id
    by_part: bool = False  # a film of each part besides: signatures inside a video hold within one part


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. `missing`: segments that the journal tells of and the office does not hold."""

    device: str
    leaf_index: int
    segments: int
    missing: tuple[int, ...]
    watchable: bool


def export(archive: Archive, order: Order) -> Exported:
    """Carry out an order. Raises `OfficeError`, `EvidenceError`, OSError."""
    device = _device_of(archive, order)
    if order.folder.exists() and (not order.folder.is_dir() or any(order.folder.iterdir())):
        raise OfficeError("folder-not-empty", f"{order.folder} is there and not empty: name a new folder")
    decrypted, folder = order.identity is not None, str(order.folder)
    with archive.book.turn() as turn:
        index = turn.enter(
            "export", by=order.by, device=device, recording=order.recording, reason=order.reason, decrypted=decrypted,
            folder=folder,
        )  # fmt: skip
    order.folder.parent.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=f".{order.folder.name}.", dir=order.folder.parent))
    try:
        done = _Copy(archive, order, device, half).run(index)
        half.rename(order.folder)
    except BaseException:
        shutil.rmtree(half)
        raise
    return done


def _device_of(archive: Archive, order: Order) -> str:
    rows = archive.catalogue.recordings(order.recording) if shape.recording_id(order.recording) else []
    found = [str(row["device"]) for row in rows if order.device in (None, row["device"])]
    if not found:
        raise OfficeError("recording-unknown", f"no recording {order.recording} was handed in: see bodycam office list")
    if len(found) > 1:  # any session key can claim any id; none can keep another's recording in the archive
        raise OfficeError("recording-claimed", f"{' and '.join(found)} claim {order.recording}: add --device")
    return found[0]


class _Copy:
    def __init__(self, archive: Archive, order: Order, device: str, folder: Path) -> None:
        self._archive = archive
        self._order = order
        self._device = device
        self._folder = folder
        self._stills: list[dict[str, Any]] = []
        self._head = -1  # seq of the last record copied
        self._checkpoints: set[int] = set()  # sizes of those that are written
        self._opened_once: set[int] = set()  # segments whose stills are written

    def run(self, leaf_index: int) -> Exported:
        recording = self._journal()
        held = [index for index in sorted(recording.segments) if self._segment(index)]
        self._log(recording, held, leaf_index)
        self._write("certs/office.pem", pki.to_pem(*self._archive.signer_chain))
        for path in self._archive.revocation_lists:
            self._write(f"certs/{path.name}", path.read_bytes())
        watchable = self._order.identity is not None and self._watchable(recording, set(held), self._order.identity)
        missing = tuple(sorted(recording.segments.keys() - set(held)))
        return Exported(self._device, leaf_index, len(held), missing, watchable)

    def _journal(self) -> RecordingAccount:
        """Copy the whole journal, verified once more, and write it out to be read."""
        account, reader = Account(), JournalReader(self._archive.roots, device=self._device)
        with (self._folder / "journal.jsonl").open("w", encoding="utf-8") as readable:
            for file in self._archive.store.journal_files(self._device):
                source = self._archive.store.journal(self._device, file)
                target = self._path(records.journal_path(file))
                with source.open("rb") as lines, target.open("xb") as copy:
                    for line in lines:
                        for record in reader.feed(file, line):
                            account.add(record)
                            readable.write(json.dumps(_readable(record), ensure_ascii=False) + "\n")
                            copy.write(line)
                            self._head = record.seq
        return account.recordings[self._order.recording]

    def _segment(self, index: int) -> bool:
        """Copy a segment and its receipt; whether the office holds it."""
        key = (self._device, self._order.recording, index)
        receipt = self._archive.receipts.get(*key)
        if receipt is None:
            return False
        self._write(records.receipt_path(self._order.recording, index), receipt)
        target = self._path(records.segment_path(self._order.recording, index))
        try:
            with self._archive.store.open_segment(*key) as stored, target.open("xb") as copy:
                shutil.copyfileobj(stored, copy)
        except FileNotFoundError:
            return False  # it was disposed of; its receipt says what it was
        return True

    def _log(self, recording: RecordingAccount, held: Sequence[int], export_index: int) -> None:
        """What the log proves of this copy, under the earliest checkpoint that an authority has stamped."""
        archive = self._archive
        if archive.stamps.authority is not None:
            try:
                archive.stamps.stamp()  # so that this export is under a stamp, too
            except OfficeError as error:
                _logger.warning("this export goes out without a stamp of today: %s", error)
        key = LogKey(archive.office, archive.log.verifier_key, utc_now())
        self._write(office_log.KEY, key.sign(archive.signer, archive.signer_kid).encode())
        rows = [row for row in archive.catalogue.recordings(recording.id) if row["device"] == self._device]
        leaves = {row["segment"]: row["leaf_index"] for row in rows[0]["segments"]}
        now, stamped = archive.log.state(), archive.stamps.sizes()
        for index in held:
            self._prove(office_log.ingest_path(recording.id, index), leaves[index], now, stamped)
        for seq, index in self._heads(recording):
            self._prove(office_log.head_path(seq), index, now, stamped)
        self._prove(office_log.EXPORT, export_index, now, stamped)

    def _heads(self, recording: RecordingAccount) -> Iterator[tuple[int, int]]:
        """For each segment the first head that fixes all of it, and the newest: sequence numbers and leaves."""
        rows = [(row["seq"], row["leaf_index"]) for row in self._archive.catalogue.heads(self._device)]
        rows = [row for row in rows if row[0] <= self._head]  # the office may have taken in more since the copy
        fixed = {(s.fragments[-1] if s.fragments else s.record_or_fail()).seq for s in recording.segments.values()}
        places = {bisect.bisect_left(rows, (seq,)) for seq in fixed} | {len(rows) - 1}
        yield from (rows[place] for place in sorted(places) if 0 <= place < len(rows))

    def _prove(self, name: str, index: int, now: tuple[int, bytes], stamped: Sequence[int]) -> None:
        stamps = self._archive.stamps
        size = stamps.over(index, stamped)
        under = now if size is None else (size, stamps.checkpoint(size))
        self._write(name, self._archive.log.proof(index, under).to_text())
        if under[0] not in self._checkpoints:
            self._checkpoints.add(under[0])
            self._write(office_log.checkpoint_path(under[0]), under[1])
            if size is not None:
                self._write(office_log.stamp_path(size), stamps.token(size))

    def _watchable(self, recording: RecordingAccount, held: set[int], identity: str) -> bool:
        """Join what is held into `recording.mp4`, one segment in memory at a time; its stills go beside it."""
        parts: list[tuple[int, list[SegmentAccount], bytes]] = []
        for number in sorted(recording.parts):
            present = [segment for segment in recording.part_segments(number) if segment.index in held]
            heads = (self._opening(segment, identity) for segment in present)
            if (head := next(filter(None, heads), None)) is not None:
                parts.append((number, present, head))
        if not parts:
            return False
        placed = self._film("recording.mp4", recording, parts, identity)
        for part in parts if self._order.by_part else ():
            self._film(f"parts/{part[0]}.mp4", recording, [part], identity)
        told = {
            "device": self._device,
            "recording": recording.id,
            "parts": [_placed(recording, each) for each in placed],
            "gaps": [dict(gap.body) for gap in recording.gaps],
            "stills": self._stills,
        }
        self._write("map.json", (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode())
        return True

    def _film(
        self, name: str, recording: RecordingAccount, parts: Sequence[tuple[int, list[SegmentAccount], bytes]],
        identity: str,
    ) -> list[join.Placed]:  # fmt: skip
        joiner = join.Joiner([head for *_, head in parts])
        with self._path(name).open("xb") as film:
            film.write(joiner.header)
            for number, present, _ in parts:
                for piece in joiner.part(join.PartSource(number, self._opened(recording, present, identity))):
                    film.write(piece)
            film.flush()
            os.fsync(film.fileno())
        return joiner.placed

    def _opened(
        self, recording: RecordingAccount, segments: Sequence[SegmentAccount], identity: str
    ) -> Iterator[bytes]:
        """The plaintexts of segments, each decrypted when its turn comes and not kept; its stills are written."""
        for segment in segments:
            plain = _plain(self._stored(segment), identity)
            if segment.index not in self._opened_once:
                self._opened_once.add(segment.index)
                self._write_stills(recording, segment, plain)
            yield plain

    def _write_stills(self, recording: RecordingAccount, segment: SegmentAccount, plain: bytes) -> None:
        started = recording.parts[segment.part].started
        listed = {record.body["plain_offset"]: record.seq for record in segment.stills}
        for number, still in enumerate(boxes.stills(join.whole_boxes(plain)), 1):
            name, jpeg = f"stills/{recording.id}/{segment.index:05d}-{number}.jpg", plain[still.start : still.end]
            self._write(name, jpeg)
            self._stills.append(
                {
                    "file": name,
                    "part": segment.part,
                    "at_ns": still.at_ns,
                    "at_utc": shape.utc_text(started.clock.utc_at(still.at_ns)),
                    "sha256": hashlib.sha256(jpeg).hexdigest(),
                    "record": listed.get(still.start),  # None: a cut kept it from being written
                }
            )

    def _stored(self, segment: SegmentAccount, start: int = 0, size: int | None = None) -> bytes:
        key = (self._device, segment.recording, segment.index)
        with self._archive.store.open_segment(*key, start, size) as stored:
            return stored.read()

    def _opening(self, segment: SegmentAccount, identity: str) -> bytes | None:
        """The start of a segment through its `moov`; None if it was cut before that."""
        start = self._stored(segment, size=age.HEADER_LIMIT + age.NONCE + age.CIPHER_CHUNK)
        with contextlib.suppress(EvidenceError):
            start = start[: age.parse_header(start).size + age.CIPHER_CHUNK]
        return _through_moov(_plain(start, identity))

    def _path(self, name: str) -> Path:
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _write(self, name: str, data: bytes) -> None:
        with self._path(name).open("xb") as file:
            file.write(data)


def _plain(data: bytes, identity: str) -> bytes:
    """What a segment holds: nothing, if a power cut ended it inside its header."""
    try:
        return age.open_file(data, identity).plain
    except EvidenceError as error:
        if error.code != "age-header":
            raise
        return b""


def _through_moov(plain: bytes) -> bytes | None:
    try:
        for box in boxes.boxes(plain):
            if box.kind == b"moov":
                return plain[: box.end]
    except EvidenceError:
        pass
    return None


def _readable(record: Record) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "kind": record.kind,
        "boot": record.boot,
        "clock": record.clock.to_json(),
        "body": dict(record.body),
        "sha256": record.sha256,
    }


def _placed(recording: RecordingAccount, placed: join.Placed) -> dict[str, Any]:
    """A part on the play time line beside its span on its boot's clock, and that clock's claim of UTC."""
    started = recording.parts[placed.part].started
    segments = recording.attested().get(placed.part) or recording.part_segments(placed.part)
    from_ns = segments[0].from_ns
    return {
        "part": placed.part,
        "play_from_us": placed.play_from_us,
        "play_to_us": placed.play_to_us,
        "boot": started.boot,
        "from_ns": from_ns,
        "to_ns": segments[-1].to_ns,
        "from_utc": shape.utc_text(started.clock.utc_at(from_ns)),
        "clock_source": started.clock.source,
        "clock_error_ms": started.clock.error_ms,
    }


def describe(done: Exported, order: Order) -> Iterator[str]:
    """What was written, for people."""
    yield f"已导出 exported: {order.recording} ({done.device}) → {order.folder}"
    yield f"文件 segments: {done.segments}" + (
        f"，缺 missing {', '.join(map(str, done.missing))}" if done.missing else ""
    )
    yield f"可播放 recording.mp4: {'有 yes' if done.watchable else '无 no'}"
    yield f"日志编号 log entry: {done.leaf_index}，操作人 by {order.by}，事由 reason: {order.reason}"
    command = ["bodycam", "verify", str(order.folder), "--trust", "CA.pem", "--whole", "--recording"]
    command.append(order.recording)
    yield f"核验 verify, CA.pem being the agency's root, not out of this copy: {shlex.join(command)}"
