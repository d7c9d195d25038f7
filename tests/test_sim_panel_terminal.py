"""The panel in a real terminal: tmux types the keys, and what it captures is what a user reads."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from hw_sim.scenario import plan
from tests.test_demo import left_behind

pytestmark = [pytest.mark.sound, pytest.mark.fuse, pytest.mark.net]

PATIENCE = 45.0
WIDTH, HEIGHT = 120, 40
_numbers = itertools.count()  # a tmux server that is ending takes no new window


class Terminal:
    """One window of a tmux server of its own."""

    def __init__(self, name: str, command: list[str], cwd: Path) -> None:
        self._name = name
        shell = f"cd {shlex.quote(str(cwd))}; {shlex.join(command)}; echo STATUS $?; exec cat"
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        # No configuration of the machine's, and no colours but those that tmux passes on by itself.
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, "sh", "-c", shell)

    def tmux(self, *arguments: str) -> str:
        # The readline library puts a window's size into the environment of this process or of the one that started it.
        sizeless = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
        command = ["tmux", "-L", self._name, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=sizeless).stdout

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def until(self, condition: Callable[[str], bool], what: str) -> str:
        end = time.monotonic() + PATIENCE
        while not condition(screen := self.screen()):
            assert time.monotonic() < end, f"{what}: never came; the screen shows\n{screen}"
            time.sleep(0.1)
        return screen

    def shows(self, *texts: str) -> str:
        """Wait until each text has been seen, rows of the journal may pass by, and the screen stands in good form."""
        missing = set(texts)

        def seen(shown: str) -> bool:
            missing.difference_update([text for text in missing if text in shown])
            return not missing and reads_well(shown)

        return self.until(seen, " + ".join([*texts, "frames that are closed"]))

    def said(self, text: str) -> str:
        """Wait until the camera has said it."""
        return self.until(lambda shown: text in between(shown, "said", "journal"), text)

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self._name, "kill-server"], capture_output=True, check=False)


def between(screen: str, first: str, last: str) -> str:
    return screen.partition(f" {first} ─")[2].partition(f" {last} ─")[0]


def reads_well(screen: str) -> bool:
    """Whether every frame is closed at the window's edge: nothing is pushed aside by characters of double width."""
    width = max(cell_len(line) for line in screen.splitlines())
    framed = [line for line in screen.splitlines() if line[:1] in {"│", "╭", "╰"}]
    return len(framed) > 20 and all(cell_len(line) == width and line[-1] in "│╮╯" for line in framed)


def open_panel(folder: Path, *options: str) -> Terminal:
    command = [sys.executable, "-m", "bodycam", "sim", "panel", str(folder / "记录仪"), *options]
    return Terminal(f"panel-{folder.name}-{next(_numbers)}", command, Path(__file__).resolve().parents[1])


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = open_panel(tmp_path, "--scene", "drawn", "--station")
    yield made
    made.close()


def test_a_shift_is_lived_through_by_keys(terminal: Terminal, tmp_path: Path) -> None:
    terminal.shows("待录 armed", "● 绿 亮", "▀▀▀▀", "seal")
    # Start, and the notice.
    terminal.keys("r")
    terminal.shows("录像 recording", "● 红 亮", "开始录制 recording_started")
    terminal.said("为保护您的合法权益")
    terminal.until(lambda shown: "notice heard" in shown, "the notice is heard")
    # Marker.
    terminal.keys("m")
    terminal.shows("标记 1", "marker")
    # A fault from the menu: the cable is off, and on again.
    terminal.keys("f")
    terminal.until(lambda shown: "排线脱落" in shown and "Esc 返回" in shown, "the menu of faults")
    terminal.keys(*["Down"] * 6, "Enter")
    terminal.shows("降级录制 degraded", "没有图像", "排线脱落 unplugged")
    terminal.keys("f")
    terminal.until(lambda shown: "● 排线脱落" in shown, "the menu marks what is on")
    terminal.keys(*["Down"] * 6, "Enter")
    terminal.shows("录像 recording", "▀▀▀▀")
    # The power is cut; the camera resumes, asks, and gets its answer.
    terminal.keys("p")
    terminal.shows("无电 off", "已断电", "p 上电")
    terminal.keys("p")
    terminal.shows("录像 recording", "断电 power_cut")
    terminal.said("请说明中断原因")
    terminal.until(lambda shown: "按 a 回答" in shown, "the hint to answer")
    terminal.keys("a")
    terminal.shows("gap_reason", "basis=button_held")
    # Stop by two holds; a smaller window on the way.
    terminal.tmux("resize-window", "-x", "100", "-y", "30")
    terminal.keys("R")
    terminal.said("再次长按")
    terminal.keys("R")
    terminal.said("录像已结束")
    terminal.shows("已结束 ended")
    # Into the dock, which hands in.
    terminal.keys("d")
    terminal.shows("入座 docked", "d 取出")
    terminal.said("上传完成，可以取下")
    terminal.shows("receipt")
    # Too small, and back again.
    terminal.tmux("resize-window", "-x", "99", "-y", "30")
    terminal.until(lambda shown: "至少 100 列 30 行，现在 99 列 30 行" in shown, "too small is told")
    terminal.tmux("resize-window", "-x", str(WIDTH), "-y", str(HEIGHT))
    terminal.shows("入座 docked")
    # What was done becomes a scenario.
    terminal.keys("w")
    terminal.shows("已存成脚本 saved")
    (script,) = (tmp_path / "记录仪").glob("panel-*.toml")
    steps = plan.load(script).at
    done = [f"{step.actor} {step.action}" for step in steps]
    wanted = ["officer press", "lens fault", "power cut", "power on", "officer say", "officer press", "dock insert"]
    assert [one for one in wanted if one not in done] == []
    terminal.keys("q")
    screen = terminal.until(lambda shown: "STATUS" in shown, "the end")
    assert "STATUS 0" in screen
    assert "再次打开 open again" in screen
    assert [line for line in left_behind(tmp_path) if "tmux" not in line and "sh -c" not in line] == []


def test_a_camera_that_dies_is_told_and_a_panel_that_dies_leaves_nothing(terminal: Terminal, tmp_path: Path) -> None:
    terminal.shows("待录 armed")
    (camera,) = pids(tmp_path, "sim camera")
    subprocess.run(["kill", "-KILL", camera], check=True)
    screen = terminal.shows("程序已停 halted", "camera 已退出 ended", "s 启动")
    assert re.search(r"ended: SIGKILL\s+日志 log: \S+camera\.log", screen)
    terminal.keys("s")
    terminal.shows("待录 armed")
    (panel,) = pids(tmp_path, "sim panel")
    subprocess.run(["kill", "-KILL", panel], check=True)
    terminal.until(lambda shown: "STATUS" in shown, "the end")
    all_end(tmp_path)
    terminal.close()
    # Opened again, it goes on from what was there; and when the line to the terminal breaks, nothing stays either.
    again = open_panel(tmp_path)
    try:
        again.shows("待录 armed", "boot")
    finally:
        again.close()
    all_end(tmp_path)


def all_end(folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while left := pids(folder, "-m bodycam"):
        assert time.monotonic() < end, left
        time.sleep(0.1)


def pids(folder: Path, words: str) -> list[str]:
    """Processes of Python that work in `folder` and have these words in their command line."""
    listed = subprocess.run(["ps", "-eo", "pid,args", "-ww"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=1) for line in listed.splitlines() if str(folder) in line and words in line]
    return [pid for pid, command in lines if command.startswith(sys.executable)]
