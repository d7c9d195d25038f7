"""Who may do what at the office: roles given by two people, keys of approvers, accounts and sessions."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from office import people, viewing_rows
from office.accounts import Accounts
from office.book import Book
from office.database import Database, sqlite_url
from office.errors import OfficeError
from office.people import People
from office.sessions import IDLE_SECONDS, LAST_SECONDS, Sessions
from tests.agency import new_key
from tests.people_kit import EVERYBODY, Town, spki

PASSWORD = "六个好记的词，连成一句话"  # noqa: S105 - of tests


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


def test_the_people_are_made_again_from_the_log(town: Town, tmp_path: Path) -> None:
    before = [(one.account, one.person.section, one.roles) for one in town.people.all()]
    again = Database(sqlite_url(tmp_path / "again.sqlite"))
    Book(tmp_path, town.log, again, {**people.ENTERS, **viewing_rows.ENTERS}).catch_up()
    after = People(town.book, again).all()
    assert [(one.account, one.person.section, one.roles) for one in after] == before
    assert {one.account for one in after} >= EVERYBODY.keys()


def test_a_guarded_role_waits_for_a_second_person(town: Town) -> None:
    town.people.add("feng", "冯某", "办公室", by="wu")
    assert town.people.ask_roles("feng", ["officer"], by="wu")
    assert not town.people.ask_roles("feng", ["officer", "director"], by="wu")
    assert town.people.get("feng").roles == {"officer"}
    (asked,) = (row["leaf_index"] for row in town.people.waiting() if row["account"] == "feng")
    for account, code in {"wu": "same-person", "zhang": "not-your-role", "feng": "not-your-role"}.items():
        with pytest.raises(OfficeError, match=code):
            town.people.confirm_roles(asked, by=account)
    town.people.confirm_roles(asked, by="wang")
    assert town.people.get("feng").roles == {"officer", "director"}
    with pytest.raises(OfficeError, match="nothing-asked"):
        town.people.confirm_roles(asked, by="li")


def test_nobody_raises_his_own_role(town: Town) -> None:
    for account in ("zhang", "wang", "li"):
        with pytest.raises(OfficeError, match="not-your-role"):
            town.people.ask_roles(account, ["technician"], by=account)
    with pytest.raises(OfficeError, match="own-roles"):
        town.people.ask_roles("wu", ["director"], by="wu")


def test_one_who_gets_a_role_does_not_confirm_it(town: Town) -> None:
    assert not town.people.ask_roles("li", ["case_leader", "keeper"], by="wu")
    (asked,) = (row["leaf_index"] for row in town.people.waiting() if row["account"] == "li")
    with pytest.raises(OfficeError, match="same-person"):
        town.people.confirm_roles(asked, by="li")


def test_the_first_are_founded_at_the_machine_and_the_log_says_so(tmp_path: Path) -> None:
    town = Town(tmp_path)
    for account in EVERYBODY:
        town.people.leave(account, by="root", machine=True)
    town.people.add("first", "甲", "办公室", by="root", machine=True)
    town.people.add("second", "乙", "办公室", by="root", machine=True)
    assert town.people.ask_roles("first", ["technician"], by="root", machine=True)
    assert not town.people.ask_roles("second", ["director"], by="root", machine=True)
    founding = [leaf for _, leaf in town.log.entries("roles") if leaf.get("founding")]
    assert [(leaf["account"], leaf["machine"]) for leaf in founding] == [("first", True)]


def test_who_has_left_may_do_nothing(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.people.leave("wang", by="wu")
    request = town.viewing.ask(
        "BWC-0001", "9f9f9f9f-1", by="zhang", purpose="case", reason="核对", case="17号"
    )  # fmt: skip
    with pytest.raises(OfficeError, match="not-your-role"):
        town.viewing.review(request, by="wang", accepted=True)


def test_an_approvers_key_counts_once_another_person_has_confirmed_it(town: Town) -> None:
    with pytest.raises(OfficeError, match="not-your-role"):
        town.people.enter_key("zhang", spki(new_key()))
    with pytest.raises(OfficeError, match="approver-key"):
        town.people.enter_key("li", "bm8ga2V5")
    leaf = town.people.enter_key("li", spki(new_key()))
    with pytest.raises(OfficeError, match="same-person"):
        town.people.confirm_key(leaf, by="li")
    town.people.confirm_key(leaf, by="wang")
    with pytest.raises(OfficeError, match="nothing-asked"):
        town.people.confirm_key(leaf, by="wu")


# --- accounts


def code_of(factor: str, steps: int = 0) -> str:
    return pyotp.TOTP(factor).at(datetime.now(UTC) + timedelta(seconds=30 * steps))


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "accounts")


def enrolled(accounts: Accounts, account: str = "zhang") -> str:
    """Somebody takes over his account; the second factor."""
    code = accounts.invite(account)
    factor = accounts.begin(account, code)
    accounts.enrol(account, code, PASSWORD, code_of(factor, -1))
    return factor


def test_an_account_needs_both_factors_and_takes_no_code_twice(accounts: Accounts) -> None:
    factor = enrolled(accounts)
    digits = code_of(factor)
    accounts.check("zhang", PASSWORD, digits)
    for password, code in [
        (PASSWORD, digits),
        (PASSWORD, "000000"),
        (PASSWORD, ""),
        ("another one altogether", code_of(factor, 1)),
    ]:
        with pytest.raises(OfficeError, match="log-in"):
            accounts.check("zhang", password, code)
    with pytest.raises(OfficeError, match="log-in"):
        accounts.check("nobody", PASSWORD, digits)


def test_guessing_is_slowed_down(accounts: Accounts) -> None:
    factor = enrolled(accounts)
    for _ in range(5):
        with pytest.raises(OfficeError, match="log-in"):
            accounts.check("zhang", "wrong", "000000")
    with pytest.raises(OfficeError, match="locked"):
        accounts.check("zhang", PASSWORD, code_of(factor))
    enrolled(accounts)  # the technician has reset it


def test_an_invitation_is_for_once(accounts: Accounts) -> None:
    code = accounts.invite("zhang")
    factor = accounts.begin("zhang", code)
    with pytest.raises(OfficeError, match="password"):
        accounts.enrol("zhang", code, "short", code_of(factor))
    with pytest.raises(OfficeError, match="log-in"):
        accounts.enrol("zhang", code, PASSWORD, "000000")
    accounts.enrol("zhang", code, PASSWORD, code_of(factor))
    for again in (code, "0" * 20):
        with pytest.raises(OfficeError, match="log-in"):
            accounts.begin("zhang", again)


def test_secrets_are_for_their_owner_and_hold_no_password(accounts: Accounts, tmp_path: Path) -> None:
    enrolled(accounts)
    folder = tmp_path / "accounts"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "argon2id" in path.read_text()
        assert PASSWORD not in path.read_text()


# --- sessions


def test_a_session_ends_by_itself_and_cannot_be_replayed() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    token, session = sessions.open("zhang")
    assert sessions.get(token) is session
    now[0] = IDLE_SECONDS + 1.0
    assert sessions.get(token) is None
    token, _ = sessions.open("zhang")
    start = now[0]
    while now[0] < start + LAST_SECONDS:
        assert sessions.get(token) is not None
        now[0] += IDLE_SECONDS / 2
    now[0] += 1
    assert sessions.get(token) is None


def test_a_session_that_was_closed_is_over() -> None:
    sessions = Sessions()
    token, session = sessions.open("zhang")
    other, _ = sessions.open("zhang")
    assert sessions.close(token) is session
    assert sessions.get(token) is None
    sessions.close_all("zhang")
    assert sessions.get(other) is None
    assert sessions.get("\ud800") is None
