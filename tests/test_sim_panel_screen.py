"""The panel's widgets and its whole screen, driven by Textual's pilot."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from evidence import records
from hw_sim import world as worlds
from hw_sim.demo.programs import DemoError
from hw_sim.panel import main
from hw_sim.panel.app import PanelApp
from hw_sim.panel.journal import Damaged, JournalReader
from hw_sim.panel.rig import Rig
from hw_sim.panel.slider import SCALES, Slider
from hw_sim.panel.views import EventLine, Journal, Key, KeyBar, State
from tests.agency import Agency
from tests.builders import CameraFolder
from tests.sim_panel_kit import Surroundings, exposing

RECORD, GREEN = 17, 5
PATIENCE = 10.0


# --- Widgets ---------------------------------------------------------------------------------------------------------


class Shelf(App[None]):
    """Sliders, journal and keys by themselves."""

    CSS_PATH = str(files("hw_sim.panel") / "panel.tcss")

    def __init__(self) -> None:
        super().__init__()
        self.moved: list[tuple[Any, Any]] = []

    def compose(self) -> ComposeResult:
        yield from map(Slider, SCALES)
        yield Journal(id="journal")
        yield KeyBar(id="keys")

    def on_slider_moved(self, event: Slider.Moved) -> None:
        self.moved.append((event.was.value, event.position.value))
        if event.position.value == 0:
            event.slider.refuse()
        else:
            event.slider.accept(event.position)


def drive(app: App[Any], how: Callable[[Pilot[Any]], Awaitable[None]], size: tuple[int, int] = (120, 40)) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await how(pilot)

    asyncio.run(run())


async def until(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain; the screen said:\n{text_of(pilot.app)}"
        await pilot.pause(0.02)


def text_of(app: App[Any]) -> str:
    """What stands on the screen, as a reader sees it."""
    width, height = app.size
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=False, legacy_windows=False)
    console.print(app.screen._compositor)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_slider_orders_once_for_several_steps_and_goes_back_if_refused() -> None:
    app = Shelf()

    async def how(pilot: Pilot[None]) -> None:
        battery = app.query_one("#battery", Slider)
        battery.focus()
        await pilot.press("left", "left", "left")
        await until(pilot, lambda: app.moved == [(100, 85)])
        assert "85 %" in battery.render().plain
        for _ in range(30):
            await pilot.press("left")
        await until(pilot, lambda: len(app.moved) == 2)
        assert app.moved[1] == (85, 0)
        assert "不可用" in battery.render().plain
        battery.told = "74.2 %"
        await pilot.press("right")
        await until(pilot, lambda: app.moved[2:] == [(85, 90)])
        assert "74.2 %" in battery.render().plain

    drive(app, how)


def test_a_click_on_the_track_moves_the_slider() -> None:
    app = Shelf()

    async def how(pilot: Pilot[None]) -> None:
        await pilot.click("#temperature", offset=(13, 0))
        await until(pilot, lambda: app.moved == [(45, -20)])

    drive(app, how)


def test_successive_fragments_share_a_row_and_the_end_stays_in_view(tmp_path: Path) -> None:
    app, folder = Shelf(), CameraFolder(tmp_path, Agency())
    reader = JournalReader(tmp_path)
    recording = folder.begin_recording()
    folder.segment(recording, 1000)
    lines = reader.new()
    fragment = next(line for line in lines if isinstance(line, records.Record) and line.kind == "fragment")

    async def how(pilot: Pilot[None]) -> None:
        journal = app.query_one(Journal)
        journal.add(lines)
        before = len(journal._rows)
        journal.add([fragment] * 5)
        journal.add([fragment] * 5)
        assert len(journal._rows) == before + 1
        for _ in range(80):
            journal.add([Damaged("a line for the scroll bar")])
        await until(pilot, lambda: "for the scroll bar" in text_of(app) and journal.scroll_offset.y > 40)
        journal.focus()
        await pilot.press("pageup")
        await until(pilot, lambda: journal.scroll_offset.y < journal.max_scroll_y)
        at = journal.scroll_offset.y
        journal.add([Damaged("another")])
        await pilot.pause()
        assert journal.scroll_offset.y == at  # who reads back is not pulled away

    drive(app, how)


def test_keys_stand_in_columns() -> None:
    app = Shelf()

    async def how(pilot: Pilot[None]) -> None:
        bar = app.query_one(KeyBar)
        bar.tell([Key("r", "录像", "record"), Key("d", "入座", "dock")])
        await pilot.pause()
        assert bar._shown is not None
        above, beneath = bar._shown.plain.split("\n")
        assert cell_len(above[: above.index("d ")]) == cell_len(beneath[: beneath.index("  dock")])

    drive(app, how)


# --- The whole screen ------------------------------------------------------------------------------------------------


@pytest.fixture
def roomless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A rig whose room cannot start, because the machine has no sound server."""
    tools = tmp_path / "tools"
    tools.mkdir()
    setpriv = shutil.which("setpriv")
    assert setpriv
    (tools / "setpriv").symlink_to(setpriv)
    monkeypatch.setenv("PATH", str(tools))
    root = tmp_path / "camera"
    worlds.create(root / "world")
    (root / "logs").mkdir()
    return Rig(root, None, station=False)


