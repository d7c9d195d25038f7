"""Attacks on an evidence folder, as pictures: a string for what was recorded, a string for what the verifier says.

Recorded: as in `evidence_builder`. Said of each segment: i intact, t truncated, a altered, m missing, r released,
u unsigned. `step:verdict` words are the findings that must be there, and the only ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from evidence import age, jose, mp4, pki, records, report
from evidence.pki import Role
from evidence.report import Report
from evidence.verify import Verifier
from tests import evidence_builder as builder
from tests.evidence_builder import AGENCY, Agency, Camera, MemoryFolder

JOURNAL = records.journal_path(0)


def camera(story: str, *, signed: bool = True, **how: Any) -> Camera:
    """A camera that recorded the story in one boot, or as many as it has cuts."""
    made = Camera(**how)
    made.boot(signed=signed)
    made.record(story)
    made.line("shutdown", {"clean": True})
    return made


def verify(files: dict[str, bytes], identity: str | None = None, **how: Any) -> Report:
    return Verifier(MemoryFolder(files), [AGENCY.root], identity, **how).run()


def picture(found: Report) -> str:
    return "".join(verdict.verdict[0] for _, verdict in sorted(found.segments.items()))


def findings(found: Report) -> str:
    return " ".join(sorted({f"{finding.step}:{finding.verdict}" for finding in found.findings}))


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


# --- Untouched -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", [None, "office"])
@pytest.mark.parametrize(
    ("recorded", "said"),
    [("S", "i"), ("SSS", "iii"), ("STS", "iti"), ("TTS", "tti"), ("T", "t"), ("SHRTS", "iirti")],
)
def test_untouched(recorded: str, said: str, identity: str | None) -> None:
    found = verify(camera(recorded).files, identity and builder.identity(identity))
    assert (picture(found), findings(found), found.ok) == (said, "", True)


def test_what_a_cut_leaves_is_said_to_be_unaccounted() -> None:
    notes = [note.where for note in verify(camera("TS").files).notes if note.verdict == "unaccounted"]
    assert notes == ["records 2 and 3", "record 10"]


def test_a_torn_tail_may_hold_a_whole_line_that_is_no_record() -> None:
    made = Camera()
    made.boot()
    made.start()
    made.segment(cut=True)
    again = made.files[JOURNAL].split(b"\n")
    made.line("marker", {"recording": made.recording, "at_ns": 1})  # the disk refuses to make it durable ...
    line = made.files[JOURNAL].split(b"\n")[len(again) - 1] + b"\n"
    made.files[JOURNAL] = b"\n".join(again)
    made.records.pop()
    made.resume(torn=line)  # ... and its number goes to another record
    made.stop()
    assert verify(made.files).ok


def test_a_copy_need_not_hold_a_torn_tail() -> None:
    made = Camera()
    made.boot()
    made.start()
    made.segment(cut=True)
    made.resume(torn=b"eyJhb")
    made.files[JOURNAL] = made.files[JOURNAL].removesuffix(b"eyJhb")
    assert verify(made.files).ok


def test_a_segment_that_a_cut_kept_from_its_first_record() -> None:
    made = Camera()
    made.boot()
    made.record("S", stop=False)
    made.files[path(made, 1)] = b"age-encryption.org/v1"
    assert findings(verify(made.files)) == "13:unaccounted"


def test_only_one_recording_is_asked_about() -> None:
    made = Camera()
    made.boot()
    first = made.record("SS")
    other = made.record("S")
    del made.files[records.segment_path(other, 0)]
    assert findings(verify(made.files)) == "9:missing"
    found = verify(made.files, only=[first])
    assert (picture(found), found.ok) == ("ii", True)
    assert [told["recording"] for told in report.to_json(found)["recordings"]] == [first]


# --- Attacks on files ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attack:
    recorded: str
    said: str
    found: str
    do: Callable[[Camera], None]


def path(made: Camera, segment: int) -> str:
    return records.segment_path(made.recording, segment)


def flip(segment: int, offset: int) -> Callable[[Camera], None]:
    def do(made: Camera) -> None:
        made.files[path(made, segment)] = flipped(made.files[path(made, segment)], offset)

    return do


def cut(segment: int, length: int) -> Callable[[Camera], None]:
    def do(made: Camera) -> None:
        made.files[path(made, segment)] = made.files[path(made, segment)][:length]

    return do


def delete(segment: int) -> Callable[[Camera], None]:
    def do(made: Camera) -> None:
        del made.files[path(made, segment)]

    return do


def swap(one: int, other: int) -> Callable[[Camera], None]:
    def do(made: Camera) -> None:
        a, b = path(made, one), path(made, other)
        made.files[a], made.files[b] = made.files[b], made.files[a]

    return do


def append(segment: int) -> Callable[[Camera], None]:
    return lambda made: made.files.update({path(made, segment): made.files[path(made, segment)] + b"\0"})


def add_recipient(made: Camera) -> None:
    """What the office could do and nobody else: one more stanza, and the MAC made right again."""
    data = made.files[path(made, 0)]
    header = age.parse_header(data)
    file_key = age.unwrap(header, builder.identity("office"))
    stranger = age._wrap(file_key, age.recipient_of(builder.identity("stranger")), builder.Stream("wrap"))
    mac_input = header.mac_input[:-3] + stranger + b"---"
    raw = mac_input + b" " + age._b64(age._mac(file_key, mac_input)) + b"\n" + header.nonce
    made.files[path(made, 0)] = raw + data[header.size :]
    assert age.open_file(made.files[path(made, 0)], builder.identity("stranger")).complete


def encrypt_anew(made: Camera) -> None:
    """The same picture and sound under another file key: a copy, not what the camera wrote."""
    plain = age.open_file(made.files[path(made, 0)], builder.identity("office")).plain
    writer = age.Encryptor(builder.recipients(), builder.Stream("anew"))
    whole = len(plain) // age.CHUNK * age.CHUNK
    made.files[path(made, 0)] = writer.header + bytes(writer.seal(plain[:whole])) + writer.finish(plain[whole:])


def foreign(name: str) -> Callable[[Camera], None]:
    return lambda made: made.files.update({name: b"stranger"})


def from_another_camera(made: Camera) -> None:
    other = camera("SS", device="BWC-0002")
    made.files[path(made, 0)] = other.files[path(other, 0)]


FILES = {
    "first byte": Attack("SSS", "iai", "9:altered", flip(1, 0)),
    "a recipient changed": Attack("SSS", "aii", "9:altered", flip(0, 40)),
    "the nonce": Attack("SSS", "aii", "9:altered", flip(0, 270)),
    "the trailer": Attack("SSS", "iia", "9:altered", flip(2, -1 + 282 + 2 * 65552 + 24)),
    "attested bytes of a truncated one": Attack("STS", "iai", "9:altered", flip(1, 70_000)),
    "the tail of a truncated one": Attack("STS", "iai", "9:altered", flip(1, 282 + 2 * 65552 + 3)),
    "cut in a fragment": Attack("SSS", "iai", "9:altered", cut(1, 100_000)),
    "cut before the trailer": Attack("SSS", "iai", "9:altered", cut(1, 282 + 2 * 65552)),
    "a truncated one cut further": Attack("STS", "iai", "9:altered", cut(1, 282 + 65552)),
    "emptied": Attack("SSS", "iai", "9:altered", cut(1, 0)),
    "a byte added": Attack("SSS", "iai", "9:altered", append(1)),
    "swapped": Attack("SSS", "aai", "9:altered", swap(0, 1)),
    "swapped with a truncated one": Attack("STS", "aai", "9:altered", swap(0, 1)),
    "the first deleted": Attack("SSS", "mii", "9:missing", delete(0)),
    "one in the middle deleted": Attack("SSS", "imi", "9:missing", delete(1)),
    "the last deleted": Attack("SSS", "iim", "9:missing", delete(2)),
    "a handed-in one deleted": Attack("SHS", "iri", "", delete(1)),
    "a recipient added": Attack("SS", "ai", "9:altered", add_recipient),
    "encrypted anew": Attack("SS", "ai", "9:altered", encrypt_anew),
    "one of another camera": Attack("SS", "ai", "9:altered", from_another_camera),
    "a segment too many": Attack("SS", "ii", "13:foreign", lambda m: foreign(path(m, 2))(m)),
    "a recording too many": Attack("SS", "ii", "13:foreign", foreign("segments/00000000-1/00000.mp4.age")),
    "a file of no kind": Attack("SS", "ii", "13:foreign", foreign("segments/note.txt")),
    "a journal file of no kind": Attack("SS", "ii", "13:foreign", foreign("journal/00000000.jws.bak")),
}


@pytest.mark.parametrize("attack", FILES.values(), ids=FILES)
def test_attack_on_a_file(attack: Attack) -> None:
    made = camera(attack.recorded)
    attack.do(made)
    found = verify(made.files)
    assert (picture(found), findings(found), found.ok) == (attack.said, attack.found, not attack.found)


def boxes(plain: bytes) -> Iterator[tuple[str, int]]:
    """The top-level boxes and those of the `moof`, with the offset of a byte inside each."""
    position, end = 0, len(plain)
    while position < end:
        size, kind = int.from_bytes(plain[position : position + 4], "big"), plain[position + 4 : position + 8].decode()
        yield kind, position + size - 1
        position += 8 if kind in ("moof", "traf", "moov", "trak", "mdia", "minf", "stbl") else size


@pytest.mark.parametrize("identity", [None, "office"])
def test_a_byte_in_each_box_and_each_chunk(identity: str | None) -> None:
    made = Camera()
    made.boot()
    made.start()
    segment = made.segment(fragments=2)
    made.stop()
    header = age.parse_header(segment.cipher).size
    inside = list(boxes(segment.plain))
    assert {kind for kind, _ in inside} >= {"ftyp", "moov", "prft", "moof", "tfdt", "trun", "mdat", "free"}
    places = [header + at // age.CHUNK * age.CIPHER_CHUNK + at % age.CHUNK for _, at in inside]
    places += [header + n * age.CIPHER_CHUNK + age.CIPHER_CHUNK - 1 for n in range(3)]
    for place in places:
        files = {**made.files, path(made, 0): flipped(segment.cipher, place)}
        found = verify(files, identity and builder.identity(identity))
        verdict = found.segments[made.recording, 0]
        # The first fragment answers for header and init too; nothing after the last fragment is inside one.
        ends = [f["cipher_len"] for f in segment.fragments]
        assert verdict.bad_fragment == next((n for n, end in enumerate(ends) if place < end), None)
        assert (picture(found), findings(found)) == ("a", "9:altered")


# --- Attacks on the journal ------------------------------------------------------------------------------------------


def test_each_line_deleted() -> None:
    made = camera("STS")
    for file in (0, 1):
        lines = made.files[records.journal_path(file)].splitlines(keepends=True)
        for number in range(len(lines)):
            last = file == 1 and number == len(lines) - 1
            files = {**made.files, records.journal_path(file): b"".join(lines[:number] + lines[number + 1 :])}
            # The chain's end alone cannot be missed from here: that is what `unaccounted` says.
            assert verify(files).ok == last


def test_each_pair_of_lines_swapped() -> None:
    made = camera("SS")
    lines = made.files[JOURNAL].splitlines(keepends=True)
    for one in range(len(lines)):
        for other in range(one):
            swapped = list(lines)
            swapped[one], swapped[other] = swapped[other], swapped[one]
            assert not verify({**made.files, JOURNAL: b"".join(swapped)}).ok


def test_each_line_doubled() -> None:
    made = camera("S")
    lines = made.files[JOURNAL].splitlines(keepends=True)
    for number, line in enumerate(lines):
        doubled = b"".join([*lines[:number], line, *lines[number:]])
        step = 2 if number == 0 else 4  # a file opens once
        assert findings(verify({**made.files, JOURNAL: doubled})).endswith(f"{step}:altered")


def small() -> Camera:
    made = Camera()
    made.boot()
    made.record("H")
    made.line("shutdown", {"clean": True})
    assert made.files[JOURNAL].count(b"\n") == 7
    return made


def assert_each_flip_is_named(name: str, *, every: int) -> None:
    made = small()
    target = next(path for path in made.files if path.startswith(name))
    data = made.files[target]
    lines = [at for at, byte in enumerate(data) if byte in b".\n"]
    for offset in sorted({*range(0, len(data), every), *lines, len(data) - 1}):
        for bit in (0x01, 0x20, 0x80):
            spoiled = data[:offset] + bytes([data[offset] ^ bit]) + data[offset + 1 :]
            found = verify({**made.files, target: spoiled})
            assert not found.ok, f"byte {offset} ^ {bit} of {target}"
            assert any(finding.where.startswith(target) for finding in found.findings)


def test_some_bytes_of_a_journal_flipped() -> None:
    assert_each_flip_is_named("journal/", every=61)


def test_some_bytes_of_a_receipt_flipped() -> None:
    assert_each_flip_is_named("receipts/", every=7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal/", "receipts/"])
def test_every_byte_flipped(name: str) -> None:
    assert_each_flip_is_named(name, every=1)


def sign_instead(made: Camera, number: int, **members: Any) -> None:
    """Put another line in the place of a line, signed by the session's own key, and end the journal there."""
    lines = made.files[JOURNAL].splitlines()
    payload = json.loads(made.records[number].jws.payload)
    private, kid = builder.key(made.session_key), builder.kid(made.session_key)
    text = jose.sign(jose.dump_json({**payload, **members}), private, records.TYP, kid, deterministic=True)
    made.files[JOURNAL] = b"".join(line + b"\n" for line in [*lines[:number], text.encode()])


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"v": 2}, "1:unknown version"),
        ({"kind": "footnote"}, "1:altered"),
        ({"body": {"recording": "00000000-1", "at_ns": 1, "more": 1}}, "1:altered"),
        ({"boot": "00" * 16}, "2:altered"),
        ({"seq": 4}, "4:altered"),
        ({"prev": "00" * 32}, "4:altered"),
        ({"device": "BWC-0002"}, "4:foreign"),
        ({"clock": {"boot_ns": 0, "utc": "2026-11-24T06:00:00.000Z", "source": "dock", "error_ms": 1}}, "4:altered"),
    ],
)
def test_a_line_that_the_session_key_signed_and_must_not_have(members: dict[str, Any], found: str) -> None:
    made = Camera()
    made.boot()
    for _ in range(3):
        made.line("docked", {"docked": True})
    sign_instead(made, 2, **members)
    assert findings(verify(made.files)) == found


