"""The picture of a shift: an SVG of its lanes over seconds."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from html import escape
from typing import Final

from hw_sim.scenario.judge import Finding
from hw_sim.scenario.lanes import Bar, Lane, lanes
from hw_sim.scenario.shift import Played

_LEFT: Final = 150  # of the axis, pixels
_WIDTH: Final = 1400  # of the axis
_RIGHT: Final = 30
_TOP: Final = 76
_ROW: Final = 19
_PAD: Final = 6  # between lanes
_SIZE: Final = 12  # of the letters
_FONT: Final = (
    "'Noto Sans CJK SC','Source Han Sans SC','WenQuanYi Micro Hei','Microsoft YaHei','PingFang SC',sans-serif"
)
_STEPS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_TICKS: Final = 20  # at most


def svg(played: Played, findings: list[Finding]) -> str:
    """Draw it. Pure."""
    picture = _Picture(played)
    body = [line for lane in lanes(played) for line in picture.lane(lane)]
    body = [*picture.grid(), *body]
    failed = [finding for finding in findings if not finding.ok]
    footer = [line for finding in failed for line in picture.note(f"✗ {finding.what}：{finding.seen}")]
    height = picture.y + 20
    setting = played.scenario.setting
    verdict = "符合预期 as expected" if not failed else f"{len(failed)} 项不符 not as expected"
    rules = "、".join(f"第{rule}条" for rule in setting.rules)
    width = _LEFT + _WIDTH + _RIGHT
    size = f'width="{width}" height="{height}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" font-family="{_FONT}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(14, 28, f"{setting.title}", size=19, weight="bold"),
        _text(
            14,
            48,
            f"{setting.name}　{rules}　实时运行，硬件仿真 real time, simulated hardware　{verdict}",
            colour="#1e8449" if not failed else "#c0392b",
        ),
    ]
    return "\n".join([*head, *body, *footer, "</svg>", ""])


class _Picture:
    """Places things below each other. `y` is where the next lane begins."""

    def __init__(self, played: Played) -> None:
        self._began = played.began_ns
        self._seconds = max(1.0, played.second(played.ended_ns))
        self.y = _TOP
        self._first = True

    def x(self, at_ns: int) -> float:
        """Where a moment stands."""
        share = (at_ns - self._began) / 1e9 / self._seconds
        return _LEFT + _WIDTH * min(1.0, max(0.0, share))

    def grid(self) -> Iterator[str]:
        """The axis, and lines through all lanes; drawn when their height is known."""
        step = next((s for s in _STEPS if self._seconds / s <= _TICKS), _STEPS[-1])
        for second in range(0, int(self._seconds) + 1, step):
            x = _LEFT + _WIDTH * second / self._seconds
            yield f'<line x1="{x:.1f}" y1="{_TOP - 4}" x2="{x:.1f}" y2="{self.y}" stroke="#e3e6e8"/>'
            yield _text(x, _TOP - 9, f"{second} s", colour="#777", anchor="middle", size=11)

    def lane(self, lane: Lane) -> Iterator[str]:
        """A lane, in as many rows as its labels need."""
        rows = self._rows(lane)
        height = (1 + max(rows, default=0)) * _ROW
        size = f'width="{_LEFT + _WIDTH + _RIGHT}" height="{height + 4}"'
        yield f'<rect x="0" y="{self.y - 2}" {size} fill="#f4f6f7" fill-opacity="0.6"/>'
        yield _text(14, self.y + _ROW - 6, lane.title, weight="bold")
        for bar, row in zip(lane.bars, rows, strict=True):
            yield from self._bar(bar, self.y + row * _ROW)
        self.y += height + _PAD

    def note(self, text: str) -> Iterator[str]:
        """A line below the lanes."""
        self.y += _ROW
        yield _text(14, self.y, text if len(text) < 200 else f"{text[:199]}…", colour="#c0392b")  # noqa: PLR2004

    def _rows(self, lane: Lane) -> list[int]:
        """The row of each bar: the first in which it runs into nothing."""
        if not lane.stacked:
            return [0] * len(lane.bars)
        ends: list[float] = []
        rows = []
        for bar in lane.bars:
            left, right = self._extent(bar)
            row = next((n for n, end in enumerate(ends) if end <= left), len(ends))
            ends[row : row + 1] = [right]
            rows.append(row)
        return rows

    def _extent(self, bar: Bar) -> tuple[float, float]:
        left, right = self.x(bar.from_ns), max(self.x(bar.to_ns), self.x(bar.from_ns) + 3)
        text = _wide(bar.label) + 10
        if self._before(bar):
            return left - text, right + 4
        return left, right + text

    def _before(self, bar: Bar) -> bool:
        """Whether the label stands before the bar, as there is no room behind it."""
        return self.x(bar.to_ns) + _wide(bar.label) + 8 > _LEFT + _WIDTH + _RIGHT

    def _bar(self, bar: Bar, y: int) -> Iterator[str]:
        left = self.x(bar.from_ns)
        width = max(3.0, self.x(bar.to_ns) - left)
        yield (
            f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 5}" rx="2" fill="{bar.colour}">'
            f"<title>{escape(bar.label)}</title></rect>"
        )
        base = y + _ROW - 8
        if not bar.inside:
            before = self._before(bar)
            x = left - 4 if before else left + width + 4
            yield _text(x, base, bar.label, anchor="end" if before else "start")
        elif bar.label and _wide(bar.label) + 6 < width:
            yield _text(left + 4, base, bar.label, colour="#ffffff")


def _text(
    x: float,
    y: float,
    text: str,
    *,
    colour: str = "#1c2833",
    size: int = _SIZE,
    weight: str = "normal",
    anchor: str = "start",
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _wide(text: str) -> float:
    """About how wide a text is, pixels."""
    return sum(_SIZE if unicodedata.east_asian_width(letter) in "WF" else _SIZE * 0.56 for letter in text)
