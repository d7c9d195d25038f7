"""Words for people at the dock: the state of a bay, and what each code means for whoever stands before it.

Chinese first. A reason has one line of a bay on the screen, nine characters at most; docs/dock.md has the long form.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Words(NamedTuple):
    """The same in both languages."""

    zh: str
    en: str

    def __str__(self) -> str:
        return f"{self.zh} {self.en}"


STATES: Final = {
    "empty": Words("空闲", "empty"),
    "connecting": Words("连接", "connecting"),
    "handing_in": Words("移交", "handing in"),
    "waiting": Words("等候", "waiting"),
    "done": Words("交清", "done"),
    "fault": Words("故障", "fault"),
}

_LOOK = Words("送检，勿丢弃", "keep it, have it looked at")
_ARCHIVE = Words("档案库出错，请等候", "the office fails; just wait")

REASONS: Final = {
    "camera-lost": Words("未交清，请放回", "not finished: put it back"),
    "camera-silent": Words("无应答，请重插", "no answer: put it in again"),
    "camera-identity": Words("非本单位，请上报", "not this agency's: report it"),
    "camera-protocol": _LOOK,
    "camera-error": _LOOK,
    "camera-busy": Words("记录仪忙，请稍候", "the camera is busy: wait"),
    "camera-full": Words("存储已满，送检", "it is full: have it looked at"),
    "camera-refused": _LOOK,
    "segment-unknown": _LOOK,
    "segment-size": _LOOK,
    "hash-mismatch": Words("数据不符，请封存", "not as it was signed: keep it"),
    "journal-shorter": Words("记录缺失，请封存", "records are gone: lock it away"),
    "evidence": Words("验证不过，请封存", "does not verify: lock it away"),
    "office-lost": Words("档案库断线，自动续", "office away; goes on by itself"),
    "office-busy": Words("档案库忙，自动续", "office busy; goes on by itself"),
    "office-full": Words("档案库满，请上报", "office full: report it"),
    "office-error": _ARCHIVE,
    "office-identity": Words("档案库不符，请上报", "not our office: report it"),
    "office-protocol": _ARCHIVE,
    "office-refused": Words("档案库拒收，请上报", "office refuses: report it"),
    "receipt-missing": Words("没有回执，请上报", "no receipt: report it"),
    "receipt-wrong": Words("回执不符，请上报", "wrong receipt: report it"),
    "anchor-wrong": Words("授时不符，请上报", "wrong time: report it"),
    "camera-quarantine": Words("隔离移交，请上报", "to quarantine: report it"),
    "camera-unproven": Words("身份不明，请封存", "not proven: lock it away"),
    "configuration-wrong": Words("配置不符，请上报", "wrong configuration: report it"),
    "revocations-wrong": Words("名单不符，请上报", "wrong lists: report it"),
    "self-check": Words("自检未过，送检", "self-check failed: look at it"),
    "unassigned": Words("未配发人员", "nobody's: assign it"),
    "not-charging": Words("未充电，请重插", "does not charge: put it in again"),
    "link-ending": Words("证书将过期，请上报", "certificate ends: report it"),
    "handing-in": Words("正在移交", "handing in"),
    "unknown": Words("状态未知", "it has not told how fit it is"),
    "unchecked": Words("尚未自检", "not checked yet"),
    "battery-unknown": Words("电量未知", "it does not tell its battery"),
    "charging": Words("充电中", "charging"),
    "storage": Words("存储空间不足", "no room for the shift"),
    "clock": Words("时钟未校准", "its clock is not set"),
    "configuration": Words("新配置待生效", "new configuration, not in force"),
    "revocations": Words("吊销名单待更新", "its revocation lists are old"),
    "spool-full": Words("采集站满，勿取走", "dock full: leave it in"),
    "spool-disk": Words("磁盘故障，请报修", "the dock's disk fails: repair it"),
}
WAITING: Final = frozenset(
    {"office-lost", "office-busy", "office-full", "office-error", "office-protocol", "spool-full"}
)
"""Codes that pass by themselves: the camera is well, and somebody else is waited for."""


def reason(code: str) -> Words:
    """What a code means. One that is not above is of the evidence format: records that do not verify."""
    return REASONS.get(code, REASONS["evidence"])
