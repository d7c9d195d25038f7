"""The line of date, time, device and officer in every picture, drawn on the YUV420 buffer before it is encoded.

A strip is set from cached glyphs once a second; a frame costs one copy into luma and one fill of each chroma plane.
cv2's built-in fonts draw ASCII in any version; from OpenCV 5 on they, or a font file named in the configuration, draw
Chinese as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import DriverError

_PAPER, _INK = 16, 235  # black and white of television range
_NEUTRAL = 128
_MISSING = "?"  # what cv2 draws for a character that no font has
_BOLD = 600


@dataclass(frozen=True, slots=True)
class OverlayConfig:
    """Size of the picture in pixels; `text_height` as a part of its height; a font file, or None for cv2's own."""

    width: int
    height: int
    text_height: float = 1 / 30
    font: Path | None = None


def caption(device_id: str, officer_number: str, zone: tzinfo | None = None) -> Callable[[int], str]:
    """Give the overlay's text for a moment: date, time, zone offset, device, officer (GA/T 947).

    `zone` None is the device's own time zone.
    """

    def text(utc_ms: int) -> str:
        moment = datetime.fromtimestamp(utc_ms // 1000, UTC).astimezone(zone)
        stamp = moment.isoformat(sep=" ", timespec="seconds")
        return f"{stamp[:19]} {stamp[19:]}  {device_id}  {officer_number}"

    return text


class Overlay:
    """Draws `text(utc_ms)` at the top left of a picture.

    Built with a font that cannot draw the present text, it raises `DriverError`; later it draws "?" instead.
    """

    def __init__(self, config: OverlayConfig, text: Callable[[int], str]) -> None:
        self._config = config
        self._text = text
        self._glyphs = _Glyphs(max(8, round(config.height * config.text_height)), config.font)
        self._second = -1
        self._strip = np.empty((0, 0), np.uint8)

    def check(self, utc_ms: int) -> None:
        """Raise `DriverError` if the font lacks a character of the text of that moment."""
        missing = sorted({character for character in self._text(utc_ms) if self._glyphs.missing(character)})
        if missing:
            raise DriverError(
                "overlay", f"no font for {''.join(missing)}; install OpenCV 5 or name a font file that has it"
            )

    def __call__(self, frame: NDArray[np.uint8], utc_ms: int) -> None:
        """Draw onto `frame`: a YUV420 buffer (height * 3 / 2, stride) as picamera2's MappedArray gives it."""
        second = utc_ms // 1000
        if second != self._second:
            self._strip = self._glyphs.set_line(self._text(utc_ms), self._config.width)
            self._second = second
        rows, columns = self._strip.shape
        margin = rows // 2 // 2 * 2
        right = min(self._config.width, margin + columns)
        frame[margin : margin + rows, margin:right] = self._strip[:, : right - margin]
        height, stride = self._config.height, frame.shape[1]
        chroma = frame[height:].reshape(2, height // 2, stride // 2)
        chroma[:, margin // 2 : (margin + rows) // 2, margin // 2 : right // 2] = _NEUTRAL


class _Glyphs:
    """Bitmaps of characters, each drawn once: all of one height, and digits of one width so that text stands still."""

    def __init__(self, size: int, font: Path | None) -> None:
        self._size = size
        self._rows = (size * 3 // 2 + 1) // 2 * 2
        self._face = _open_face(font)
        self._cache: dict[str, NDArray[np.uint8]] = {}
        self._digit_width = max(self._width(digit) for digit in "0123456789")

    def missing(self, character: str) -> bool:
        """Is there no bitmap for that character but the replacement?"""
        return character != _MISSING and np.array_equal(self._glyph(character), self._glyph(_MISSING))

    def set_line(self, text: str, widest: int) -> NDArray[np.uint8]:
        """Set a line of text (rows, columns), both even, at most `widest` columns."""
        line = np.concatenate([self._edge(), *(self._glyph(character) for character in text), self._edge()], axis=1)
        return line[:, : min(widest, line.shape[1] // 2 * 2)]

    def _edge(self) -> NDArray[np.uint8]:
        return np.full((self._rows, self._size // 3), _PAPER, np.uint8)

    def _glyph(self, character: str) -> NDArray[np.uint8]:
        glyph = self._cache.get(character)
        if glyph is None:
            glyph = self._cache[character] = self._draw(character)
        return glyph

    def _draw(self, character: str) -> NDArray[np.uint8]:
        advance = self._width(character)
        width = self._digit_width if character.isdigit() else advance
        glyph = np.full((self._rows, width), _PAPER, np.uint8)
        origin = ((width - advance) // 2, self._size * 10 // 9)
        if self._face is None:
            cv2.putText(glyph, character, origin, cv2.FONT_HERSHEY_DUPLEX, self._size / 30, _INK, 1, cv2.LINE_AA)
        else:
            cv2.putText(glyph, character, origin, (_INK,), self._face, self._size, _BOLD)
        return glyph

    def _width(self, character: str) -> int:
        if self._face is None:
            (width, _), _ = cv2.getTextSize(character, cv2.FONT_HERSHEY_DUPLEX, self._size / 30, 1)
            return max(1, int(width))
        pair = cv2.getTextSize((0, 0), f"|{character}|", (0, 0), self._face, self._size, _BOLD)[2]
        bars = cv2.getTextSize((0, 0), "||", (0, 0), self._face, self._size, _BOLD)[2]
        return max(1, int(pair - bars))  # between bars, so that a space has its width


def _open_face(font: Path | None) -> Any:
    """Open a font file or the built-in font; None if this OpenCV has only the built-in one."""
    if not hasattr(cv2, "FontFace"):
        if font is not None:
            raise DriverError(
                "overlay", f"OpenCV {cv2.__version__} cannot read {font}; install OpenCV 5 or name no font"
            )
        return None
    face = cv2.FontFace(str(font) if font else "sans")
    if not face.getName():
        raise DriverError("overlay", f"{font} is not a font that can be read; name a TrueType or OpenType file")
    return face
