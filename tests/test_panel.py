"""The panel's parts: orders over real control sockets to real simulated parts, and the screen driven by its pilot."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from evidence import records
from firmware.hal.gpiozero_panel import GpiozeroPanelConfig
from hw_sim import camera, control
from hw_sim import world as worlds
from hw_sim.control import ControlError
from hw_sim.forgetful_ops import Rules
from hw_sim.lens import Fault as LensFault
from hw_sim.lens import Lens, LensConfig
from hw_sim.lgpio_chip import Chip
from hw_sim.libcamera_sim.camera import Fate, Planes
from hw_sim.panel import faults, keys, orders, words
from hw_sim.panel.app import PanelApp
from hw_sim.panel.faults import Active
from hw_sim.panel.journal import Damaged, JournalReader, row
from hw_sim.panel.lamps import BuzzCount, LampWatch
from hw_sim.panel.orders import Orders
from hw_sim.panel.picture import half_blocks, pixels, shades
from hw_sim.panel.rig import Rig
from hw_sim.panel.slider import SCALES, Slider
from hw_sim.panel.story import Story
from hw_sim.panel.views import EventLine, Journal, Key, KeyBar, State
from tests.agency import Agency
from tests.builders import CameraFolder

RECORD, MARK, DOCK, GREEN, RED, YELLOW = 17, 27, 22, 5, 6, 13
PATIENCE = 10.0


class Surroundings:
    """Pins, lens and card of one camera, each with the orders that it really takes, in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chip = Chip(folder / "pins.jsonl")
        self.lens = Lens(LensConfig(folder / "deliveries.jsonl"), time.monotonic_ns)
        self.rules = Rules()
        self.limit: int | None = None
        self.sockets = {"camera": folder / "control.sock", "room": folder / "room.sock", "card": folder / "card.sock"}
        card: dict[str, control.Handler] = {
            "rules": lambda request: self.rules.replace(request["rules"]),
            "limit": self._set_limit,
            "status": lambda _: {"used": 5_000_000, "limit": self.limit},
        }
        self.stops = [
            control.serve(self.sockets["camera"], camera._handlers(self.chip, self.lens)),
            control.serve(self.sockets["card"], card),
        ]

    def _set_limit(self, request: dict[str, Any]) -> None:
        self.limit = request["bytes"]

    def claim_button(self, pin: int) -> None:
        """Pull a pin up, as the firmware does."""
        self.chip.gpiochip_open(0)
        self.chip.gpio_claim_input(0, 1 << 5, pin)

    def levels(self, pin: int) -> list[int]:
        """Levels that a pin has had."""
        lines = [json.loads(line) for line in (self.folder / "pins.jsonl").read_text().splitlines()]
        return [line["level"] for line in lines if line["pin"] == pin]

    def close(self) -> None:
        for stop in self.stops:
            stop()
        self.lens.close()


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    made = Surroundings(tmp_path)
    yield made
    made.close()