def test_a_line_longer_than_a_line() -> None:
    made = small()
    made.files[JOURNAL] += b"A" * (jose.LINE_LIMIT + 1) + b"\n"
    assert findings(verify(made.files)) == "1:altered"


def test_a_file_longer_than_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    made = small()
    monkeypatch.setattr(records, "FILE_LIMIT", len(made.files[JOURNAL]) - 1)
    assert "1:altered" in findings(verify(made.files))


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_downgrade_to_a_key_that_nothing_certifies() -> None:
    found = verify(camera("SS", signed=False).files)
    assert (picture(found), findings(found)) == ("uu", "2:unsigned")
    assert report.to_json(found)["recordings"][0]["key"] == {
        "certified": False, "store": "none", "valid_from": None, "valid_to": None,
    }  # fmt: skip


def test_another_agency_of_the_same_name() -> None:
    found = verify(camera("S", agency=Agency("another")).files)
    assert findings(found).startswith("13:foreign 2:foreign")


class Thief(Agency):
    """Holds another camera's evidence key, and lets it certify sessions of a camera it was not made for."""

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        return super().session(device.replace("0001", "0666"), boot, session_key)


def test_session_certified_by_another_cameras_key() -> None:
    assert "2:foreign" in findings(verify(camera("S", agency=Thief()).files))


