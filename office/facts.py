"""What the machine knows of what was drawn for inspection, by the three questions of rule 26. Facts, and no verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from office import statements
from office.deadlines import State
from office.footage import Footage
from office.listing import CAUSES
from office.matching import Activity, Match, covered, recorders
from office.words import KINDS
from office.worklists import Ledger

_WHOLE = 0.95  # of an activity's time: the ledger is written to the minute, and arrival is not its first


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact for question 1, 2 or 3. `bears`: it speaks against that what is asked was done."""

    question: int
    text: str
    bears: bool = False


def of(item: str, ledger: Ledger, hand_in: Mapping[tuple[str, str], State]) -> list[Fact]:
    """The facts of a drawn item; `hand_in`: how each recording's hand-in stands, as far as it is known."""
    kind, _, name = item.partition("/")
    if kind == "activity":
        leaf = int(name)
        activity = next((one for one in ledger.activities if one.leaf == leaf), None)
        if activity is None:
            return [Fact(1, "该活动登记后已作废 was set aside since")]
        matches = [one for one in ledger.of(leaf) if one.why.sure]
        return [*_recorded(activity, matches, ledger), *_recordings([one.footage for one in matches], ledger, hand_in)]
    found = [one for one in ledger.recordings if one.name == name]
    facts = [Fact(1, "录像无对应的执法活动", bears=True)] if found else []
    return [*facts, *_recordings(found, ledger, hand_in)]


def suggested(facts: Iterable[Fact], question: int) -> str | None:
    """What the facts suggest for a question, for people to judge: `met`, `unmet`, or nothing."""
    own = [one for one in facts if one.question == question]
    return None if not own else "unmet" if any(one.bears for one in own) else "met"


def continuity(one: Footage) -> str:
    """How whole a recording is, as far as can be known without opening it."""
    if one.missing:
        return f"缺 {len(one.missing)} 个分段文件"
    if not one.over:
        return "未结束"
    if not one.gaps:
        return "连续，无中断"
    unexplained = sum(not gap.explained for gap in one.gaps)
    return f"中断 {len(one.gaps)} 次" + (f"，其中 {unexplained} 次未说明" if unexplained else "，均已说明")


def _recorded(activity: Activity, matches: Sequence[Match], ledger: Ledger) -> list[Fact]:
    stated, _ = statements.excused(ledger.statements)
    if not matches:
        if activity.leaf in stated:
            return [Fact(1, "无录像，有未记录说明（第六条）")]
        return [Fact(1, "无录像，无未记录说明", bears=True)]
    share, who = covered(activity, matches), recorders(matches)
    return [
        Fact(1, f"录像 {len(matches)} 份，覆盖活动时间 {share:.0%}", bears=share < _WHOLE),
        Fact(1, f"{len(who)} 人录像（{'、'.join(who)}）", bears=len(who) < 2),  # noqa: PLR2004 - rule 10: two
    ]


def _recordings(found: Sequence[Footage], ledger: Ledger, hand_in: Mapping[tuple[str, str], State]) -> list[Fact]:
    written = statements.explained(ledger.statements)
    return [fact for one in found for fact in _of_one(one, written, hand_in.get(one.key))]


def _of_one(one: Footage, written: set[tuple[str, str, int | None]], state: State | None) -> Iterable[Fact]:
    name = one.recording
    yield Fact(1, f"{name} 类别：{KINDS[one.kind] if one.kind else '未选'}", bears=one.kind is None)
    yield Fact(1, f"{name} 告知语：{'已听到' if one.notice_heard else '未听到'}", bears=not one.notice_heard)
    yield Fact(2, f"{name} {continuity(one)}", bears=bool(one.missing) or not one.over)
    for gap in one.gaps:
        told = gap.explained or bool({(*one.key, gap.seq), (*one.key, None)} & written)
        least = timedelta(milliseconds=gap.min_ms).total_seconds()
        words = f"{name} 中断：{CAUSES[gap.cause]}，至少 {least:.0f} 秒，{'已说明' if told else '未说明原因'}"
        yield Fact(2, words, bears=not told)
    if one.frames_dropped:
        yield Fact(2, f"{name} 丢帧 {one.frames_dropped}", bears=True)
    late = state in (State.LATE, State.OVERDUE)
    known = {State.LATE: "逾期移交", State.OVERDUE: "逾期未移交", State.MET: "按时移交"}
    words = (state and known.get(state)) or ("已移交" if one.handed_in else "尚未移交完毕")
    yield Fact(3, f"{name} {words}", bears=late)
    yield Fact(3, f"{name} {'记录已签名' if one.signed else '记录未签名'}", bears=not one.signed)
    if one.officer is None:
        yield Fact(3, f"{name} 领用台账无使用人", bears=True)