@contextlib.contextmanager
def exposing(lens: Lens) -> Iterator[None]:
    """Expose as the simulated sensor does, without an application behind it."""
    stop = threading.Event()

    def run() -> None:
        picture = Planes(*(np.zeros(shape, np.uint8) for shape in ((180, 320), (90, 160), (90, 160))))
        while not stop.wait(0.01):
            fate = lens.fate()
            if fate is Fate.DELIVERED:
                lens.paint([picture], time.monotonic_ns())
                lens.record(fate, time.monotonic_ns(), 0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# --- Orders ----------------------------------------------------------------------------------------------------------


def test_buttons_are_pressed_once_and_twice(around: Surroundings) -> None:
    told = Orders(around.sockets)
    around.claim_button(MARK)
    told.push("mark", [0.01])
    assert around.levels(MARK) == [1, 0, 1]
    told.push("mark", [0.01, 0.01])
    assert around.levels(MARK) == [1, 0, 1, 0, 1, 0, 1]


def test_a_hold_is_longer_than_the_firmware_asks_and_a_double_press_shorter() -> None:
    assert GpiozeroPanelConfig().hold_seconds + 0.1 < orders.HOLD
    assert 2 * orders.TAP + orders._BETWEEN < 0.5


def test_a_new_process_finds_the_camera_where_it_sat(around: Surroundings, tmp_path: Path) -> None:
    told = Orders(around.sockets)
    told.contact(docked=True)
    told.toggle(faults.LENS[3])
    assert around.lens.fate() is Fate.HANG
    around.close()
    (tmp_path / "second").mkdir()
    second = Surroundings(tmp_path / "second")
    again = {**around.sockets, "camera": second.sockets["camera"]}
    told._sockets = again
    told.restore()
    assert second.chip._lines[DOCK].driven == 0
    assert told.faults.names == []
    around.stops, around.lens = second.stops, second.lens


def test_a_fault_that_is_refused_does_not_count(around: Surroundings) -> None:
    told = Orders(around.sockets)
    unknown = faults.Fault("melted", "熔化", "melted", "camera", {"do": "lens_fault", "kind": "melted"})
    with pytest.raises(ControlError, match="melted"):
        told.toggle(unknown)
    assert unknown not in told.faults


def test_storage_is_counted_from_what_is_used(around: Surroundings) -> None:
    Orders(around.sockets).slide("storage", None, 8_000_000)
    assert around.limit == 13_000_000
    Orders(around.sockets).slide("storage", 8_000_000, None)
    assert around.limit is None


def test_every_rule_of_the_card_menu_is_one_that_the_card_knows(around: Surroundings) -> None:
    for fault in faults.CARD:
        Orders(around.sockets).give(fault.target, fault.do)


def test_of_the_lens_one_fault_is_on_at_a_time() -> None:
    active = Active()
    hang, frozen = faults.LENS[3], faults.LENS[4]
    active.toggled(hang)
    active.toggled(frozen)
    assert active.names == [frozen.name]
    assert active.request(frozen) == frozen.undo
    active.toggled(frozen)
    assert active.names == []


def test_the_lens_menu_names_faults_that_the_lens_has() -> None:
    known = {kind.value for kind in LensFault}
    named = {str(fault.do["kind"]) for fault in faults.LENS}
    assert {"lost", "error", "cancel", "hang", "frozen", "black", "unplugged"} <= named & known


@pytest.mark.parametrize(
    ("error", "running", "says"),
    [
        ('send a JSON object with "do": one of lamps', True, "not available"),
        ("nobody answers at x", True, "not ready yet"),
        ("nobody answers at x", False, "not running"),
        ("ValueError: what the part says", True, "what the part says"),
    ],
)
def test_a_refusal_is_one_line(error: str, says: str, *, running: bool) -> None:
    assert says in orders.refusal(error, running=running)


# --- Picture and lamps -----------------------------------------------------------------------------------------------


def test_the_panel_looks_through_the_lens(around: Surroundings) -> None:
    with exposing(around.lens):
        answer = control.ask(around.sockets["camera"], {"do": "look", "columns": 64, "rows": 36})
        seen = pixels(answer)
        assert seen.shape == (36, 64, 3)
        assert np.ptp(seen) > 50
        around.lens.set_fault("black")
        while pixels(control.ask(around.sockets["camera"], {"do": "look", "columns": 2, "rows": 2})).max() > 3:
            pass
        with pytest.raises(ControlError, match="from 1 to"):
            control.ask(around.sockets["camera"], {"do": "look", "columns": 0, "rows": 36})
        around.lens.set_fault("hang")
        with pytest.raises(ControlError, match="no picture"):
            control.ask(around.sockets["camera"], {"do": "look", "columns": 64, "rows": 36})


def test_half_blocks_show_two_pixels_a_cell() -> None:
    picture = np.zeros((4, 3, 3), np.uint8)
    picture[0, :, 0], picture[3, 2] = 255, 9
    lines = half_blocks(picture)
    assert [segment.text for segment in lines[0]] == ["▀▀▀"]  # equal neighbours travel as one
    assert lines[0][0].style is not None
    assert lines[0][0].style.color is not None
    assert lines[0][0].style.color.name == "#ff0000"
    assert [segment.text for segment in lines[1]] == ["▀▀", "▀"]


def test_without_colours_there_are_shades() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[:, 1] = 255
    assert shades(picture)[0][0].text == " █"


def test_a_blinking_lamp_is_told_from_one_that_was_switched() -> None:
    watch = LampWatch()
    words_seen = []
    for tick in range(30):
        levels = {"5": 1, "6": tick // 5 % 2, "13": int(tick >= 10)}
        seen = watch.see(levels, tick * 0.1)
        words_seen.append({name: lamp.word for name, lamp in seen.items()})
    assert {seen["green"] for seen in words_seen} == {"on"}
    assert [seen["yellow"] for seen in words_seen] == ["off"] * 10 + ["on"] * 20
    assert {seen["red"] for seen in words_seen[11:]} == {"blinking"}
    assert watch.see({}, 9.0)["green"].word == "off"


def test_short_buzzes_are_counted(tmp_path: Path) -> None:
    chip = Chip(tmp_path / "pins.jsonl")
    count = BuzzCount(tmp_path / "pins.jsonl")
    assert count.new() == 0
    chip.gpiochip_open(0)
    chip.gpio_claim_output(0, 0, 19, 0)
    for level in (1, 0, 1, 0):
        chip.gpio_write(0, 19, level)
    assert count.new() == 2
    assert count.new() == 0


# --- Journal and story -----------------------------------------------------------------------------------------------


def test_the_journal_is_read_on_over_torn_lines_and_new_files(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    assert reader.new() == []
    folder = CameraFolder(tmp_path, Agency())
    folder.line("armed", {"ring_seconds": 5})
    assert [line.kind for line in reader.new() if isinstance(line, records.Record)] == ["boot", "armed"]
    folder._journal.append(b"eyJ0b3Ju")  # cut in the middle of a line
    assert reader.new() == []
    folder.rotate()
    folder._journal.append(b"not a record\n")
    summary, damaged = reader.new()
    assert isinstance(summary, records.Record)
    assert summary.kind == "summary"
    assert isinstance(damaged, Damaged)


def test_of_an_old_journal_the_end_is_shown(tmp_path: Path) -> None:
    folder = CameraFolder(tmp_path, Agency())
    for _ in range(700):
        folder.line("fault", {"where": "x" * 200, "what": "y"})
    lines = JournalReader(tmp_path).new()
    assert 100 < len(lines) < 700
    assert all(isinstance(line, records.Record) for line in lines)


def test_a_row_tells_the_main_members_and_no_hashes(tmp_path: Path) -> None:
    folder = CameraFolder(tmp_path, Agency())
    recording = folder.begin_recording()
    gap = {
        "recording": recording, "after_part": 1, "before_part": 2, "cause": "power_cut", "last_ns": 5_100_000_000,
        "first_ns": None, "same_clock": False, "min_ms": 3200, "max_ms": None,
    }  # fmt: skip
    told = row(folder.line("gap", gap))
    assert "中断" in told
    assert "cause=断电 power_cut" in told
    assert "last=5.1s" in told
    assert "min_ms=3200" in told
    sealed = row(folder.line("assigned", {"sealed": "x" * 64, "sha256": "0" * 64}))
    assert "已密封" in sealed
    assert "xxx" not in sealed


def test_the_story_adds_up_from_the_journal_and_the_log(tmp_path: Path) -> None:
    story, folder = Story(), CameraFolder(tmp_path, Agency())
    recording = folder.begin_recording()
    folder.segment(recording, 1000)
    folder.segment(recording, 1000)
    folder.line("marker", {"recording": recording, "at_ns": 1})
    for line in JournalReader(tmp_path).new():
        assert isinstance(line, records.Record)
        story.read(line)
    assert (story.recording, story.open, story.fragments, story.markers) == (recording, True, 2, 1)
    assert story.recorded_ns == 2_000_000_000
    story.hear({"message": "phase", "phase": "recording"})
    story.hear({"message": "say", "prompt": "ask_reason"})
    assert story.asked
    story.hear({"message": "said", "prompt": "ask_reason"})
    assert story.spoken[-1].over
    story.silence("off")
    assert not story.asked


def test_everything_the_camera_can_tell_has_a_chinese_word() -> None:
    assert records.BODIES.keys() <= words.KINDS.keys()
    assert set(records.CAUSES) <= words.CAUSES.keys()
    assert words.prompts()["notice"].startswith("为保护您的合法权益")


@pytest.mark.parametrize("text", ["", "录像", "录像中 recording", "中a文b字c", "a" * 40, "录" * 40])
def test_columns_are_as_wide_as_they_say(text: str) -> None:
    assert cell_len(words.column(text, 13)) == 13


def test_the_bar_of_keys_fits_the_narrowest_screen() -> None:
    for docked, powered, running in ((True, True, True), (False, False, False)):
        bar = keys.bar(docked=docked, powered=powered, running=running)
        cells = max(7, 98 // len(bar))
        assert cells * len(bar) <= 98
        assert all(cell_len(key.english) <= cells - 2 and cell_len(key.chinese) <= cells - 2 for key in bar)


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
        await until(pilot, lambda: app.moved == [(90, 75)])
        assert "75 %" in battery.render().plain
        for _ in range(30):
            await pilot.press("left")
        await until(pilot, lambda: len(app.moved) == 2)
        assert app.moved[1] == (75, 0)
        assert "不可用" in battery.render().plain
        battery.told = "74.2 %"
        await pilot.press("right")
        await until(pilot, lambda: app.moved[2:] == [(75, 80)])
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
    app = PanelApp(roomless, aloud=False)

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
    app = PanelApp(roomless, aloud=False)

    async def how(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await until(pilot, lambda: "断电（未落盘的数据丢失）" in text_of(app))
        await until(pilot, lambda: not app.workers or "ended" in str(app.screen_stack[0].query_one(EventLine).content))
        await pilot.press("escape")
        await until(pilot, lambda: "room 已退出 ended" in text_of(app))

    drive(app, how, size=(100, 30))


@pytest.mark.long
def test_a_terminal_that_is_too_small_is_told(roomless: Rig) -> None:
    app = PanelApp(roomless, aloud=False)

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
