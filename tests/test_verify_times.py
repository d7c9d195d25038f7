"""The time sandwich: what anchors, receipts, the office's log and stamps prove, and clocks and logs that lie."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evidence import office_log, records
from evidence.pki import Role
from evidence.report import Report, to_json
from tests.agency import Agency, Holder, rebuild
from tests.evidence_builder import MS, Camera
from tests.office_log_kit import OfficeLogCopy
from tests.pictures import findings, picture, verify

DAY_MS = 86_400_000


@pytest.fixture
def copy() -> OfficeLogCopy:
    """Docked once, then a recording of two segments, both handed in; the head is in the office's log."""
    made = Camera()
    made.boot()
    made.anchor()
    made.record("HH")
    made.line("shutdown", {"clean": True})
    log = OfficeLogCopy(made)
    log.ingest(0)
    log.ingest(1)
    log.head()
    return log


def told(found: Report, segment: int = 0) -> dict[str, Any]:
    time: dict[str, Any] = to_json(found)["recordings"][0]["segments"][segment]["time"]
    return time


def words(bounds: list[dict[str, str]]) -> list[str]:
    return [bound["by"] for bound in bounds]


def test_the_sandwich(copy: OfficeLogCopy) -> None:
    copy.stamp(copy.publish(), 10_000)
    found = verify(copy.made.files)
    assert (picture(found), findings(found)) == ("ii", "")
    time = told(found)
    assert words(time["not_before"]) == ["anchor"]
    assert words(time["not_after"]) == ["log", "self-stamped", "receipt"]  # the tightest first
    assert time["not_before"][0]["utc"] < time["from"]["utc"] < time["to"]["utc"] < time["not_after"][0]["utc"]
    assert time["agrees"] is True
    (stamp,) = to_json(found)["stamps"]
    assert (stamp["by"], stamp["log_size"]) == ("self-stamped", 3)
    assert stamp["authority"].startswith("CN=stamp/OFFICE-1")


def test_an_authority_that_is_not_the_agencys(copy: OfficeLogCopy) -> None:
    """Counted only by who is given its root by hand; without it, said so."""
    other = Agency(name="Time", at=datetime.fromtimestamp(copy.made.utc_ms / 1000, UTC))
    holder = other.issue(Role.STAMP, "TSA-1")
    direct = Holder(_straight(other, holder), holder.key)
    copy.stamp(copy.publish(), 10_000, direct)
    without, given = verify(copy.made.files), verify(copy.made.files, authorities=[other.root.certificate])
    assert words(told(without)["not_after"]) == ["log", "receipt"]
    assert (findings(without), findings(given)) == ("", "")
    assert any("whose root is not given" in note.message for note in without.notes)
    assert words(told(given)["not_after"]) == ["log", "authority", "receipt"]


def _straight(agency: Agency, holder: Holder) -> x509.Certificate:
    """Certified by the root itself: a token carries its signer's certificate alone."""
    return rebuild(holder.certificate, agency.root.key, issuer_name=agency.root.certificate.subject, without=(
        x509.AuthorityKeyIdentifier,
    ))  # fmt: skip


def _cut_tail(log: OfficeLogCopy) -> None:
    path = records.journal_path(0)
    lines = log.made.files[path].splitlines(keepends=True)
    log.made.files[path] = b"".join(lines[:-1])


def _no_key(log: OfficeLogCopy) -> None:
    del log.made.files[office_log.KEY]


def _edited(log: OfficeLogCopy) -> None:
    path = office_log.ingest_path(log.made.recording, 0)
    log.made.files[path] = log.made.files[path].replace(b"index 0", b"index 1")


def _swapped(log: OfficeLogCopy) -> None:
    files, (one, other) = log.made.files, (office_log.ingest_path(log.made.recording, index) for index in (0, 1))
    files[one], files[other] = files[other], files[one]


def _another_checkpoint(log: OfficeLogCopy) -> None:
    kept = log.made.files.copy()
    log.head(device="BWC-0002")
    log.publish()
    log.made.files = {**kept, office_log.checkpoint_path(3): log.made.files[office_log.checkpoint_path(4)]}


def _renamed(log: OfficeLogCopy) -> None:
    files, last = log.made.files, log.made.records[-1].seq
    files[office_log.head_path(last - 1)] = files.pop(office_log.head_path(last))


