"""What the panel shows besides the picture: state, speech, journal, the last event, the keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Static

from evidence.records import Record
from hw_sim.panel import journal, words
from hw_sim.panel.lamps import Lamp
from hw_sim.panel.story import Story
from hw_sim.panel.words import column

LAMP_WORDS = {"off": "灭", "on": "亮", "blinking": "闪"}
_LAMPS = {"green": ("绿", "green"), "red": ("红", "red"), "yellow": ("黄", "yellow")}
_PHASE_STYLES = {
    "recording": "bold white on red",
    "degraded": "bold black on yellow",
    "interrupted": "bold black on yellow",
    "off": "dim",
    "halted": "dim",
    "stopped": "bold black on cyan",
}


class Seen(NamedTuple):
    """What stands in the state box, apart from the story."""

    lamps: Mapping[str, Lamp]
    buzzing: bool
    docked: bool
    faults: Sequence[str]


class _Text(Static):
    """A text that is drawn again only when it has changed."""

    _shown: Text | None = None

    def show(self, lines: Iterable[Text]) -> None:
        """Show these lines."""
        text = Text("\n").join(lines)
        if text != self._shown:
            self._shown = text
            self.update(text)


class State(_Text):
    """Lamps, phase, recording, gaps, faults, and what to do next: eight lines."""

    def tell(self, story: Story, seen: Seen) -> None:
        """Show the present state."""
        lines = [
            self._line("灯", *self._lamp_texts(seen)),
            self._line("状态", (f" {words.both(words.PHASES, story.phase)} ", _PHASE_STYLES.get(story.phase, "bold")),
                       "   ● 在采集站 in the dock" if seen.docked and story.phase != "docked" else "",
                       "   静音 quiet" if story.quiet else ""),
            self._line("录像", *self._recording(story)),
            self._line("已录", (clock(story.recorded_ns), "bold"), f"  分片 {story.fragments}  标记 {story.markers}"),
            self._line("中断", *self._gaps(story)),
            self._line("故障", ("、".join(seen.faults), "yellow") if seen.faults else ("无 none", "dim")),
        ]  # fmt: skip
        if self.size.height > len(lines) + 2:
            lines.append(Text())
        hint = words.HINTS.get(story.situation, ("", ""))
        lines += [self._line("可以", (hint[0], "bold #8fb4d8")), self._line("", (hint[1], "dim"))]
        self.show(lines)

    @staticmethod
    def _line(name: str, *parts: str | tuple[str, str]) -> Text:
        return Text.assemble((column(name, 6), "dim"), *parts, no_wrap=True, overflow="ellipsis")

    @staticmethod
    def _lamp_texts(seen: Seen) -> Iterable[str | tuple[str, str]]:
        for name, (chinese, colour) in _LAMPS.items():
            lamp = seen.lamps[name]
            yield ("●" if lamp.lit else "○", f"bold {colour}" if lamp.lit else "dim")
            yield f" {chinese} {LAMP_WORDS[lamp.word]}   "
        if seen.buzzing:
            yield ("≋ 振动 buzz", "bold magenta")

    @staticmethod
    def _recording(story: Story) -> Iterable[str | tuple[str, str]]:
        if story.recording is None:
            yield ("还没有 none yet", "dim")
        else:
            yield story.recording
            yield ("  录制未结束 open", "") if story.open else ("  已结束 ended", "dim")

    @staticmethod
    def _gaps(story: Story) -> Iterable[str | tuple[str, str]]:
        if story.last_gap is None:
            yield ("无 none", "dim")
        else:
            yield (str(story.gaps), "bold red")
            yield f" 次，最近 {words.both(words.CAUSES, story.last_gap)}"


class Speech(_Text):
    """The last things that the camera said, the newest at the bottom and brightest."""

    def tell(self, story: Story, texts: Mapping[str, str]) -> None:
        """Show as many as there is room for."""
        room = max(1, self.size.height)
        shown = list(story.spoken)[-room:]
        lines = [Text(" ", no_wrap=True)] * (room - len(shown))
        for one in shown:
            style = "dim" if one.over and one is not shown[-1] else "bold"
            mark = ("  ", "") if one.over else ("▶ ", "bold green")
            lines.append(Text.assemble(mark, (texts.get(one.key, one.key), style), no_wrap=True, overflow="ellipsis"))
        self.show(lines)


class Journal(ScrollView, can_focus=True):
    """The journal's rows, newest last; successive fragments share a row. Scrolls with the mouse and page keys."""

    _MOST_ROWS = 2000
    _STYLES: Mapping[str, str] = {
        "gap": "bold red", "fault": "yellow", "alert": "bold yellow", "recording_started": "bold green",
        "recording_ended": "bold green", "marker": "bold cyan", "still": "cyan", "gap_reason": "cyan",
        "notice": "cyan", "fragment": "dim", "heartbeat": "dim", "boot": "bold",
    }  # fmt: skip

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._rows: list[tuple[str, str]] = []  # text and style
        self._last_kind = ""
        self._at_end = True  # the reader has not scrolled up

    def add(self, lines: Iterable[Record | journal.Damaged]) -> None:
        """Add rows, and stay at the end unless the reader has scrolled up."""
        for line in lines:
            kind = line.kind if isinstance(line, Record) else "damaged"
            text = journal.row(line) if isinstance(line, Record) else f"无法解读 unreadable: {line.why}"
            if kind == self._last_kind == "fragment":
                self._rows.pop()
            self._rows.append((text, self._STYLES.get(kind, "bold red" if kind == "damaged" else "")))
            self._last_kind = kind
        del self._rows[: -self._MOST_ROWS]
        self.virtual_size = Size(self.size.width, len(self._rows))
        self._follow()
        self.refresh()

    def on_resize(self) -> None:
        """Stay at the end."""
        self._follow()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Only the reader scrolls up; at the end, the rows are followed again."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value or not self._at_end:
            self._at_end = new_value >= self.max_scroll_y

    def _follow(self) -> None:
        if self._at_end:
            self.scroll_end(animate=False)

    def render_line(self, y: int) -> Strip:
        """One row, cut to the width."""
        width, at = self.scrollable_content_region.width, y + self.scroll_offset.y
        text, style = self._rows[at] if at < len(self._rows) else ("", "")
        return Strip([Segment(column(text, width), self.rich_style + Style.parse(style))])


class EventLine(Static):
    """The last thing worth a line: what was done, what went wrong."""

    def tell(self, text: str, level: str) -> None:
        """Show a line; `level` is "", "warning" or "error"."""
        self.update(text)
        self.set_classes(level)


class Key(NamedTuple):
    """A key, what it does in both languages."""

    key: str
    chinese: str
    english: str


class KeyBar(_Text):
    """Two lines: each key with its Chinese name, the English one beneath."""

    def tell(self, keys: Sequence[Key]) -> None:
        """Show these keys, each in a column of the same width."""
        cells = max(7, (self.size.width or self.app.size.width) // len(keys))
        above, beneath = Text(no_wrap=True), Text(no_wrap=True)
        for key in keys:
            above.append(key.key, "bold reverse")
            above.append(column(f" {key.chinese}", cells - len(key.key)))
            beneath.append(column(f"  {key.english}", cells), "dim")
        self.show([above, beneath])


def clock(ns: int) -> str:
    """Hours, minutes, seconds."""
    seconds = ns // 1_000_000_000
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
