"""The panel's screen: keys become orders, and what the camera shows, says and writes becomes text."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from textual import events, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from hw_sim.control import ControlError
from hw_sim.demo.programs import DemoError
from hw_sim.demo.stage import CAMERA
from hw_sim.forgetful_fs import DiskError
from hw_sim.panel import keys, orders, words
from hw_sim.panel.aloud import Aloud
from hw_sim.panel.faults import Active, Fault, Request
from hw_sim.panel.journal import JournalReader
from hw_sim.panel.lamps import BuzzCount, LampWatch
from hw_sim.panel.menu import FaultMenu, Help
from hw_sim.panel.orders import Orders, refusal
from hw_sim.panel.picture import Picture, pixels
from hw_sim.panel.rig import Rig, obituary
from hw_sim.panel.slider import SCALES, Slider
from hw_sim.panel.story import Story
from hw_sim.panel.views import Journal, KeyBar, Seen, Speech, State
from runtime.config import ConfigError

LEAST = (100, 30)
_SIZES = (("large", 160, 48), ("medium", 120, 38))
_LOOKS = {"large": (96, 54), "medium": (64, 36), "": (48, 28)}  # pixels; half of the rows in cells
_LAMP_SECONDS, _LOOK_SECONDS, _READ_SECONDS, _CARD_SECONDS = 0.1, 0.3, 0.2, 1.0
_BUZZ_SHOWN_SECONDS = 0.8

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
        Binding("q", "quit", priority=False),
        Binding("up", "slider(-1)"),
        Binding("down", "slider(1)"),
    ]

    def __init__(self, rig: Rig, *, aloud: bool) -> None:
        super().__init__()
        self._rig = rig
        self._orders = Orders(rig.sockets)
        self._wants_aloud = aloud
        self._aloud: Aloud | None = None
        self._story = Story()
        self._texts = words.prompts()
        self._faults = Active()
        self._watch = LampWatch()
        self._lamps: dict[str, str] = {}
        self._buzzed = 0.0
        self._docked = False
        self._expected = False  # the camera's program is to run
        self._hands = ThreadPoolExecutor(1, "hands")  # lives as long as the programs that it starts
        self._fingers = {name: ThreadPoolExecutor(1, name) for name in ("record", "mark")}  # one press after another
        self._class = ""

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
            yield Static(id="event", markup=False)
            yield KeyBar(id="keys")
        yield Static(id="small", markup=False)

    def on_mount(self) -> None:
        """Begin."""
        self.query_one("#title", Static).update(f"执法记录仪仿真  {CAMERA}    {self._rig.stage.root}")
        self.query_one("#battery").focus()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.exit)
        if self._wants_aloud:
            self._aloud = Aloud(self._warn)
        self._show_keys()
        self._open()

    def on_resize(self, event: events.Resize) -> None:
        """Use the room there is."""
        width, height = event.size
        self._class = next((name for name, w, h in _SIZES if width >= w and height >= h), "")
        small = width < LEAST[0] or height < LEAST[1]
        self.set_class(small, "small")
        for name, _, _ in _SIZES:
            self.set_class(name == self._class and not small, name)
        self.query_one("#small", Static).update(
            f"终端太小：至少 {LEAST[0]} 列 {LEAST[1]} 行，现在 {width} 列 {height} 行。请放大窗口或缩小字体。\n"
            f"The terminal is too small: at least {LEAST[0]}×{LEAST[1]}, now {width}×{height}."
        )
        self.call_after_refresh(self._show_keys)

    async def on_unmount(self) -> None:
        """End every program before the screen is given back."""
        await self._in(self._hands, self._rig.close)

    # Eyes: what is looked at over and over.

    @work
    async def _open(self) -> None:
        def say(text: str) -> None:
            self.call_from_thread(self._tell, text)

        if await self._by_hand(lambda: self._rig.open(say)):
            self._tell("设备已上电，按 ? 看帮助  the power is on; ? shows help")
            self._expected = True
        self._show_keys()
        reader, buzzes = JournalReader(self._rig.evidence), BuzzCount(self._rig.stage.world / "pins.jsonl")
        eyes: list[tuple[float, Callable[[], Any], Callable[[Any], None]]] = [
            (_LAMP_SECONDS, lambda: (self._ask("camera", {"do": "lamps"}), buzzes.new()), self._see_lamps),
            (_LOOK_SECONDS, self._look, self._see_picture),
            (_READ_SECONDS, reader.new, self._see_records),
            (_CARD_SECONDS, lambda: self._ask("card", {"do": "status"}), self._see_card),
        ]
        for seconds, look, show in eyes:
            self.run_worker(_repeat(seconds, look, show))
        self.set_interval(_READ_SECONDS, self._see_programs)

    def _ask(self, target: str, request: Request) -> dict[str, Any] | None:
        try:
            return self._orders.give(target, request)
        except (ControlError, OSError):
            return None

    def _look(self) -> dict[str, Any] | None:
        columns, rows = _LOOKS[self._class]
        return self._ask("camera", {"do": "look", "columns": columns, "rows": rows})

    def _see_lamps(self, seen: tuple[dict[str, Any] | None, int]) -> None:
        answer, buzzes = seen
        now = time.monotonic()
        self._lamps = self._watch.see((answer or {"lamps": {}})["lamps"], now)
        if buzzes:
            self._buzzed = now
        buzzing = self._buzzed > 0 and now - self._buzzed < _BUZZ_SHOWN_SECONDS
        running = self._rig.camera_runs
        self.query_one(State).tell(
            self._story, Seen(self._lamps, self._watch, buzzing, self._docked, running, self._faults.names)
        )

    def _see_picture(self, answer: dict[str, Any] | None) -> None:
        instead = "没有图像 no picture" if self._rig.camera_runs else "设备未运行 not running"
        self.query_one(Picture).show(pixels(answer) if answer else None, instead)

    def _see_records(self, lines: list[Any]) -> None:
        if lines:
            for line in lines:
                if hasattr(line, "kind"):
                    self._story.read(line)
            self.query_one(Journal).add(lines)

    def _see_card(self, answer: dict[str, Any] | None) -> None:
        slider = self.query_one("#storage", Slider)
        if answer is None or answer["limit"] is None:
            slider.told = ""
        else:
            slider.told = f"剩 {max(0, answer['limit'] - answer['used']) / 1e6:.1f} MB"

    def _see_programs(self) -> None:
        rig = self._rig
        for line in rig.ended():
            self._tell(line, "error")
        if rig.camera is None:
            return
        for fact in rig.camera.facts():
            self._hear(fact)
        if self._expected and not rig.camera.running:
            self._expected = False
            self._story.silence("stopped")
            self._tell(obituary(rig.camera), "error")
            self._show_keys()
        self.query_one(Speech).tell(self._story, self._texts)

    def _hear(self, fact: Any) -> None:
        self._story.hear(fact)
        match fact.get("message"):
            case "say" if self._aloud is not None:
                self._aloud.say(fact["prompt"])
            case "notice":
                heard = "听到了告知语 notice heard" if fact["heard"] else "没有听到告知语 notice not heard"
                self._tell(f"{heard} ({fact['score']})", "" if fact["heard"] else "warning")
            case "alert":
                self._tell(f"报警 alert {words.both(words.CAUSES, fact['what'])}: {fact['detail']}", "warning")
            case "fault":
                self._tell(f"故障 fault {fact['where']}: {fact['what']}", "warning")

    # Hands: what the keys do.

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
        if await self._try(lambda: self._orders.answer(self._story.last_gap, held=held), self._fingers["mark"]):
            self._tell("回答完毕  answered")

    @work
    async def action_dock(self) -> None:
        """Into the dock or out of it; a camera that does not run is put there all the same."""
        self._docked = not self._docked
        self._show_keys()
        if self._rig.camera_runs:
            await self._try(lambda: self._orders.contact(docked=self._docked), None)

    @work
    async def action_power(self) -> None:
        """Cut the power or switch it on."""
        if self._rig.powered:
            self._expected = False
            if await self._by_hand(self._rig.cut_power):
                self._story.silence("off")
                self._tell("已断电：程序被杀，未落盘的数据丢失  power cut: unsynced data is gone")
                self._faults.forget("card")
        else:
            await self._start(self._rig.power_on, "已上电  the power is on")
        self._show_keys()

    @work
    async def action_program(self) -> None:
        """Stop the camera's program in order or start it."""
        if self._rig.camera_runs:
            self._expected = False
            self._tell("正在停止程序…  stopping")
            if await self._by_hand(self._rig.stop):
                self._story.silence("stopped")
                self._tell("程序已正常停止  the program has stopped in order")
        elif not self._rig.powered:
            self._tell("没有电：请先按 p 上电  no power: switch it on with p", "warning")
        else:
            await self._start(self._rig.start, "程序已启动  the program is started")
        self._show_keys()

    async def _start(self, start: Callable[[], None], text: str) -> None:
        self._faults.forget("camera")  # lens and sensors are simulated inside the program
        if await self._by_hand(start):
            self._expected = True
            self._story.silence("starting")
            self._tell(text)
            if self._docked:
                await self._in(None, self._contact_when_there)

    def _contact_when_there(self) -> None:
        """The camera still sits in the dock: the contact is closed as soon as its pins are there."""
        while self._rig.camera_runs:
            try:
                self._orders.contact(docked=self._docked)
            except (ControlError, OSError):
                time.sleep(_LAMP_SECONDS)
            else:
                return

    def action_faults(self) -> None:
        """Open the menu of faults."""
        self.push_screen(FaultMenu(self._faults, has_card=self._rig.has_card), self._chosen)

    def _chosen(self, fault: Fault | None) -> None:
        if fault is not None:
            self._toggle(fault)

    @work
    async def _toggle(self, fault: Fault) -> None:
        request = self._faults.request(fault)
        if await self._try(lambda: self._orders.give(fault.target, request), None):
            self._faults.toggled(fault)
            self._tell(f"{fault.name}：{'开始 on' if fault in self._faults else '结束 off'}")

    def action_help(self) -> None:
        """Show every key at length."""
        self.push_screen(Help(keys.HELP))

    def action_slider(self, steps: int) -> None:
        """Go to the slider above or below."""
        sliders = list(self.query(Slider))
        at = next((number for number, slider in enumerate(sliders) if slider.has_focus), -steps)
        sliders[(at + steps) % len(sliders)].focus()

    @work
    async def on_slider_moved(self, event: Slider.Moved) -> None:
        """Tell the world."""
        slider, was, value = event.slider, event.was.value, event.position.value
        if await self._try(lambda: self._orders.slide(slider.scale.key, was, value), None):
            slider.accept()
        else:
            slider.refuse()

    def action_save(self) -> None:
        """Save what was done as a scenario."""
        self._tell("此版本还不能保存场景  saving a scenario is not there yet", "warning")

    # Small things.

    def _tell(self, text: str, level: str = "") -> None:
        line = self.query_one("#event", Static)
        line.update(text)
        line.set_classes(level)

    def _warn(self, text: str) -> None:
        self.call_later(self._tell, text, "warning")

    def _show_keys(self) -> None:
        rig = self._rig
        self.query_one(KeyBar).tell(keys.bar(docked=self._docked, powered=rig.powered, running=rig.camera_runs))

    async def _try(self, what: Callable[[], Any], executor: Executor | None) -> bool:
        """Carry out orders; what is refused, or reaches nobody, is told in one line."""
        try:
            await self._in(executor, what)
        except (ControlError, OSError) as error:
            self._tell(refusal(str(error), running=self._rig.camera_runs), "error")
            return False
        return True

    async def _by_hand(self, what: Callable[[], Any]) -> bool:
        """Start or end programs; what goes wrong is told in one line."""
        try:
            await self._in(self._hands, what)
        except (DemoError, ConfigError, ControlError, DiskError, OSError) as error:
            self._tell(f"{error}  日志 logs: {self._rig.stage.logs}", "error")
            return False
        return True

    @staticmethod
    async def _in(executor: Executor | None, what: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, what)


def _repeat(seconds: float, look: Callable[[], T], show: Callable[[T], None]) -> Coroutine[Any, Any, None]:
    async def run() -> None:
        while True:
            show(await asyncio.to_thread(look))
            await asyncio.sleep(seconds)

    return run()


def _titled(widget: Any, title: str) -> Any:
    widget.border_title = title
    return widget