class Impostor(Agency):
    """Certifies a session in the name of another camera with an evidence key that is not that camera's."""

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        evidence = self.evidence("BWC-0666")
        return [
            pki._make(
                Role.SESSION, pki.subject(Role.SESSION, device, "示例执法局"), builder.key(session_key).public_key(),
                evidence, self.key("evidence BWC-0666"), (builder.FIRST, builder.LAST), serial=int(boot, 16),
                rfc6979=True,
            ),
            evidence,
            self.issuing,
        ]  # fmt: skip


def test_evidence_key_certifies_in_anothers_name() -> None:
    assert "2:altered" in findings(verify(camera("S", agency=Impostor()).files))


class Replay(Agency):
    """Brings the certificate of an earlier boot's session."""

    def session(self, device: str, boot: str, session_key: str) -> list[x509.Certificate]:
        return super().session(device, boot[::-1], session_key)


def test_session_certificate_of_another_boot() -> None:
    assert "2:foreign" in findings(verify(camera("S", agency=Replay()).files))


@pytest.mark.parametrize("signed", [True, False], ids=["certified", "not certified"])
def test_summary_with_another_key(signed: bool) -> None:
    made = Camera()
    made.boot()
    made.signed = signed
    made.session_key = "agency session BWC-0001 99"
    spare = Camera()
    spare.boot()
    made._chain._key, made._chain._kid = builder.key(made.session_key), builder.kid(made.session_key)
    made.summary()
    assert findings(verify(made.files)) == "2:altered"


