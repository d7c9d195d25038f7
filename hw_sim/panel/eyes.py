"""What is looked at over and over, and shown: lamps, picture, card, battery, journal, the programs' logs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from textual.app import App
from textual.screen import Screen

from evidence.records import Record
from hw_sim.panel import words
from hw_sim.panel.aloud import Aloud
from hw_sim.panel.journal import JournalReader
from hw_sim.panel.lamps import BuzzCount, LampWatch
from hw_sim.panel.orders import Orders
from hw_sim.panel.picture import Picture, pixels
from hw_sim.panel.rig import Rig
from hw_sim.panel.slider import Slider
from hw_sim.panel.story import Story
from hw_sim.panel.views import EventLine, Journal, Seen, Speech, State

_LAMP_SECONDS, _PICTURE_SECONDS, _READ_SECONDS, _SLOW_SECONDS = 0.1, 0.3, 0.2, 1.0
_BUZZ_SHOWN_SECONDS = 0.8

T = TypeVar("T")


class Eyes:
    """Eyes on an open rig. Looking happens in threads, showing in the app's own."""

    def __init__(
        self, app: App[None], panel: Screen[Any], rig: Rig, orders: Orders, story: Story, aloud: Aloud | None
    ) -> None:
        self.picture_size = (0, 0)  # pixels
        self._app = app
        self._screen = panel
        self._rig = rig
        self._orders = orders
        self._story = story
        self._aloud = aloud
        self._texts = words.prompts()
        self._lamps = LampWatch()
        self._buzzes = BuzzCount(rig.stage.world / "pins.jsonl")
        self._buzzed = -_BUZZ_SHOWN_SECONDS
        self._journal = JournalReader(rig.evidence)

    def watch(self) -> None:
        """Look until the app ends."""
        look = self._orders.look
        self._repeat(_LAMP_SECONDS, lambda: (look("camera", {"do": "lamps"}), self._buzzes.new()), self._see_lamps)
        self._repeat(_PICTURE_SECONDS, self._look_through_lens, self._see_picture)
        self._repeat(_READ_SECONDS, self._journal.new, self._see_records)
        self._repeat(_SLOW_SECONDS, lambda: look("card", {"do": "status"}), self._see_card)
        self._repeat(_SLOW_SECONDS, lambda: look("camera", {"do": "senses"}), self._see_senses)
        self._repeat(_READ_SECONDS, self._read_logs, self._see_logs)

    def _repeat(self, seconds: float, look: Callable[[], T], show: Callable[[T], None]) -> None:
        async def run() -> None:
            while True:
                seen = await asyncio.to_thread(look)
                if not self._screen.query(State):  # the app has taken its screen down meanwhile
                    return
                show(seen)
                await asyncio.sleep(seconds)

        self._app.run_worker(run())

    def _see_lamps(self, seen: tuple[dict[str, Any] | None, int]) -> None:
        answer, buzzes = seen
        now = time.monotonic()
        if buzzes:
            self._buzzed = now
        orders = self._orders
        lamps = self._lamps.see(answer["lamps"] if answer else {}, now)
        buzzing = now - self._buzzed < _BUZZ_SHOWN_SECONDS
        self._screen.query_one(State).tell(self._story, Seen(lamps, buzzing, orders.docked, orders.faults.names))

    def _look_through_lens(self) -> dict[str, Any] | None:
        columns, rows = self.picture_size
        return self._orders.look("camera", {"do": "look", "columns": columns, "rows": rows})

    def _see_picture(self, answer: dict[str, Any] | None) -> None:
        instead = "没有图像 no picture" if self._rig.camera_runs else "设备未运行 not running"
        self._screen.query_one(Picture).show(pixels(answer) if answer else None, instead)

    def _see_records(self, lines: list[Any]) -> None:
        if lines:
            for line in lines:
                if isinstance(line, Record):
                    self._story.read(line)
            self._screen.query_one(Journal).add(lines)

    def _see_card(self, answer: dict[str, Any] | None) -> None:
        limited = answer is not None and answer["limit"] is not None
        free = max(0, answer["limit"] - answer["used"]) / 1e6 if answer and limited else 0
        self._screen.query_one("#storage", Slider).told = f"剩 {free:.1f} MB" if limited else ""

    def _see_senses(self, answer: dict[str, Any] | None) -> None:
        self._screen.query_one("#battery", Slider).told = f"{answer['battery']['percent']:.1f} %" if answer else ""

    def _read_logs(self) -> tuple[list[Any], list[str]]:
        camera = self._rig.camera
        return list(camera.facts()) if camera is not None else [], self._rig.ended()

    def _see_logs(self, seen: tuple[list[Any], list[str]]) -> None:
        facts, obituaries = seen
        for fact in facts:
            self._hear(fact)
        for line in obituaries:
            self._tell(line, "error")
        if not self._rig.camera_runs:
            self._story.silence("halted" if self._rig.powered else "off")
        self._screen.query_one(Speech).tell(self._story, self._texts)

    def _hear(self, fact: Any) -> None:
        self._story.hear(fact)
        match fact.get("message"):
            case "say" if self._aloud is not None and (not self._story.quiet or fact["prompt"] == "notice"):
                self._aloud.say(fact["prompt"])
            case "notice":
                heard = "听到了告知语 notice heard" if fact["heard"] else "没有听到告知语 notice not heard"
                self._tell(f"{heard} ({fact['score']})", "" if fact["heard"] else "warning")
            case "alert":
                self._tell(f"报警 alert {words.both(words.CAUSES, fact['what'])}: {fact['detail']}", "warning")
            case "fault":
                self._tell(f"故障 fault {fact['where']}: {fact['what']}", "warning")

    def _tell(self, text: str, level: str) -> None:
        self._screen.query_one(EventLine).tell(text, level)
