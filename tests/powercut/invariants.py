"""The numbered invariants of the specification, §11, each with the function that judges it after a life.

Nearly all by other means than the product's: files are hashed, decrypted and parsed again by `reading`. Each yields
what is wrong, in words.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from evidence.report import Report
from evidence.verify import Verifier
from runtime.folder import DiskFolder
from tests.camera_rig import BLOCK, FRAME, SPS
from tests.powercut import reading
from tests.powercut.life import Life
from tests.powercut.reading import Evidence, Line, Opened

_IDLE = ["boot", "armed", "shutdown"]  # what a start without a recording writes
_ROUNDED_MS = 2  # two claims of UTC, each in whole milliseconds
_ASK_AGAIN = 8  # one life in so many: the verifier costs more than all else
_VIDEO, _SOUND = 1, 2
_OFF_NS = 1_100_000_000  # where sound was lost and came back, it finds its place within a second (`SoundClock`)
_TICKS = {_VIDEO: 1_000_000, _SOUND: 48_000}


@dataclass
class Aftermath:
    """What a life left, read once. `again`: the journal after one more start, without a recording."""

    life: Life
    evidence: Evidence
    report: Report
    again: Evidence
    once_more: Report | None  # the verifier's, of a few lives
    opened: dict[tuple[str, int], Opened] = field(default_factory=dict)
    plain: dict[tuple[str, int], bytes] = field(default_factory=dict)  # what is attested, and all that decrypts

    def __post_init__(self) -> None:
        for key, lines in self.evidence.fragments().items():
            path = self.evidence.segment_path(*key)
            if path.exists():
                data = path.read_bytes()
                found = self.life.parties.key.open(data)
                if found is not None:
                    self.opened[key] = found
                    self.plain[key] = found.plain(data[: max(line.body["cipher_len"] for line in lines)])

    def given_up(self) -> set[tuple[str, int]]:
        """Segments that a `released` record names."""
        return {(line.body["recording"], line.body["segment"]) for line in self.evidence.of("released")}


def aftermath(life: Life) -> Aftermath:
    """Look at the camera's folder, let it start once more, and look again."""
    evidence, report = Evidence(life.machine.root), _verified(life)
    life.start_once_more()
    once_more = _verified(life) if life.plan.seed % _ASK_AGAIN == 0 else None
    return Aftermath(life, evidence, report, Evidence(life.machine.root), once_more)


def _verified(life: Life) -> Report:
    owner = life.parties.owner
    return Verifier(DiskFolder(life.machine.root), [owner.agency.root.certificate], owner.identity).run()


def no_finding(after: Aftermath) -> Iterator[str]:
    for finding in after.report.findings:
        yield f"step {finding.step} {finding.verdict} {finding.where}: {finding.message}"
    for key, verdict in after.report.segments.items():
        signing = verdict.media_signing
        if signing is not None and (signing.pictures or signing.unsigned):
            cut = {"incomplete", "absent"} if verdict.verdict == "truncated" else set()  # no signature yet
            if signing.verdict not in {"valid", *cut}:
                yield f"{key}: the signatures inside the video are {signing.verdict}"


def confirmed_is_kept(after: Aftermath) -> Iterator[str]:
    hashes = {line.seq: line.sha256 for line in after.again.lines}
    for end in after.life.ends:
        seq, sha256 = end.head
        if seq >= 0 and hashes.get(seq) != sha256:
            yield f"record {seq} of boot {end.boot[:8]} was confirmed and is not there"


def fragments_are_whole(after: Aftermath) -> Iterator[str]:
    for key, lines in after.evidence.fragments().items():
        path = after.evidence.segment_path(*key)
        if not path.exists():
            if key not in after.given_up():
                yield f"{key}: fragments are recorded, and there is no file"
            continue
        data, plain = path.read_bytes(), after.plain.get(key, b"")
        whole, opened, at = hashlib.sha256(), hashlib.sha256(), [0, 0]
        for line in lines:
            body = line.body
            whole.update(data[at[0] : body["cipher_len"]])
            end = body["plain_offset"] + body["plain_len"]
            opened.update(plain[at[1] : end])
            at = [body["cipher_len"], end]
            if len(data) < at[0] or whole.hexdigest() != body["cipher_sha256"]:
                yield f"{key} fragment {body['index']}: its bytes are not those that were signed"
            if len(plain) < at[1] or opened.hexdigest() != body["plain_sha256"]:
                yield f"{key} fragment {body['index']}: does not decrypt to what was signed"