# --- Torn tails ------------------------------------------------------------------------------------------------------


def torn(tail: bytes) -> Camera:
    made = Camera()
    made.boot()
    made.start()
    made.segment(cut=True)
    made.resume(torn=tail)
    made.stop()
    return made


@pytest.mark.parametrize("attack", [lambda t: t[:-1], lambda t: t + b"A", lambda t: b"B" + t[1:], lambda t: t + b"\n"])
def test_torn_tail_altered(attack: Callable[[bytes], bytes]) -> None:
    made = torn(b"eyJhbGciOi")
    assert verify(made.files).ok
    made.files[JOURNAL] = made.files[JOURNAL].removesuffix(b"eyJhbGciOi") + attack(b"eyJhbGciOi")
    assert findings(verify(made.files)) == "5:altered"


def test_torn_tail_that_nobody_declares() -> None:
    made = camera("TS")
    made.files[JOURNAL] += b"eyJhb"
    assert findings(verify(made.files)) == "5:altered"


def test_torn_tail_of_the_last_file_cannot_be_told_from_an_altered_line() -> None:
    made = camera("S")
    made.files[JOURNAL] += b"eyJhb"
    assert findings(verify(made.files)) == "5:unaccounted"


def test_torn_tail_declared_to_hide_a_line() -> None:
    """A forged opening in a later file cannot make the verifier skip records in silence."""
    made = camera("S")
    offset = len(made.files[JOURNAL].rpartition(b"\n")[0].rpartition(b"\n")[0]) + 1
    forger = Camera()
    forger.boot()
    forger.file = 0
    forger.records = made.records[:-1]
    forger.boot(signed=False)
    payload = json.loads(forger.records[-1].jws.payload)
    payload["body"]["torn"] = [{"file": 0, "offset": offset, "length": 1, "sha256": "00" * 32}]
    line = jose.sign(jose.dump_json(payload), builder.key("x"), records.TYP, builder.kid("x"))
    made.files[records.journal_path(1)] = line.encode() + b"\n"
    assert "2:altered" in findings(verify(made.files))


