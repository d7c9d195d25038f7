"""What is to be thought of the keys that signed: taken back, or expired (specification §2 and §7.1, step 2).

After step 10, since it takes proofs of time: a key that was revoked leaves what is proven older than that as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

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
    recorded, told = _by_boot(report)
    for boot in report.account.boots:
        chain = report.reader.sessions[boot.boot].chain
        if chain is None:
            continue
        own, others = recorded.get(boot.boot, {}), told.get(boot.boot, {})
        if revoked := report.revocations.all_of(chain):
            _judge_recorded(report, own, revoked)
            _judge_told(report, boot, {name: seq for name, seq in others.items() if name not in own}, revoked)
            if not own and not others:
                message = f"{_first(revoked)}; nothing that is asked about is of this boot"
                _note(report, "revoked", f"boot {boot.boot}", message)
        for name, segments in own.items():
            _judge_term(report, report.account.recordings[name], segments, chain)


def _by_boot(report: Report) -> tuple[dict[str, dict[str, list[SegmentAccount]]], dict[str, dict[str, int]]]:
    """What each boot recorded, and the last record in which it told of it, by recording, of those asked about."""
    recorded: dict[str, dict[str, list[SegmentAccount]]] = {}
    told: dict[str, dict[str, int]] = {}
    for recording in report.recordings():
        for _, segment in sorted(recording.segments.items()):
            recorded.setdefault(segment.boot, {}).setdefault(recording.id, []).append(segment)
        for record in recording.told():
            last = told.setdefault(record.boot, {})
            last[recording.id] = max(record.seq, last.get(recording.id, 0))
    return recorded, told


def _judge_lists(report: Report) -> None:
    """A list of somebody else revokes nothing; who gave it must not think that it was of use."""
    chains = [session.chain for session in report.reader.sessions.values() if session.chain]
    issuers = {issuer for chain in chains for issuer in chain.certificates[1:]}
    for one in report.revocations.lists:
        if not any(map(one.is_by, issuers)):
            name = one.crl.issuer.rfc4514_string()
            _note(report, "foreign", name, "a revocation list by nobody who stands above this camera's keys")


def _judge_recorded(
    report: Report, recorded: Mapping[str, list[SegmentAccount]], revoked: Sequence[Revocation]
) -> None:
    first = _first(revoked)
    for name, segments in recorded.items():
        recording = report.account.recordings[name]
        proofs = {one.index: _proof(report.times[name, one.index].not_after, revoked) for one in segments}
        for index in [index for index, proof in proofs.items() if proof is None]:
            report.distrusted.add((name, index))
            where, footage = records.segment_path(name, index), report.timeline(recording).footage(index)
            message = f"{first}; nothing proves that this segment is older"
            report.find(Finding(_STEP, "revoked", where, message, Attack.REVOKED_KEY, name, index, footage))
        if proven := {index: proof for index, proof in proofs.items() if proof is not None}:
            message = f"{first}; made before, not after {max(proven.values())}: {_ranges(list(proven))}"
            _note(report, "revoked", name, message)


def _judge_told(report: Report, boot: Record, told: Mapping[str, int], revoked: Sequence[Revocation]) -> None:
    """What a boot told of a recording that others made: its end, a gap's cause, what was cut. A thief can tell too."""
    first, where = _first(revoked), f"boot {boot.boot}"
    for name, seq in told.items():
        proof = _proof(sorted(report.bounds.held(seq)), revoked)
        if proof is None:
            message = f"{first}; nothing proves that what this boot tells of {name} is older"
            report.find(Finding(_STEP, "revoked", where, message, Attack.REVOKED_KEY, name))
        else:
            _note(report, "revoked", where, f"{first}; told before, not after {proof}: {name}")


def _first(revoked: Sequence[Revocation]) -> Revocation:
    return min(revoked, key=lambda one: one.entry.since)


def _proof(bounds: Iterable[Bound], revoked: Sequence[Revocation]) -> Bound | None:
    """Who proves that something is older than the revocation. An agency's own word ends with its issuing key."""
    since_ms = int(_first(revoked).entry.since.timestamp() * 1000)
    foreign = any(one.role is Role.ISSUING for one in revoked)
    return next((one for one in bounds if one.ms < since_ms and (one.by == AUTHORITY or not foreign)), None)


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