def _stranger(log: OfficeLogCopy) -> None:
    log.made.files["log/leaves.jsonl"] = b"{}\n"


@pytest.mark.parametrize(
    ("attack", "found", "said"),
    [
        (_cut_tail, "10:missing", "records are cut off"),
        (_no_key, "10:foreign", "nobody certifies"),
        (_edited, "10:altered", "log-proof"),
        (_swapped, "10:altered", "another one than the receipt names"),
        (_another_checkpoint, "10:altered", "log-checkpoint"),
        (_renamed, "10:foreign", "the log's entry is for record"),
        (_stranger, "13:foreign", "no verified record"),
    ],
)
def test_a_copy_of_the_log_that_was_tampered_with(
    copy: OfficeLogCopy, attack: Callable[[OfficeLogCopy], None], found: str, said: str
) -> None:
    copy.publish()
    attack(copy)
    report = verify(copy.made.files)
    assert findings(report) == found
    assert any(said in finding.message for finding in report.findings)


def test_a_journal_that_was_cut_within_another_recording_is_told_whichever_is_asked_about() -> None:
    made = Camera()
    made.boot()
    asked = made.record("S")
    made.record("S", stop=False)
    log = OfficeLogCopy(made)
    log.head()
    log.publish()
    _cut_tail(log)
    assert findings(verify(made.files, only=[asked])) == "10:missing"


def test_a_log_under_a_key_that_the_office_did_not_certify(copy: OfficeLogCopy) -> None:
    copy.publish(key=Ed25519PrivateKey.generate())
    assert findings(verify(copy.made.files)) == "10:altered"


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"device": "BWC-0002"}, {"error_ms": 2**62}, {"more": 1}])
def test_a_head_that_is_not_this_chains(change: dict[str, Any]) -> None:
    made = Camera()
    made.boot()
    made.record("S")
    log = OfficeLogCopy(made)
    log.head(**change)
    log.publish()
    report = verify(made.files)
    assert findings(report) == ("10:foreign" if "device" in change else "10:altered")
    assert any("fork" in finding.message for finding in report.findings) == ("sha256" in change)
    assert told(report)["not_after"] == []


def test_a_stamp_over_something_else(copy: OfficeLogCopy) -> None:
    copy.stamp(copy.publish() + b"\n", 10_000)
    report = verify(copy.made.files)
    assert findings(report) == "10:altered"
    assert "stamp-imprint" in report.findings[0].message
    assert words(told(report)["not_after"]) == ["log", "receipt"]


def test_a_stamp_older_than_what_the_office_says_was_before(copy: OfficeLogCopy) -> None:
    """An office that put its clock ahead to make the footage look younger: the authority knows better."""
    copy.stamp(copy.publish(), -DAY_MS)
    report = verify(copy.made.files)
    assert (picture(report), findings(report)) == ("ii", "10:altered")
    assert "one of these words is false" in report.findings[0].message


@pytest.mark.parametrize(
    ("moved_ms", "error_ms", "said"),
    [(-DAY_MS, 100, "the clock was backdated"), (DAY_MS, 100, "the clock was ahead"), (-DAY_MS, None, None)],
)
def test_a_clock_that_tells_another_day(moved_ms: int, error_ms: int | None, said: str | None) -> None:
    made = Camera()
    made.boot()
    made.anchor()
    made.utc_ms += moved_ms
    made.error_ms = error_ms
    made.start()
    made.segment()
    made.utc_ms -= moved_ms
    made.error_ms = 100
    made.stop()
    made.hand_in(made.recording, 0, release=False)
    report = verify(made.files)
    assert picture(report) == "i", "what was recorded is as it was, whatever the clock said"
    assert findings(report) == ("10:contradicted" if said else "")
    assert told(report)["agrees"] is (False if said else None)
    assert not said or said in report.findings[0].message


def test_pictures_of_the_ring_are_older_than_the_anchor_in_front_of_their_records() -> None:
    made = Camera()
    made.boot()
    made.anchor()
    made.start()
    made.part_from_ns -= 1_000 * MS
    for _ in range(3):
        made.segment()
    made.stop()
    report = verify(made.files)
    assert [len(told(report, index)["not_before"]) for index in range(3)] == [0, 0, 1]
