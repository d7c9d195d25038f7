"""Words for people at the dock: the state of a bay, and what each code means for whoever stands before it.

Chinese first. A reason is short enough for a bay on the screen; docs/dock.md has the long form.
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

_LOOK = Words("送检并保管", "keep it, have it looked at")
_ASK = Words("勿再使用，上报", "do not use it, report it")
_ARCHIVE = Words("档案库出错，照常等候", "the office fails; just wait")

REASONS: Final = {
    "camera-lost": Words("未交清，请放回", "not finished: put it back"),
    "camera-silent": Words("无应答，请重新插入", "no answer: put it in again"),
    "camera-identity": Words("非本单位设备，勿用，上报", "not this agency's: do not use, report"),
    "camera-protocol": _LOOK,
    "camera-error": _LOOK,
    "camera-busy": Words("记录仪忙，请稍候", "the camera is busy: wait"),
    "camera-full": Words("记录仪存储已满，送检", "its storage is full: have it looked at"),
    "camera-refused": _LOOK,
    "segment-unknown": _LOOK,
    "segment-size": _LOOK,
    "hash-mismatch": Words("数据与签名不符，封存", "not what was signed: lock it away"),
    "journal-shorter": Words("日志缺失，封存上报", "records are gone: lock it away, report"),
    "evidence": Words("记录验证不过，封存上报", "records do not verify: lock it away, report"),
    "office-lost": Words("档案库连不上，恢复后自动续传", "office out of reach; goes on by itself"),
    "office-busy": Words("档案库忙，自动续传", "office busy; goes on by itself"),
    "office-full": Words("档案库已满，通知管理员", "office full: call its keeper"),
    "office-error": _ARCHIVE,
    "office-identity": Words("档案库身份不符，上报", "not this agency's office: report"),
    "office-protocol": _ARCHIVE,
    "office-refused": Words("档案库拒收，上报", "office refuses: report"),
    "receipt-missing": Words("档案库未给回执，上报", "no receipt: report"),
    "receipt-wrong": Words("回执不符，上报", "wrong receipt: report"),
    "anchor-wrong": Words("授时不符，上报", "wrong time anchor: report"),
    "spool-full": Words("采集站已满，勿取走", "dock full: leave it in"),
    "spool-disk": Words("采集站磁盘故障，报修", "the dock's disk fails: repair"),
}
WAITING: Final = frozenset(
    {"office-lost", "office-busy", "office-full", "office-error", "office-protocol", "spool-full"}
)
"""Codes that pass by themselves: the camera is well, and somebody else is waited for."""


def reason(code: str) -> Words:
    """What a code means; one of the evidence format stands for records that do not verify."""
    return REASONS.get(code, REASONS["evidence"])
