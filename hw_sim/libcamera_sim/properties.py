"""`libcamera.properties`: what a camera says of itself."""

from __future__ import annotations

import enum
from types import SimpleNamespace

from hw_sim.libcamera_sim.controls import ControlId, ControlType


class _ColorFilterArrangementEnum(enum.IntEnum):
    RGGB = 0
    GRBG = 1
    GBRG = 2
    BGGR = 3
    RGB = 4
    MONO = 5


Model = ControlId("Model", ControlType.String)
Location = ControlId("Location", ControlType.Integer32)
Rotation = ControlId("Rotation", ControlType.Integer32)

draft = SimpleNamespace(
    ColorFilterArrangement=ControlId("ColorFilterArrangement", ControlType.Integer32),
    ColorFilterArrangementEnum=_ColorFilterArrangementEnum,
)
