"""The board's health as Linux tells it: a folder of small files, `board` in the world folder.

temp                           thousandths of a degree
card/life_time, pre_eol_info   as an eMMC tells its wear; missing: a card that does not
card/name, model               names
"""

from __future__ import annotations

from pathlib import Path

FOLDER = "board"
FILES = (f"{FOLDER}/temp", f"{FOLDER}/card", f"{FOLDER}/model")
"""What the camera names in `[board]`: temperature, card, model."""

_STEP_PERCENT = 10


class Board:
    """Writes the folder. Files are replaced whole, as a reader of the kernel's sees them."""

    def __init__(self, world: Path, celsius: float, card_wear_percent: float | None) -> None:
        """Make the folder in `world`."""
        self._folder = world / FOLDER
        (self._folder / "card").mkdir(parents=True, exist_ok=True)
        self._write("model", "sim-board\0")
        self._write("card/name", "SIMCRD\n")
        self.set_celsius(celsius)
        self.set_card_wear(card_wear_percent)

    def set_celsius(self, celsius: float) -> None:
        """Set the temperature of the processor."""
        self._write("temp", f"{round(celsius * 1000)}\n")

    def set_card_wear(self, percent: float | None) -> None:
        """Set how much of the card's life is used, told in steps of 10; None: the card does not tell."""
        if percent is None:
            for name in ("card/life_time", "card/pre_eol_info"):
                (self._folder / name).unlink(missing_ok=True)
            return
        step = min(max(1, -(-round(percent) // _STEP_PERCENT)), 11)
        self._write("card/life_time", f"0x01 0x{step:02x}\n")
        self._write("card/pre_eol_info", "0x01\n")

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        passing = path.with_name(f".{path.name}")
        passing.write_text(text, encoding="utf-8")
        passing.replace(path)
