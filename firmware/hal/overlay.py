"""Who, when and where, in every picture: drawn on the YUV420 buffer before it is encoded (GA/T 947; rule 13).

A strip of two lines is set from cached glyphs once a second; a frame costs one copy into luma and one fill of each
chroma plane. Nothing in it moves: the parts that come, go or change their width stand at the ends of the lines, digits
are all of one width, and the strip never becomes narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from firmware.hal.ports import DriverError, Fix

_PAPER, _INK = 16, 235  # black and white of television range
_NEUTRAL = 128
_MISSING = "?"  # what cv2 draws for a character that no font has
_BOLD = 600
_SMALLEST = 8
_UNTRUSTED = "时间未校准 clock untrusted"
_NO_PLACE = "未定位 no position"
_WIDEST_FIX = Fix(0, 88.88888, 188.88888, None, 8888.0, None, None, None)


@dataclass(frozen=True, slots=True)
class OverlayConfig:
    """Size of the picture in pixels; `text_height` as a part of its height; a font file, or None for cv2's own."""

    width: int
    height: int
    text_height: float = 1 / 30
    font: Path | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What the caption tells besides who and when."""

    clock_trusted: bool = True
    fix: Fix | None = None


class Caption:
    """The overlay's text for a moment: date, time, zone, device, officer; beneath them unit and place."""

    def __init__(
        self,
        device: str,
        officer_number: str,
        unit: str,
        situation: Callable[[], Situation] = Situation,
        *,
        receiver: bool = False,
        zone: tzinfo | None = None,
    ) -> None:
        """`situation` is asked once a second, from the camera's thread; it must not block.

        Without a satellite `receiver` nothing is said of the place. `zone` None is the device's own time zone.
        """
        self._who = f"{device}  {officer_number}"
        self._unit = unit
        self._situation = situation
        self._receiver = receiver
        self._zone = zone

    def __call__(self, utc_ms: int) -> str:
        """Two lines of text."""
        return self._text(utc_ms, self._situation())

    def samples(self) -> Sequence[str]:
        """Texts that hold every part at its widest, for `Overlay` to choose its size by, and every word."""
        return [self._text(0, Situation(clock_trusted=False, fix=fix)) for fix in (_WIDEST_FIX, None)] + [
            "0123456789-SW"
        ]

    def _text(self, utc_ms: int, situation: Situation) -> str:
        moment = datetime.fromtimestamp(utc_ms // 1000, UTC).astimezone(self._zone)
        stamp = moment.isoformat(sep=" ", timespec="seconds")
        above = [f"{stamp[:19]} {stamp[19:]}", self._who]
        if not situation.clock_trusted:
            above.append(_UNTRUSTED)
        beneath = [self._unit]
        if self._receiver:
            beneath.append(_place(situation.fix) if situation.fix else _NO_PLACE)
        return f"{'  '.join(above)}\n{'  '.join(beneath)}"


def _place(fix: Fix) -> str:
    latitude, longitude = fix.latitude_deg, fix.longitude_deg
    place = f"{abs(latitude):08.5f}°{'NS'[latitude < 0]} {abs(longitude):09.5f}°{'EW'[longitude < 0]}"
    return place if fix.error_m is None else f"{place} ±{fix.error_m:.0f} m"


class Overlay:
    """Draws `text(utc_ms)` at the top left of a picture."""

    def __init__(self, config: OverlayConfig, text: Callable[[int], str], samples: Sequence[str] = ()) -> None:
        """Choose the size so that each of `samples` fits the picture.

        Raises `DriverError` if the font lacks a character of them; later it draws "?" instead.
        """
        self._config = config
        self._text = text
        self._glyphs = _fitting(config, samples)
        missing = sorted({character for text in samples for character in text if self._glyphs.missing(character)})
        if missing:
            raise DriverError("overlay", f"no font for {''.join(missing)}; name a font file that has it")
        self._second = -1
        self._strip = np.empty((0, 0), np.uint8)

    def __call__(self, frame: NDArray[np.uint8], utc_ms: int) -> None:
        """Draw onto `frame`: a YUV420 buffer (height * 3 / 2, stride) as picamera2's MappedArray gives it."""
        second = utc_ms // 1000
        if second != self._second:
            self._strip = self._glyphs.set_text(self._text(utc_ms), self._strip.shape[1], self._config.width)
            self._second = second
        rows, columns = self._strip.shape
        margin = self._glyphs.margin
        right = min(self._config.width, margin + columns)
        frame[margin : margin + rows, margin:right] = self._strip[:, : right - margin]
        height, stride = self._config.height, frame.shape[1]
        chroma = frame[height:].reshape(2, height // 2, stride // 2)
        chroma[:, margin // 2 : (margin + rows) // 2, margin // 2 : right // 2] = _NEUTRAL


def _fitting(config: OverlayConfig, samples: Sequence[str]) -> _Glyphs:
    """Glyphs of the size asked for, or as much smaller as the widest sample wants."""
    size = max(_SMALLEST, round(config.height * config.text_height))
    glyphs = _Glyphs(size, config.font)
    room = config.width - 2 * glyphs.margin
    widest = max((glyphs.set_text(text, 0, 2**16).shape[1] for text in samples), default=0)
    return glyphs if widest <= room else _Glyphs(max(_SMALLEST, size * room // widest), config.font)


class _Glyphs:
    """Bitmaps of characters, each drawn once: all of one height, and digits of one width so that text stands still."""

    def __init__(self, size: int, font: Path | None) -> None:
        self._size = size
        self._rows = (size * 3 // 2 + 1) // 2 * 2
        self.margin = self._rows // 2 // 2 * 2
        self._face = _open_face(font)
        self._cache: dict[str, NDArray[np.uint8]] = {}
        self._digit_width = max(self._width(digit) for digit in "0123456789")

    def missing(self, character: str) -> bool:
        """Is there no bitmap for that character but the replacement?"""
        return character not in {_MISSING, "\n"} and np.array_equal(self._glyph(character), self._glyph(_MISSING))

    def set_text(self, text: str, narrowest: int, widest: int) -> NDArray[np.uint8]:
        """Set lines of text (rows, columns), both even, `narrowest` to `widest` columns wide."""
        lines = [self._set_line(line) for line in text.split("\n")]
        columns = min(widest, max(narrowest, *(line.shape[1] // 2 * 2 for line in lines), 0))
        strip = np.full((self._rows * len(lines), columns), _PAPER, np.uint8)
        for number, line in enumerate(lines):
            part = line[:, :columns]
            strip[number * self._rows : (number + 1) * self._rows, : part.shape[1]] = part
        return strip

    def _set_line(self, line: str) -> NDArray[np.uint8]:
        return np.concatenate([self._edge(), *(self._glyph(character) for character in line), self._edge()], axis=1)

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
        cv2.putText(glyph, character, origin, (_INK,), self._face, self._size, _BOLD)
        return glyph

    def _width(self, character: str) -> int:
        pair = cv2.getTextSize((0, 0), f"|{character}|", (0, 0), self._face, self._size, _BOLD)[2]
        bars = cv2.getTextSize((0, 0), "||", (0, 0), self._face, self._size, _BOLD)[2]
        return max(1, int(pair - bars))  # between bars, so that a space has its width


def _open_face(font: Path | None) -> cv2.FontFace:
    """Open a font file, or cv2's own font, which has Chinese."""
    face = cv2.FontFace(str(font) if font else "sans")
    if not face.getName():
        raise DriverError("overlay", f"{font} is not a font that can be read; name a TrueType or OpenType file")
    return face
