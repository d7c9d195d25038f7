"""The verifier: the numbered steps of specification §7 over an evidence folder.

No key is needed; with one, it looks deeper. It says what was proven, what was not, and names what is wrong: step,
verdict, place. It never says more than the bytes do.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from cryptography import x509

from evidence import age, key_standing, records, segment_check, segment_forgery, tail
from evidence.account import RecordingAccount, SegmentAccount
from evidence.agreement import disagreements
from evidence.errors import EvidenceError
from evidence.finding import Attack, Finding
from evidence.fragment_check import PartClock
from evidence.journal import JournalReader
from evidence.journal_check import JournalCheck
from evidence.media_signing import MediaSigning
from evidence.office_word import OFFICE_FILES, OfficeWord
from evidence.report import Head, Report
from evidence.revocation import RevocationList
from evidence.segment_check import SegmentCheck, SegmentVerdict

_BYTES = 9  # the step
_BEHIND = (Attack.EDITED, Attack.APPENDED, Attack.CUT_SHORT)  # maybe behind the last attested byte: of no second
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
    `heads`: records of this camera that somebody else holds, which its journal has to have. `authorities`: roots of
    foreign time-stamp authorities. `revocations`: lists besides those in the folder.
    """

    def __init__(
        self,
        folder: Folder,
        roots: Sequence[x509.Certificate],
        identity: str | None = None,
        only: Collection[str] | None = None,
        *,
        whole: bool = False,
        heads: Sequence[Head] = (),
        authorities: Sequence[x509.Certificate] = (),
        revocations: Sequence[RevocationList] = (),
    ) -> None:
        self._folder = folder
        self._roots = roots
        self._identity = identity
        self._whole = whole
        self._heads = heads
        self._authorities = authorities
        self._revocations = revocations
        self._names = frozenset(folder.names())
        self._clocks: dict[tuple[str, int], PartClock] = {}  # by recording and part
        asked = None if only is None else frozenset(only)
        self.report = Report(JournalReader(roots), opened=identity is not None, only=asked)

    def run(self) -> Report:
        """Every step; a step that fails does not keep the later ones from looking."""
        report = self.report
        journal = {int(match[1]): path for path in self._names if (match := _JOURNAL.match(path))}
        JournalCheck(report, journal, self._read).run()  # steps 1 to 5
        for finding in disagreements(report.account):  # steps 6 to 8
            report.find(finding)
        key_standing.read_lists(report, self._names, self._read, self._revocations)
        # Step 10 goes before 9: a receipt explains a file that is not here.
        OfficeWord(report, self._roots, self._names, self._read, self._authorities).run()
        key_standing.judge(report)  # step 2, once it is known what is older than a revocation
        self._read_segments()  # steps 9 and 12
        tail.judge(report, self._heads)  # step 11
        self._look_for_strangers()  # step 13
        report.findings.sort(key=lambda finding: finding.step)
        report.notes.sort(key=lambda note: note.step)
        return report

    def _read(self, path: str, limit: int) -> bytes:
        """A small file whole; of a longer one, enough to tell that it is."""
        data = bytearray()
        for block in self._folder.blocks(path):
            data += block
            if len(data) > limit:
                break
        return bytes(data[: limit + 1])

    # --- segments

    def _read_segments(self) -> None:
        for recording in self.report.recordings():
            for segment in recording.segments.values():
                path = records.segment_path(recording.id, segment.index)
                self.report.segments[recording.id, segment.index] = self._check_segment(segment, path)
        for recording in self.report.recordings():
            self._judge_segments(recording)

    def _judge_segments(self, recording: RecordingAccount) -> None:
        timeline = self.report.timeline(recording)
        for segment in recording.segments.values():
            key, path = (recording.id, segment.index), records.segment_path(recording.id, segment.index)
            verdict = self.report.segments[key]
            if verdict.verdict not in (segment_check.ALTERED, segment_check.MISSING):
                continue
            if verdict.step == _BYTES and verdict.verdict == segment_check.ALTERED:
                verdict = self.report.segments[key] = self._named(segment, verdict, path)
            footage = timeline.footage(segment.index, verdict.bad_fragment or 0)
            if verdict.attack in _BEHIND and verdict.bad_fragment is None:
                footage = None
            found = Finding(verdict.step, verdict.verdict, path, verdict.told, verdict.attack, *key, footage)
            self.report.find(found)

    def _named(self, segment: SegmentAccount, verdict: SegmentVerdict, path: str) -> SegmentVerdict:
        """What was done to a file that is not as it was signed, by its bytes and by what else is here."""
        origin = self._firsts.find(self._folder.blocks(path))
        if origin is not None and origin is not segment:
            there = self.report.segments.get((origin.recording, origin.index))
            doubled = there is not None and there.verdict in (segment_check.INTACT, segment_check.TRUNCATED)
            return segment_forgery.moved(segment, verdict, origin, doubled=doubled)
        if self._identity is not None and verdict.attack in (Attack.EXCHANGED, Attack.RECIPIENTS):
            data = self._read(path, segment.attested_len + age.HEADER_LIMIT)  # the header may have grown
            session = self.report.reader.sessions[segment.boot]
            return segment_forgery.opened(segment, verdict, data, self._identity, session)
        return verdict

    @functools.cached_property
    def _firsts(self) -> segment_forgery.Firsts:
        return segment_forgery.Firsts(self.report.account.recordings.values())

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
                verdict = replace(verdict, media_signing=self._look_inside(segment, path, self._identity))
            except EvidenceError as error:
                attack = Attack.RECIPIENTS if error.code == "age-identity" else Attack.CONTRADICTION
                message = f"{error.message} ({error.code})"
                return SegmentVerdict(segment_check.ALTERED, message, step=12, attack=attack)
        if verdict.verdict == segment_check.INTACT and not self.report.reader.sessions[segment.boot].signed:
            message = "every byte is as recorded, but no certified key signed it"
            return replace(verdict, verdict=segment_check.UNSIGNED, message=message)
        if verdict.verdict == segment_check.INTACT and (segment.recording, segment.index) in self.report.distrusted:
            message = "every byte is as signed, but by a key that was revoked, and nothing proves that it was before"
            return replace(verdict, verdict=segment_check.REVOKED, message=message)
        return verdict

    def _look_inside(self, segment: SegmentAccount, path: str, identity: str) -> MediaSigning:
        """Step 12; what the signatures in the video say stands beside it."""
        data, clock = self._attested(path, segment), self._clock_of(segment)
        plain = segment_check.open_segment(segment, data, identity, clock)
        for still in segment_check.unlisted_stills(segment, plain):
            message = f"a still taken at {still.at_ns} ns that no record lists: a cut may have kept it out"
            self.report.note(Finding(12, "unlisted", path, message, None, segment.recording, segment.index))
        return segment_check.media_signing(plain, self.report.reader.sessions[segment.boot])

    def _clock_of(self, segment: SegmentAccount) -> PartClock:
        part = (segment.recording, segment.part)
        if part not in self._clocks:
            account = self.report.account
            begins_ns = account.recordings[segment.recording].part_begins(segment.part)
            self._clocks[part] = PartClock(begins_ns, *account.utc_ahead_ms[segment.boot])
        return self._clocks[part]

    def _attested(self, path: str, segment: SegmentAccount) -> bytes:
        """What of a file has to be read whole; anybody can make the rest as long as they like."""
        return self._read(path, segment.attested_len)[: segment.attested_len]

    def _absent(self, segment: SegmentAccount) -> SegmentVerdict:
        key = (segment.recording, segment.index)
        if key in self.report.receipts and self._whole:
            return _missing("not here; the office's receipt says that it holds these bytes")
        if key in self.report.receipts:
            message = "not here; the office's receipt says that it keeps these bytes"
            return SegmentVerdict(segment_check.RELEASED, message)
        if segment.record is not None and segment.record.body["file_size"] == 0:
            return SegmentVerdict(segment_check.TRUNCATED, "cut before anything of it was written")
        if key in self.report.account.released:
            return _missing("given up without a receipt that verifies here", step=10)
        return _missing("the file is not here, and no receipt explains it")

    # --- strangers

    def _look_for_strangers(self) -> None:
        """Step 13: files that nothing names."""
        known = {
            records.segment_path(recording.id, index)
            for recording in self.report.account.recordings.values()
            for index in recording.segments
        }
        begun = self._next_segments()
        for path in sorted(self._names - known):
            if any(pattern.match(path) for pattern in (_JOURNAL, key_standing.LISTS, *OFFICE_FILES)):
                continue
            if path in begun:
                message = "begun, and no record names it yet: let the camera start once, or it is foreign"
                recording, index = begun[path]
                rest = self.report.timeline(recording).rest()
                found = Finding(13, "unaccounted", path, message, Attack.UNDECLARED, recording.id, index, rest)
                self.report.find(found)
            else:
                message = "no verified record of this camera's journal names this file"
                self.report.find(Finding(13, "foreign", path, message, Attack.INSERTED))

    def _next_segments(self) -> dict[str, tuple[RecordingAccount, int]]:
        """Segments that a cut may have kept from their first record: no boot has accounted for them yet."""
        going = [recording for recording in self.report.account.recordings.values() if recording.ended is None]
        following = [(recording, max(recording.segments, default=-1) + 1) for recording in going]
        return {records.segment_path(recording.id, index): (recording, index) for recording, index in following}


def _missing(message: str, step: int = _BYTES) -> SegmentVerdict:
    return SegmentVerdict(segment_check.MISSING, message, step=step, attack=Attack.DELETED)