# --- What does not add up --------------------------------------------------------------------------------------------


def rewritten(kind: str, **members: Any) -> Camera:
    """A camera that lies in one record, in a chain that holds."""

    class Liar(Camera):
        def line(self, of: str, body: Any) -> records.Record:
            return super().line(of, {**body, **members} if of == kind else body)

    made = Liar()
    made.boot()
    made.record("STS")
    return made


@pytest.mark.parametrize(
    ("kind", "members", "found"),
    [
        ("fragment", {"index": 1}, "7:altered"),
        ("fragment", {"recording": "00000000-1"}, "6:altered"),
        ("segment", {"fragments": 2}, "7:altered"),
        ("segment", {"frames": 11}, "7:altered"),
        ("segment", {"to_ns": 1}, "7:altered"),
        ("segment", {"attested_sha256": "00" * 32}, "7:altered"),
        ("gap", {"last_ns": 1}, "8:unaccounted"),
        ("gap", {"first_ns": 1}, "8:unaccounted"),
        ("gap", {"before_part": 3}, "8:unaccounted"),
        ("gap", {"same_clock": True}, "8:altered"),
        ("recording_started", {"part": 1}, "6:altered"),
    ],
)
def test_records_that_contradict_each_other(kind: str, members: dict[str, Any], found: str) -> None:
    assert set(found.split()) <= set(findings(verify(rewritten(kind, **members).files)).split())


