"""The verifier: the numbered steps of specification §7 over an evidence folder.

No key is needed; with one, it looks deeper. It says what was proven, what was not, and names what is wrong: step,
verdict, place. It never says more than the bytes do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from cryptography import x509

from evidence import records, segment_check
from evidence.account import Finding, SegmentAccount
from evidence.errors import EvidenceError
from evidence.journal import JournalReader
from evidence.office_word import OFFICE_FILES, VERDICT_OF, OfficeWord
from evidence.report import Report, printable
from evidence.segment_check import SegmentCheck, SegmentVerdict

_JOURNAL = re.compile(r"journal/([0-9]{8})\.jws\Z")
_SEGMENT = re.compile(r"segments/([0-9a-f]{8}-[0-9]+)/([0-9]{5})\.mp4\.age\Z")


class Folder(Protocol):
    """An evidence folder: a camera's, a dock's spool, an office's export."""

    def names(self) -> Iterable[str]:
        """Relative paths of all files, with `/`."""

    def blocks(self, path: str) -> Iterator[bytes]:
        """A file's bytes, in order, in pieces of any size."""


class Verifier:
    """Runs the steps over one folder. `only`: the recordings whose files it asks for; the journal is always whole.

    `whole`: the folder has to hold the footage itself, as an evidence copy does; a receipt excuses nothing.
    """

    def __init__(
        self,
        folder: Folder,
        roots: Sequence[x509.Certificate],
        identity: str | None = None,
        only: Collection[str] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        self._folder = folder
        self._roots = roots
        self._identity = identity
        self._whole = whole
        self._names = frozenset(folder.names())
        self._tails: dict[int, bytes] = {}
        asked = None if only is None else frozenset(only)
        self.report = Report(JournalReader(roots), opened=identity is not None, only=asked)

    def run(self) -> Report:
        """Every step; a step that fails does not keep the later ones from looking."""
        report = self.report
        self._read_journal()  # steps 1 to 5
        self._judge_boots()
        report.findings += [f for f in report.account.findings() if self._asked_of(f.where)]  # steps 6 to 8
        # Step 10 goes before 9: a receipt explains a file that is not here.
        OfficeWord(report, self._roots, self._names, self._read).run()
        self._read_segments()  # steps 9 and 12
        self._judge_tail()  # step 11
        self._look_for_strangers()  # step 13
        report.findings.sort(key=lambda finding: finding.step)
        report.notes.sort(key=lambda note: note.step)
        return report

    def _find(self, step: int, verdict: str, where: str, message: str) -> None:
        self.report.findings.append(Finding(step, verdict, printable(where), printable(message)))

    def _note(self, step: int, verdict: str, where: str, message: str) -> None:
        self.report.notes.append(Finding(step, verdict, printable(where), printable(message)))

    def _asked_of(self, where: str) -> bool:
        """Whether a finding about `where` belongs to what was asked: the journal always does."""
        only, recording = self.report.only, where.partition(" ")[0]
        return only is None or recording in only or recording not in self.report.account.recordings

    def _read(self, path: str, limit: int) -> bytes:
        """A small file whole; of a longer one, enough to tell that it is."""
        data = bytearray()
        for block in self._folder.blocks(path):
            data += block
            if len(data) > limit:
                break
        return bytes(data[: limit + 1])

    def _matching(self, pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
        return [(path, match) for path in sorted(self._names) if (match := pattern.match(path))]

    # --- the journal

    def _read_journal(self) -> None:
        files = {int(match[1]): path for path, match in self._matching(_JOURNAL)}
        if not files:
            self._find(1, "missing", "journal", "there is no journal here")
        declared = self._declared_torn(files)
        for file, path in files.items():
            data = self._read(path, records.FILE_LIMIT)
            if len(data) > records.FILE_LIMIT:
                self._find(1, "altered", path, "the file is longer than a journal file may be")
                break
            # A torn tail may hold a whole line, if the disk refused only to make it durable: it is no record.
            if not self._feed(file, data[: declared.get(file, len(data))]):
                break
            self._tails[file] = data[self.report.reader.good_len(file) :]
            if self._tails[file] and file not in declared:
                self._judge_undeclared(path, self._tails[file], last=file == max(files))
        self._compare_torn()

    def _declared_torn(self, files: dict[int, str]) -> dict[int, int]:
        """Where openings say that a torn tail begins, by file; step 5 believes it once the opening verified."""
        declared: dict[int, int] = {}
        for file, path in files.items():
            start = self._read(path, records.OPENING_LIMIT)
            try:
                torn = records.parse(start.partition(b"\n")[0]).body.get("torn", [])
            except EvidenceError:
                continue
            declared.update({tail["file"]: tail["offset"] for tail in torn if tail["file"] < file})
        return declared

    def _feed(self, file: int, data: bytes) -> bool:
        """Steps 1 to 5 for the lines of a file, up to the first bad one."""
        reader, start = self.report.reader, 0
        try:
            while (end := data.find(b"\n", start) + 1) > 0:
                for record in reader.feed(file, data[start:end]):
                    self.report.account.add(record)
                start = end
        except EvidenceError as error:
            after = "the beginning" if reader.head is None else f"record {reader.head[0]}"
            message = f"after {after}: {error.message} ({error.code}); nothing beyond it is proven"
            self._find(reader.step, VERDICT_OF.get(error.code, "altered"), records.journal_path(file), message)
            return False
        return True

    def _judge_undeclared(self, path: str, tail: bytes, *, last: bool) -> None:
        if last and b"\n" not in tail:
            message = f"{len(tail)} bytes after the last line: cut by a power loss and not yet declared, or altered"
            self._find(5, "unaccounted", path, message)
        else:
            self._find(5, "altered", path, f"{len(tail)} bytes after the last line are declared by nobody")

    def _compare_torn(self) -> None:
        """Step 5, once every opening that declares a tail has been verified. A copy need not hold the tail itself.

        Nor need the camera: a tail that a failing disk did not make durable loses its end with the next power cut.
        """
        for file, told in self.report.reader.torn.items():
            where, tail = records.journal_path(file), self._tails.get(file, b"")
            whole = len(tail) == told.length and hashlib.sha256(tail).hexdigest() == told.sha256
            if not whole and len(tail) >= told.length:
                self._find(5, "altered", where, "the torn tail is not the one that the next boot declared")
            else:
                self._note(
                    5, "torn", where, f"{told.length} bytes that never became a record, as a later boot declares"
                )

    def _judge_boots(self) -> None:
        for record in self.report.account.boots:
            where = f"boot {record.boot}"
            if not self.report.reader.sessions[record.boot].signed:
                self._find(2, "unsigned", where, "no certified evidence key stands behind this boot")
            if record.body["simulated"]:
                self._note(2, "simulated", where, "the hardware of this boot is simulated")

    # --- segments

    def _read_segments(self) -> None:
        for recording in self.report.recordings():
            for segment in recording.segments.values():
                path = records.segment_path(recording.id, segment.index)
                verdict = self._check_segment(segment, path)
                self.report.segments[recording.id, segment.index] = verdict
                if verdict.verdict in (segment_check.ALTERED, segment_check.MISSING):
                    self._find(verdict.step, verdict.verdict, path, verdict.told)

    def _check_segment(self, segment: SegmentAccount, path: str) -> SegmentVerdict:
        if path not in self._names:
            return self._absent(segment)
        check = SegmentCheck(segment)
        for block in self._folder.blocks(path):
            check.update(block)
            if check.done:
                break
        verdict = check.finish()
        if self._identity is not None and verdict.verdict != segment_check.ALTERED and segment.fragments:
            try:
                plain = segment_check.open_segment(segment, self._attested(path, segment), self._identity)
                for still in segment_check.unlisted_stills(segment, plain):
                    message = f"a still taken at {still.at_ns} ns that no record lists: a cut may have kept it out"
                    self._note(12, "unlisted", path, message)
            except EvidenceError as error:
                return SegmentVerdict(segment_check.ALTERED, f"{error.message} ({error.code})", step=12)
        if verdict.verdict == segment_check.INTACT and not self.report.reader.sessions[segment.boot].signed:
            return SegmentVerdict(segment_check.UNSIGNED, "every byte is as recorded, but no certified key signed it")
        return verdict

    def _attested(self, path: str, segment: SegmentAccount) -> bytes:
        """What of a file has to be read whole; anybody can make the rest as long as they like."""
        return self._read(path, segment.attested_len)[: segment.attested_len]

    def _absent(self, segment: SegmentAccount) -> SegmentVerdict:
        key = (segment.recording, segment.index)
        if key in self.report.receipts and self._whole:
            return SegmentVerdict(
                segment_check.MISSING, "not here; the office's receipt says that it holds these bytes"
            )
        if key in self.report.receipts:
            return SegmentVerdict(
                segment_check.RELEASED, "not here; the office's receipt says that it keeps these bytes"
            )
        if segment.record is not None and segment.record.body["file_size"] == 0:
            return SegmentVerdict(segment_check.TRUNCATED, "cut before anything of it was written")
        if key in self.report.account.released:
            return SegmentVerdict(segment_check.MISSING, "given up without a receipt that verifies here", step=10)
        return SegmentVerdict(segment_check.MISSING, "the file is not here, and no receipt explains it")

    # --- the tail, and strangers

    def _judge_tail(self) -> None:
        """Step 11: nobody can prove from a camera alone that its last records were not cut off."""
        for before, boot in self.report.account.unclean:
            where = f"records {before.seq} and {boot.seq}"
            self._note(
                11, "unaccounted", where, "the boot did not end by itself: what followed before the next is unknown"
            )
        last = self.report.account.last
        if last is not None:
            message = "what the camera recorded after its last record here, if anything, is not accounted for"
            self._note(11, "unaccounted", f"record {last.seq}", message)

    def _look_for_strangers(self) -> None:
        """Step 13: files that nothing names."""
        known = {
            records.segment_path(recording.id, index)
            for recording in self.report.account.recordings.values()
            for index in recording.segments
        }
        begun = self._next_segments()
        for path in sorted(self._names - known):
            if any(pattern.match(path) for pattern in (_JOURNAL, *OFFICE_FILES)):
                continue
            if path in begun:
                message = "begun, and no record names it yet: let the camera start once, or it is foreign"
                self._find(13, "unaccounted", path, message)
            else:
                self._find(13, "foreign", path, "no verified record of this camera's journal names this file")

    def _next_segments(self) -> set[str]:
        """Segments that a cut may have kept from their first record: no boot has accounted for them yet."""
        return {
            records.segment_path(recording.id, max(recording.segments, default=-1) + 1)
            for recording in self.report.account.recordings.values()
            if recording.ended is None
        }
