"""Vouchers: the link key's word for a session key that no evidence key certified."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from evidence import jose
from evidence.errors import EvidenceError
from evidence.pki import Role
from evidence.session import Session, make_voucher, open_session
from tests.agency import Agency, new_key

AGENCY = Agency()
SESSION = new_key().public_key()
BOOT = "ab" * 16


def vouched(**changes: str) -> dict[str, Any]:
    """An unsigned opening of BWC-0001 with its link key's word; `changes` to what the word is for."""
    spki = SESSION.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    told = {"device": "BWC-0001", "boot": BOOT, "session_key": jose.b64(spki)} | changes
    holder = AGENCY.issue(Role.CAMERA, told.pop("link", "BWC-0001"))
    voucher = make_voucher(holder.key, [holder.certificate, *holder.above], **told)
    return {"session_key": jose.b64(spki), "chain": [], "voucher": voucher}


def opened(body: dict[str, Any]) -> Session:
    return open_session(body, "BWC-0001", BOOT, [AGENCY.root.certificate])


def test_a_link_key_vouches_for_an_unsigned_boot_and_signs_nothing() -> None:
    session = opened(vouched())
    assert (session.signed, session.vouched, session.stranger) == (False, True, False)
    assert opened({**vouched(), "voucher": None}).stranger


@pytest.mark.parametrize(
    "changes", [{"device": "BWC-0002"}, {"boot": "cd" * 16}, {"session_key": "AAAA"}, {"link": "BWC-0002"}]
)
def test_a_voucher_for_something_else_is_foreign(changes: dict[str, str]) -> None:
    with pytest.raises(EvidenceError) as caught:
        opened(vouched(**changes))
    assert caught.value.code == "foreign"


def test_a_voucher_of_another_agency_or_altered_is_refused() -> None:
    body = vouched()
    with pytest.raises(EvidenceError) as caught:
        open_session(body, "BWC-0001", BOOT, [Agency("another").root.certificate])
    assert caught.value.code == "chain-untrusted"
    text = body["voucher"]["jws"]
    body["voucher"]["jws"] = text[:-10] + ("A" if text[-10] != "A" else "B") + text[-9:]
    with pytest.raises(EvidenceError):
        opened(body)
