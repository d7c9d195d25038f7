"""Which time is believed: the order of sources, absurd times, a receiver that must agree with itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evidence import records
from evidence.shape import require
from firmware.clock_discipline import (
    AgreementLimits,
    Believable,
    GnssTime,
    TimeRefused,
    TimeSet,
    judge,
    trusted,
)
from firmware.hal.ports import Fix, Utc

SECOND = 10**9
NOW = int(datetime(2026, 11, 24, 6, 23, 9, tzinfo=UTC).timestamp() * 1000)
ISSUED = NOW - 30 * 86_400_000
BELIEVABLE = Believable.since(ISSUED)
WEEK_MS = 7 * 86_400_000


def ms(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("claim", "source", "error_ms", "taken"),
    [
        (Utc(0, "none", None), "rtc", 2000, True),
        (Utc(0, "none", None), "gnss", 505, True),
        (Utc(0, "none", None), "dock", 1000, True),
        (Utc(NOW, "rtc", 2000), "gnss", 505, True),  # the better source, and
        (Utc(NOW, "rtc", 100), "gnss", 505, True),  # whatever bound the worse one claims
        (Utc(NOW, "gnss", 505), "dock", 1000, True),
        (Utc(NOW, "dock", 40), "dock", 1000, True),  # the office's word is taken each time
        (Utc(NOW, "dock", 400), "gnss", 505, False),  # a worse source against a smaller bound,
        (Utc(NOW, "dock", 900), "gnss", 505, False),  # or one that has not grown enough
        (Utc(NOW, "dock", 1010), "gnss", 505, True),  # but a dock of weeks ago is no better than it says
        (Utc(NOW, "gnss", 600), "gnss", 505, False),  # no record each second
        (Utc(NOW, "gnss", 1010), "gnss", 505, True),
        (Utc(NOW, "gnss", 505), "rtc", 2000, False),
    ],
)
def test_the_order_of_sources(claim: Utc, source: str, error_ms: int, taken: bool) -> None:
    offered = NOW + 100
    decision = judge(offered, source, error_ms, claim, BELIEVABLE)
    assert decision == (TimeSet(offered, source, error_ms, offered - claim.ms) if taken else None)


def test_a_worse_source_that_contradicts_a_better_one_is_refused() -> None:
    """A forged satellite signal, an hour off, against a dock of a month ago."""
    claim = Utc(NOW, "dock", 130_000)
    forged = NOW + 3_600_000
    assert judge(forged, "gnss", 505, claim, BELIEVABLE) == TimeRefused("gnss", "contradicts_better", forged)
    assert judge(NOW + 100_000, "gnss", 505, claim, BELIEVABLE) == TimeSet(NOW + 100_000, "gnss", 505, 100_000)


def test_a_source_that_contradicts_its_own_earlier_word_is_taken_and_the_step_told() -> None:
    decision = judge(NOW + 60_000, "gnss", 505, Utc(NOW, "gnss", 510), BELIEVABLE)
    assert decision == TimeSet(NOW + 60_000, "gnss", 505, 60_000)


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (0, "before_configuration"),
        (ms(1970, 1, 2), "before_configuration"),
        (ms(2019, 5, 28), "before_configuration"),
        (ISSUED - 1, "before_configuration"),
        (ms(2099), "too_late"),
        (NOW - 1024 * WEEK_MS, "week_rollover"),
        (NOW + 1024 * WEEK_MS, "week_rollover"),
        (NOW - 2048 * WEEK_MS, "week_rollover"),
    ],
)
@pytest.mark.parametrize("source", ["rtc", "gnss", "dock"])
def test_absurd_times_are_refused_with_their_reason(offered: int, reason: str, source: str) -> None:
    assert judge(offered, source, 0, Utc(0, "none", None), BELIEVABLE) == TimeRefused(source, reason, offered)
    assert reason in str(TimeRefused(source, reason, offered))


def test_what_is_set_can_be_recorded() -> None:
    decision = judge(NOW, "gnss", 505, Utc(0, "none", None), BELIEVABLE)
    assert isinstance(decision, TimeSet)
    require("clock_set", decision.body(), records.BODIES["clock_set"])
    assert decision.stepped_ms == NOW


def test_a_clock_is_trusted_within_a_minute() -> None:
    assert not trusted(Utc(NOW, "none", None))
    assert trusted(Utc(NOW, "rtc", 2000))
    assert not trusted(Utc(NOW, "dock", 60_001))


class Receiver:
    """A receiver whose fixes come `late_ms` after the second they tell, and the boot clock."""

    def __init__(self, gnss: GnssTime) -> None:
        self.gnss = gnss
        self.boot_ns = 100 * SECOND
        self.off_ms = 0
        self.claim = Utc(0, "none", None)

    def true_ms(self) -> int:
        return NOW + self.boot_ns // 10**6

    def second(self, late_ms: int = 500) -> TimeSet | TimeRefused | None:
        self.boot_ns += SECOND
        told_ms = self.true_ms() - late_ms + 500 + self.off_ms
        fix = Fix(self.boot_ns, 40.0, 118.0, None, 5.0, 0.0, told_ms, 505)
        now_ns = self.boot_ns + 200 * 10**6  # it is judged a little later
        self.claim = Utc(self.claim.ms + 1000, self.claim.source, self.claim.error_ms)
        return self.gnss.take(fix, self.claim, now_ns)

    def seconds(self, count: int, late_ms: int = 500) -> list[TimeSet | TimeRefused | None]:
        return [self.second(late_ms) for _ in range(count)]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(GnssTime(BELIEVABLE))


def test_a_receiver_is_believed_once_eight_fixes_agree(receiver: Receiver) -> None:
    told = receiver.seconds(8)
    assert told[:7] == [None] * 7
    decision = told[7]
    assert isinstance(decision, TimeSet)
    assert decision.ms == receiver.true_ms() + 200
    assert decision.error_ms == 3505  # it may still count from the leap seconds of its firmware's year


def test_the_bound_holds_however_late_the_fixes_come(receiver: Receiver) -> None:
    for late_ms in (0, 900, 100, 1000, 300, 0, 700, 1000):
        decision = receiver.second(late_ms)
    assert isinstance(decision, TimeSet)
    assert abs(decision.ms - receiver.true_ms() - 200) <= 505


def test_after_the_almanac_the_bound_is_the_receivers_own(receiver: Receiver) -> None:
    decisions = []
    for _ in range(800):
        decision = receiver.second()
        if isinstance(decision, TimeSet):
            receiver.claim = Utc(decision.ms, "gnss", decision.error_ms)
            decisions.append(decision)
    assert [decision.error_ms for decision in decisions] == [3505, 505]


def test_several_fixes_of_one_second_are_one_word(receiver: Receiver) -> None:
    fix = Fix(0, 40.0, 118.0, None, 5.0, 0.0, NOW, 505)
    assert [receiver.gnss.take(fix, receiver.claim, 0) for _ in range(20)] == [None] * 20


def test_a_fix_that_was_lost_begins_the_agreement_anew(receiver: Receiver) -> None:
    receiver.seconds(7)
    assert receiver.gnss.take(None, receiver.claim, receiver.boot_ns) is None
    assert receiver.seconds(7) == [None] * 7
    assert isinstance(receiver.second(), TimeSet)


def test_a_receiver_that_jumps_is_told_once_and_believed_again_when_it_agrees(receiver: Receiver) -> None:
    receiver.seconds(5)
    receiver.off_ms = 86_400_000
    first = receiver.second()
    assert isinstance(first, TimeRefused)
    assert first.reason == "fixes_disagree"
    assert receiver.seconds(7) == [None] * 7
    assert isinstance(receiver.second(), TimeSet)


def test_a_week_rollover_is_told_once(receiver: Receiver) -> None:
    receiver.off_ms = -1024 * WEEK_MS
    told = receiver.seconds(30)
    refused = [decision for decision in told if decision is not None]
    assert [decision.reason for decision in refused if isinstance(decision, TimeRefused)] == ["week_rollover"]
    assert len(refused) == 1


def test_a_fix_without_a_time_is_no_word(receiver: Receiver) -> None:
    fix = Fix(receiver.boot_ns, 40.0, 118.0, None, 5.0, 0.0, None, None)
    assert receiver.gnss.take(fix, receiver.claim, receiver.boot_ns) is None


def test_the_limits_can_be_set() -> None:
    eager = Receiver(GnssTime(BELIEVABLE, AgreementLimits(fixes=2, almanac_seconds=0)))
    assert isinstance(eager.seconds(2)[1], TimeSet)
    assert timedelta(milliseconds=BELIEVABLE.latest_ms - ISSUED) < timedelta(weeks=1024)
