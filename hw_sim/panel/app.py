"""The panel's screen: keys become orders, and what the camera shows, says and writes becomes text."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Static

from hw_sim.control import ControlError
from hw_sim.demo.programs import DemoError
from hw_sim.demo.stage import CAMERA
from hw_sim.forgetful_fs import DiskError
from hw_sim.panel import keys, orders
from hw_sim.panel.aloud import Aloud
from hw_sim.panel.eyes import Eyes
from hw_sim.panel.faults import Fault
from hw_sim.panel.menu import FaultMenu, Help
from hw_sim.panel.orders import Orders
from hw_sim.panel.picture import Picture
from hw_sim.panel.rig import Rig
from hw_sim.panel.slider import SCALES, Slider
from hw_sim.panel.story import Story
from hw_sim.panel.views import EventLine, Journal, KeyBar, Speech, State
from runtime.config import ConfigError

LEAST = (100, 30)
_SIZES = (("large", 160, 48, (96, 54)), ("medium", 120, 38, (64, 36)), ("least", *LEAST, (48, 28)))
"""From what columns and rows on, and the picture's pixels, two of which share a cell."""
_POLL_SECONDS, _KEYS_SECONDS = 0.1, 0.25

T = TypeVar("T")


class PanelApp(App[None]):
    """The screen before one rig, which it opens, and closes again."""

    CSS_PATH = "panel.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "press('record', 1)"),
        Binding("R", "hold('record')"),
        Binding("e", "press('record', 2)"),
        Binding("m", "press('mark', 1)"),
        Binding("M", "hold('mark')"),
        Binding("n", "press('mark', 2)"),
        Binding("a", "answer(True)"),
        Binding("A", "answer(False)"),
        Binding("d", "dock"),
        Binding("p", "power"),
        Binding("s", "program"),
        Binding("f", "faults"),
        Binding("w", "save"),
        Binding("question_mark", "help"),
        Binding("q", "quit"),
        Binding("up", "slider(-1)"),
        Binding("down", "slider(1)"),
    ]

    def __init__(self, rig: Rig, *, player: Sequence[str] | None = None) -> None:
        """`player`: the host's command to play the prompts aloud."""
        super().__init__()
        self._rig = rig
        self._orders = Orders(rig.sockets)
        self._story = Story()
        self._aloud = None if player is None else Aloud(player, self._warn)
        self._eyes: Eyes | None = None
        self._picture_size = (0, 0)
        self._hands = ThreadPoolExecutor(1, "hands")  # lives as long as the programs that it starts
        self._fingers = {name: ThreadPoolExecutor(1, name) for name in ("record", "mark")}  # one press after another

    def compose(self) -> ComposeResult:
        """Picture, state, sliders, speech, journal, event, keys."""
        with Vertical(id="all"):
            yield Static(id="title")
            with Horizontal(id="top"):
                yield _titled(Picture(id="picture", classes="box"), "画面 picture")
                with Vertical(id="right"):
                    yield _titled(State(id="state", classes="box"), "状态 state")
                    with Vertical(id="world", classes="box") as box:
                        box.border_title = "环境 world"
                        yield from map(Slider, SCALES)
            yield _titled(Speech(id="speech", classes="box"), "设备说 said")
            yield _titled(Journal(id="journal", classes="box"), "日志 journal")
            yield EventLine(id="event", markup=False)
            yield KeyBar(id="keys")
        yield Static(id="small", markup=False)

    def on_mount(self) -> None:
        """Begin."""
        self.query_one("#title", Static).update(f"执法记录仪仿真  {CAMERA}    {self._rig.stage.root}")
        self.query_one("#battery").focus()
        # SIGHUP is left as it is: without a terminal there is no screen to give back, and the programs end with us.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self.set_interval(_KEYS_SECONDS, self._show_keys)
        self._open()

    def on_resize(self, event: events.Resize) -> None:
        """Use the room there is."""
        width, height = event.size
        fitting = next((size for size in _SIZES if width >= size[1] and height >= size[2]), None)
        for name, *_, pixels in _SIZES:
            fits = fitting is not None and name == fitting[0]
            self.set_class(fits, name)
            if fits:
                self._picture_size = pixels
        if self._eyes is not None:
            self._eyes.picture_size = self._picture_size
        self.set_class(fitting is None, "small")
        self._panel.query_one("#small", Static).update(
            f"终端太小：至少 {LEAST[0]} 列 {LEAST[1]} 行，现在 {width} 列 {height} 行。请放大窗口或缩小字体。\n"
            f"The terminal is too small: at least {LEAST[0]}×{LEAST[1]}, now {width}×{height}."
        )
        self.call_after_refresh(self._show_keys)

    async def on_unmount(self) -> None:
        """End every program before the screen is given back."""
        await self._in(self._hands, self._rig.close)

    @work
    async def _open(self) -> None:
        def say(text: str) -> None:
            self.call_from_thread(self._tell, text)

        if await self._by_hand(lambda: self._rig.open(say)):
            self._tell("设备已上电，按 ? 看帮助  the power is on; ? shows help")
        self._eyes = Eyes(self, self._panel, self._rig, self._orders, self._story, self._aloud)
        self._eyes.picture_size = self._picture_size
        self._eyes.watch()

    # What the keys do.

    def action_press(self, button: str, times: int) -> None:
        """Press a button once, or twice at once."""
        self._push(button, [orders.TAP] * times)

    def action_hold(self, button: str) -> None:
        """Keep a button down for longer than a hold takes."""
        self._push(button, [orders.HOLD])

    @work
    async def _push(self, button: str, presses: list[float]) -> None:
        await self._try(lambda: self._orders.push(button, presses), self._fingers[button])

    @work
    async def action_answer(self, held: bool) -> None:
        """Say why the recording was interrupted, with the marker button held or without."""
        self._tell("正在回答…  answering")
        cause = self._story.last_gap
        if await self._try(lambda: self._orders.answer(cause, held=held), self._fingers["mark"]):
            self._tell("回答完毕  answered")

    @work
    async def action_dock(self) -> None:
        """Into the dock or out of it."""
        docked = not self._orders.docked
        if self._rig.camera_runs:
            await self._try(lambda: self._orders.contact(docked=docked))
        self._orders.docked = docked

    @work
    async def action_power(self) -> None:
        """Cut the power or switch it on."""
        if not self._rig.powered:
            await self._start(self._rig.power_on, "已上电  the power is on")
        elif await self._by_hand(self._rig.cut_power):
            self._orders.faults.forget("card")
            self._tell("已断电：程序被杀，未落盘的数据丢失  power cut: unsynced data is gone")

    @work
    async def action_program(self) -> None:
        """Stop the camera's program in order or start it."""
        if self._rig.camera_runs:
            self._tell("正在停止程序…  stopping")
            if await self._by_hand(self._rig.stop):
                self._tell("程序已正常停止  the program has stopped in order")
        elif not self._rig.powered:
            self._tell("没有电：请先按 p 上电  no power: switch it on with p", "warning")
        else:
            await self._start(self._rig.start, "程序已启动  the program is started")

    async def _start(self, start: Callable[[], None], text: str) -> None:
        if await self._by_hand(start):
            self._story.phase = "starting"
            self._tell(text)
            await self._try(self._restore)

    def _restore(self) -> None:
        while self._rig.camera_runs and self._orders.look("camera", {"do": "lamps"}) is None:
            time.sleep(_POLL_SECONDS)
        if self._rig.camera_runs:
            self._orders.restore()

    def action_faults(self) -> None:
        """Open the menu of faults."""
        self.push_screen(FaultMenu(self._orders.faults, has_card=self._rig.has_card), self._chosen)

    def _chosen(self, fault: Fault | None) -> None:
        if fault is not None:
            self._toggle(fault)

    @work
    async def _toggle(self, fault: Fault) -> None:
        if await self._try(lambda: self._orders.toggle(fault)):
            self._tell(f"{fault.name}：{'开始 on' if fault in self._orders.faults else '结束 off'}")

    @work
    async def action_save(self) -> None:
        """Save what was done as a scenario."""
        saved: list[Path] = []
        if await self._by_hand(lambda: saved.append(self._rig.save())):
            self._tell(f"已存成脚本 saved: bodycam sim run {saved[0]}")

    def action_help(self) -> None:
        """Show every key at length."""
        self.push_screen(Help(keys.HELP))

    def action_slider(self, steps: int) -> None:
        """Go to the slider above or below."""
        sliders = list(self._panel.query(Slider))
        at = next((number for number, slider in enumerate(sliders) if slider.has_focus), -steps)
        self._panel.set_focus(sliders[(at + steps) % len(sliders)])  # at once: the next key is for it already

    @work
    async def on_slider_moved(self, event: Slider.Moved) -> None:
        """Tell the world."""
        slider, was, value = event.slider, event.was.value, event.position.value
        if await self._try(lambda: self._orders.slide(slider.scale.key, was, value)):
            slider.accept(event.position)
        else:
            slider.refuse()

    # Small things.

    @property
    def _panel(self) -> Screen[Any]:
        """The panel's own screen, whatever lies over it."""
        return self.screen_stack[0]

    def _tell(self, text: str, level: str = "") -> None:
        self._panel.query_one(EventLine).tell(text, level)

    def _warn(self, text: str) -> None:
        self.call_later(self._tell, text, "warning")  # any thread may

    def _show_keys(self) -> None:
        rig = self._rig
        bar = keys.bar(docked=self._orders.docked, powered=rig.powered, running=rig.camera_runs)
        self._panel.query_one(KeyBar).tell(bar)

    async def _try(self, what: Callable[[], Any], executor: Executor | None = None) -> bool:
        """Carry out orders; what is refused, or reaches nobody, is told in one line."""
        try:
            await self._in(executor, what)
        except (ControlError, OSError) as error:
            self._tell(orders.refusal(str(error), running=self._rig.camera_runs), "error")
            return False
        return True

    async def _by_hand(self, what: Callable[[], Any]) -> bool:
        """Start or end programs; what goes wrong is told in one line."""
        try:
            await self._in(self._hands, what)
        except (DemoError, ConfigError, ControlError, DiskError, OSError) as error:
            where = "" if "日志 log" in str(error) else f"\n日志 logs: {self._rig.stage.logs}"
            self._tell(f"{error}{where}", "error")
            return False
        return True

    @staticmethod
    async def _in(executor: Executor | None, what: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, what)


def _titled(widget: Any, title: str) -> Any:
    widget.border_title = title
    return widget