def durable_is_untouched(after: Aftermath) -> Iterator[str]:
    given_up = {after.evidence.segment_path(*key) for key in after.given_up()}
    for number, start in enumerate(after.life.starts):
        for name, data in start.files.items():
            path = after.evidence.root / name
            if path.exists() and not path.read_bytes().startswith(data):
                yield f"{name}: bytes that start {number} found were changed or cut off"
            elif not path.exists() and path not in given_up:
                yield f"{name}: was there at start {number}, and is gone"


def one_chain(after: Aftermath) -> Iterator[str]:
    prev = "0" * 64
    for seq, line in enumerate(after.again.lines):
        if (line.seq, line.payload["prev"]) != (seq, prev):
            yield f"record {line.seq} stands where {seq} must"
            break
        prev = line.sha256
    for end in after.life.ends:
        for file, seen in end.read.items():
            if not after.again.journal.get(file, b"").startswith(seen):
                yield f"journal file {file}: a dock had read what is no longer there"
            elif after.again.torn.get(file, (len(seen),))[0] < len(seen):
                yield f"journal file {file}: a dock had read a line that is called torn now"


def one_record_a_segment(after: Aftermath) -> Iterator[str]:
    segments = after.evidence.segments()
    ended = {line.body["recording"]: line.body for line in after.evidence.of("recording_ended")}
    for line in after.evidence.of("recording_started"):
        if line.body["recording"] not in ended:
            yield f"{line.body['recording']} has not ended"
    for recording, body in ended.items():
        numbers = sorted(number for name, number in segments if name == recording)
        if numbers != list(range(body["segments"])):
            yield f"{recording}: records of segments {numbers}, and {body['segments']} were told"
    for key, lines in segments.items():
        if len(lines) != 1:
            yield f"{key} has {len(lines)} records"


def journal_is_explained(after: Aftermath) -> Iterator[str]:
    evidence = after.evidence
    ends = {line.file: line.end for line in evidence.lines}
    for file, data in evidence.journal.items():
        end, torn = ends.get(file, 0), evidence.torn.get(file)
        if torn is None:
            if end != len(data):
                yield f"journal file {file}: {len(data) - end} bytes that nobody explains"
        elif torn != (end, len(data) - end, hashlib.sha256(data[end:]).hexdigest()):
            yield f"journal file {file}: its torn tail is not the one that was declared"


def files_have_records(after: Aftermath) -> Iterator[str]:
    named = {after.evidence.segment_path(*key) for key in (*after.evidence.segments(), *after.evidence.fragments())}
    for path in (after.evidence.root / "segments").glob("*/*"):
        if path not in named:
            yield f"{path.name} is named by no record"


def time_is_accounted(after: Aftermath) -> Iterator[str]:
    evidence = after.evidence
    parts: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for _, lines in sorted(evidence.fragments().items()):
        for line in lines:
            body = line.body
            parts.setdefault((body["recording"], body["part"]), []).append((body["from_ns"], body["to_ns"]))
    started = {(line.body["recording"], line.body["part"]): line for line in evidence.of("recording_started")}
    between: dict[tuple[str, int | None], list[Line]] = {}
    inside: dict[tuple[str, int], set[tuple[int, int]]] = {}
    for line in evidence.of("gap"):
        body = line.body
        if body["after_part"] == body["before_part"]:
            inside.setdefault((body["recording"], body["after_part"]), set()).add((body["last_ns"], body["first_ns"]))
        else:
            between.setdefault((body["recording"], body["before_part"]), []).append(line)
    for part, spans in parts.items():
        yield from _part_is_whole(part, spans, inside.get(part, set()))
    for (recording, number), line in started.items():
        gaps = between.pop((recording, number), [])
        if number == 1 and not gaps:
            continue
        if number == 1 or len(gaps) != 1:
            yield f"{recording}: {len(gaps)} gaps before part {number}"
            continue
        yield from _gap_is_true(after.life, gaps[0], started[recording, number - 1], line, parts)
    for (recording, _), gaps in between.items():
        if len(gaps) != 1:
            yield f"{recording}: ends in {len(gaps)} gaps"


