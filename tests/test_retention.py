"""Rule 20: nothing goes early, whoever asks; what goes late goes by two people, and leaves its proof."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from evidence.documents import Receipt
from office import retention
from office.clock import Clock, Rhythm
from office.errors import OfficeError
from office.rebuild import rebuild
from office.retention import Facts, retain_until, term
from office.store import segment_name
from office.stores.local import LocalStore
from tests.agency import Agency
from tests.holdings_kit import Holdings, holdings, set_clock, work
from tests.test_stamps import Desk, authority

YEAR = timedelta(days=366)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


ENDED = day("2028-02-29")
TWO = retain_until(ENDED, 2)


@pytest.mark.parametrize(
    ("facts", "until"),
    [
        (Facts(ENDED, TWO), "2030-03-01"),
        (Facts(ENDED, TWO, years=(4,)), "2032-02-29"),
        (Facts(ENDED, TWO, years=(10, 5)), "2038-03-01"),
        (Facts(ENDED, TWO, years=(30, None)), None),
        (Facts(ENDED, TWO, holds=1), None),
        (Facts(ENDED, TWO, open_cases=1, files=(day("2099-01-01"),)), None),
        (Facts(ENDED, TWO, files=(day("2029-01-01"),)), "2030-03-01"),
        (Facts(ENDED, TWO, files=(day("2029-01-01"), day("2058-06-30"))), "2058-06-30"),
        (Facts(ENDED, TWO, files=(None,)), None),
        (Facts(ENDED, retain_until(ENDED, 60), years=(10,)), "2088-02-29"),
    ],
)
def test_the_law(facts: Facts, until: str | None) -> None:
    assert term(facts) == (until and day(until))


# --- The acts --------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path, agency: Agency) -> Iterator[Holdings]:
    with holdings(tmp_path, agency) as held:
        yield held


def known(held: Holdings, recording: str) -> datetime | None:
    with held.archive.database.read() as db:
        return term(retention.facts(db, held.camera.device, recording))


def change_class(held: Holdings, recording: str, years: int | None) -> None:
    told = {"device": held.camera.device, "recording": recording, "name": "class", "years": years}
    with held.archive.book.turn() as turn:
        retention.change_class(turn, by="keeper", reason="重大案件", **told)  # type: ignore[arg-type]


def lock_of(held: Holdings, recording: str) -> tuple[int, bool]:
    """Whole years from now until which its first segment is locked, and whether it is held."""
    held.archive.locks.follow()
    lock = held.archive.store.segments.lock(segment_name(held.camera.device, recording, 0))
    assert lock.until is not None
    return round((lock.until - datetime.now(UTC)).days / 365.25), lock.hold


def test_a_class_only_ever_lengthens_the_term(held: Holdings) -> None:
    recording = held.record()
    promised = known(held, recording)
    assert promised is not None
    change_class(held, recording, 10)
    assert known(held, recording) == promised.replace(year=promised.year + 8)
    assert lock_of(held, recording) == (10, False)
    for years in (1, 2, 9):
        with pytest.raises(OfficeError, match="retention-down"):
            change_class(held, recording, years)
    with pytest.raises(OfficeError, match="retention-range"):
        change_class(held, recording, 90)
    change_class(held, recording, None)
    assert known(held, recording) is None
    assert lock_of(held, recording) == (10, True)
    with pytest.raises(OfficeError, match="retention-down"):
        change_class(held, recording, 60)
    assert len(held.acts("retention-class")) == 2, "what was refused is not in the log"


def test_with_the_case_file_there_is_no_end_until_the_case_is_closed(held: Holdings) -> None:
    recording = held.record()
    key = {"device": held.camera.device, "recording": recording}
    promised = known(held, recording)
    with held.archive.book.turn() as turn:
        retention.bind_case(turn, by="officer", case="承安监罚〔2026〕1号", reason="证据", **key)
        with pytest.raises(OfficeError, match="case-bound-already"):
            retention.bind_case(turn, by="officer", case="承安监罚〔2026〕1号", reason="证据", **key)
    assert known(held, recording) is None
    assert lock_of(held, recording) == (2, True)
    far = datetime.now(UTC).replace(microsecond=0) + 15 * YEAR
    with held.archive.book.turn() as turn:
        for wrong, code in ((datetime.now(UTC) - YEAR, "retention-down"), (day("2107-01-01"), "retention-range")):
            with pytest.raises(OfficeError, match=code):
                retention.close_case(turn, by="leader", case="承安监罚〔2026〕1号", until=wrong, reason="结案")
        retention.close_case(turn, by="leader", case="承安监罚〔2026〕1号", until=far, reason="结案")
    assert known(held, recording) == far
    assert lock_of(held, recording) == (15, False)
    with held.archive.book.turn() as turn:  # it is opened again
        retention.bind_case(turn, by="officer", case="承安监罚〔2026〕1号", reason="复议", **key)
    assert known(held, recording) is None
    assert promised is not None


def test_a_hold_keeps_until_the_last_one_is_released(held: Holdings) -> None:
    recording = held.record()
    promised = known(held, recording)
    key = {"device": held.camera.device, "recording": recording}
    with held.archive.book.turn() as turn:
        first, second = (retention.hold(turn, by="director", reason="投诉", **key) for _ in range(2))
    assert lock_of(held, recording) == (2, True)
    for hold, until in ((first, None), (second, promised)):
        with held.archive.book.turn() as turn:
            retention.release_hold(turn, by="director", hold=hold, reason="查结")
            with pytest.raises(OfficeError, match="hold-unknown"):
                retention.release_hold(turn, by="director", hold=hold, reason="查结")
        assert known(held, recording) == until
        assert lock_of(held, recording) == (2, until is None)


def test_what_comes_in_late_comes_under_the_hold(held: Holdings) -> None:
    recording = held.record()
    with held.archive.book.turn() as turn:
        retention.hold(turn, by="director", device=held.camera.device, recording=recording, reason="投诉")
    assert lock_of(held, recording)[1]
    held.camera.noise(recording, 2, 1000)
    held.hand_in()
    held.archive.locks.follow()
    assert held.archive.store.segments.lock(segment_name(held.camera.device, recording, 2)).hold


@pytest.mark.parametrize("reason", ["", "  ", "长" * 2001])
def test_an_act_wants_its_reason(held: Holdings, reason: str) -> None:
    recording = held.record()
    with held.archive.book.turn() as turn, pytest.raises(OfficeError, match="reason"):
        retention.hold(turn, by="director", device=held.camera.device, recording=recording, reason=reason)


def test_the_rows_come_back_from_the_log(held: Holdings) -> None:
    recording = held.record()
    key = {"device": held.camera.device, "recording": recording}
    with held.archive.book.turn() as turn:
        hold = retention.hold(turn, by="director", reason="投诉", **key)
        retention.release_hold(turn, by="director", hold=hold, reason="查结")
        retention.bind_case(turn, by="officer", case="1", reason="证据", **key)
        retention.close_case(turn, by="leader", case="1", until=None, reason="结案")
        retention.change_class(turn, by="keeper", name="长期", years=10, reason="重大", **key)

    def rows() -> list[object]:
        tables = (retention.CLASSES, retention.CASES, retention.HOLDS)
        with held.archive.database.read() as db:
            return [tuple(row) for table in tables for row in db.execute(select(table))]

    before = rows()
    rebuild(held.archive)
    assert rows() == before
    assert len(before) == 3


# --- The clock -------------------------------------------------------------------------------------------------------

START = day("2026-11-24")


def rhythm(*days: float) -> datetime | None:
    told = Rhythm()
    for one in days:
        told = told.after(START + timedelta(days=one))
    return told.borne_out


@pytest.mark.parametrize(
    ("days", "borne_out"),
    [
        ((0, 1, 2, 11), 11),
        ((0, 9, 8.5, 17), 17),  # written by two threads
        ((0, 3650), 0),
        ((0, 3650, 3651, 3655), 5),
        ((0, 3650, 3651, 2), 1),  # set back: what passed meanwhile is lost, never won
        ((0, 3650, 3641, 3650, 3641, 3650), 0),
        ((0, 30, 31), 1),  # closed for a month: late, and never early
        ((27_000, 3, 4), 4),  # a clock that was wrong before
    ],
)
def test_what_a_logs_rhythm_bears_out(days: tuple[float, ...], borne_out: float) -> None:
    assert rhythm(*days) == START + timedelta(days=borne_out)


def test_an_outside_authority_bears_the_time_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a clock set forward ten years does not move it."""
    desk = Desk(tmp_path)
    with authority(desk.answer) as address:
        clock = Clock(desk.log, desk.remote(address))
        with pytest.raises(OfficeError, match="time-unproven"):
            clock.borne_out()
        desk.grow()
        assert abs(clock.borne_out() - datetime.now(UTC)) < timedelta(seconds=5)
        set_clock(monkeypatch, 10 * YEAR)
        desk.grow()
        assert abs(clock.borne_out() - datetime.now(UTC)) < timedelta(seconds=5)
    set_clock(monkeypatch, -YEAR)
    assert clock.borne_out() < datetime.now(UTC) - timedelta(days=365), "nor is it ever later than this machine's"


