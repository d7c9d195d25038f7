"""Whether a camera may be handed out: green, amber with what it waits for, red with what somebody must do. Pure.

The bay's lamp shows it, and so does whatever asks for a bay's `Offer`. Reasons are for keepers: Chinese first.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from evidence.standing import Standing
from syncd.camera import CameraPapers

_DAY_SECONDS = 86_400
_LEAST_LINK_DAYS = 3  # the camera must get through a long weekend


class Light(enum.StrEnum):
    """The bay's lamp."""

    DARK = "dark"  # no camera
    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why not green. `code` is stable (docs/spec/dock.md §6)."""

    code: str
    zh: str
    en: str

    def __str__(self) -> str:
        return f"{self.zh} {self.en}"

    @property
    def light(self) -> Light:
        """What the lamp shows for it."""
        return Light.RED if self.code in RED else Light.AMBER


@dataclass(frozen=True, slots=True)
class Offer:
    """What a bay shows of its camera; reasons gravest first."""

    light: Light
    reasons: tuple[Reason, ...] = ()


EMPTY = Offer(Light.DARK)
RED = frozenset({"self-check", "unassigned", "not-charging", "link-ending", *(f"standing-{one}" for one in Standing)})
"""Codes for which somebody must come."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the dock knows of the camera in a bay."""

    standing: Standing
    handed_in: bool  # everything, with receipts and time
    papers: CameraPapers | None  # None: not asked yet, or its firmware does not tell
    lists: str | None  # SHA-256 of the dock's revocation lists
    link_seconds: float  # until its link certificate ends


def judge(seen: Seen) -> Offer:
    """The offer. What a camera cannot tell keeps it from being green: nobody else would notice."""
    reasons = sorted(_reasons(seen), key=lambda reason: reason.light is not Light.RED)
    light = Light.GREEN if not reasons else reasons[0].light
    return Offer(light, tuple(reasons))


def _reasons(seen: Seen) -> Iterator[Reason]:
    if seen.standing is not Standing.GOOD:
        zh, en = _STANDINGS[seen.standing]
        yield Reason(f"standing-{seen.standing}", zh, en)
        return
    if not seen.handed_in:
        yield Reason("handing-in", "正在交接数据", "handing in")
    if seen.link_seconds < _LEAST_LINK_DAYS * _DAY_SECONDS:
        yield Reason("link-ending", "连接证书即将到期", "its link certificate is about to end")
    if seen.papers is None:
        yield Reason("unknown", "设备状态未知", "the camera has not told how fit it is")
        return
    yield from _papers(seen.papers, seen.lists)
    yield from _fitness(seen.papers)


def _papers(papers: CameraPapers, lists: str | None) -> Iterator[Reason]:
    if papers.held != papers.in_force:
        yield Reason("configuration", "新配置待生效", "a new configuration is not in force yet")
    if lists is not None and papers.revocations != lists:
        yield Reason("revocations", "吊销名单待更新", "its revocation lists are old")


def _fitness(papers: CameraPapers) -> Iterator[Reason]:
    fit = papers.fitness
    if fit.wrong is None:
        yield Reason("unchecked", "尚未自检", "not checked yet")
    for key in fit.wrong or ():
        zh = _WRONG.get(key, key if key.isprintable() else "?")
        yield Reason("self-check", f"自检未通过：{zh}", f"self-check failed: {key!r}")
    if not fit.assigned:
        yield Reason("unassigned", "未配发人员", "nobody's: assign it")
    if not fit.clock_trusted:
        yield Reason("clock", "时钟未校准", "its clock is not set")
    if fit.battery_percent is None or fit.battery_minutes is None:
        yield Reason("battery-unknown", "电量未知", "it does not tell its battery")
    elif fit.battery_minutes < fit.planned_minutes:
        zh, en = f"充电中 {fit.battery_percent}%", f"charging, {fit.battery_percent} %"
        if fit.charging is False:
            yield Reason("not-charging", f"未充电 {fit.battery_percent}%", "it does not charge")
        else:
            yield Reason("charging", zh, en)
    if fit.storage_minutes is not None and fit.storage_minutes < fit.planned_minutes:
        yield Reason("storage", "存储空间不足", "no room for the planned shift")


_STANDINGS = {
    Standing.EXPIRED: ("连接证书已过期，隔离交接", "its link certificate has run out: handing in to quarantine"),
    Standing.REVOKED: ("证书已吊销，隔离交接", "a certificate of it was taken back: handing in to quarantine"),
    Standing.LOST: ("已挂失，隔离交接", "reported lost: handing in to quarantine"),
    Standing.UNASSIGNED: ("未配发，隔离交接", "not assigned: handing in to quarantine"),
}
_WRONG = {
    "camera_fault": "摄像头故障",
    "microphone_fault": "麦克风故障",
    "microphone_silent": "麦克风无声",
    "key_fault": "证据密钥故障",
    "card_worn": "存储卡老化",
}
