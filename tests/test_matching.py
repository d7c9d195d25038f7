"""Which recording is of which activity: the pure matching, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from office.footage import Footage
from office.matching import Activity, Match, Why, covered, match, pairs, recorders

DAY = datetime(2026, 11, 24, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ONE, TWO, THREE = "000001", "000002", "000003"


def activity(begin: int, end: int, *officers: str, leaf: int = 1, kind: str = "inspection") -> Activity:
    return Activity(leaf, kind, DAY + begin * MINUTE, DAY + end * MINUTE, officers or (ONE, TWO), "一股")


def footage(
    begin: int | None, end: int, officer: str | None = ONE, *, device: str = "BWC-0001", kind: str | None = "inspection"
) -> Footage:
    begins, ends = (None, None) if begin is None else (DAY + begin * MINUTE, DAY + end * MINUTE)
    return Footage(device, f"0000000{len(device)}-{end + 1}", begins, ends, kind, officer)


def told(found: list[Match]) -> list[tuple[int, str]]:
    return [(one.activity, one.why) for one in found]


def test_the_officer_who_had_the_camera_and_the_time_make_a_match() -> None:
    (one,) = match([activity(60, 120)], [footage(55, 118)])
    assert (one.why, one.overlap, one.same_kind) == (Why.TIME, 58 * MINUTE, True)
    assert one.reason == "执法人员 000001，时间重合 58 分钟，类别一致"


def test_another_officers_recording_at_the_same_time_is_none() -> None:
    assert match([activity(60, 120)], [footage(60, 120, THREE)]) == []


def test_one_recording_holds_two_activities_that_it_runs_through() -> None:
    found = match([activity(60, 90), activity(95, 120, leaf=2)], [footage(58, 121)])
    assert told(found) == [(1, "time"), (2, "time")]


def test_a_recording_a_little_off_is_of_the_nearest_activity_only() -> None:
    both = [activity(60, 90), activity(130, 160, leaf=2)]
    assert told(match(both, [footage(95, 110)])) == [(1, "near")]
    assert told(match(both, [footage(112, 125)])) == [(2, "near")]


def test_half_an_hour_off_is_the_end_of_it() -> None:
    assert told(match([activity(60, 90)], [footage(120, 130)])) == [(1, "near")]
    assert match([activity(60, 90)], [footage(121, 130)]) == []


def test_a_camera_that_nobody_was_given_is_only_a_suggestion() -> None:
    (one,) = match([activity(60, 120)], [footage(61, 119, None)])
    assert (one.why, one.why.sure) == (Why.LOOKS, False)
    assert match([activity(60, 120)], [footage(61, 119, None, kind="case")]) == []
    assert match([activity(60, 120)], [footage(10, 65, None)]) == []
    assert covered(activity(60, 120), [one]) == 0
    assert recorders([one]) == []


def test_what_people_say_outweighs_time_and_officer() -> None:
    one = footage(60, 120)
    parted = match([activity(60, 120)], [one], {(1, *one.key): False})
    assert parted == []
    other = footage(600, 660, THREE)
    (linked,) = match([activity(60, 120)], [other], {(1, *other.key): True})
    assert linked.why is Why.LINKED


def test_a_camera_without_a_clock_is_linked_by_people_or_not_at_all() -> None:
    blind = footage(None, 5)
    assert match([activity(60, 120)], [blind]) == []
    assert told(match([activity(60, 120)], [blind], {(1, *blind.key): True})) == [(1, "linked")]


def test_two_officers_recordings_are_a_pair_and_one_alone_is_not() -> None:
    one, other = footage(60, 120), footage(70, 130, TWO, device="BWC-0002")
    found = match([activity(60, 120)], [one, other])
    assert recorders(found) == [ONE, TWO]
    assert pairs(found) == [(one, other)]
    assert pairs(match([activity(60, 120)], [one, footage(80, 110)])) == []


def test_two_recordings_after_each_other_run_at_no_time_together() -> None:
    found = match([activity(60, 120)], [footage(60, 80), footage(90, 120, TWO, device="BWC-0002")])
    assert recorders(found) == [ONE, TWO]
    assert pairs(found) == []


def test_what_two_recordings_cover_together_counts_once() -> None:
    own = activity(0, 100)
    assert covered(own, match([own], [footage(0, 50), footage(40, 75, TWO, device="BWC-0002")])) == 0.75
    assert covered(own, match([own], [footage(-50, 200)])) == 1


SPANS = st.tuples(st.integers(0, 500), st.integers(1, 100))
SOME = st.lists(st.tuples(SPANS, st.sampled_from([ONE, TWO, THREE, None])), max_size=6)


@given(SOME, SOME)
def test_whatever_is_entered_a_match_has_its_reason(activities: list[Any], recordings: list[Any]) -> None:
    ledger = [
        activity(begin, begin + length, officer or ONE, leaf=n)
        for n, ((begin, length), officer) in enumerate(activities)
    ]
    made = [
        footage(begin, begin + length, officer, device=f"BWC-{n:04}")
        for n, ((begin, length), officer) in enumerate(recordings)
    ]
    by_leaf = {one.leaf: one for one in ledger}
    found = match(ledger, made)
    assert len({(one.activity, one.footage.key) for one in found}) == len(found)
    for one in found:
        assert one.reason
        assert (one.footage.officer in by_leaf[one.activity].officers) is one.why.sure
        assert (one.overlap > timedelta()) is (one.why is not Why.NEAR)
    for leaf, own in by_leaf.items():
        assert 0 <= covered(own, [one for one in found if one.activity == leaf]) <= 1