# --- Disposal --------------------------------------------------------------------------------------------------------


def propose(held: Holdings, recording: str, by: str = "keeper") -> int:
    told = {"device": held.camera.device, "recording": recording}
    return held.archive.disposals.propose(by=by, reason="保存期满", **told)


def files(held: Holdings, recording: str) -> list[str]:
    return list(held.archive.store.segments.names(f"{held.camera.device}/segments/{recording}"))


def test_before_its_term_nobody_disposes_of_anything(held: Holdings) -> None:
    recording = held.record()
    assert held.archive.disposals.due() == []
    with pytest.raises(OfficeError, match="retention"):
        propose(held, recording)
    assert held.acts("disposal-proposed") == []


def test_a_clock_set_forward_ten_years_releases_nothing(held: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once, and not after the office has worked for a month with it."""
    recording = held.record()
    set_clock(monkeypatch, 10 * YEAR)
    with pytest.raises(OfficeError, match="retention"):
        propose(held, recording)
    held.record()
    work(held, monkeypatch, 10 * YEAR, 10 * YEAR + timedelta(days=30))
    assert held.archive.disposals.due() == []
    with pytest.raises(OfficeError, match="retention"):
        propose(held, recording)
    held.reopen()
    with pytest.raises(OfficeError, match="retention"):
        propose(held, recording)
    assert len(files(held, recording)) == 2


def test_after_the_term_two_people_dispose_of_it_and_leave_its_proof(
    held: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, other = held.record(), held.record()
    until = known(held, recording)
    assert until is not None
    work(held, monkeypatch, timedelta(), 2 * YEAR)
    assert [one.recording for one in held.archive.disposals.due()] == [recording, other]
    proposal = propose(held, recording)
    with pytest.raises(OfficeError, match="disposal-known"):
        propose(held, recording)
    with pytest.raises(OfficeError, match="same-person"):
        held.archive.disposals.approve(proposal, by="keeper")
    assert len(files(held, recording)) == 2
    index = held.archive.disposals.approve(proposal, by="director")
    assert files(held, recording) == []
    assert len(files(held, other)) == 2

    leaf = held.leaves[index]
    ingests = [(index, one) for index, one in enumerate(held.leaves) if one.get("recording") == recording]
    assert [(one[1], one[2], one[3]) for one in leaf["segments"]] == [
        (one["sha256"], one["size"], index) for index, one in ingests if one["act"] == "ingest"
    ]
    assert (leaf["proposed_by"], leaf["by"], leaf["act"]) == ("keeper", "director", "disposed")
    assert day(leaf["term"][:10]).date() == until.date()
    assert held.leaves[leaf["approval"]]["act"] == "disposal-approved"
    assert held.acts("disposal-done")[-1]["disposed"] == index
    receipt = held.archive.receipts.get(held.camera.device, recording, 0)
    assert receipt is not None, "the receipt stays"
    assert Receipt.read(receipt, held.kit.signer.key.public_key()).sha256 == leaf["segments"][0][1]
    with pytest.raises(OfficeError, match="disposal-known"):
        propose(held, recording)
    assert list(held.archive.copies.lacking({(held.camera.device, recording): index})) == []


def test_a_hold_between_proposal_and_approval_stops_it(held: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = held.record()
    work(held, monkeypatch, timedelta(), 2 * YEAR)
    proposal = propose(held, recording)
    with held.archive.book.turn() as turn:
        retention.hold(turn, by="director", device=held.camera.device, recording=recording, reason="投诉")
    with pytest.raises(OfficeError, match="retention"):
        held.archive.disposals.approve(proposal, by="director")
    held.archive.disposals.withdraw(proposal, by="director", reason="投诉")
    with pytest.raises(OfficeError, match="disposal-unknown"):
        held.archive.disposals.approve(proposal, by="leader")
    assert len(files(held, recording)) == 2


def test_a_lock_at_the_store_stops_it_whatever_the_catalogue_says(
    held: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An insider may write into the catalogue; the store's own lock stands."""
    recording = held.record()
    work(held, monkeypatch, timedelta(), 2 * YEAR)
    name = segment_name(held.camera.device, recording, 1)
    held.archive.store.segments.extend(name, datetime.now(UTC) + 5 * YEAR)
    with pytest.raises(OfficeError, match="store-locked"):
        propose(held, recording)


def test_a_cut_between_leaf_and_removal_is_gone_on_with(held: Holdings, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = held.record(3)
    work(held, monkeypatch, timedelta(), 2 * YEAR)
    proposal = propose(held, recording)
    removed: list[str] = []

    def cut(_: LocalStore, name: str) -> None:
        if removed:
            raise OSError(5, "the power goes")
        removed.append(name)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "remove", cut)
        with pytest.raises(OSError, match="power"):
            held.archive.disposals.approve(proposal, by="director")
    assert [row["removed"] for row in held.archive.disposals.rows()] == [None]
    held.reopen()
    held.archive.disposals.recover()
    assert files(held, recording) == []
    assert [row["removed"] is None for row in held.archive.disposals.rows()] == [False]
    held.archive.disposals.recover()
    assert len(held.acts("disposal-done")) == 1


@pytest.mark.slow
def test_the_commands(held: Holdings) -> None:
    """Nothing is due: what the archive does later is tested above."""
    recording = held.record()
    assert json.loads(held.kit.call("dispose", "due", "--json").stdout) == {"due": []}
    refused = held.kit.call("dispose", "propose", held.camera.device, recording, "--reason", "期满", "--by", "keeper")
    assert refused.returncode == 69
    assert "retention: " in refused.stderr
    assert held.kit.call("dispose", "approve", "7", "--by", "director").returncode == 69
    assert "无销毁记录" in held.kit.call("dispose", "list").stdout
