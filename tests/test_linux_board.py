"""The board's driver on files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware.hal.linux_board import BoardConfig, LinuxBoard
from hw_sim.board import Board


def driver(world: Path) -> LinuxBoard:
    folder = world / "board"
    return LinuxBoard(BoardConfig(folder / "temp", folder / "card", folder / "model"))


def test_temperature_and_names_are_read(tmp_path: Path) -> None:
    board = Board(tmp_path, 45.25, None)
    assert driver(tmp_path).celsius() == 45.25
    board.set_celsius(-3)
    assert driver(tmp_path).celsius() == -3
    assert driver(tmp_path).describe() == {"driver": "linux_board", "model": "sim-board", "card": "SIMCRD"}


def test_an_sd_card_does_not_tell_its_wear(tmp_path: Path) -> None:
    board = Board(tmp_path, 45, None)
    assert driver(tmp_path).card_wear_percent() is None
    board.set_card_wear(42)
    assert driver(tmp_path).card_wear_percent() == 50
    board.set_card_wear(None)
    assert driver(tmp_path).card_wear_percent() is None


@pytest.mark.parametrize(
    ("life_time", "pre_eol", "percent"),
    [
        ("0x01 0x02", "0x01", 20),
        ("0x0b 0x03", "0x01", 110),
        ("0x00 0x00", "0x00", None),  # the card does not say
        ("0x00 0x05", "0x01", 50),
        ("0x02 0x02", "0x02", 80),  # its spare blocks tell more than its age
        ("0x02 0x02", "0x03", 90),
        ("nonsense", "0x01", None),
        ("", "", None),
    ],
)
def test_an_emmc_tells_its_wear(tmp_path: Path, life_time: str, pre_eol: str, percent: float | None) -> None:
    Board(tmp_path, 45, None)
    (tmp_path / "board" / "card" / "life_time").write_text(f"{life_time}\n")
    (tmp_path / "board" / "card" / "pre_eol_info").write_text(f"{pre_eol}\n")
    assert driver(tmp_path).card_wear_percent() == percent


@pytest.mark.parametrize("text", ["", "hot\n"])
def test_a_board_that_does_not_tell(tmp_path: Path, text: str) -> None:
    Board(tmp_path, 45, None)
    (tmp_path / "board" / "temp").write_text(text)
    assert driver(tmp_path).celsius() is None
    silent = driver(tmp_path / "nowhere")
    assert (silent.celsius(), silent.card_wear_percent()) == (None, None)
    assert silent.describe()["model"] == "unknown"