def test_time_that_no_record_tells_of() -> None:
    made = Camera()
    made.boot()
    made.start()
    made.segment()
    made.sequence += 1  # half a second goes by in silence
    made.segment()
    made.stop()
    assert findings(verify(made.files)) == "8:unaccounted"


def test_time_inside_a_segment_that_no_record_tells_of() -> None:
    made = Camera()
    made.boot()
    made.start()
    segment = made.segment(cut=True, tail=b"")
    made.sequence += 1
    made.fragment(segment)
    made.files[path(made, 0)] = segment.cipher
    made.close(segment, closed=False)
    assert findings(verify(made.files)) == "7:unaccounted"


def test_recording_that_goes_on_after_its_end() -> None:
    made = camera("S")
    made.begin_part(resumed=True)
    assert "6:altered" in findings(verify(made.files))


# --- What the office signed ------------------------------------------------------------------------------------------


def with_receipt(text: str, at: int = 0) -> dict[str, bytes]:
    made = camera("SS")
    return {**made.files, records.receipt_path(made.recording, at): text.encode()}


def test_receipt() -> None:
    made = camera("SS")
    found = verify(with_receipt(made.receipt(made.recording, 0)))
    assert (found.ok, list(found.receipts)) == (True, [(made.recording, 0)])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"device": "BWC-0002"}, "10:foreign"),
        ({"segment": 1}, "10:foreign"),
        ({"recording": "00000000-1"}, "10:foreign"),
        ({"sha256": "00" * 32}, "10:altered"),
        ({"size": 1}, "10:altered"),
        ({"received": "2037-01-01T00:00:00.000Z"}, "10:altered"),
    ],
)
def test_receipt_that_is_not_for_this(changed: dict[str, Any], said: str) -> None:
    made = camera("SS")
    assert findings(verify(with_receipt(made.receipt(made.recording, 0, **changed)))) == said


def test_receipt_for_a_segment_whose_records_are_cut_off() -> None:
    made = camera("SS")
    text = made.receipt(made.recording, 1)
    lines = made.files[JOURNAL].splitlines(keepends=True)
    made.files[JOURNAL] = b"".join(lines[:4])
    del made.files[path(made, 1)]
    made.files[records.receipt_path(made.recording, 1)] = text.encode()
    assert findings(verify(made.files)) == "10:missing"


def test_receipt_of_another_cameras_folder() -> None:
    other = camera("SS", device="BWC-0002")
    assert findings(verify(with_receipt(other.receipt(other.recording, 0)))) == "10:foreign"


def test_receipt_of_another_office() -> None:
    made = camera("SS", agency=Agency("another"))
    assert findings(verify(with_receipt(made.receipt(made.recording, 0)))) == "10:altered"


def test_anchor_passed_off_as_a_receipt() -> None:
    made = Camera()
    made.boot()
    assert findings(verify(with_receipt(made.anchor().body["anchor"]))) == "10:altered"


