"""Records that contradict each other, and what the office signed. Read `pictures` first."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from evidence import jose, pki, records, report
from evidence.agreement import disagreements
from evidence.documents import Receipt
from evidence.pki import Role
from tests.evidence_builder import Camera
from tests.evidence_keys import AGENCY, FIRST, LAST, Agency
from tests.pictures import JOURNAL, camera, findings, path, picture, verify

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
        ("gap", {"min_ms": 9, "max_ms": 8}, "8:altered"),
        ("gap", {"after_part": 9}, "6:altered"),
        ("gap", {"before_part": 1}, "8:altered"),
        ("fragment", {"to_ns": 0}, "7:altered"),
        ("fragment", {"from_ns": 2**63 - 1}, "7:altered"),
        ("segment", {"file_size": 1}, "7:altered"),
        ("segment", {"recipients": ["00" * 32]}, "7:altered"),
        ("recording_started", {"resumed": True}, "6:altered"),
        ("recording_started", {"recording": "00000000-1"}, "6:altered"),
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


def test_a_segment_that_its_late_record_says_was_never_written() -> None:
    """A late record with `file_size` 0 explains a file that is not here: not one whose bytes were attested."""
    made = rewritten("segment", file_size=0)
    del made.files[path(made, 1)]
    found = verify(made.files)
    assert (picture(found)[1], "7:altered" in findings(found)) == ("t", True)


def test_a_gap_that_says_no_clock_ran_over_it_though_one_did() -> None:
    """Its bounds could be anything: on one clock they are exact."""

    class Crashed(Camera):
        def line(self, of: str, body: Any) -> records.Record:
            return super().line(of, {**body, "kernel_boot": "11" * 16} if of == "boot" else body)

    made = Crashed()
    made.boot()
    made.record("TS")
    assert findings(verify(made.files)) == "8:altered"


def hole(part: int, last_ns: int, first_ns: int) -> Camera:
    """Half a second is lost between two segments, and a gap record names two times as a hole in a part."""
    made = Camera()
    made.boot()
    made.start()
    last = made.segment().fragments[-1]["to_ns"]
    made.sequence += 1
    first = made.segment().fragments[0]["from_ns"]
    ends = {"last_ns": last + last_ns, "first_ns": first + first_ns}
    length = max(0, ends["first_ns"] - ends["last_ns"]) // 1_000_000
    gap = {"recording": made.recording, "after_part": part, "before_part": part, "cause": "crash", "same_clock": True}
    made.line("gap", {**gap, **ends, "min_ms": length, "max_ms": length})
    made.stop()
    return made


@pytest.mark.parametrize(
    ("part", "last_ns", "first_ns", "found"),
    [
        (1, 0, 0, ""),
        (1, 1, 0, "8:unaccounted"),
        (2, 0, 0, "6:altered 8:unaccounted"),
        (1, 2**40, 0, "8:altered 8:unaccounted"),
    ],
)
def test_a_hole_explained_by_a_gap_elsewhere(part: int, last_ns: int, first_ns: int, found: str) -> None:
    assert findings(verify(hole(part, last_ns, first_ns).files)) == found


@pytest.mark.parametrize("gap_seq", [0, 2**63 - 1])
def test_a_reason_for_a_gap_that_is_not_there(gap_seq: int) -> None:
    made = Camera()
    made.boot()
    made.start()
    made.segment()
    reason = {"gap_seq": gap_seq, "basis": "chosen", "from_ns": 1, "to_ns": 2}
    made.line("gap_reason", {"recording": made.recording, **reason})
    assert findings(verify(made.files)) == "6:altered"


def test_a_notice_that_an_uncertified_boot_adds_to_a_certified_recording() -> None:
    made = camera("S")
    made.boot(signed=False)
    notice = {"attempt": 1, "heard": True, "score_permille": 999, "from_ns": 1, "to_ns": 2}
    made.line("notice", {"recording": made.recording, **notice})
    found = verify(made.files)
    told = report.to_json(found)["recordings"][0]
    assert (findings(found), told["notice_heard"], told["key"]["certified"]) == ("2:unsigned", True, False)


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
        ({"office": "OFFICE-2"}, "10:foreign"),
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


def test_the_office_backdates_a_receipt() -> None:
    """Its own anchor, which the camera signed into the chain before it began to record, says otherwise."""
    made = Camera()
    made.boot()
    made.anchor()
    made.start()
    made.segment()
    text = made.receipt(made.recording, 0, received="2026-11-23T12:00:00.000Z")
    made.files[records.receipt_path(made.recording, 0)] = text.encode()
    made.stop()
    assert findings(verify(made.files)) == "10:altered"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"head": "00" * 32}, "10:altered"),
        ({"head_seq": 5}, "10:altered"),
        ({"device": "BWC-0002"}, "10:foreign"),
        ({"utc": "2037-01-01T00:00:00.000Z"}, "10:altered"),
        ({"office": "OFFICE-2"}, "10:foreign"),
    ],
)
def test_anchor_over_another_chain(changed: dict[str, Any], said: str) -> None:
    made = Camera()
    made.boot()
    made.anchor(**changed)
    assert findings(verify(made.files)) == said


def certified(role: Role, name: str, own: str, by: x509.Certificate, by_key: str) -> x509.Certificate:
    subject, public = pki.subject(role, name, "示例执法局"), AGENCY.key(own).public_key()
    return pki._make(role, subject, public, by, AGENCY.key(by_key), (FIRST, LAST))


@pytest.mark.parametrize(
    ("role", "name", "own", "by"),
    [
        (Role.DOCK, "DOCK-1", "link", "issuing"),
        (Role.CAMERA, "BWC-0001", "link", "issuing"),
        (Role.OFFICE, "OFFICE-1", "link", "issuing"),
        (Role.SIGNER, "OFFICE-1", "forged", "evidence BWC-0666"),
        (Role.ISSUING, "AGENCY-1", "forged", "evidence BWC-0666"),
    ],
)
def test_a_receipt_signed_by_a_key_that_is_no_signers(role: Role, name: str, own: str, by: str) -> None:
    """A key of a link, or what another camera's evidence key would certify, gives up no segment."""
    issuer = AGENCY.issuing if by == "issuing" else AGENCY.evidence("BWC-0666")
    made = camera("SS")
    genuine = Receipt.from_payload(jose.parse(made.receipt(made.recording, 0), Receipt.TYP).payload)
    forged = genuine.sign(AGENCY.key(own), AGENCY.kid(own))
    chain = pki.to_pem(certified(role, name, own, issuer, by), issuer, AGENCY.issuing)
    files = {**made.files, "certs/forged.pem": chain, records.receipt_path(made.recording, 0): forged.encode()}
    del files[path(made, 0)]
    found = verify(files)
    assert (picture(found), findings(found)) == ("mi", "10:altered 9:missing")


