"""Small values of libcamera: sizes, formats, colour spaces, transforms."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass
class Size:
    """Width and height in pixels."""

    width: int = 0
    height: int = 0


@dataclass
class Rectangle:
    """Position and size in pixels."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class PixelFormat:
    """A pixel format by its name, e.g. "YUV420"."""

    name: str

    def __str__(self) -> str:
        return self.name


class Orientation(enum.Enum):
    """The eight orientations of EXIF."""

    Rotate0 = 1
    Rotate0Mirror = 2
    Rotate180 = 3
    Rotate180Mirror = 4
    Rotate90Mirror = 5
    Rotate270 = 6
    Rotate270Mirror = 7
    Rotate90 = 8


@dataclass(unsafe_hash=True)
class Transform:
    """Flips and transposition."""

    hflip: int = 0
    vflip: int = 0
    transpose: int = 0

    # picamera2 makes `__str__` its `__repr__` too.
    def __str__(self) -> str:
        return f"Transform(hflip={self.hflip}, vflip={self.vflip}, transpose={self.transpose})"


class ColorSpace:
    """A colour space; hashed by identity of its primaries because picamera2 keeps them in sets."""

    class YcbcrEncoding(enum.Enum):
        """Matrix from RGB to YCbCr."""

        Null = 0
        Rec601 = 1
        Rec709 = 2

    class Range(enum.Enum):
        """Range of the samples."""

        Full = 0
        Limited = 1

    def __init__(self, other: ColorSpace | str) -> None:
        if isinstance(other, ColorSpace):
            self.__dict__.update(other.__dict__)
            return
        self.primaries = self.transferFunction = other
        self.ycbcrEncoding = self.YcbcrEncoding.Rec709 if other == "Rec709" else self.YcbcrEncoding.Rec601
        self.range = self.Range.Full if other in {"Sycc", "Raw"} else self.Range.Limited

    @classmethod
    def Sycc(cls) -> ColorSpace:
        """JPEG's colour space."""
        return cls("Sycc")

    @classmethod
    def Rec709(cls) -> ColorSpace:
        """High definition television."""
        return cls("Rec709")

    @classmethod
    def Smpte170m(cls) -> ColorSpace:
        """Standard definition television."""
        return cls("Smpte170m")

    @classmethod
    def Raw(cls) -> ColorSpace:
        """Untouched samples of the sensor."""
        return cls("Raw")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColorSpace) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(self.primaries)

    def __str__(self) -> str:
        return str(self.primaries)
