"""The viewing flow: four different people, signed approvals, a term, secrets (rules 9, 22, 23 and 25)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence import jose, pki
from office import approval
from office.catalogue import utc_now
from office.errors import OfficeError
from office.viewing import allowed
from tests.agency import new_key
from tests.office_kit import wait_for
from tests.people_kit import DEVICE, RECORDING, Town, raw_signature

SOON = timedelta(hours=1)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


def may_watch(town: Town, request: int, account: str) -> bool:
    try:
        with town.database.read() as db:
            allowed(db, request, account)
    except OfficeError:
        return False
    return True


def test_the_whole_way_each_step_a_leaf(town: Town) -> None:
    before = town.log.size
    request, jws = town.registered()
    assert may_watch(town, request, "zhang")
    assert not may_watch(town, request, "sun")
    viewing = town.viewing.begin(request, by="zhang")
    town.viewing.finish(viewing, by="zhang")
    town.viewing.finish(viewing, by="zhang")
    acts = [leaf["act"] for _, leaf in town.log.since(before)]
    assert acts == ["view-asked", "view-reviewed", "view-approved", "view-registered", "viewing", "viewing-over"]
    registered = next(leaf for _, leaf in town.log.since(before) if leaf["act"] == "view-registered")
    assert registered["approvals"] == [approval.sha256(jws)]
    assert registered["viewers"] == ["zhang"]
    town.viewing.end(request, by="wang", note="案件已结")
    assert not may_watch(town, request, "zhang")
    with pytest.raises(OfficeError, match="not-approved"):
        town.viewing.begin(request, by="zhang")


Step = Callable[[Town, int], object]
TOO_EARLY: dict[str, Step] = {
    "approve": lambda town, request: town.approve(request),
    "register": lambda town, request: town.viewing.register(request, by="qian"),
    "watch": lambda town, request: town.viewing.begin(request, by="zhang"),
}


@pytest.mark.parametrize("step", TOO_EARLY)
def test_no_step_is_left_out(town: Town, step: str) -> None:
    request = town.viewing.ask(DEVICE, RECORDING, by="zhang", purpose="case", reason="核对", case="17号")
    with pytest.raises(OfficeError, match=r"request-state|not-approved"):
        TOO_EARLY[step](town, request)


def test_the_four_are_different_people(tmp_path: Path) -> None:
    town = Town(tmp_path)
    with town.book.turn() as turn:  # somebody has all the roles
        everything = ["officer", "director", "case_leader", "keeper"]
        turn.enter("roles", by="root", account="li", roles=everything, machine=True)
        turn.enter("roles", by="root", account="wang", roles=everything, machine=True)
    town.give_key("wang")
    own = town.viewing.ask(DEVICE, RECORDING, by="li", purpose="case", reason="核对", case="17号")
    with pytest.raises(OfficeError, match="same-person"):
        town.viewing.review(own, by="li", accepted=True)
    town.viewing.review(own, by="wang", accepted=True)
    for account in ("li", "wang"):
        with pytest.raises(OfficeError, match="same-person"):
            town.viewing.statement(own, by=account, until=datetime.now(UTC) + SOON)
    town.approve(own, by="zhao")
    for account in ("li", "wang"):
        with pytest.raises(OfficeError, match="same-person"):
            town.viewing.register(own, by=account)
    town.viewing.register(own, by="qian")


@pytest.mark.parametrize(
    ("account", "step"),
    [
        ("zhang", lambda town, request: town.viewing.review(request, by="zhang", accepted=True)),
        ("wu", lambda town, request: town.viewing.review(request, by="wu", accepted=True)),
        ("wu", lambda town, _: town.viewing.ask(DEVICE, RECORDING, by="wu", purpose="case", reason="好奇", case="1")),
        ("qian", lambda town, _: town.viewing.ask(DEVICE, RECORDING, by="qian", purpose="case", reason="x", case="1")),
        ("zhang", lambda town, _: town.viewing.ask(DEVICE, RECORDING, by="zhang", purpose="supervision", reason="督")),
        ("zhang", lambda town, _: town.viewing.classify(DEVICE, RECORDING, "state", by="zhang")),
    ],
)
def test_what_a_role_may_not_do_is_refused(town: Town, account: str, step: Step) -> None:
    request = town.viewing.ask(DEVICE, RECORDING, by="zhang", purpose="case", reason="核对", case="17号")
    size = town.log.size
    with pytest.raises(OfficeError, match="not-your-role"):
        step(town, request)
    assert town.log.size == size, account


def test_who_approved_is_not_forged(town: Town) -> None:
    """The office's page has no approver's key: it cannot put an approval together."""
    request = town.reviewed()
    statement, text = town.viewing.statement(request, by="li", until=datetime.now(UTC) + SOON)
    stranger = new_key()
    kid = pki.key_id(town.keys["li"].public_key())
    for jws in (
        approval.assemble(text, raw_signature(stranger, text)),
        approval.sign(statement, stranger, kid),
        approval.assemble(text, raw_signature(town.keys["zhao"], text)),
        approval.assemble(text, bytes(64)),
        approval.assemble(text, b"\xff" * 64),
    ):
        with pytest.raises(OfficeError, match="approval-signature"):
            town.viewing.approve(request, jws, by="li")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("recording", "9f9f9f9f-2"), ("viewers", ["sun"]), ("secrecy", "state"), ("requester", "sun"),
        ("reason", "别的事由"), ("request", 0), ("reviewer", "zhao"), ("approver", "zhao"), ("origin", "elsewhere"),
    ],
)  # fmt: skip
def test_what_was_signed_is_what_was_asked_for(town: Town, member: str, value: object) -> None:
    request = town.reviewed()
    statement, _ = town.viewing.statement(request, by="li", until=datetime.now(UTC) + SOON)
    changed = replace(statement, **{member: value})  # type: ignore[arg-type]
    jws = approval.sign(changed, town.keys["li"], pki.key_id(town.keys["li"].public_key()))
    with pytest.raises(OfficeError, match="approval-differs"):
        town.viewing.approve(request, jws, by="li")


@pytest.mark.parametrize(("lasts", "code"), [(timedelta(days=8), "term"), (timedelta(seconds=-1), "term")])
def test_an_approval_is_for_a_time(town: Town, lasts: timedelta, code: str) -> None:
    request = town.reviewed()
    with pytest.raises(OfficeError, match=code):
        town.approve(request, lasts=lasts)


def test_an_old_signature_does_not_approve(town: Town) -> None:
    request = town.reviewed()
    statement, _ = town.viewing.statement(request, by="li", until=datetime.now(UTC) + SOON)
    old = replace(statement, at="2026-01-01T00:00:00.000Z")
    jws = approval.sign(old, town.keys["li"], pki.key_id(town.keys["li"].public_key()))
    with pytest.raises(OfficeError, match="approval-late"):
        town.viewing.approve(request, jws, by="li")


def test_what_has_expired_is_not_registered_or_watched(town: Town) -> None:
    request = town.reviewed()
    jws = town.approve(request, lasts=timedelta(seconds=0.3))
    statement = approval.Statement.read(jose.parse(jws, approval.TYP).payload)
    wait_for(lambda: utc_now() > statement.until)
    with pytest.raises(OfficeError, match="approval-expired"):
        town.viewing.register(request, by="qian")


def test_a_refusal_and_a_withdrawal_are_the_end(town: Town) -> None:
    request = town.viewing.ask(DEVICE, RECORDING, by="zhang", purpose="case", reason="核对", case="17号")
    town.viewing.review(request, by="wang", accepted=False, note="与案件无关")
    with pytest.raises(OfficeError, match="request-state"):
        town.viewing.review(request, by="wang", accepted=True)
    request = town.reviewed()
    with pytest.raises(OfficeError, match="not-yours"):
        town.viewing.withdraw(request, by="sun")
    town.viewing.withdraw(request, by="zhang")
    with pytest.raises(OfficeError, match="request-state"):
        town.approve(request)
    request = town.reviewed()
    town.viewing.refuse(request, by="zhao", note="理由不充分")
    with pytest.raises(OfficeError, match="request-state"):
        town.approve(request)


def test_supervision_comes_in_by_the_same_door(town: Town) -> None:
    request = town.reviewed(by="zhou", purpose="supervision", case=None, reason="第三季度网上督察")
    town.approve(request)
    town.viewing.register(request, by="qian")
    assert may_watch(town, request, "zhou")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"reason": " "}, "reason"), ({"reason": "长" * 501}, "reason"), ({"case": None}, "case"),
        ({"purpose": "curiosity"}, "purpose"), ({"viewers": ["sun"]}, "viewers"),
    ],
)  # fmt: skip
def test_a_request_says_why_and_for_whom(town: Town, members: dict[str, Any], code: str) -> None:
    with pytest.raises(OfficeError, match=code):
        town.reviewed(**members)


def test_nothing_is_asked_of_what_is_not_there(town: Town) -> None:
    with pytest.raises(OfficeError, match="recording-unknown"):
        town.viewing.ask(DEVICE, "9f9f9f9f-7", by="zhang", purpose="case", reason="核对", case="17号")
    with pytest.raises(OfficeError, match="request-unknown"):
        town.viewing.review(99_999, by="wang", accepted=True)


# --- secrets (rule 25)


def test_a_secret_names_its_viewers_and_has_two_approvals(tmp_path: Path) -> None:
    town = Town(tmp_path)
    before = town.reviewed()
    town.viewing.classify(DEVICE, RECORDING, "commercial", by="qian")
    with pytest.raises(OfficeError, match="secrecy-changed"):
        town.approve(before)
    with pytest.raises(OfficeError, match="viewers"):
        town.reviewed()
    with pytest.raises(OfficeError, match="person-unknown"):
        town.reviewed(viewers=["nobody"])
    request = town.reviewed(viewers=["zhang", "sun"])
    town.approve(request, by="li")
    with pytest.raises(OfficeError, match="request-state"):
        town.viewing.register(request, by="qian")
    with pytest.raises(OfficeError, match="same-person"):
        town.approve(request, by="li")
    town.approve(request, by="zhao", lasts=timedelta(minutes=30))
    town.viewing.register(request, by="qian")
    assert may_watch(town, request, "zhang")
    assert may_watch(town, request, "sun")
    assert not may_watch(town, request, "zhou")
    with town.database.read() as db:
        assert allowed(db, request, "sun").until < (datetime.now(UTC) + timedelta(minutes=31)).isoformat()


def test_what_becomes_secret_is_not_watched_on(tmp_path: Path) -> None:
    town = Town(tmp_path)
    request, _ = town.registered()
    assert may_watch(town, request, "zhang")
    town.viewing.classify(DEVICE, RECORDING, "state", by="wang")
    assert not may_watch(town, request, "zhang")
    with pytest.raises(OfficeError, match="secrecy"):
        town.viewing.classify(DEVICE, RECORDING, "open", by="wang")
