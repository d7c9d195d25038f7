"""`libcamera.controls`: the controls that the simulated lens knows, and the enumerations that picamera2 names."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


class ControlType(enum.Enum):
    """Type of a control's value."""

    Null = 0
    Bool = 1
    Byte = 2
    Integer32 = 5
    Integer64 = 6
    Float = 7
    String = 8
    Rectangle = 9
    Size = 10


@dataclass(frozen=True)
class ControlId:
    """Identity of a control or property."""

    name: str
    type: ControlType


@dataclass(frozen=True)
class ControlInfo:
    """Limits and default of a control."""

    min: Any
    max: Any
    default: Any


class AfModeEnum(enum.IntEnum):
    """Autofocus modes."""

    Manual = 0
    Auto = 1
    Continuous = 2


class AfStateEnum(enum.IntEnum):
    """States of the autofocus."""

    Idle = 0
    Scanning = 1
    Focused = 2
    Failed = 3


class AfTriggerEnum(enum.IntEnum):
    """Triggers of the autofocus."""

    Start = 0
    Cancel = 1


class _NoiseReductionModeEnum(enum.IntEnum):
    Off = 0
    Fast = 1
    HighQuality = 2
    Minimal = 3
    ZSL = 4


FrameDurationLimits = ControlId("FrameDurationLimits", ControlType.Integer64)
ExposureTime = ControlId("ExposureTime", ControlType.Integer32)
ExposureTimeMode = ControlId("ExposureTimeMode", ControlType.Integer32)
AnalogueGain = ControlId("AnalogueGain", ControlType.Float)
AnalogueGainMode = ControlId("AnalogueGainMode", ControlType.Integer32)
ScalerCrop = ControlId("ScalerCrop", ControlType.Rectangle)
SensorTimestamp = ControlId("SensorTimestamp", ControlType.Integer64)

draft = SimpleNamespace(
    NoiseReductionMode=ControlId("NoiseReductionMode", ControlType.Integer32),
    NoiseReductionModeEnum=_NoiseReductionModeEnum,
)
