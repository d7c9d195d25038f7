"""What was done to a segment's file that is not as it was signed (specification §7.5).

The hashes of the first fragments tell a segment of this camera in the place of another; a key tells whether an
exchanged file holds the same picture and sound, or from which fragment on others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from evidence import age, media_signing, segment_check, signature_sei
from evidence.account import RecordingAccount, SegmentAccount
from evidence.errors import EvidenceError
from evidence.finding import Attack
from evidence.segment_check import SegmentVerdict
from evidence.session import Session

_SLACK_MS = 10  # a clock that was set between a picture and its fragment's record leaves the name `exchanged`


class Firsts:
    """The bytes that each segment of a camera begins with: header and first fragment, alike in no two files."""

    def __init__(self, recordings: Iterable[RecordingAccount]) -> None:
        segments = [segment for one in recordings for segment in one.segments.values() if segment.fragments]
        heads = [(segment.fragments[0].body, segment) for segment in segments]
        self._by_hash = {(int(body["cipher_len"]), str(body["cipher_sha256"])): segment for body, segment in heads}
        self._lengths = sorted({length for length, _ in self._by_hash})

    def find(self, blocks: Iterator[bytes]) -> SegmentAccount | None:
        """The segment that a file begins as. Reads no further than the longest first fragment, and holds nothing."""
        digest, done, ahead = hashlib.sha256(), 0, iter(self._lengths)
        length = next(ahead, None)
        for block in blocks:
            view = memoryview(block)
            while length is not None and done + len(view) >= length:
                digest.update(view[: length - done])
                view, done = view[length - done :], length
                if (found := self._by_hash.get((length, digest.hexdigest()))) is not None:
                    return found
                length = next(ahead, None)
            if length is None:
                return None
            digest.update(view)
            done += len(view)
        return None


def moved(segment: SegmentAccount, verdict: SegmentVerdict, origin: SegmentAccount, *, doubled: bool) -> SegmentVerdict:
    """The verdict on a file that begins as another segment; `doubled`: that one is in its own place as well."""
    if doubled:
        attack = Attack.REPLAYED
    else:
        attack = Attack.REORDERED if origin.recording == segment.recording else Attack.SWAPPED
    message = f"these are the bytes of segment {origin.index} of {origin.recording}"
    return replace(verdict, message=message, attack=attack)


def opened(
    segment: SegmentAccount, verdict: SegmentVerdict, data: bytes, identity: str, session: Session
) -> SegmentVerdict:
    """The verdict on a file with another header, by what is in it; as it was if it does not open."""
    try:
        plain = age.open_file(data, identity).plain
    except EvidenceError:
        return verdict
    digest, done = hashlib.sha256(), 0
    for index, record in enumerate(segment.fragments):
        end = record.body["plain_offset"] + record.body["plain_len"]
        digest.update(plain[done:end])
        done = end
        if end > len(plain) or digest.hexdigest() != record.body["plain_sha256"]:
            found = replace(verdict, bad_fragment=index, at_ns=record.body["from_ns"])
            if _pictures_hold(segment, plain, session):
                message = "encrypted by somebody else: the pictures are those that were signed, the sound is not"
                return replace(found, message=message, attack=Attack.SWAPPED_SOUND)
            message = "another file, encrypted by somebody else: its picture or sound is not what was signed"
            return replace(found, message=message, attack=Attack.EXCHANGED)
    message = "the picture and sound that were signed, encrypted anew or to other recipients"
    return replace(verdict, message=message, attack=Attack.RECIPIENTS)


def _pictures_hold(segment: SegmentAccount, plain: bytes, session: Session) -> bool:
    """Whether the signatures inside the video say that these are all pictures of this segment, and no others.

    Another segment's pictures are signed as well, and for another time.
    """
    first, last = segment.fragments[0], segment.fragments[-1]
    begins = first.clock.utc_at(first.body["from_ns"]) - _SLACK_MS
    ends = last.clock.utc_at(last.body["to_ns"]) + _SLACK_MS
    try:
        said = segment_check.media_signing(plain, session)
        times = [time for sei in _signatures(plain) for time in (sei.signed.begins, sei.signed.ends)]
    except EvidenceError:
        return False
    pictures = sum(fragment.body["frames"] for fragment in segment.fragments)
    in_time = all(signature_sei.time_of(begins) <= time <= signature_sei.time_of(ends) for time in times)
    return (said.verdict, said.pictures) == (media_signing.VALID, pictures) and in_time


def _signatures(plain: bytes) -> Iterator[signature_sei.Sei]:
    for unit in media_signing.units(plain):
        if (found := signature_sei.parse(bytes(unit))) is not None:
            yield found
