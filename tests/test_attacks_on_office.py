"""Attacks in the office's name, and on the journal's end: each named by the verifier. Read `attacked` first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from evidence import jose, pki, records
from evidence.documents import Receipt
from evidence.pki import Role
from evidence.revocation import REASONS, Entry, make_list
from tests import evidence_keys as keys
from tests.attacked import (
    Attack,
    Do,
    check,
    cut_and_go_on,
    cut_back,
    drawn,
    judge,
    lines,
    link_certificate,
    named,
    number_of,
    put_lines,
    record,
)
from tests.evidence_builder import START_UTC_MS, Camera
from tests.evidence_keys import AGENCY, Agency

# --- What is said in the office's name -------------------------------------------------------------------------------


def false_receipt(key: str, *certificates: x509.Certificate, **changed: Any) -> Do:
    """Somebody's receipt for a segment, with his certificates; the camera is made to look as if it gave that up."""

    def do(made: Camera) -> None:
        told = jose.parse(made.receipt(made.recording, 1, **changed), Receipt.TYP).payload
        text = jose.sign(told, keys.key(key), Receipt.TYP, keys.kid(key), deterministic=True)
        made.files[records.receipt_path(made.recording, 1)] = text.encode()
        made.files["certs/false.pem"] = pki.to_pem(*certificates) if certificates else b""
        del made.files[records.segment_path(made.recording, 1)]

    return do


def receipt_of(**changed: Any) -> Do:
    """A receipt that the office signed, for something else."""

    def do(made: Camera) -> None:
        text = made.receipt(made.recording, 1, **changed)
        made.files[records.receipt_path(made.recording, 1)] = text.encode()

    return do


def receipt_of_another_camera(made: Camera) -> None:
    other = record("SS", device="BWC-0002")
    text = other.receipt(other.recording, 1)
    made.files[records.receipt_path(made.recording, 1)] = text.encode()


def anchor_as_receipt(made: Camera) -> None:
    text = made.records[1].body["anchor"]
    made.files[records.receipt_path(made.recording, 1)] = text.encode()


def receipt_whose_records_are_gone(made: Camera) -> None:
    """The tail is cut off and every file with it; one receipt was forgotten."""
    text = made.receipt(made.recording, 2)
    cut_back(made, number_of(made, "fragment", 2))
    made.files[records.receipt_path(made.recording, 2)] = text.encode()


OTHER = Agency("another")
ONE = "1 @0.5-1.0"


