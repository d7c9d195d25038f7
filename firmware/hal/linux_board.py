"""`Board` from the files by which Linux tells of temperature and card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_RESERVED_BLOCKS = {2: 80.0, 3: 90.0}  # PRE_EOL_INFO: warning, urgent; 1 is normal, 0 not told (JESD84-B51, 7.4.42)
_LIFE_STEP_PERCENT = 10.0  # DEVICE_LIFE_TIME_EST: 1 is up to 10 % used … 10 up to 100, 11 beyond; 0 is not told


@dataclass(frozen=True, slots=True)
class BoardConfig:
    """Where the kernel tells: temperature in thousandths of a degree, the card's device folder, the board's name."""

    temperature: Path = Path("/sys/class/thermal/thermal_zone0/temp")
    card: Path = Path("/sys/block/mmcblk0/device")
    model: Path = Path("/proc/device-tree/model")


class LinuxBoard:
    """The board. What it does not tell is None: eMMC tells of its wear, SD cards do not."""

    def __init__(self, config: BoardConfig) -> None:
        self._config = config

    def celsius(self) -> float | None:
        try:
            return int(self._config.temperature.read_text(encoding="ascii")) / 1000
        except (OSError, ValueError):
            return None

    def card_wear_percent(self) -> float | None:
        told = [_LIFE_STEP_PERCENT * value for value in self._told("life_time") if value]
        told += [_RESERVED_BLOCKS[value] for value in self._told("pre_eol_info") if value in _RESERVED_BLOCKS]
        return max(told, default=None)

    def describe(self) -> Mapping[str, str]:
        """Tell driver, the board's name and the card's."""
        return {
            "driver": "linux_board",
            "model": _line(self._config.model) or "unknown",
            "card": _line(self._config.card / "name") or "unknown",
        }

    def _told(self, name: str) -> list[int]:
        try:
            return [int(word, 16) for word in _line(self._config.card / name).split()]
        except ValueError:
            return []


def _line(path: Path) -> str:
    """The text of a small file of the kernel; the device tree's end with NUL. Empty if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
