"""What the panel calls things: Chinese first, then the word of the code, as docs/glossary.md has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources

from rich.cells import cell_len, set_cell_size

from hw_sim import words

PHASES = {"off": "无电", "halted": "程序已停", **words.PHASES}
"""`off` and `halted` are the panel's own: without power, and with power but without the program."""

CAUSES = words.CAUSES

HINTS = {
    "off": ("按 p 上电", "p switches the power on"),
    "halted": ("按 s 启动程序", "s starts the program"),
    "starting": ("请稍候；现在按 r 会被记住", "wait; r is kept"),
    "armed": ("按 r 开始录像，按 M 只录音", "r records, M sound only"),
    "recording": ("按 m 标记，按 R 两次结束", "m marks, R twice ends"),
    "degraded": ("只剩图像或声音：按 f 看故障", "picture or sound only: f shows faults"),
    "interrupted": ("录制中断：按 f 看故障，会自行恢复", "interrupted: f shows faults, it resumes by itself"),
    "stopped": ("按 r 继续录像，按 M 结束", "r goes on, M ends it"),
    "docked": ("按 d 取出", "d takes it out"),
    "confirm": ("再按 R 结束，按 m 换停止原因", "R again ends, m changes the ground"),
    "asked": ("设备在问原因：按 a 回答", "it asks for the reason: a answers"),
}
"""What to do next, by phase; `asked`: the reason of a gap is asked; `confirm`: the record button was held once."""

KINDS = {
    "boot": "开机",
    "summary": "摘要",
    "self_check": "自检",
    "certified": "密钥认证",
    "assigned": "领用",
    "time_anchor": "时间锚",
    "clock_set": "校时",
    "armed": "待录",
    "heartbeat": "心跳",
    "recording_started": "开始录制",
    "activity": "执法类别",
    "notice": "告知语",
    "fragment": "分片",
    "segment": "分段文件",
    "marker": "标记",
    "still": "快照",
    "position": "定位",
    "view_quality": "画面质量",
    "gap": "中断",
    "gap_reason": "中断原因",
    "stopped": "停止",
    "recording_ended": "结束录制",
    "alert": "报警",
    "docked": "入座",
    "receipt": "回执",
    "released": "释放",
    "fault": "故障",
    "shutdown": "关机",
}


def prompts() -> Mapping[str, str]:
    """The text of each prompt by its key, from the camera's own package data."""
    folder = resources.files("firmware.voice") / "prompts" / "zh"
    catalogue = json.loads((folder / "prompts.json").read_text("utf-8"))
    return {entry["key"]: entry["text"] for entry in catalogue["prompts"]}


def both(chinese: Mapping[str, str], word: str) -> str:
    """Chinese and the code's word; the word alone where nobody has named it."""
    return f"{chinese[word]} {word}" if word in chinese else word


def column(text: str, cells: int) -> str:
    """`text` in exactly that many cells of the terminal, where a Chinese character takes two."""
    if cell_len(text) > cells:
        return set_cell_size(text, cells - 1) + "…"
    return set_cell_size(text, cells)
