"""The words of this field on pages, by the names that records and tables have for them (docs/glossary.md)."""

from __future__ import annotations

from typing import Final

from office.listing import ACTIVITIES as _ACTIVITIES
from office.listing import CAUSES as _CAUSES
from office.site.text import Text

_CAUSES_EN = {
    "power_cut": "power cut", "crash": "program crashed", "encoder_changed": "encoder changed",
    "camera_stall": "camera stalled", "camera_lost": "camera came off", "microphone_lost": "microphone came off",
    "encoder_stall": "encoder stalled", "storage_full": "storage full", "storage_failing": "storage failing",
    "slow_storage": "storage too slow", "battery_low": "battery low", "heat": "too hot", "weather": "weather",
    "change_of_site": "change of site", "privacy": "privacy or secrecy", "shutdown": "switched off",
    "unknown": "unknown",
}  # fmt: skip
CAUSES: Final = {name: Text(zh, _CAUSES_EN.get(name, name)) for name, zh in _CAUSES.items()} | {
    "missing": Text("档案库未收到", "not handed in")
}
ALERTS: Final = {
    **CAUSES,
    "notice_not_heard": Text("未听到告知", "notice not heard"),
    "explanation_due": Text("须书面说明", "explanation due in writing"),
    "camera_frozen": Text("画面停止", "picture frozen"),
    "camera_black": Text("没有图像", "no picture"),
}
STANDINGS: Final = {
    "told": Text("直接上报，尚未移交", "told directly, not handed in yet"),
    "confirmed": Text("先上报，后移交", "told directly, then handed in"),
    "handed_in": Text("随移交得知", "told at hand-in"),
    "contradicted": Text("移交的日志中没有，须查明", "not in the journal handed in: ask why"),
}
_ACTIVITIES_EN = {
    "inspection": "Inspection", "complaint": "Complaint", "case": "Case", "service": "Service of documents",
    "coercion": "Coercive measure", "other": "Other",
}  # fmt: skip
ACTIVITIES: Final = {name: Text(zh, _ACTIVITIES_EN[name]) for name, zh in _ACTIVITIES.items()}
REASONS: Final = {
    "unanswered": Text("未说明原因", "no reason given"),
    "button_held": Text("已按键说明", "told by button"),
    "speech_followed": Text("已口头说明", "told by voice"),
    "chosen": Text("已选原因", "reason chosen"),
}
MOMENTS: Final = {
    "marker": Text("标记", "Marker"),
    "still": Text("快照", "Still"),
    "notice": Text("告知语", "Notice"),
    "gap": Text("中断", "Gap"),
    "gap_reason": Text("说明中断原因", "Reason of a gap"),
    "view_quality": Text("画面质量", "View"),
    "activity": Text("选定类别", "Activity chosen"),
    "stopped": Text("暂停", "Stopped"),
}
DETAILS: Final = {
    "heard": Text("已听到", "heard"), "not_heard": Text("未听到", "not heard"), **REASONS, **ACTIVITIES, **CAUSES,
    "covered": Text("镜头被遮", "covered"), "covered_passed": Text("遮挡消除", "no longer covered"),
    "dark": Text("过暗", "dark"), "dark_passed": Text("恢复光亮", "no longer dark"),
    "blurred": Text("模糊", "blurred"), "blurred_passed": Text("恢复清晰", "sharp again"),
    "tilted": Text("倾斜", "tilted"), "tilted_passed": Text("恢复端正", "level again"),
    "sky": Text("朝天", "points at the sky"), "sky_passed": Text("恢复朝向", "no longer at the sky"),
    "camera_frozen": Text("画面停止", "frozen"), "camera_frozen_passed": Text("画面恢复", "moves again"),
    "camera_black": Text("没有图像", "black"), "camera_black_passed": Text("图像恢复", "picture again"),
}  # fmt: skip
DEADLINES: Final = {
    "overdue": Text("已逾期", "Overdue"), "warning": Text("即将到期", "Due soon"), "away": Text("异地未返", "Away"),
    "open": Text("未到期", "Open"), "late": Text("逾期移交", "Late"), "met": Text("按时移交", "In time"),
}  # fmt: skip
