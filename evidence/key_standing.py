"""What is to be thought of the keys that signed: taken back, or expired (specification §2 and §7.1, step 2).

After step 10, since it takes proofs of time: a key that was revoked leaves what is proven older than that as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from evidence import records, revocation
from evidence.account import RecordingAccount, SegmentAccount
from evidence.errors import EvidenceError
from evidence.finding import Attack, Finding
from evidence.pki import Chain, Role
from evidence.records import Record
from evidence.report import Report
from evidence.revocation import Revocation, RevocationList
from evidence.time_bounds import AUTHORITY, Bound

_STEP = 2
LISTS = re.compile(r"certs/[^/]+\.crl\Z")
_LISTS_LIMIT = 1 << 20  # bytes of all of them: an entry has 60


def read_lists(
    report: Report, names: Iterable[str], read: Callable[[str, int], bytes], given: Iterable[RevocationList]
) -> None:
    """Take the lists of the folder and those `given` into the report. What cannot be read is noted."""
    left = _LISTS_LIMIT
    report.revocations.lists += given
    for path in sorted(filter(LISTS.match, names)):
        data = read(path, left)
        if len(data) > left:
            _note(report, "foreign", path, "more revocation lists than help; this and what follows is not read")
            break
        left -= len(data)
        try:
            report.revocations.lists += revocation.parse_lists(data)
        except EvidenceError as error:
            _note(report, "foreign", path, error.message)


def judge(report: Report) -> None:
    """Find what was signed by a key that counted no longer, boot by boot."""
    _judge_lists(report)
    for boot in report.account.boots:
        chain = report.reader.sessions[boot.boot].chain
        if chain is None:
            continue
        if (revoked := report.revocations.of(chain)) is not None:
            _judge_revoked(report, boot, revoked)
        for recording, segments in _of_boot(report, boot):
            _judge_term(report, recording, segments, chain)


def _judge_lists(report: Report) -> None:
    """A list of somebody else revokes nothing; who gave it must not think that it was of use."""
    chains = [session.chain for session in report.reader.sessions.values() if session.chain]
    issuers = {issuer for chain in chains for issuer in chain.certificates[1:]}
    for one in report.revocations.lists:
        if not any(map(one.is_by, issuers)):
            name = one.crl.issuer.rfc4514_string()
            _note(report, "foreign", name, "a revocation list by nobody who stands above this camera's keys")


def _judge_revoked(report: Report, boot: Record, revoked: Revocation) -> None:
    recorded = list(_of_boot(report, boot))
    if not recorded:
        _note(report, "revoked", f"boot {boot.boot}", f"{revoked}; no segment that is asked about is of this boot")
    for recording, segments in recorded:
        proofs = {segment.index: _proof(report, segment, revoked) for segment in segments}
        for index in [index for index, proof in proofs.items() if proof is None]:
            report.distrusted[recording.id, index] = revoked
            where, footage = records.segment_path(recording.id, index), report.timeline(recording).footage(index)
            message = f"{revoked}; nothing proves that this segment is older"
            found = Finding(_STEP, "revoked", where, message, Attack.REVOKED_KEY, recording.id, index, footage)
            report.find(found)
        if proven := {index: proof for index, proof in proofs.items() if proof is not None}:
            message = f"{revoked}; made before, not after {max(proven.values())}: {_ranges(list(proven))}"
            _note(report, "revoked", recording.id, message)


def _proof(report: Report, segment: SegmentAccount, revoked: Revocation) -> Bound | None:
    """Who proves that a segment is older than the revocation. An agency's own word ends with its issuing key."""
    since_ms = int(revoked.entry.since.timestamp() * 1000)
    bounds = report.times[segment.recording, segment.index].not_after
    if revoked.role is Role.ISSUING:
        bounds = tuple(bound for bound in bounds if bound.by == AUTHORITY)
    return next((bound for bound in bounds if bound.ms < since_ms), None)


def _judge_term(report: Report, recording: RecordingAccount, segments: list[SegmentAccount], chain: Chain) -> None:
    """A certificate that ended makes no evidence false: the key is still the camera's. It is told, and no more."""
    end_ms = int(chain.not_after.timestamp() * 1000)
    late = [segment.index for segment in segments if _begins_ms(report, segment) > end_ms]
    if late:
        message = f"the key's certificate ended on {chain.not_after:%Y-%m-%d}, before these segments: {_ranges(late)}"
        _note(report, "expired", recording.id, message)


def _begins_ms(report: Report, segment: SegmentAccount) -> int:
    """The earliest time at which it can have begun, by the office and by the camera; 0: nobody says."""
    time = report.times[segment.recording, segment.index]
    proven = max((bound.ms for bound in time.not_before), default=0)
    first = time.first
    claimed = 0 if first is None or first.error_ms is None else first.ms - first.error_ms
    return max(proven, claimed)


def _of_boot(report: Report, boot: Record) -> Iterator[tuple[RecordingAccount, list[SegmentAccount]]]:
    """The segments that a boot recorded, by recording, of those that were asked about."""
    for recording in report.recordings():
        if found := [segment for _, segment in sorted(recording.segments.items()) if segment.boot == boot.boot]:
            yield recording, found


def _ranges(numbers: list[int]) -> str:
    """Whole numbers in order as text: 0-4, 7."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, ends)) for ends in found)


def _note(report: Report, verdict: str, where: str, message: str) -> None:
    report.note(Finding(_STEP, verdict, where, message))
