"""A slider for one thing of the world: battery, temperature, storage, clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget

from hw_sim.panel.words import column

_NAME_CELLS, _LABEL_CELLS = 13, 12
_SETTLE_SECONDS = 0.3  # one order for a move of several steps


@dataclass(frozen=True, slots=True)
class Position:
    """Where a slider can stand: what the panel says there, and what the order takes."""

    label: str
    value: Any


@dataclass(frozen=True, slots=True)
class Scale:
    """A slider's positions and where it stands at first."""

    key: str
    chinese: str
    english: str
    positions: Sequence[Position]
    start: int


class Slider(Widget, can_focus=True):
    """Moved by arrow keys and mouse; `Moved` comes when it rests, and is answered by `accept` or `refuse`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", show=False),
        Binding("right", "move(1)", show=False),
    ]
    index = reactive(0)
    refused: reactive[bool] = reactive(bool)
    told = reactive("")  # what the world itself says, in place of the position's label

    class Moved(Message):
        """The slider rests at another position; `was` is the last one that was carried out."""

        def __init__(self, slider: Slider, was: Position, position: Position) -> None:
            super().__init__()
            self.slider = slider
            self.was = was
            self.position = position

    def __init__(self, scale: Scale) -> None:
        super().__init__(id=scale.key)
        self.scale = scale
        self._ordered = scale.start
        self._settling: Timer | None = None
        self.set_reactive(Slider.index, scale.start)

    def accept(self, position: Position) -> None:
        """That position was ordered and carried out."""
        self._ordered = self.scale.positions.index(position)
        self.refused = False

    def refuse(self) -> None:
        """The world does not know this order: the slider goes back."""
        self.index = self._ordered
        self.refused = True

    def action_move(self, steps: int) -> None:
        """Move by so many positions."""
        self._move(self.index + steps)

    def on_click(self, event: events.Click) -> None:
        """Move to where the track was clicked."""
        at, length = event.x - _NAME_CELLS, self._track_cells
        if 0 <= at < length:
            self._move(round(at / max(1, length - 1) * (len(self.scale.positions) - 1)))

    def render(self) -> Text:
        """Name, track, label."""
        scale = self.scale
        at = round(self.index / (len(scale.positions) - 1) * (self._track_cells - 1))
        label = "不可用 n/a" if self.refused else self.told or scale.positions[self.index].label
        bright = "bold" if self.has_focus else ""
        return Text.assemble(
            (column(f"{scale.chinese} {scale.english}", _NAME_CELLS), bright),
            ("━" * at, "cyan" if not self.refused else "dim"),
            ("●", bright or "cyan"),
            ("━" * (self._track_cells - 1 - at), "dim"),
            (" " + column(label, _LABEL_CELLS), bright if not self.refused else "dim"),
        )

    @property
    def _track_cells(self) -> int:
        return max(2, self.size.width - _NAME_CELLS - _LABEL_CELLS - 1)

    def _move(self, index: int) -> None:
        self.index = min(max(index, 0), len(self.scale.positions) - 1)
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLE_SECONDS, self._rest)

    def _rest(self) -> None:
        self._settling = None
        if self.index != self._ordered:
            positions = self.scale.positions
            self.post_message(self.Moved(self, positions[self._ordered], positions[self.index]))


_MB = 1_000_000


def _free(size: int) -> Position:
    return Position(f"剩 {size // 1000} GB" if size >= 1000 else f"剩 {size} MB", size * _MB)  # noqa: PLR2004


def _step(label: str, seconds: int) -> Position:
    return Position(label, seconds)


SCALES = (
    Scale("battery", "电量", "battery", [Position(f"{percent} %", percent) for percent in range(0, 101, 5)], 20),
    Scale("temperature", "温度", "heat", [Position(f"{celsius} °C", celsius) for celsius in range(-20, 96, 5)], 13),
    Scale(
        "storage", "存储", "storage",
        [*map(_free, (0, 8, 16, 32, 64, 128, 256, 512, 1000, 2000, 4000, 8000, 16000)), Position("不限", None)], 13,
    ),
    Scale(
        "clock", "时钟", "clock",
        [_step("−1 天", -86_400), _step("−1 小时", -3600), _step("−10 分", -600), _step("−1 分", -60),
         _step("−5 秒", -5), _step("准 ±0", 0), _step("+5 秒", 5), _step("+1 分", 60), _step("+10 分", 600),
         _step("+1 小时", 3600), _step("+1 天", 86_400)], 5,
    ),
)  # fmt: skip
