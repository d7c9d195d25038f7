"""Printed pages in Chinese: PDF by reportlab, in the standard font of Adobe's Simplified Chinese, which needs no file.

STSong-Light is one of the fonts that every reader of PDF has or replaces by its own; nothing of it is in the document.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

FONT: Final = "STSong-Light"
pdfmetrics.registerFont(UnicodeCIDFont(FONT))  # styles look it up as soon as they are used

_BODY: Final = ParagraphStyle("body", fontName=FONT, fontSize=9, leading=13, wordWrap="CJK")
_TITLE: Final = ParagraphStyle("title", _BODY, fontSize=16, leading=24, alignment=1, spaceAfter=4 * mm)
_HEADING: Final = ParagraphStyle("heading", _BODY, fontSize=11, leading=16, spaceBefore=4 * mm, spaceAfter=2 * mm)
_GRID: Final = TableStyle(
    [
        ("GRID", (0, 0), (-1, -1), 0.4, colors.HexColor("#9aa5b1")),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#eef2f6")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ]
)
_MARGIN: Final = 18 * mm


def title(text: str) -> Flowable:
    """The page's title."""
    return Paragraph(_safe(text), _TITLE)


def heading(text: str) -> Flowable:
    """A part's title."""
    return Paragraph(_safe(text), _HEADING)


def lines(*texts: str) -> list[Flowable]:
    """Text, a paragraph each."""
    return [*(Paragraph(_safe(text), _BODY) for text in texts), Spacer(1, 2 * mm)]


def table(rows: Sequence[Sequence[str]], widths: Sequence[float]) -> Flowable:
    """A table, its first row repeated on each page; widths in shares of the page."""
    whole = (A4[0] - 2 * _MARGIN) / sum(widths)
    cells = [[Paragraph(_safe(cell), _BODY) for cell in row] for row in rows]
    return LongTable(cells, [width * whole for width in widths], repeatRows=1, style=_GRID)


def document(name: str, parts: Sequence[Flowable], foot: str) -> bytes:
    """The PDF. `foot` stands on each page, with its number."""

    def footer(canvas: Any, page: Any) -> None:
        canvas.saveState()
        canvas.setFont(FONT, 8)
        canvas.drawString(_MARGIN, 10 * mm, foot)
        canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, f"第 {page.page} 页")
        canvas.restoreState()

    out = io.BytesIO()
    pages = SimpleDocTemplate(
        out, pagesize=A4, title=name, leftMargin=_MARGIN, rightMargin=_MARGIN, topMargin=_MARGIN, bottomMargin=_MARGIN,
        invariant=True,
    )  # fmt: skip
    pages.build(list(parts), onFirstPage=footer, onLaterPages=footer)
    return out.getvalue()


def _safe(text: str) -> str:
    """What people entered is no markup, which reportlab would read."""
    return escape(text).replace("\n", "<br/>")
