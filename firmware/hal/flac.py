"""FLAC by PyAV (FFmpeg's encoder): lossless, one packet for each block, nothing held back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from firmware.hal.ports import DriverError

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

_RATE = 48_000
_BLOCK_SAMPLES = 2_400
_STREAMINFO_BYTES = 34


class FlacEncoder:
    """`SoundEncoder` of `firmware.hal.ports`.

    FFmpeg's encoder answers each full block with its frame at once: only a short block could be held back, and those
    are refused. STREAMINFO is complete before the first block but for the MD5 and the sizes, which a stream that is
    written while it is made cannot know; zero means unknown there.
    """

    def __init__(self) -> None:
        """Raises DriverError if this FFmpeg has no FLAC encoder or gives no STREAMINFO."""
        try:
            self._codec: AudioCodecContext = av.CodecContext.create("flac", "w")
            self._codec.sample_rate = _RATE
            self._codec.format = "s16"
            self._codec.layout = "mono"
            self._codec.options = {"frame_size": str(_BLOCK_SAMPLES)}
            self._codec.open()
        except (ValueError, av.error.FFmpegError) as error:
            raise DriverError("flac", f"this FFmpeg cannot encode FLAC ({error}): install PyAV's own wheel") from error
        self._config = bytes(self._codec.extradata or b"")
        if len(self._config) != _STREAMINFO_BYTES:
            raise DriverError("flac", f"STREAMINFO has {len(self._config)} bytes instead of {_STREAMINFO_BYTES}")
        self._samples = 0

    @property
    def config(self) -> bytes:
        """The 34 bytes of STREAMINFO."""
        return self._config

    def encode(self, pcm: bytes) -> bytes:
        """One block of 2,400 samples in, its one FLAC frame out. Raises ValueError for any other length."""
        if len(pcm) != 2 * _BLOCK_SAMPLES:
            raise ValueError(f"a block has {2 * _BLOCK_SAMPLES} bytes, not {len(pcm)}")
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = _RATE
        frame.pts = self._samples
        self._samples += _BLOCK_SAMPLES
        packets = self._codec.encode(frame)
        if len(packets) != 1:
            raise DriverError("flac", f"{len(packets)} packets for one block")
        return bytes(packets[0])
