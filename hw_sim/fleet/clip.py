"""A few seconds of encoded picture and sound, made once; light cameras repeat them, and each makes its own evidence."""

from __future__ import annotations

import base64
import fractions
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

WIDTH, HEIGHT, RATE = 640, 360, 25
BLOCK_SAMPLES, BLOCKS_PER_SECOND = 2_400, 20
_LOUDNESS = 300  # of 32,767: enough that a block is not nothing


@dataclass(frozen=True, slots=True)
class Clip:
    """Whole seconds of pictures, each second beginning with a key picture, and of sound."""

    frames: tuple[bytes, ...]  # access units in Annex B, `RATE` a second
    blocks: tuple[bytes, ...]  # FLAC, `BLOCKS_PER_SECOND` a second
    streaminfo: bytes

    def save(self, path: Path) -> None:
        """Write it down for other processes."""
        told = {
            name: [base64.b64encode(item).decode() for item in getattr(self, name)] for name in ("frames", "blocks")
        }
        path.write_text(json.dumps({**told, "streaminfo": self.streaminfo.hex()}))


def load(path: Path) -> Clip:
    """What `save` wrote."""
    told = json.loads(path.read_bytes())
    frames, blocks = (tuple(base64.b64decode(item) for item in told[name]) for name in ("frames", "blocks"))
    return Clip(frames, blocks, bytes.fromhex(told["streaminfo"]))


def make(kilobits: int, seconds: int = 2) -> Clip:
    """Noise as x264 encodes it, filled up to exactly so many kilobits a second, and noise as FLAC."""
    import av  # noqa: PLC0415 - whoever repeats a clip needs no encoder
    import numpy as np  # noqa: PLC0415

    noise = np.random.default_rng(1)
    video: VideoCodecContext = av.CodecContext.create("libx264", "w")
    video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    video.time_base, video.framerate = fractions.Fraction(1, RATE), fractions.Fraction(RATE)
    video.bit_rate = kilobits * 1000
    rate = f"vbv-maxrate={kilobits}:vbv-bufsize={kilobits}:nal-hrd=cbr"
    video.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": f"{rate}:keyint={RATE}:min-keyint={RATE}:scenecut=0:repeat-headers=1:threads=1",
    }
    frames = []
    for number in range(seconds * RATE):
        picture = av.VideoFrame.from_ndarray(noise.integers(0, 255, (HEIGHT * 3 // 2, WIDTH), np.uint8), "yuv420p")
        picture.pts = number
        frames += [bytes(packet) for packet in video.encode(picture)]
    frames += [bytes(packet) for packet in video.encode(None)]
    sound = av.CodecContext.create("flac", "w")
    sound.sample_rate, sound.format, sound.layout = BLOCK_SAMPLES * BLOCKS_PER_SECOND, "s16", "mono"
    sound.options = {"frame_size": str(BLOCK_SAMPLES)}
    sound.open()
    blocks = []
    for number in range(seconds * BLOCKS_PER_SECOND):
        samples = noise.integers(-_LOUDNESS, _LOUDNESS, (1, BLOCK_SAMPLES), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate, frame.pts = BLOCK_SAMPLES * BLOCKS_PER_SECOND, number * BLOCK_SAMPLES
        blocks += [bytes(packet) for packet in sound.encode(frame)]
    return Clip(tuple(frames), tuple(blocks), bytes(sound.extradata or b""))