def test_a_renewed_certificate_of_one_key_does_not_disown_what_was_signed_before() -> None:
    made = camera("HS")
    late = (datetime(2035, 1, 1, tzinfo=UTC), LAST)
    subject, public = pki.subject(Role.SIGNER, "OFFICE-1", "示例执法局"), AGENCY.key("signer").public_key()
    renewed = pki._make(Role.SIGNER, subject, public, AGENCY.issuing, AGENCY.key("issuing"), late)
    assert verify({**made.files, "certs/z.pem": pki.to_pem(renewed)}).ok


def test_a_flood_of_certificates_is_not_read() -> None:
    made = camera("S")
    found = verify({**made.files, "certs/flood.pem": pki.to_pem(AGENCY.issuing) * 2_000})
    assert (found.ok, [note.where for note in found.notes if note.step == 10]) == (True, ["certs/flood.pem"])


def test_a_receipt_with_something_around_it() -> None:
    made = camera("SS")
    assert findings(verify(with_receipt(made.receipt(made.recording, 0) + "\n"))) == "10:altered"


def test_certificates_that_are_not_here_to_help() -> None:
    files = {**camera("S").files, "certs/noise.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}
    found = verify(files)
    assert (found.ok, [note.where for note in found.notes if note.step == 10]) == (True, ["certs/noise.pem"])


@pytest.mark.parametrize("kind", ["fragment", "segment"])
def test_a_boot_that_nobody_certified_tells_of_a_segment_in_another_boots_part(kind: str) -> None:
    """Whoever carries a journal can go on with it so: it is a contradiction, and no end of the verifier."""
    made = Camera()
    made.boot()
    made.record("S", stop=False)
    told = next(dict(record.body) for record in made.records if record.kind == kind)
    made.boot(signed=False)
    made.line(kind, {**told, "segment": 1})
    found = verify(made.files)
    assert (picture(found), findings(found)) == ("i", "2:unsigned 6:altered")


def test_as_many_gaps_as_segments_are_not_held_against_each_other() -> None:
    """Anybody can append a boot that tells of thousands of both: twice as many take twice as long."""
    once = camera("ST").records
    told = {record.kind: dict(record.body) for record in once if record.kind in ("fragment", "gap", "segment")}

    def seconds(count: int) -> float:
        made = Camera()
        made.boot(signed=False)
        made.start()
        own = {"recording": made.recording, "part": 1}
        none = dict.fromkeys(("fragments", "frames", "samples", "plain_len", "attested_len", "file_size", "stanzas"), 0)
        for number in range(count):
            made.line("fragment", {**told["fragment"], **own, "segment": number})
            made.line("gap", {**told["gap"], "recording": made.recording})
            made.line("segment", {**told["segment"], **own, **none, "closed": False, "segment": count + number})
        found = verify(made.files)

        def turn() -> float:
            began = time.process_time()
            list(disagreements(found.account))
            report.to_json(found)
            return time.process_time() - began

        return min(turn() for _ in range(5))  # the first may meet the collector of garbage

    assert seconds(1_600) < 8 * seconds(400), "four times as many take four times as long, and not sixteen"
