"""Attacks as pictures: what was recorded, the verdict beneath it, and what the verifier names.

    recorded   "STSS S"    recordings of one boot and as many more as it has cuts; letters as in `evidence_builder`
    verdict    "it_ai i"   i intact, t truncated, a altered, m missing, r released, u unsigned, x revoked; _ a told gap
    named      "9 edited 2 @1.0-1.5"   step, attack, segment, and its seconds in the film; of several, one each line

An attacker has the bytes of the camera's disk, and whatever keys his attack is about: he makes hashes, signatures and
encryption right again wherever his keys let him.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from evidence import age, jose, pki, records
from evidence.finding import Finding
from evidence.pki import Role
from evidence.records import Record
from evidence.report import Head, Report
from evidence.verify import Verifier
from tests import evidence_keys as keys
from tests.evidence_builder import Camera, MemoryFolder
from tests.evidence_keys import AGENCY, FIRST, LAST, Agency
from tests.pictures import letter, path

Do = Callable[[Camera], None]


@dataclass(frozen=True)
class Attack:
    """What is done to what was recorded, and what is then said: above."""

    recorded: str
    verdict: str
    named: str
    do: Do
    opened: str | None = None  # what is named if the office's identity is at hand, where that is more


def check(attack: Attack, *, opened: bool = False) -> Report:
    """Untouched, nothing is wrong; attacked, it is drawn and named as the picture says."""
    made = record(attack.recorded)
    assert judge(made.files, opened=opened).ok
    attack.do(made)
    found = judge(made.files, opened=opened)
    expected = attack.opened if opened and attack.opened else attack.named
    assert (drawn(found), named(found), found.ok) == (attack.verdict, expected, False)
    return found


def record(story: str, **how: Any) -> Camera:
    """A camera that docked, had the office's time, recorded each word of the story, and was switched off."""
    made = Camera(**how)
    made.boot()
    made.anchor()
    for word in story.split():
        made.record(word)
    made.line("shutdown", {"clean": True})
    return made


def judge(files: dict[str, bytes], *, opened: bool = False, heads: Iterable[Record] = ()) -> Report:
    """The verifier's report; `opened`: with the office's identity; `heads`: records that the office, or a dock, has."""
    held = [Head(record.seq, record.sha256) for record in heads]
    identity = keys.identity("office") if opened else None
    return Verifier(MemoryFolder(files), [AGENCY.root], identity, heads=held).run()


def drawn(found: Report) -> str:
    """The verdict on each segment, in the order of recordings and parts."""
    return " ".join(
        "_".join(
            "".join(letter(found.segments[recording.id, segment.index]) for segment in recording.part_segments(part))
            for part in sorted(recording.parts)
        )
        for recording in found.recordings()
    )


def named(found: Report) -> str:
    """What is wrong, a line for each finding."""
    assert all(note.attack is None for note in found.notes)
    return "\n".join(_named(finding) for finding in found.findings)


def _named(finding: Finding) -> str:
    assert finding.attack is not None
    words = [str(finding.step), str(finding.attack)]
    words += [] if finding.segment is None else [str(finding.segment)]
    if (footage := finding.footage) is not None:
        words.append(f"@{footage.from_ms / 1000}-" + ("" if footage.to_ms is None else str(footage.to_ms / 1000)))
    return " ".join(words)


# --- What attackers do -----------------------------------------------------------------------------------------------


def lines(made: Camera, file: int = 0) -> list[bytes]:
    return made.files[records.journal_path(file)].splitlines(keepends=True)


def put_lines(made: Camera, new: Iterable[bytes], file: int = 0) -> None:
    made.files[records.journal_path(file)] = b"".join(new)


def number_of(made: Camera, kind: str, nth: int = 0) -> int:
    """The number of the `nth` record of a kind."""
    return [record.seq for record in made.records if record.kind == kind][nth]


def headed(line: bytes, header: bytes) -> bytes:
    """The line under another header, its signature as it was."""
    _, payload, signature = line.split(b".")
    return b".".join([jose.b64(header).encode(), payload, signature])


def signed(made: Camera, payload: dict[str, Any], key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """A line that the session's own key signed, or whose maker says so."""
    own, kid = keys.key(made.session_key), keys.kid(made.session_key)
    text = jose.sign(jose.dump_json(payload), key or own, records.TYP, kid, deterministic=True)
    return text.encode() + b"\n"


def payload_of(record: Record) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(record.jws.payload)
    return payload


def cut_back(made: Camera, seq: int) -> None:
    """Forget every record from a number on, all files of segments that no record names any more, and what follows."""
    left = [made.records[n] for n in range(seq)]
    made.records = left
    for file in sorted(name for name in made.files if name.startswith("journal/")):
        kept = [line for line in made.files[file].splitlines(keepends=True) if records.parse(line.strip()).seq < seq]
        made.files[file] = b"".join(kept)
    made.files = {name: data for name, data in made.files.items() if data or not name.startswith("journal/")}
    told = {
        records.segment_path(record.body["recording"], record.body["segment"])
        for record in left
        if record.kind == "fragment"
    }
    made.files = {name: data for name, data in made.files.items() if not name.startswith("segments/") or name in told}
    made.file = max(int(name[8:16]) for name in made.files if name.startswith("journal/"))


def decrypted(made: Camera, segment: int) -> bytes:
    return age.open_file(made.files[path(made, segment)], keys.identity("office")).plain


def encrypted(plain: bytes, recipients: list[str] | None = None, seed: str = "anew") -> bytes:
    """A whole file as a camera would write it: for the same recipients, so that the office notices nothing."""
    writer = age.Encryptor(recipients or keys.recipients(), keys.Stream(seed))
    whole = len(plain) // age.CHUNK * age.CHUNK
    return writer.header + bytes(writer.seal(plain[:whole])) + writer.finish(plain[whole:])


def cut_and_go_on(made: Camera, seq: int, agency: Agency = AGENCY) -> None:
    """Forget what the camera recorded from `seq` on, and record something else in its stead."""
    cut_back(made, seq)
    made.agency = agency
    made.boot()
    made.record("SS")


def link_certificate(name: str, role: Role = Role.CAMERA) -> x509.Certificate:
    subject, public = pki.subject(role, name, "示例执法局"), AGENCY.key("link").public_key()
    return pki._make(role, subject, public, AGENCY.issuing, AGENCY.key("issuing"), (FIRST, LAST))