def _part_is_whole(part: tuple[str, int], spans: list[tuple[int, int]], holes: set[tuple[int, int]]) -> Iterator[str]:
    for (_, to_ns), (from_ns, _) in itertools.pairwise(sorted(spans)):
        if to_ns > from_ns:
            yield f"{part}: {from_ns} is recorded twice"
        if to_ns < from_ns and (to_ns, from_ns) not in holes:
            yield f"{part}: nothing tells of {to_ns} to {from_ns}"


def _gap_is_true(
    life: Life, gap: Line, before: Line, after: Line, parts: Mapping[tuple[str, int], list[tuple[int, int]]]
) -> Iterator[str]:
    body, where = gap.body, f"gap {gap.seq}"
    spans = parts.get((body["recording"], body["after_part"]))
    if spans and body["last_ns"] != max(to_ns for _, to_ns in spans):
        yield f"{where}: does not begin where part {body['after_part']} ends"
    spans = parts.get((body["recording"], after.body["part"]))
    if spans and body["first_ns"] > min(from_ns for from_ns, _ in spans):
        yield f"{where}: ends after part {after.body['part']} has begun"
    boots = {end.boot: end for end in life.ends}
    one, other = boots.get(before.payload["boot"]), boots.get(after.payload["boot"])
    if one is None or other is None:
        return  # a boot that died before anybody saw it: it confirmed nothing
    same = one.kernel_boot == other.kernel_boot
    if body["same_clock"] != same:
        yield f"{where}: same_clock is {body['same_clock']}"
    if one is other and body["cause"] in ("crash", "power_cut"):
        yield f"{where}: nothing was cut between two parts of one boot"
    if one is not other and body["cause"] != ("crash" if same else "power_cut"):
        yield f"{where}: the cause was not {body['cause']}"
    true_ms = (other.on_ns + body["first_ns"] - one.on_ns - body["last_ns"]) / 1e6
    longest = body["max_ms"] if body["max_ms"] is not None else true_ms
    if not body["min_ms"] - _ROUNDED_MS <= true_ms <= longest + _ROUNDED_MS:
        yield f"{where}: {true_ms:.0f} ms are not between {body['min_ms']} and {body['max_ms']}"


def loss_is_bounded(after: Aftermath) -> Iterator[str]:
    for loss in after.life.losses:
        if not loss.allowed:
            yield f"{loss} is more than a fragment, a picture and the commit"


def gone_with_receipt(after: Aftermath) -> Iterator[str]:
    receipts = [reading.document(line.body["receipt"]) for line in after.evidence.of("receipt")]
    held = {(one["recording"], one["segment"]): one for one in receipts}
    for key, lines in after.evidence.segments().items():
        body = lines[0].body
        if not body["file_size"] or after.evidence.segment_path(*key).exists():
            continue
        receipt = held.get(key)
        if receipt is None or (receipt["sha256"], receipt["size"]) != (body["file_sha256"], body["file_size"]):
            yield f"{key}: the file is gone without a receipt for it"


def another_start_changes_nothing(after: Aftermath) -> Iterator[str]:
    for number, start in enumerate(after.life.starts):
        if not start.agreed:
            yield f"two looks at what start {number} found disagree on the open recording"
    found = after.life.starts[-1].files
    for name, data in found.items():
        if (after.evidence.root / name).read_bytes() != data:
            yield f"{name}: a start without a recording has changed it"
    more = after.again.lines[len(after.evidence.lines) :]
    if [line.kind for line in more] != _IDLE or more[0].body["torn"] or len(after.again.journal) != more[0].file + 1:
        yield f"a start without a recording wrote {[line.kind for line in more]}"
    if after.once_more is not None:
        before = {key: verdict.verdict for key, verdict in after.report.segments.items()}
        if before != {key: verdict.verdict for key, verdict in after.once_more.segments.items()}:
            yield "a start without a recording has changed verdicts"


