"""What every screen and picture of the simulator calls phases and causes: Chinese, as docs/glossary.md has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PHASES: Final[Mapping[str, str]] = {
    "starting": "启动",
    "armed": "待录",
    "recording": "录像",
    "degraded": "降级录制",
    "interrupted": "中断",
    "stopped": "暂停",
    "docked": "入座",
    "shutting_down": "关机",
}
"""The recorder's phases."""

CAUSES: Final[Mapping[str, str]] = {
    "power_cut": "断电",
    "crash": "程序崩溃",
    "encoder_changed": "编码改变",
    "camera_stall": "图像停顿",
    "camera_lost": "摄像头丢失",
    "microphone_lost": "麦克风丢失",
    "encoder_stall": "编码器停顿",
    "storage_full": "存储已满",
    "storage_failing": "存储故障",
    "slow_storage": "存储过慢",
    "battery_low": "电量不足",
    "heat": "过热",
    "weather": "天气原因",
    "change_of_site": "变换场所",
    "privacy": "隐私或秘密",
    "shutdown": "关机",
    "unknown": "不明",
}
"""Causes of gaps (specification §3.7)."""
