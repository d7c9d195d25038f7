"""The panel's parts without a screen: orders over real control sockets to real simulated parts, and what is read."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from evidence import records
from firmware.capture.state import Phase
from firmware.hal.gpiozero_panel import GpiozeroPanelConfig
from hw_sim import control
from hw_sim.control import ControlError
from hw_sim.lens import Fault as LensFault
from hw_sim.lgpio_chip import Chip
from hw_sim.libcamera_sim.camera import Fate
from hw_sim.panel import faults, keys, orders, words
from hw_sim.panel.aloud import Aloud
from hw_sim.panel.faults import Active
from hw_sim.panel.journal import Damaged, JournalReader, row
from hw_sim.panel.lamps import BuzzCount, LampWatch
from hw_sim.panel.orders import Orders
from hw_sim.panel.picture import half_blocks, pixels, shades
from hw_sim.panel.story import Story
from tests.agency import Agency
from tests.builders import CameraFolder
from tests.sim_panel_kit import Surroundings, exposing

MARK, DOCK = 27, 22
PATIENCE = 10.0


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    made = Surroundings(tmp_path)
    yield made
    made.close()


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


# --- Aloud -----------------------------------------------------------------------------------------------------------


def test_prompts_are_played_one_after_another_and_a_player_that_fails_is_told(tmp_path: Path) -> None:
    heard, told = tmp_path / "heard.pcm", queue.SimpleQueue[str]()
    player = ["sh", "-c", f'cat >>"{heard}"; test "$(wc -c <"{heard}")" -lt 700000 || {{ echo no sound >&2; exit 1; }}']
    aloud = Aloud(player, told.put)
    aloud.say("notice")  # 5.5 s of 48 kHz, 16 bit
    aloud.say("recording_started")
    aloud.say("notice")
    assert told.get(timeout=PATIENCE) == "不能放声 not aloud: no sound"
    assert heard.stat().st_size / 96_000 == pytest.approx(2 * 5.5 + 1.117, abs=0.05)


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
    assert story.situation == "asked"
    story.hear({"message": "said", "prompt": "ask_reason"})
    story.hear({"message": "say", "prompt": "quiet_on"})
    assert story.quiet
    assert [one.over for one in story.spoken] == [True, False]
    story.silence("off")
    assert story.situation == "off"


def test_everything_the_camera_can_tell_has_a_chinese_word() -> None:
    assert records.BODIES.keys() <= words.KINDS.keys()
    assert {phase.value for phase in Phase} <= words.PHASES.keys()
    assert {phase.value for phase in Phase} - {"shutting_down"} <= words.HINTS.keys()
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
