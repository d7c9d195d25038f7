"""What the lens sees, in half blocks: each cell of the terminal shows two pixels, one above the other."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

Pixels = NDArray[np.uint8]  # (rows, columns, red green blue)

_SHADES = " ░▒▓█"
_COARSE = 0xF8  # 32 steps of a colour are enough here, and let equal neighbours travel as one over a slow line


def pixels(answer: Mapping[str, Any]) -> Pixels:
    """Turn the answer to the order `look` into colours (BT.601, television range)."""
    shape = answer["rows"], answer["columns"]
    y, u, v = (
        np.frombuffer(base64.b64decode(answer[name]), np.uint8).reshape(shape).astype(np.float32)
        for name in ("luma", "u", "v")
    )
    y, u, v = 1.164 * (y - 16), u - 128, v - 128
    colours = np.stack([y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u], axis=-1)
    whole: Pixels = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
    return whole


def half_blocks(picture: Pixels) -> list[list[Segment]]:
    """One list of segments a line of cells; `picture` has an even number of rows."""
    return [
        [
            Segment("▀" * len(list(same)), _style(upper, lower))
            for (upper, lower), same in groupby(zip(map(tuple, above), map(tuple, below), strict=True))
        ]
        for above, below in zip(picture[::2].tolist(), picture[1::2].tolist(), strict=True)
    ]


def shades(picture: Pixels) -> list[list[Segment]]:
    """The same for a terminal with few colours or none: five shades."""
    grey = picture.mean(axis=-1)
    steps = ((grey[::2] + grey[1::2]) / 512 * len(_SHADES)).astype(int)
    return [[Segment("".join(_SHADES[step] for step in line))] for line in steps]


def _style(upper: tuple[int, ...], lower: tuple[int, ...]) -> Style:
    return Style(color="#{:02x}{:02x}{:02x}".format(*upper), bgcolor="#{:02x}{:02x}{:02x}".format(*lower))


class Picture(Widget):
    """The live picture; a sentence in its place while there is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lines: list[list[Segment]] = []
        self._instead = "没有图像 no picture"

    def show(self, picture: Pixels | None, instead: str = "没有图像 no picture") -> None:
        """Show a picture, or say `instead` of one."""
        if picture is None:
            self._lines, self._instead = [], instead
        else:
            self._lines = self._lines_of(picture)
        self.refresh()

    def _lines_of(self, picture: Pixels) -> list[list[Segment]]:
        """As the terminal's colours allow: a palette of 256 has 24 greys, and hardly a colour that is seen."""
        if self.app.no_color:
            return shades(picture)
        match self.app.console.color_system:
            case "truecolor":
                return half_blocks(picture & np.uint8(_COARSE))
            case "256":
                grey = picture.mean(axis=-1, keepdims=True).astype(np.uint8)
                return half_blocks(np.repeat(grey, 3, axis=-1))
            case _:
                return shades(picture)

    def render_line(self, y: int) -> Strip:
        """One line of cells."""
        width, style = self.size.width, self.rich_style
        if y < len(self._lines):
            return Strip(self._lines[y]).adjust_cell_length(width, style)
        text = self._instead if not self._lines and y == self.size.height // 2 else ""
        return (
            Strip([Segment(text, style + Style(dim=True))]).text_align(width, "center")
            if text
            else Strip.blank(width, style)
        )
