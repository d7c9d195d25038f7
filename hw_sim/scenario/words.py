"""What the picture of a shift calls things: Chinese first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hw_sim.words import CAUSES

COLOURS: Final[Mapping[str, str]] = {
    "starting": "#b8bfc6",
    "armed": "#9fc9a8",
    "recording": "#c0392b",
    "degraded": "#e08e2b",
    "stopped": "#b98ac9",
    "interrupted": "#4a4a4a",
    "docked": "#7fa8d8",
    "shutting_down": "#d5d8dc",
}
"""Colour of each phase."""

VALUES: Final[Mapping[str, str]] = {
    **CAUSES,
    "button_held": "按键回答",
    "speech_followed": "语音回答",
    "unanswered": "无人回答",
    "chosen": "已选定",
    "notice_not_heard": "告知语未听到",
    "explanation_due": "须书面说明",
    "end_of_activity": "活动结束",
    "camera_frozen": "画面凝固",
    "camera_black": "没有图像",
    "storage": "存储",
    "runner": "程序",
    "covered": "遮挡",
    "dark": "过暗",
    "blurred": "模糊",
    "tilted": "歪斜",
    "sky": "朝天",
    "inspection": "日常检查",
    "complaint": "投诉举报",
    "case": "案件调查",
    "service": "送达文书",
    "coercion": "行政强制",
    "other": "其他",
}
"""Values of records' members."""

RECORDS: Final[Mapping[str, str]] = {
    "boot": "开机",
    "self_check": "自检",
    "recording_started": "开始",
    "activity": "活动种类",
    "notice": "告知语",
    "marker": "标记",
    "still": "照片",
    "view_quality": "画面质量",
    "gap": "中断",
    "gap_reason": "中断原因",
    "stopped": "停止",
    "recording_ended": "结束",
    "alert": "报警",
    "docked": "采集站",
    "time_anchor": "授时",
    "clock_set": "校时",
    "released": "释放",
    "fault": "故障",
    "shutdown": "关机",
    "position": "定位",
}
"""Kinds of records that the picture shows."""

DETAILS: Final[Mapping[str, str]] = {
    "notice": "heard",
    "gap": "cause",
    "gap_reason": "basis",
    "stopped": "ground",
    "alert": "what",
    "fault": "where",
    "view_quality": "finding",
    "activity": "activity",
    "self_check": "passed",
    "docked": "docked",
    "clock_set": "source",
    "recording_ended": "ground",
}
"""The member that tells most of a record."""

TRUTHS: Final[Mapping[str, Mapping[bool, str]]] = {
    "notice": {True: "已听到", False: "未听到"},
    "self_check": {True: "通过", False: "未通过"},
    "docked": {True: "放入", False: "取出"},
}
"""Such members that are true or false."""

ACTORS: Final[Mapping[str, str]] = {
    "officer": "执法人员",
    "owner": "当事人",
    "lens": "镜头",
    "room": "房间",
    "power": "电源",
    "program": "程序",
    "card": "存储卡",
    "key": "密钥",
    "dock": "采集站",
    "battery": "电池",
    "clock": "时钟",
    "gnss": "卫星",
    "board": "主板",
}
"""Actors."""