def test_given_up_without_a_receipt() -> None:
    made = Camera()
    made.boot()
    made.start()
    made.segment()
    made.line("released", {"recording": made.recording, "segment": 0, "receipt_sha256": "00" * 32})
    del made.files[path(made, 0)]
    found = verify(made.files)
    assert (picture(found), findings(found)) == ("m", "10:missing")


def test_given_up_and_the_office_certificate_taken_away() -> None:
    made = camera("SR")
    del made.files["certs/signer.pem"]
    found = verify(made.files)
    assert (picture(found), findings(found)) == ("im", "10:altered 10:missing")


def test_time_is_told_between_the_office_words() -> None:
    made = Camera()
    made.boot()
    made.anchor(utc="2026-11-24T06:00:10.000Z", error_ms=20)
    made.record("H")
    told = report.to_json(verify(made.files))["recordings"][0]["time"]
    assert told["not_before"] == "2026-11-24T06:00:09.980Z"
    assert told["not_after"] == verify(made.files).receipts[made.recording, 0].received
    made.anchor(utc="2026-11-24T06:00:30.000Z", error_ms=20)
    assert report.to_json(verify(made.files))["recordings"][0]["time"]["not_after"] == "2026-11-24T06:00:30.020Z"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"head": "00" * 32}, "10:altered"),
        ({"head_seq": 5}, "10:altered"),
        ({"device": "BWC-0002"}, "10:foreign"),
        ({"utc": "2037-01-01T00:00:00.000Z"}, "10:altered"),
    ],
)
def test_anchor_over_another_chain(changed: dict[str, Any], said: str) -> None:
    made = Camera()
    made.boot()
    made.anchor(**changed)
    assert findings(verify(made.files)) == said


def test_certificates_that_are_not_here_to_help() -> None:
    files = {**camera("S").files, "certs/noise.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}
    found = verify(files)
    assert (found.ok, [note.where for note in found.notes if note.step == 10]) == (True, ["certs/noise.pem"])


# --- With the key ----------------------------------------------------------------------------------------------------


def test_a_key_that_is_not_among_the_recipients() -> None:
    assert findings(verify(camera("S").files, builder.identity("stranger"))) == "12:altered"


def test_a_camera_that_signed_other_pictures_than_it_wrote() -> None:
    """Ciphertext as signed, yet not what the records say is in it: only the key shows it."""

    class Liar(Camera):
        def line(self, kind: str, body: Any) -> records.Record:
            return super().line(kind, {**body, "plain_sha256": "00" * 32} if kind == "fragment" else body)

    made = Liar()
    made.boot()
    made.start()
    made.segment(cut=True)
    made.stop()
    assert verify(made.files).ok
    assert findings(verify(made.files, builder.identity("office"))) == "12:altered"


def test_a_trailer_that_is_another_box() -> None:
    made = Camera()
    made.boot()
    made.start()
    real, mp4.TRAILER = mp4.TRAILER, b"\0\0\0\x08skip"
    try:
        made.segment()
    finally:
        mp4.TRAILER = real
    assert findings(verify(made.files, builder.identity("office"))) == "12:altered"


# --- Other -----------------------------------------------------------------------------------------------------------


def test_nothing_there() -> None:
    assert findings(verify({})) == "1:missing"


def test_dates_do_not_decide_about_trust() -> None:
    """A folder is read years later: the certificates have ended, and the signatures hold."""
    assert datetime.now(UTC) > builder.FIRST
    told = report.to_json(verify(camera("S").files))["recordings"][0]["key"]
    assert (told["valid_from"], told["valid_to"]) == ("2026-01-01T00:00:00.000Z", "2036-01-01T00:00:00.000Z")


def test_the_cipher_is_the_one_the_specification_names() -> None:
    made = camera("S")
    data = made.files[path(made, 0)]
    header = age.parse_header(data)
    key = age._hkdf(age.unwrap(header, builder.identity("recovery")), header.nonce, b"payload")
    chunk = ChaCha20Poly1305(key).decrypt(bytes(12), data[header.size : header.size + age.CIPHER_CHUNK], None)
    assert chunk == builder.media_init()