def taken_back(role: str) -> Do:
    """The agency's list lies beside the evidence: two hours after the boot, one after the receipt."""

    def do(made: Camera) -> None:
        holder = AGENCY.evidence(made.device) if role == "evidence" else AGENCY.signer
        at = datetime.fromtimestamp(START_UTC_MS // 1000 + 7200, UTC)
        entry = Entry(holder.serial_number, at, REASONS["key-compromise"], None)
        taken = make_list(AGENCY.issuing, AGENCY.key("issuing"), [entry], 1, at)
        made.files["certs/issuing.crl"] = taken.public_bytes(serialization.Encoding.PEM)

    return do


OFFICE = {
    "false archive": Attack(
        "SSS", "imi", f"9 deleted {ONE}\n10 false-archive {ONE}", false_receipt("forger")
    ),
    "rogue dock": Attack(
        "SSS", "imi", f"9 deleted {ONE}\n10 wrong-role {ONE}",
        false_receipt("agency link", link_certificate("DOCK-1", Role.DOCK)),
    ),
    "archive of another agency": Attack(
        "SSS", "imi", f"9 deleted {ONE}\n10 other-agency {ONE}",
        false_receipt("another signer", OTHER.signer, OTHER.issuing, OTHER.root),
    ),
    "receipt of another office": Attack("SSS", "iii", f"10 false-archive {ONE}", receipt_of(office="OFFICE-2")),
    "receipt of another camera": Attack("SSS", "iii", f"10 other-camera {ONE}", receipt_of_another_camera),
    "receipt of another segment": Attack("SSS", "iii", f"10 swapped {ONE}", receipt_of(segment=2)),
    "receipt for other bytes": Attack("SSS", "iii", f"10 fork {ONE}", receipt_of(sha256="00" * 32)),
    "receipt backdated": Attack(
        "SSS", "iii", f"10 backdated {ONE}", receipt_of(received="2019-01-01T00:00:00.000Z")
    ),
    "anchor passed off as a receipt": Attack("SSS", "iii", f"10 passed-off {ONE}", anchor_as_receipt),
    "evidence key stolen, and taken back before the archive had the rest": Attack(
        "SHS", "xix", "2 revoked-key 0 @0.0-0.5\n2 revoked-key 2 @1.0-1.5", taken_back("evidence"),
    ),
    "signer's key stolen": Attack(
        "SHS", "iii", f"10 revoked-key {ONE}\n10 revoked-key\n10 revoked-key", taken_back("signer"),
    ),
    "tail cut off, a receipt left": Attack("SSS", "ii", "10 deleted 2", receipt_whose_records_are_gone),
}  # fmt: skip


@pytest.mark.parametrize("name", OFFICE)
def test_in_the_offices_name(name: str) -> None:
    check(OFFICE[name])


# --- The end ---------------------------------------------------------------------------------------------------------


def test_a_tail_that_is_cut_off_cleanly_is_unaccounted_until_somebody_holds_a_later_head() -> None:
    """Lines, segments and receipts are gone as if the camera had never gone on: nobody can see it from here."""
    made = record("SS SSS")
    later = made.records[-1]
    cut_back(made, number_of(made, "fragment", 3))
    found = judge(made.files)
    assert (drawn(found), named(found)) == ("ii i", "")
    assert [note.verdict for note in found.notes] == ["unaccounted"]
    found = judge(made.files, heads=[later])
    assert (drawn(found), named(found)) == ("ii i", "11 deleted 0 @0.5-")
    assert [head.found for head in found.heads] == ["deleted"]


def test_a_journal_that_the_evidence_key_itself_rewrote_is_a_fork_of_the_head_that_was_handed_in() -> None:
    """The strongest thief: every line verifies. Whoever holds a head of before sees it: office, dock, another copy."""
    made = record("SSS")
    held = made.records[number_of(made, "segment", 1)], made.records[-1]
    cut_and_go_on(made, number_of(made, "recording_started"))
    made.record("S")
    assert (drawn(judge(made.files)), named(judge(made.files))) == ("ii i", "")
    found = judge(made.files, heads=held)
    assert (named(found), [head.found for head in found.heads]) == ("11 fork\n11 fork", ["fork", "fork"])


def test_the_offices_own_word_shows_the_fork_as_well() -> None:
    """An anchor over the head that was handed in, signed into the rewritten chain: it names another record."""
    made = record("SSS")
    head = made.records[-1]
    cut_and_go_on(made, number_of(made, "recording_started"))
    made.record("SSS")
    made.anchor(head_seq=head.seq, head=head.sha256)
    assert named(judge(made.files)) == "10 fork"


def test_a_head_that_is_here_says_how_far_nothing_is_gone() -> None:
    made = record("SS")
    found = judge(made.files, heads=[made.records[-1], made.records[3]])
    assert (found.ok, [head.found for head in found.heads]) == (True, ["same", "same"])


def test_a_head_behind_a_broken_line_is_no_second_attack() -> None:
    made = record("SSS")
    at, have = number_of(made, "fragment", 1), lines(made)
    put_lines(made, [*have[:at], *have[at + 1 :]])
    found = judge(made.files, heads=[made.records[-1]])
    assert (named(found).partition("\n")[0], found.heads[0].found) == ("4 deleted 0 @0.5-", "unproven")