def time_runs_forwards(after: Aftermath) -> Iterator[str]:
    """Each track by itself, and both on the boot clock: a run stands where its fragment's record says."""
    ends: dict[tuple[str, int, int], int] = {}
    begins: dict[tuple[str, int], tuple[int, int]] = {}  # of each part: between which times, as its runs tell
    fragments = after.evidence.fragments()
    for key, plain in sorted(after.plain.items()):
        for line in fragments[key]:
            body = line.body
            part, at = (key[0], body["part"]), body["plain_offset"]
            for run in reading.runs(plain[at : at + body["plain_len"]]):
                if run.start < ends.get((*part, run.track), 0):
                    yield f"{key}: track {run.track} runs backwards, to {run.start}"
                ends[*part, run.track] = run.start + sum(run.durations)
                since = run.start * 1_000_000_000 // _TICKS[run.track]
                slack = 2_000 if run.track == _VIDEO else _OFF_NS if after.life.sound_was_lost else BLOCK + FRAME
                least, most = begins.get(part, (0, 1 << 62))
                least = max(least, body["from_ns"] - since - slack)
                begins[part] = least, min(most, body["to_ns"] - since + slack)
    for part, (least, most) in begins.items():
        if least > most:
            yield f"{part}: picture, sound and records are not on one clock"


def no_secret_is_written(after: Aftermath) -> Iterator[str]:
    life = after.life
    needles = {"a parameter set of the film": SPS[:20], "a key in PEM": b"PRIVATE KEY"}
    for number, opened in enumerate(after.opened.values()):
        needles[f"file key {number}"] = opened.file_key
    for end in life.ends:
        key = end.camera.session_key
        needles[f"session key {end.boot[:8]}"] = key.private_numbers().private_value.to_bytes(32, "big")
        needles |= {f"a still of {end.boot[:8]}": still.jpeg[3:35] for _, still in end.camera.taken[:1]}
    everything = b"".join([*(path.read_bytes() for path in after.evidence.root.rglob("*.*")), *life.written])
    for what, needle in needles.items():
        if needle in everything:
            yield f"{what} was on the disk"


def stills_are_kept(after: Aftermath) -> Iterator[str]:
    kept: list[bytes] = [jpeg for plain in after.plain.values() for jpeg in reading.stills(plain)]
    listed = [line.body["sha256"] for line in after.evidence.of("still")]
    there = {hashlib.sha256(jpeg).hexdigest() for jpeg in kept}
    gone = after.given_up() and {
        line.body["sha256"]
        for line in after.evidence.of("still")
        if (line.body["recording"], line.body["segment"]) in after.given_up()
    }
    if len(set(listed)) != len(listed) or not set(listed) <= there | set(gone):
        yield "a still is listed and not there, or twice"
    for end in after.life.ends:
        told = any(where == "still" for where, _ in end.camera.faults)
        mine = [line.body for line in after.evidence.of("fragment") if line.payload["boot"] == end.boot]
        if told or any((body["recording"], body["segment"]) in after.given_up() for body in mine):
            continue
        free = sorted(body["from_ns"] for body in mine)
        for at_ns, still in end.camera.taken:
            carrier = next((from_ns for from_ns in free if from_ns >= at_ns), None)
            if carrier is None:
                continue
            free.remove(carrier)  # one carries one: those that wait have their turn
            if kept.count(still.jpeg) != 1:
                yield f"a still of boot {end.boot[:8]} was taken by the writer and is not there"


INVARIANTS: Mapping[int, Callable[[Aftermath], Iterator[str]]] = {
    1: no_finding,
    2: confirmed_is_kept,
    3: fragments_are_whole,
    4: durable_is_untouched,
    5: one_chain,
    6: one_record_a_segment,
    7: journal_is_explained,
    8: files_have_records,
    9: time_is_accounted,
    10: loss_is_bounded,
    11: gone_with_receipt,
    12: another_start_changes_nothing,
    13: time_runs_forwards,
    14: no_secret_is_written,
    15: stills_are_kept,
}
