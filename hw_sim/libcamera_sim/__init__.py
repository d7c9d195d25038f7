"""The C++ boundary `libcamera` as picamera2 0.3.38 uses it, with a simulated lens behind it.

`hw_sim.lens.install` puts this package into `sys.modules` under the name `libcamera`; everything above it is the real
picamera2. Names, types and behaviour are libcamera's own, so names here follow C++ and not our style.
"""

from __future__ import annotations

import sys

from hw_sim.libcamera_sim import controls, properties
from hw_sim.libcamera_sim.camera import (
    Camera,
    CameraManager,
    FrameBuffer,
    FrameMetadata,
    Request,
)
from hw_sim.libcamera_sim.configuration import (
    CameraConfiguration,
    SensorConfiguration,
    Stream,
    StreamConfiguration,
    StreamRole,
)
from hw_sim.libcamera_sim.controls import ControlId, ControlInfo, ControlType
from hw_sim.libcamera_sim.values import ColorSpace, Orientation, PixelFormat, Rectangle, Size, Transform

# The real package is a thin cover of its extension module `_libcamera`, which picamera2 names here and there.
_libcamera = sys.modules[__name__]

__all__ = [
    "Camera",
    "CameraConfiguration",
    "CameraManager",
    "ColorSpace",
    "ControlId",
    "ControlInfo",
    "ControlType",
    "FrameBuffer",
    "FrameMetadata",
    "Orientation",
    "PixelFormat",
    "Rectangle",
    "Request",
    "SensorConfiguration",
    "Size",
    "Stream",
    "StreamConfiguration",
    "StreamRole",
    "Transform",
    "controls",
    "properties",
]
