"""Checking one segment's file against its records (specification §7.3, steps 9 and 12)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from evidence import age, boxes, mp4
from evidence import media_signing as signing
from evidence.account import SegmentAccount
from evidence.errors import EvidenceError
from evidence.finding import Attack
from evidence.fragment_check import FragmentCheck, PartClock
from evidence.media_signing import MediaSigning
from evidence.records import Record
from evidence.session import Session

INTACT, TRUNCATED, ALTERED, MISSING, UNSIGNED, REVOKED, RELEASED = (
    "intact", "truncated", "altered", "missing", "unsigned", "revoked", "released",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SegmentVerdict:
    """What became of one segment; `bad_fragment` is the first whose bytes differ, `at_ns` its boot time."""

    verdict: str
    message: str
    bad_fragment: int | None = None
    at_ns: int | None = None
    step: int = 9  # of the specification, where it was found
    attack: Attack | None = None  # what it looks like, if it is altered or missing
    media_signing: MediaSigning | None = None  # what the signatures in the video say; None: nobody looked

    @property
    def told(self) -> str:
        """The message, with the fragment from which on it holds."""
        return self.message if self.bad_fragment is None else f"{self.message}, from fragment {self.bad_fragment} on"


class SegmentCheck:
    """Step 9: takes the bytes of a file as they come and compares them with what was signed. Needs no key."""

    def __init__(self, segment: SegmentAccount) -> None:
        self._segment = segment
        self._hash = hashlib.sha256()
        self._size = 0
        self._head = b""
        self._marks = [(f.body["cipher_len"], f.body["cipher_sha256"]) for f in segment.fragments]
        self._next = 0
        self._bad: int | None = None

    @property
    def done(self) -> bool:
        """Whether more bytes cannot change the verdict: a file may be longer than anybody wants to read."""
        record = self._segment.record
        judged = int(record.body["file_size"]) if record else max((length for length, _ in self._marks), default=0)
        return self._size > judged

    def update(self, data: bytes) -> None:
        """The next bytes of the file."""
        if len(self._head) < age.HEADER_LIMIT + age.NONCE:
            self._head += data[: age.HEADER_LIMIT + age.NONCE - len(self._head)]
        view = memoryview(data)
        while self._next < len(self._marks) and self._size + len(view) >= self._marks[self._next][0]:
            length, expected = self._marks[self._next]
            cut = length - self._size
            self._hash.update(view[:cut])
            view = view[cut:]
            self._size = length
            if self._bad is None and self._hash.hexdigest() != expected:
                self._bad = self._next
            self._next += 1
        self._hash.update(view)
        self._size += len(view)

    def finish(self) -> SegmentVerdict:
        """The verdict, once all bytes were given."""
        record = self._segment.record
        if self._bad is not None:
            return self._altered(self._bad, "bytes differ from what was signed", self._changed(record))
        if self._next < len(self._marks):
            message = "the file was cut short after its bytes were signed"
            return self._altered(self._next, message, Attack.CUT_SHORT)
        if record is None:
            return SegmentVerdict(TRUNCATED, "the segment was never closed; what was attested is there")
        body = record.body
        if (self._size, self._hash.hexdigest()) != (body["file_size"], body["file_sha256"]):
            message = "the end of the file differs from what was signed"
            return SegmentVerdict(ALTERED, message, attack=_end(self._size, body["file_size"]))
        if wrong := self._recipients(body["header_sha256"], body["stanzas"]):
            return SegmentVerdict(ALTERED, wrong, attack=Attack.RECIPIENTS)
        if body["closed"]:
            return SegmentVerdict(INTACT, "every byte is as signed")
        return SegmentVerdict(TRUNCATED, "the segment ends with a power cut or crash; what was attested is there")

    def _altered(self, fragment: int, message: str, attack: Attack) -> SegmentVerdict:
        at_ns = self._segment.fragments[fragment].body["from_ns"]
        return SegmentVerdict(ALTERED, message, fragment, at_ns, attack=attack)

    def _changed(self, record: Record | None) -> Attack:
        """Whether it is the camera's file with other bytes, the same for other readers, or another file altogether."""
        try:
            header = age.parse_header(self._head)
        except EvidenceError:
            return Attack.EDITED
        if record is None or header.sha256 == record.body["header_sha256"]:
            return Attack.EDITED
        same = len(header.stanzas) == record.body["stanzas"]
        return Attack.EXCHANGED if same else Attack.RECIPIENTS

    def _recipients(self, header_sha256: str, stanzas: int) -> str | None:
        if not self._size:
            return None  # cut before its header was written
        try:
            header = age.parse_header(self._head)
        except EvidenceError:
            # A power cut may leave part of a header; only a file without fragments can be so short.
            return "the file's header is damaged" if self._marks else None
        if header.sha256 != header_sha256 or len(header.stanzas) != stanzas:
            return "the file is encrypted to other recipients than its record names"
        return None


