"""Records that contradict each other, and what the office signed. Read `pictures` first."""

from __future__ import annotations

from typing import Any

import pytest

from evidence import records, report
from tests.evidence_builder import Camera
from tests.evidence_keys import Agency
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
