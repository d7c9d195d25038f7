"""`kms` as far as picamera2 names it when it is imported: the display, which a body-worn camera does not have."""

from __future__ import annotations

import enum


class PixelFormats(enum.Enum):
    """Pixel formats of a display."""

    RGB888 = "RG24"
    BGR888 = "BG24"
    XRGB8888 = "XR24"
    XBGR8888 = "XB24"
    ABGR8888 = "AB24"
    YUV420 = "YU12"
    YVU420 = "YV12"
    NV12 = "NV12"