@pytest.mark.long
def test_keys_reach_the_pins_and_what_fails_is_one_line(roomless: Rig) -> None:
    app = PanelApp(roomless)

    async def how(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "room 已退出 ended" in text_of(app))
        assert "pulseaudio" in text_of(app)
        assert str(roomless.stage.logs)[:20] in text_of(app)
        await pilot.press("r")
        await until(pilot, lambda: "设备未运行" in text_of(app))
        around = Surroundings(roomless.stage.world)
        around.claim_button(RECORD)
        around.chip.gpio_claim_output(0, 0, GREEN, 1)
        await until(pilot, lambda: "● 绿 亮" in text_of(app))
        await pilot.press("e")
        await until(pilot, lambda: around.levels(RECORD) == [1, 0, 1, 0, 1])
        with exposing(around.lens):
            await until(pilot, lambda: "▒▒▒" in text_of(app))  # the pilot has no colours
            await pilot.press("f", "down", "down", "down", "enter")
            await until(pilot, lambda: "停住不动 hang：开始" in text_of(app))
            await until(pilot, lambda: "没有图像" in text_of(app) or "设备未运行 not running" in text_of(app))
        await pilot.press("left")
        await until(pilot, lambda: "不可用 n/a" in text_of(app))
        around.close()
        assert app.query_one(State)
        assert app.query_one(EventLine)

    drive(app, how)


@pytest.mark.long
def test_help_lies_over_the_panel_and_news_still_reach_it(roomless: Rig) -> None:
    app = PanelApp(roomless)

    async def how(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await until(pilot, lambda: "断电（未落盘的数据丢失）" in text_of(app))
        await until(pilot, lambda: not app.workers or "ended" in str(app.screen_stack[0].query_one(EventLine).content))
        await pilot.press("escape")
        await until(pilot, lambda: "room 已退出 ended" in text_of(app))

    drive(app, how, size=(100, 30))


@pytest.mark.long
def test_a_terminal_that_is_too_small_is_told(roomless: Rig) -> None:
    app = PanelApp(roomless)

    async def how(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "至少 100 列 30 行，现在 90 列 28 行" in text_of(app))
        assert "录像" not in text_of(app)

    drive(app, how, size=(90, 28))


# --- The command -----------------------------------------------------------------------------------------------------


def panel(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bodycam", "sim", "panel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=30)


def test_without_a_terminal_there_is_one_line() -> None:
    done = panel()
    assert done.returncode == 64
    assert done.stderr == "bodycam sim panel: 需要在终端里运行 needs a terminal\n"


def test_a_folder_is_empty_or_a_camera_of_ours(tmp_path: Path) -> None:
    assert main._place(tmp_path / "new", "drawn")[1] is not None
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DemoError, match="既不是空文件夹") as refused:
        main._place(tmp_path, None)
    assert refused.value.exit_status == 73
    with pytest.raises(DemoError, match="no-such-film") as refused:
        main._place(tmp_path / "new", "no-such-film.mp4")
    assert refused.value.exit_status == 66


def test_a_world_stands_for_its_camera_and_keeps_its_scene(tmp_path: Path) -> None:
    worlds.create(tmp_path / "world")
    (tmp_path / "camera").mkdir()
    (tmp_path / "camera" / "camera.toml").touch()
    assert main._place(tmp_path / "world", None) == main._place(tmp_path, None) == (tmp_path, None)
    with pytest.raises(DemoError, match=r"lens\.scene"):
        main._place(tmp_path, "drawn")