def _end(size: int, signed: int) -> Attack:
    if size == signed:
        return Attack.EDITED
    return Attack.CUT_SHORT if size < signed else Attack.APPENDED


def open_segment(segment: SegmentAccount, data: bytes, identity: str, clock: PartClock) -> bytes:
    """Step 12: decrypt a segment and compare picture and sound with the records; return the attested plaintext.

    Raises `EvidenceError` naming the fragment.
    """
    opened = age.open_file(data, identity)
    plain = opened.plain
    if segment.record is not None and segment.record.body["closed"] and not opened.complete:
        raise EvidenceError("age-chunk", f"cipher chunk {opened.bad_chunk} was altered or the file was cut short")
    digest = hashlib.sha256()
    done = 0
    for index, record in enumerate(segment.fragments):
        end = record.body["plain_offset"] + record.body["plain_len"]
        if end > len(plain):
            raise EvidenceError("age-chunk", f"fragment {index} cannot be decrypted whole")
        digest.update(memoryview(plain)[done:end])
        done = end
        if digest.hexdigest() != record.body["plain_sha256"]:
            raise EvidenceError("plain-hash", f"fragment {index} holds another picture or sound than was signed")
    attested = plain[:done]
    _check_end(segment, digest, plain[done:])
    _check_media(segment, attested, clock)
    _check_stills(segment, attested)
    return attested


def media_signing(plain: bytes, session: Session) -> MediaSigning:
    """What the signatures inside the video say, by the certificates of the boot that recorded it (section 10)."""
    return signing.check(signing.units(plain), signing.chain_is(session.chain))


def unlisted_stills(segment: SegmentAccount, plain: bytes) -> list[boxes.Still]:
    """The stills in a segment's attested plaintext that no record tells of: a cut may have kept it from being made."""
    listed = {record.body["plain_offset"] for record in segment.stills}
    return [still for still in boxes.stills(plain) if still.start not in listed]


def _check_end(segment: SegmentAccount, digest: hashlib._Hash, rest: bytes) -> None:
    """What follows the last fragment of a closed segment is the trailer and nothing else."""
    if segment.record is None or not segment.record.body["closed"]:
        return
    digest.update(rest)
    if rest != mp4.TRAILER or digest.hexdigest() != segment.record.body["plain_sha256"]:
        raise EvidenceError("plain-hash", "the segment does not end with its trailer")


def _check_media(segment: SegmentAccount, plain: bytes, clock: PartClock) -> None:
    if not segment.fragments:
        return
    init = plain[: segment.fragments[0].body["plain_offset"]]
    boxes.sample_entries(init)
    found = list(boxes.fragments(plain))
    if len(found) != len(segment.fragments):
        raise EvidenceError("mp4-box", "the segment holds another number of fragments than its records")
    check = FragmentCheck(plain, clock)
    for index, (fragment, record) in enumerate(zip(found, segment.fragments, strict=True)):
        check.check(index, fragment, record.body)


def _check_stills(segment: SegmentAccount, plain: bytes) -> None:
    there = {still.start: still for still in boxes.stills(plain)}
    for record in segment.stills:
        told, still = record.body, there.get(record.body["plain_offset"])
        if still is None or (still.at_ns, still.end - still.start) != (told["at_ns"], told["size"]):
            raise EvidenceError("mp4-box", f"no still lies where record {record.seq} says")
        if hashlib.sha256(plain[still.start : still.end]).hexdigest() != told["sha256"]:
            raise EvidenceError("plain-hash", f"another still lies where record {record.seq} says")
